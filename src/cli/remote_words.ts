/**
 * What somebody declares about a database through a Worker (accepted drift, a forgotten file): one signed request, one answer. It runs
 * nothing, and may be repeated.
 */
import type * as z from 'zod';
import { type Drift, driftSchema } from '../domain/deployment.ts';
import { type Forgotten, forgottenSchema } from '../domain/history.ts';
import type { AcceptDriftRequest, ForgetRequest } from '../domain/request.ts';
import type { WorkerAddress } from './address.ts';
import { expiryFor, explainRefusal, proveRequest } from './proofs.ts';
import { ANSWER_MS, targetPath } from './remote_readings.ts';
import { ask } from './worker_client.ts';

/** @param fingerprint of the catalog that was looked at @throws Problem drift_not_accepted, no_grant */
export async function acceptDriftThroughWorker(address: WorkerAddress, fingerprint: string, signal: AbortSignal): Promise<Drift> {
  return say(address, 'drift/accept', { type: 'accept_drift', fingerprint }, driftSchema, signal);
}

/** @throws Problem not_forgotten, no_grant */
export async function forgetThroughWorker(
  address: WorkerAddress,
  wish: Pick<ForgetRequest, 'path' | 'bundle' | 'why'>,
  signal: AbortSignal,
): Promise<Forgotten> {
  return say(address, 'history/forget', { type: 'forget', ...wish }, forgottenSchema, signal);
}

type Word = Omit<AcceptDriftRequest, 'id' | 'audience' | 'target' | 'expires_at'> | Omit<ForgetRequest, 'id' | 'audience' | 'target' | 'expires_at'>;

async function say<T>(address: WorkerAddress, where: string, word: Word, schema: z.ZodType<T>, signal: AbortSignal): Promise<T> {
  const { origin: audience, target } = address;
  const expires_at = await expiryFor(address, signal);
  const request = { ...word, id: crypto.randomUUID(), audience, target, expires_at };
  const { body, headers, token } = await proveRequest(address, request, signal);
  const path = `${targetPath(address)}/${where}`;
  const outgoing = { method: 'POST' as const, path, headers: { ...headers, 'content-type': 'application/json' }, body, signal, timeoutMs: ANSWER_MS };
  try {
    return (await ask(address.origin, outgoing, schema)).document;
  } catch (error) {
    throw explainRefusal(error, token);
  }
}
