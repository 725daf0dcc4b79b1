/**
 * What somebody declares about a database (accepted drift, a forgotten file), directly or through a Worker: it runs nothing. The
 * drivers of a database are loaded only when one is used.
 */
import type { Drift } from '../domain/deployment.ts';
import type { Forgotten } from '../domain/history.ts';
import type { ForgetRequest } from '../domain/request.ts';
import type { Address } from './address.ts';
import type { Io } from './io.ts';

/** Who says it: until when, and where to say that it takes long. */
type Speaker = Pick<Io, 'signal' | 'stderr'>;

/** Says that the catalog is meant as it is. @param fingerprint of what was looked at @throws Problem drift_not_accepted */
export async function acceptDrift(address: Address, fingerprint: string, io: Speaker): Promise<Drift> {
  if (address.kind === 'worker') return (await import('./remote_words.ts')).acceptDriftThroughWorker(address, fingerprint, io.signal);
  const { withSession, words } = await loadDirect();
  return withSession(address, io, (session) => words.acceptDrift(session, fingerprint, null));
}

/** Says that nothing of a file that stopped half-way is in the database any more. @throws Problem not_forgotten */
export async function forget(address: Address, wish: Pick<ForgetRequest, 'path' | 'bundle' | 'why'>, io: Speaker): Promise<Forgotten> {
  if (address.kind === 'worker') return (await import('./remote_words.ts')).forgetThroughWorker(address, wish, io.signal);
  const { withSession, words } = await loadDirect();
  return withSession(address, io, (session) => words.forget(session, wish, null));
}

async function loadDirect() {
  const [{ withSession }, words] = await Promise.all([import('./direct.ts'), import('../database/words.ts')]);
  return { withSession, words };
}
