/** A deployment over a session that is open already: everything that a deployment does but connecting. */
import { randomUUID } from 'node:crypto';
import { type Bundle, wantedChunks } from '../src/bundle/source.ts';
import type { Connect, Session } from '../src/database/session.ts';
import { deploy } from '../src/deployment/deploy.ts';

const deadline_milliseconds = 30 * 60_000;

/**
 * Opens, stages and runs a bundle. @param connect for the sessions behind the first, which only watch
 * @throws Error when it does not succeed
 */
export async function deployOver(session: Session, connect: Connect, bundle: Bundle): Promise<void> {
  const { manifest } = bundle;
  const expires_at = new Date(Date.now() + deadline_milliseconds).toISOString();
  const request = { type: 'deploy', id: randomUUID(), audience: null, target: null, expires_at, mode: 'apply', manifest };
  let isFirst = true;
  const deployment = await deploy({
    connect: async () => {
      if (!isFirst) return connect();
      isFirst = false;
      return session;
    },
    order: { request: Buffer.from(JSON.stringify(request)), manifest, caller: 'bench', target: null, signature: null },
    chunks: (wanted) => wantedChunks(bundle, wanted),
    deadlineMs: deadline_milliseconds,
  }).done;
  if (deployment.state !== 'succeeded') throw new Error(`the deployment is ${deployment.state}: ${JSON.stringify(deployment.error)}`);
}
