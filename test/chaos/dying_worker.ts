/**
 * The Worker as it is, but each request may be told when it dies: after so many messages to and from its database, whichever await that meets.
 * Then everything is taken away from it: its sessions, new ones, what it would still answer, and what waits behind the answer.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import type { ExecutionContext, MessageBatch } from '@cloudflare/workers-types';
import main from '../../src/worker/main.ts';

export { UnfinishedWork } from '../../src/worker/main.ts';

class Life {
  readonly sockets = new Set<WebSocket>();
  readonly death = Promise.withResolvers<never>();
  isOver = false;
  messages = 0;
  readonly #messagesMax: number;

  constructor(messagesMax: number) {
    this.#messagesMax = messagesMax;
    this.death.promise.catch(() => undefined);
  }

  /** @returns whether it lives to see the message */
  live(): boolean {
    this.messages += 1;
    if (this.messages >= this.#messagesMax && !this.isOver) {
      this.isOver = true;
      console.log('DIED');
      for (const socket of this.sockets) socket.close();
      this.death.reject(new Error('The Worker is gone.'));
    }
    return !this.isOver;
  }
}

const lives = new AsyncLocalStorage<Life>();

globalThis.WebSocket = class extends WebSocket {
  readonly #life = lives.getStore();

  constructor(...given: ConstructorParameters<typeof WebSocket>) {
    if (lives.getStore()?.isOver === true) throw new Error('The dead open no connections.');
    super(...given);
    const life = this.#life;
    if (life === undefined) return;
    life.sockets.add(this);
    this.addEventListener('message', (event) => {
      if (!life.live()) event.stopImmediatePropagation();
    });
  }

  override send(...given: Parameters<WebSocket['send']>): void {
    if (this.#life?.live() !== false) super.send(...given);
  }
};

type Env = Parameters<typeof main.fetch>[1];

export default {
  async fetch(request: Request, env: Env, context: ExecutionContext) {
    const life = new Life(Number(request.headers.get('x-dies-after') ?? Number.POSITIVE_INFINITY));
    const mortal = { waitUntil: (work: Promise<unknown>) => context.waitUntil(Promise.race([work, life.death.promise.catch(() => undefined)])) };
    const answer = await Promise.race([lives.run(life, () => main.fetch(request, env, mortal as ExecutionContext)), life.death.promise]);
    console.log(`LIVED ${life.messages}`);
    return answer;
  },
  queue: (batch: MessageBatch, env: Env) => main.queue(batch, env),
  scheduled: (controller: unknown, env: Env) => main.scheduled(controller, env),
};
