/** `weft receipt`: how a deployment ended, directly or through a Worker; with `--json` exact to the byte. */
import { createHash } from 'node:crypto';
import { Problem } from '../../domain/problem.ts';
import { type Receipt, receiptSchema } from '../../domain/receipt.ts';
import type { Style } from '../../words/style.ts';
import { errorLines } from '../../words/summary.ts';
import { columns, count, cut, duration, moment, oneLine } from '../../words/text.ts';
import { readDeploymentId, requireAddress } from '../address.ts';
import type { Call } from '../commands.ts';
import { readReceipt } from '../readings.ts';

/** Characters of a parameter's value. */
const VALUE_WIDTH = 60;

export async function receipt(call: Call): Promise<number> {
  const { printer, positionals, values } = call;
  const number = readNumber(values.number);
  const text = await readReceipt(requireAddress(call), readDeploymentId(positionals[0]) as string, number, printer.io);
  const digest = createHash('sha256').update(text).digest('hex');
  printer.say(receiptLines(receiptSchema.parse(JSON.parse(text)), digest, printer.style).join('\n'));
  printer.bytes(text);
  return 0;
}

function readNumber(value: string | boolean | undefined): number | null {
  if (value === undefined) return null;
  if (typeof value === 'string' && /^[1-9]\d{0,8}$/.test(value)) return Number(value);
  throw new Problem('usage', `--number takes the number of a receipt, from 1 on, not "${oneLine(String(value))}".`);
}

function receiptLines(receipt: Receipt, digest: string, style: Style): string[] {
  const { request, manifest, fingerprint, wal, engine_version, server_version, error, phases } = receipt;
  const facts = [
    ['bundle', `${oneLine(receipt.bundle)}${receipt.target === null ? '' : ` to ${oneLine(receipt.target)}`}${kindOf(receipt)}`],
    ['caller', `${oneLine(receipt.caller)}, with request ${oneLine(request.id)}; run as ${oneLine(receipt.run_as)}`],
    ['request', `SHA-256 ${request.sha256}, ${count(request.size, 'byte')}`],
    ['signature', request.signature_sha256 === null ? 'none: it came straight to the database' : `SHA-256 ${request.signature_sha256}`],
    ['manifest', `SHA-256 ${manifest.sha256}`],
    ...(receipt.parameters ?? []).map(({ name, secret, given, value, digest: keyed }) => [
      `  ${oneLine(name)}`,
      secret ? (given ? `secret${keyed ? `, keyed digest ${keyed}` : ''}` : 'secret, not given') : cut(oneLine(value ?? ''), VALUE_WIDTH),
    ]),
    ...approvalFacts(receipt),
    ['opened', moment(receipt.created_at)],
    ['begun', receipt.started_at === null ? 'never' : moment(receipt.started_at)],
    ...receipt.reopened.map(({ at, caller }) => ['opened again', `${moment(at)}${caller ? ` by ${oneLine(caller)}` : ''}`]),
    ...(receipt.cancelled === null ? [] : [['cancelled', `${moment(receipt.cancelled.at)} by ${oneLine(receipt.cancelled.caller)}`]]),
    ['ended', moment(receipt.finished_at)],
    ['fingerprint', `${fingerprint.before ?? 'none'}`],
    ['', `→ ${fingerprint.after ?? 'none'}`],
    ['WAL', `${wal.before ?? 'none'} → ${wal.after ?? 'none'}`],
    ['PostgreSQL', fromTo(server_version.before, server_version.after)],
    ['engine', fromTo(engine_version.before, engine_version.after)],
  ];
  return [
    `${style.bold(`Receipt ${receipt.number} of deployment ${receipt.id}`)}: ${receipt.state}.`,
    ...columns(facts, '  '),
    ...phases.flatMap((phase) => [
      '',
      `${style.bold(oneLine(phase.name))}  ${phase.transaction}, ${phase.state}`,
      ...columns(phase.steps.map(stepCells), '  '),
    ]),
    ...(error === null ? [] : ['', ...errorLines(error, style)]),
    '',
    style.dim(`SHA-256 of this receipt: ${digest}`),
  ];
}

/** Why it could start, where its environment asks for more than a grant. */
function approvalFacts({ approval, rehearsed_by }: Receipt): string[][] {
  const facts: string[][] = [];
  if (approval?.by != null)
    facts.push(['approved by', `${oneLine(approval.by)}, ${approval.at === null ? '' : `${moment(approval.at)}, `}digest ${approval.digest}`]);
  else if (approval) facts.push(['approved by', `nobody; it needed somebody else than ${oneLine(approval.not_by)}`]);
  if (rehearsed_by) facts.push(['rehearsed', `before, as deployment ${oneLine(rehearsed_by)}`]);
  return facts;
}

function kindOf({ mode, undoes }: Receipt): string {
  if (undoes !== null) return mode === 'rehearse' ? `, rehearsing to take back deployment ${undoes}` : `, taking back deployment ${undoes}`;
  return mode === 'apply' ? '' : mode === 'rehearse' ? ', rehearsed' : ', recorded as a baseline';
}

function stepCells(step: Receipt['phases'][number]['steps'][number]): string[] {
  const { path, kind, state, statements, rows, milliseconds, digest, error } = step;
  return [
    oneLine(path),
    kind === 'run' ? state : `${kind} ${state}`,
    statements === null || statements === undefined ? '' : count(statements, 'statement'),
    rows === null || rows === undefined ? '' : count(rows, 'row'),
    milliseconds === null || milliseconds === undefined ? '' : duration(milliseconds),
    typeof digest === 'string' ? digest.slice(0, 12) : '',
    error ? `${error.sqlstate}: ${cut(oneLine(error.message), VALUE_WIDTH)}` : '',
  ];
}

function fromTo(before: string | number | null, after: string | number): string {
  return before === null || before === after ? String(after) : `${before} → ${after}`;
}
