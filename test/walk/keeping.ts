/** What an undo leaves in the database, since nothing takes it back: it is said first, and stays in the history, but for what goes along and cannot be made again. */
import type { Deployment } from '../../src/domain/deployment.ts';
import { Problem } from '../../src/domain/problem.ts';
import type { UndoPlan } from '../../src/domain/undo_plan.ts';
import { sql } from '../support/sql.ts';
import { seeDatabase } from './catalog.ts';
import { undoDeployment } from './deeds.ts';
import { type File, hasUndo, isCode, isRepeatable, relationOf } from './files.ts';
import { type Held, lastRun } from './held.ts';
import { differences } from './looks.ts';
import { type Deployed, expectNone, Fault, type State, type World } from './state.ts';

/** What of a deployment is in the database: what was recorded behind it is not its own any more. */
export function goesBack({ held, deployed, recorded }: State, at: number): readonly File[] {
  const { ran, plan, rights } = deployed[at] as Deployed;
  const isRecorded = (id: number): boolean => recorded.some((one) => one.at > at && one.file.id === id);
  const isOf = ({ id, kind }: File): boolean => ran.has(id) && !isRecorded(id) && kind !== 'check' && !(kind === 'rights' && rights === 'again');
  const files = [...held.ran, ...held.code.values(), ...held.lost.values(), ...plan].filter(isOf);
  return [...new Map(files.map((file) => [file.id, file])).values()];
}

/** What has no way back: no undo file, and nothing that was there before. */
export function lackingOf(state: State, at: number): readonly File[] {
  const { held } = state.deployed[at] as Deployed;
  return goesBack(state, at).filter((file) => !hasUndo(file) && !(isRepeatable(file) && (lastRun(held, file) ?? held.lost.get(file.id)) !== undefined));
}

export const idOf = (path: string): number => Number(/\/0*(\d+)_/.exec(path)?.[1]);

export function compareLacking({ lacking }: UndoPlan, kept: readonly File[]): void {
  const [said, shall] = [lacking.map(({ path }) => idOf(path)), kept.map(({ id }) => id)].map((all) => all.sort((a, b) => a - b).join());
  if (said !== shall) throw new Fault('undo', [`the plan says that ${said} have no undo, and it is ${shall}`]);
}

/** Nothing is undone. */
export async function expectMissing({ url }: World, deployment: string, isPartly: boolean): Promise<void> {
  const seen = await seeDatabase(url);
  const refusal = await undoDeployment(url, deployment, { isPartly }).catch((error: unknown) => error);
  if (!(refusal instanceof Problem && refusal.slug === 'undo_missing'))
    throw new Fault('undo', [`it should be refused, for something has no undo: ${refusal instanceof Error ? refusal.message : JSON.stringify(refusal)}`]);
  expectNone('refused, and something has changed', differences(await seeDatabase(url), seen, true));
}

/** What of it the history has still. */
export async function leftIn({ url }: World, { held }: State, kept: readonly File[]): Promise<readonly File[]> {
  if (kept.length === 0) return [];
  const listed = new Set((await sql(url, `select h.path from weft.history as h where h.bundle = 'walk'`)).map(({ path }) => idOf(path)));
  return kept
    .filter(({ id }) => listed.has(id))
    .map((file) => held.code.get(file.id) ?? held.lost.get(file.id) ?? held.ran.find(({ id }) => id === file.id) ?? file);
}

/** Only what runs again leaves the history so, and that is told; and what went into a table that is gone. */
export function compareKept(end: Deployment, kept: readonly File[], left: readonly File[]): void {
  const gone = kept.filter(({ id }) => !left.some((file) => file.id === id));
  const isDegraded = gone.some(isCode);
  if ((end.state === 'degraded') !== isDegraded) throw new Fault('undo', [`${gone.map(({ id }) => id).join()} left the history, and it ${end.state}`]);
  expectNone(
    'undo',
    gone.filter((file) => !isCode(file) && file.kind !== 'batch').map(({ id }) => `${id} has no undo, and left the history`),
  );
}

/** With what stays: where it was on what is gone, the history alone has it. */
export function withKept(behind: Held, held: Held, left: readonly File[], { rights }: Deployed): Held {
  const once = held.ran.filter((file) => left.some(({ id }) => id === file.id));
  const there = new Set([...behind.ran, ...once].map(({ id }) => id));
  const stays = once.filter(({ parents }) => parents.every(({ id, of }) => there.has(id) && (of === undefined || there.has(of))));
  const code = new Map([...behind.code, ...left.filter((file) => isCode(file) && held.code.has(file.id)).map((file) => [file.id, file] as const)]);
  const readable = left.map(relationOf).filter((name) => rights !== 'first' && held.readable.has(name));
  return {
    ...behind,
    ran: [...behind.ran, ...stays],
    code,
    lost: new Map([...behind.lost, ...left.filter((file) => isCode(file) && !held.code.has(file.id)).map((file) => [file.id, file] as const)]),
    ghosts: new Set([...behind.ghosts, ...held.ghosts, ...once.filter((file) => !stays.includes(file)).map(({ id }) => id)]),
    readable: new Set([...behind.readable, ...readable]),
  };
}

/** The deployment as it is in the database still. */
export const keptOf = (taken: Deployed, left: readonly File[]): Deployed => ({
  ...taken,
  ran: new Set(left.map(({ id }) => id)),
  failed: new Set(),
  rights: 'none',
  seen: null,
  hasChanged: true,
});
