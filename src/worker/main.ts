/**
 * The Worker's entry: requests, messages of the queue, runs of the schedule. It makes the app once per isolate, when it is first asked for
 * anything, from the bindings; everything else is in the rooms below. Durable things are in the database: an isolate may end at any time.
 */
import type { ExecutionContext, MessageBatch } from '@cloudflare/workers-types';
import { LIMITS } from '../domain/limits.ts';
import { takeBatch } from './queue.ts';
import { runSchedule } from './schedule.ts';
import { setUp, type Weft } from './set_up.ts';

export { UnfinishedWork } from './unfinished_work.ts';

let weft: Weft | undefined;

export default {
  fetch(request: Request, env: Record<string, unknown>, context: ExecutionContext): Response | Promise<Response> {
    weft ??= setUp(env);
    return weft.app.fetch(request, env, context);
  },
  async queue(batch: MessageBatch, env: Record<string, unknown>): Promise<void> {
    weft ??= setUp(env);
    if (weft.caretaker === null) batch.retryAll({ delaySeconds: LIMITS.look_again_seconds_max });
    else await takeBatch(weft.caretaker, batch);
  },
  async scheduled(_controller: unknown, env: Record<string, unknown>): Promise<void> {
    weft ??= setUp(env);
    if (weft.caretaker !== null) await runSchedule(weft.caretaker);
  },
};
