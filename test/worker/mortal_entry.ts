/**
 * The Worker as it is, but mortal: LIFE_SECONDS after its answer went out, everything is taken away from it (its sessions, and with them what still
 * waits), as the platform does with what outlives its answer. And in a hurry: pauses of the queue are at most PAUSE_SECONDS.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import type { ExecutionContext, Message, MessageBatch, Queue } from '@cloudflare/workers-types';
import main from '../../src/worker/main.ts';

export { UnfinishedWork } from '../../src/worker/main.ts';

/** What one request has opened. workerd on this machine lets a WebSocket keep its request alive for as long as it likes. */
interface Life {
  readonly sockets: Set<WebSocket>;
  isOver: boolean;
}

const lives = new AsyncLocalStorage<Life>();

globalThis.WebSocket = class extends WebSocket {
  constructor(...given: ConstructorParameters<typeof WebSocket>) {
    const life = lives.getStore();
    if (life?.isOver === true) throw new Error('The dead open no connections.');
    super(...given);
    life?.sockets.add(this);
  }
};

interface Mortality {
  readonly LIFE_SECONDS: number;
  /** Null: as long as the Worker says. */
  readonly PAUSE_SECONDS: number | null;
  readonly WEFT_QUEUE?: Queue;
}

type Env = Record<string, unknown> & Mortality;

function hurry(env: Env): Record<string, unknown> {
  const { WEFT_QUEUE: queue, PAUSE_SECONDS: most } = env;
  if (queue === undefined || most === null) return env;
  return { ...env, WEFT_QUEUE: { send: (body: unknown, { delaySeconds = 0 } = {}) => queue.send(body, { delaySeconds: Math.min(delaySeconds, most) }) } };
}

function hurryMessage(message: Message, most: number | null): Message {
  return {
    id: message.id,
    timestamp: message.timestamp,
    body: message.body,
    attempts: message.attempts,
    ack: () => message.ack(),
    retry: ({ delaySeconds = 0 } = {}) => message.retry({ delaySeconds: Math.min(delaySeconds, most ?? delaySeconds) }),
  };
}

export default {
  async fetch(request: Request, env: Env, context: ExecutionContext) {
    const life: Life = { sockets: new Set(), isOver: false };
    const end = Promise.withResolvers<void>();
    const mortal = { waitUntil: (work: Promise<unknown>) => context.waitUntil(Promise.race([work, end.promise])) };
    const answer = await lives.run(life, () => main.fetch(request, hurry(env), mortal as ExecutionContext));
    setTimeout(() => {
      life.isOver = true;
      for (const socket of life.sockets) socket.close();
      end.resolve();
    }, env.LIFE_SECONDS * 1000);
    return answer;
  },
  queue: (batch: MessageBatch, env: Env) =>
    main.queue(
      { messages: batch.messages.map((message) => hurryMessage(message, env.PAUSE_SECONDS)), retryAll: () => batch.retryAll() } as unknown as MessageBatch,
      hurry(env),
    ),
  scheduled: (controller: unknown, env: Env) => main.scheduled(controller, hurry(env)),
};
