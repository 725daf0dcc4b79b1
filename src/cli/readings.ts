/** Readings, directly or through a Worker. The drivers of a database are loaded only when one is asked. */
import type { Changes, Deployment, Drift } from '../domain/deployment.ts';
import type { Foresight, ForesightQuestion } from '../domain/foresight.ts';
import type { History } from '../domain/history.ts';
import type { Later, UndoPlan } from '../domain/undo_plan.ts';
import type { Address } from './address.ts';
import type { Io } from './io.ts';

const LISTED_COUNT = 20;

/** Who reads: until when, and where to say that it takes long. */
type Watcher = Pick<Io, 'signal' | 'stderr'>;

/** What has been applied, of one bundle or of all, and what of it in part. */
export async function readHistory(address: Address, bundle: string | null, io: Watcher): Promise<History> {
  if (address.kind === 'worker') return (await import('./remote_readings.ts')).readHistoryThroughWorker(address, bundle, io.signal);
  const { withSession, engine } = await loadDirect();
  return withSession(address, io, (session) => engine.readHistory(session, bundle ?? undefined));
}

/** What the history has to say of a bundle. @throws Problem engine_missing */
export async function readForesight(address: Address, question: ForesightQuestion, io: Watcher): Promise<Foresight> {
  if (address.kind === 'worker') return (await import('./remote_readings.ts')).readForesightThroughWorker(address, question, io.signal);
  const { withSession, engine } = await loadDirect();
  return withSession(address, io, (session) => engine.readForesight(session, question));
}

/** How the catalog differs from what the last deployment that ended has left. */
export async function readDrift(address: Address, io: Watcher): Promise<Drift> {
  if (address.kind === 'worker') return (await import('./remote_readings.ts')).readDriftThroughWorker(address, io.signal);
  const [{ withSession }, { readDrift: read }] = await Promise.all([loadDirect(), import('../database/drift.ts')]);
  return withSession(address, io, read);
}

/** What of the catalog a deployment has changed. @throws Problem deployment_not_found */
export async function readChanges(address: Address, id: string, io: Watcher): Promise<Changes> {
  if (address.kind === 'worker') return (await import('./remote_readings.ts')).readChangesThroughWorker(address, id, io.signal);
  const [{ withSession }, { readChanges: read }] = await Promise.all([loadDirect(), import('../database/drift.ts')]);
  return withSession(address, io, (session) => read(session, id));
}

/** How a deployment ended, byte for byte. @param number null: the newest receipt @throws Problem deployment_not_found, receipt_not_found */
export async function readReceipt(address: Address, id: string, number: number | null, io: Watcher): Promise<string> {
  if (address.kind === 'worker') return (await import('./remote_readings.ts')).readReceiptThroughWorker(address, id, number, io.signal);
  const [{ withSession }, receipts] = await Promise.all([import('./direct.ts'), import('../database/receipts.ts')]);
  return withSession(address, io, (session) => receipts.readReceipt(session, id, number));
}

/** The newest first. */
export async function readDeployments(address: Address, io: Watcher): Promise<Deployment[]> {
  if (address.kind === 'worker') return (await import('./remote_readings.ts')).readDeploymentsThroughWorker(address, io.signal);
  const { withSession, engine } = await loadDirect();
  return withSession(address, io, (session) => engine.readDeployments(session, LISTED_COUNT));
}

/** @throws Problem deployment_not_found */
export async function readStatus(address: Address, id: string, io: Watcher): Promise<Deployment> {
  if (address.kind === 'worker') return (await import('./remote_readings.ts')).readStatusThroughWorker(address, id, io.signal);
  const { withSession, engine } = await loadDirect();
  return withSession(address, io, (session) => engine.readStatus(session, id));
}

/** What an undo would run. @param id null: of the newest deployment of the bundle; of the only one, if none is named */
export async function readUndoPlan(address: Address, id: string | null, bundle: string | null, io: Watcher): Promise<UndoPlan> {
  if (address.kind === 'worker') return (await import('./remote_readings.ts')).readUndoPlanThroughWorker(address, id, bundle, io.signal);
  const [{ withSession }, plans] = await Promise.all([loadDirect(), import('../database/undo_plans.ts')]);
  return withSession(address, io, (session) => plans.readUndoPlan(session, id, bundle));
}

/** What came after a deployment, and would have to be undone to go back to it. @throws Problem deployment_not_found, nothing_to_undo */
export async function readLater(address: Address, id: string, io: Watcher): Promise<Later> {
  if (address.kind === 'worker') return (await import('./remote_readings.ts')).readLaterThroughWorker(address, id, io.signal);
  const [{ withSession }, plans] = await Promise.all([loadDirect(), import('../database/undo_plans.ts')]);
  return withSession(address, io, (session) => plans.readLater(session, id));
}

async function loadDirect() {
  const [{ withSession }, engine] = await Promise.all([import('./direct.ts'), import('../database/engine.ts')]);
  return { withSession, engine };
}
