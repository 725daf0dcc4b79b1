/**
 * While a rehearsal runs in one session, another one watches who waits because of it. The engine does the watching by itself, from time
 * to time, so it costs the network nothing. If it cannot, the report says that nobody has looked.
 */
import { sampleMessages } from '../database/engine.ts';
import type { Connect, Session } from '../database/session.ts';

/**
 * Begins to look.
 * @returns ends it; never rejects
 */
export function sampleWaits(connect: Connect, id: string): () => Promise<void> {
  let isStopped = false;
  let session: Session | null = null;
  const sampling = (async () => {
    session = await connect();
    if (!isStopped) await session.pipeline(sampleMessages(id));
  })().catch(() => undefined);
  return async () => {
    isStopped = true;
    await session?.close();
    void sampling.then(() => session?.close());
  };
}
