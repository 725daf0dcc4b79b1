/** What somebody says of a database through a Worker: one signed request, one answer. It runs nothing, and may be said again. */
import { type Drift, driftSchema } from '../domain/deployment.ts';
import { makeSignedRequest } from '../trust/sign.ts';
import type { WorkerAddress } from './address.ts';
import { ANSWER_MS, targetPath } from './remote_readings.ts';
import { ask } from './worker_client.ts';

const REQUEST_LIFE_SECONDS = 900;

/** @param fingerprint of the catalog that was looked at @throws Problem drift_not_accepted, no_grant */
export async function acceptDriftThroughWorker(address: WorkerAddress, fingerprint: string, signal: AbortSignal): Promise<Drift> {
  const { origin: audience, target, secret } = address;
  const expires_at = new Date(Date.now() + REQUEST_LIFE_SECONDS * 1000).toISOString();
  const { body, headers } = await makeSignedRequest(
    { type: 'accept_drift', id: crypto.randomUUID(), audience, target, expires_at, fingerprint },
    secret,
    Math.floor(Date.now() / 1000),
  );
  return (
    await ask(
      address.origin,
      {
        method: 'POST',
        path: `${targetPath(address)}/drift/accept`,
        headers: { ...headers, 'content-type': 'application/json' },
        body,
        signal,
        timeoutMs: ANSWER_MS,
      },
      driftSchema,
    )
  ).document;
}
