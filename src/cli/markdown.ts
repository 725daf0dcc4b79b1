/** A deployment as Markdown, for the page on which a forge shows a run. Pure; pipeline.ts writes it. */
import type { Deployment, PhaseStatus } from '../domain/deployment.ts';
import { fenceOf } from '../domain/fence.ts';
import { count, cut, duration, oneLine, timeBetween } from '../words/text.ts';

/** Characters of the text: GitHub takes 1 MiB a step, and nobody reads that much. */
const WORDS_CHARACTERS = 200_000;
/** Characters of a name in a table. */
const NAME_CHARACTERS = 200;

const SIGNS: Readonly<Record<string, string>> = { succeeded: '✅', degraded: '⚠️', failed: '❌', cancelled: '⏹️', skipped: '⏭️', pending: '⏸️' };

/** @param words of the end, as they stand on a terminal */
export function renderMarkdown(deployment: Deployment, words: string): string {
  const { bundle, target, id, state, phases } = deployment;
  const title = `### ${SIGNS[state] ?? '▶️'} ${escaped(bundle)}${target === null ? '' : ` → ${escaped(target)}`}: ${state}`;
  const rows = phases.map((phase) => `| ${[escaped(phase.name), phase.transaction, signed(phase.state), stepsOf(phase), timeOf(phase)].join(' | ')} |`);
  const table = rows.length === 0 ? [] : ['| phase | transaction | state | steps | time |', '|---|---|---|---|---|', ...rows, ''];
  return [title, '', ...table, fenced(words), '', `Deployment \`${id}\``, ''].join('\n');
}

/** A problem before there was any deployment. */
export function renderProblemMarkdown(words: string): string {
  return ['### ❌ weft', '', fenced(words), ''].join('\n');
}

function stepsOf({ steps }: PhaseStatus): string {
  const states = ['succeeded', 'failed', 'skipped', 'pending'] as const;
  const parts = states.flatMap((state) => {
    const n = steps.filter((step) => step.state === state).length;
    return n === 0 ? [] : [`${n} ${state}`];
  });
  return parts.length === 0 ? count(0, 'step') : parts.join(', ');
}

function signed(state: string): string {
  return `${SIGNS[state] ?? ''} ${state}`.trim();
}

function timeOf({ started_at, finished_at }: PhaseStatus): string {
  const ms = timeBetween(started_at, finished_at);
  return ms === 0 ? '' : duration(ms);
}

/** A name in a table or a title: as it is, and no Markdown, link or mention. */
function escaped(name: string): string {
  return cut(oneLine(name), NAME_CHARACTERS).replace(/[\\`*_{}[\]<>()#+!|~&@]/g, (character) => `&#${character.charCodeAt(0)};`);
}

/** As it stands; whatever is in it cannot end it. */
function fenced(words: string): string {
  const text = words.length > WORDS_CHARACTERS ? `${words.slice(0, WORDS_CHARACTERS)}\n…` : words;
  const fence = fenceOf(text);
  return `${fence}text\n${text}\n${fence}`;
}
