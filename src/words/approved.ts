/** What is said about a deployment's approval, and about what is approved. Pure. */
import { isUnapproved } from '../domain/approval.ts';
import type { Deployment } from '../domain/deployment.ts';
import type { Style } from './style.ts';
import { andMore, columns, count, moment, oneLine, size } from './text.ts';

const STEPS_SHOWN = 50;
const DIGEST_SHOWN = 12;
const COMMIT_SHOWN = 12;
const WORDS_SHOWN = 200;
const WORD_CHARACTERS = 1000;

/** Whether it could begin, and only waits for secrets that are kept nowhere. */
export function waitsForSecrets({ state, live, ahead, parameters }: Deployment): boolean {
  return state === 'staged' && live === null && ahead.length === 0 && (parameters ?? []).some(({ secret, given }) => secret && given);
}

/** @returns null when it does not wait for that */
export function approvalWait(deployment: Deployment): string | null {
  const { approval } = deployment;
  return approval && isUnapproved(deployment) ? `waits for the approval of somebody other than ${oneLine(approval.not_by)}` : null;
}

export function unapprovedHeadline(subject: string, { approval }: Deployment, style: Style): string {
  const whose = approval?.environment ? `, as the environment "${oneLine(approval.environment)}" asks for` : '';
  return `${style.yellow(style.bold('Waits for approval.'))} ${subject} has not begun. Somebody other than ${oneLine(approval?.not_by ?? '')} has to approve it${whose}.`;
}

export function unapprovedLines({ id, approval }: Deployment): string[] {
  const until = approval?.until ? ` Until ${moment(approval.until)}; then it is cancelled.` : '';
  return [
    `Next: to approve it, somebody else runs: weft approve ${id} --digest ${approval?.digest}${until}`,
    `It holds up nobody. "weft cancel ${id}" ends it.`,
  ];
}

/** What it would run, file by file, and what beside the files decides what they do: what is approved is just that. */
export function toRunLines(deployment: Pick<Deployment, 'phases' | 'parameters'>): string[] {
  const rows = deployment.phases.flatMap(({ name, steps }) =>
    steps.map(({ kind, path, digest, size: bytes }) => [
      oneLine(name),
      kind,
      oneLine(path),
      typeof bytes === 'number' ? size(bytes) : '',
      digest ? `sha256 ${digest.slice(0, DIGEST_SHOWN)}…` : '',
    ]),
  );
  const words = wordsBeside(deployment);
  return [
    ...[...columns(rows.slice(0, STEPS_SHOWN), '  '), ...andMore(rows.length - STEPS_SHOWN, 'step').map((more) => `  ${more}`)],
    ...words.slice(0, WORDS_SHOWN).map((word) => `  ${word}`),
    ...andMore(words.length - WORDS_SHOWN, 'line').map((more) => `  ${more} of such words: weft status --json shows them`),
  ];
}

/** A value may become a part of the SQL, and a condition is SQL: no file shows it. */
function wordsBeside({ phases, parameters }: Pick<Deployment, 'phases' | 'parameters'>): string[] {
  const given = (parameters ?? []).flatMap(({ name, secret, given: isGiven, value }) =>
    secret ? (isGiven ? [`parameter ${name}: secret, and not part of the digest`] : []) : value === null ? [] : [`parameter ${name}: ${whole(value)}`],
  );
  const said = phases.flatMap(({ name, role, settings, when, steps }) => [
    ...wordsOf(`phase ${oneLine(name)}`, { role, when, ...settings }),
    ...steps.flatMap((step) => wordsOf(oneLine(step.path), { when: step.when, on_error: step.on_error, undo: step.undo, ...step.options })),
  ]);
  return [...given, ...said];
}

function wordsOf(whose: string, words: Readonly<Record<string, unknown>>): string[] {
  return Object.entries(words).flatMap(([word, value]) =>
    value === null || value === undefined ? [] : [`${whose}: ${word} ${whole(typeof value === 'string' ? value : JSON.stringify(value))}`],
  );
}

/** On one line, and never cut unnoticed. */
function whole(value: string): string {
  const text = oneLine(value);
  const left = text.length - WORD_CHARACTERS;
  return left > 0 ? `${text.slice(0, WORD_CHARACTERS)}… and ${count(left, 'more character')}: weft status --json shows them` : text;
}

/** From which commit of which repository it comes; null where nothing says so. */
export function sourceFact({ source }: Pick<Deployment, 'source'>): string | null {
  if (!source) return null;
  const { forge, issuer, repository, commit, folder, ref, event, run, actor } = source;
  const words = [
    forge ?? (issuer ? `a token of ${issuer}` : ''),
    repository ?? '',
    commit ? `at ${commit.slice(0, COMMIT_SHOWN)}` : '',
    folder ? `folder ${folder}` : '',
    ref ? `ref ${ref}` : '',
    event ? `by ${event}` : '',
    run ? `run ${run}` : '',
    actor ? `of ${actor}` : '',
  ];
  return oneLine(words.filter((word) => word !== '').join(' '));
}

/** About one that is approved. */
export function approvedFact({ approval }: Deployment): string | null {
  return approval?.by ? `${oneLine(approval.by)}${approval.at === null ? '' : `, ${moment(approval.at)}`}` : null;
}
