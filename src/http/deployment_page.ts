/**
 * A deployment for people who open its address in a browser: the words that the command line has, and its files. It runs no script;
 * while the deployment is not over, the browser reloads the page by itself.
 */
import { html } from 'hono/html';
import { type Deployment, isOver, type StepStatus } from '../domain/deployment.ts';
import { renderStatus } from '../words/status.ts';
import type { Style } from '../words/style.ts';
import { duration, oneLine } from '../words/text.ts';
import { pageHead } from './page_style.ts';

/** Steps that a page shows; a bundle may have thousands. */
const STEPS_SHOWN = 500;
const LOOK_AGAIN_SECONDS = 3;
/** While nobody is running it: it may wait for somebody, and each look queries the database. */
const LOOK_AGAIN_IDLE_SECONDS = 30;

// Text of a file or a server has no control characters by then (words/text.ts): so these are ours.
const mark =
  (name: keyof Style) =>
  (text: string): string =>
    `\u0002${name}\u0002${text}\u0003`;
const MARKED: Style = { bold: mark('bold'), dim: mark('dim'), red: mark('red'), green: mark('green'), yellow: mark('yellow') };

/** In how many seconds a browser should ask again; null when the deployment is over. */
export function lookAgainSeconds({ state, live }: Deployment): number | null {
  if (isOver(state)) return null;
  return live === null ? LOOK_AGAIN_IDLE_SECONDS : LOOK_AGAIN_SECONDS;
}

/** @returns the page, in HTML */
export function renderDeploymentPage(deployment: Deployment): string {
  const { bundle, state, target, phases } = deployment;
  const steps = phases.flatMap((phase) => phase.steps.map((step) => ({ phase: phase.name, step })));
  const again = lookAgainSeconds(deployment);
  const [name, where] = [escaped(oneLine(bundle)), target === null ? '' : ` on ${escaped(oneLine(target))}`];
  const rows = steps.slice(0, STEPS_SHOWN).map(({ phase, step }) => renderStep(phase, step, deployment));
  const more = steps.length > STEPS_SHOWN ? `<p>and ${steps.length - STEPS_SHOWN} more</p>\n` : '';
  return `${pageHead(`${state}: ${name}${where}`)}<body>
<h1>${name}${where}</h1>
<pre>${marked(renderStatus(deployment, MARKED))}</pre>
${rows.length === 0 ? '' : `<table>\n<tr><th>phase</th><th>file</th><th>kind</th><th>state</th><th class="n">time</th><th class="n">rows</th></tr>\n${rows.join('\n')}\n</table>\n`}${more}${
  again === null ? '' : `<p class="dim">This page looks again every ${again} seconds, as long as its address may read.</p>\n`
}</body>
</html>
`;
}

const STATE_CLASSES: Readonly<Record<StepStatus['state'], string>> = { pending: 'dim', succeeded: 'green', skipped: 'dim', failed: 'red' };

function renderStep(phase: string, step: StepStatus, { live }: Deployment): string {
  const { path, kind, state, milliseconds, rows } = step;
  const isAtWork = state === 'pending' && live?.phase === phase && live.path === path;
  const words = isAtWork ? 'at work' : state === 'skipped' ? (step.is_wanted === false ? 'left out' : 'applied before') : state;
  const cells = [
    `<td>${escaped(oneLine(phase))}</td>`,
    `<td><code>${escaped(oneLine(path))}</code></td>`,
    `<td>${escaped(oneLine(kind))}</td>`,
    `<td class="${isAtWork ? 'yellow' : STATE_CLASSES[state]}">${words}</td>`,
    `<td class="n">${milliseconds === null ? '' : duration(milliseconds)}</td>`,
    `<td class="n">${rows || ''}</td>`,
  ];
  return `<tr>${cells.join('')}</tr>`;
}

function escaped(text: string): string {
  return `${html`${text}`}`;
}

function marked(text: string): string {
  const parts = escaped(text).replaceAll('\u0003', '</span>').split('\u0002');
  return parts.map((part, index) => (index % 2 === 1 ? `<span class="${part}">` : part)).join('');
}
