/**
 * What the edge remembers: which deployments were not over when somebody looked last, and when to look again. A Durable Object, one for all
 * targets, whose storage is SQLite. The database knows all of it too: losing this costs a wake-up, never correctness. No secret is kept here.
 */
import { DurableObject } from 'cloudflare:workers';

export interface Remembered {
  readonly target: string;
  readonly deployment: string;
  readonly looks: number;
  /** Milliseconds since 1970. */
  readonly lookAt: number;
}

/** A name of a target holds no blank. */
const keyOf = (target: string, deployment: string): string => `${target} ${deployment}`;

export class UnfinishedWork extends DurableObject {
  /** Remembers a deployment, or when to look for it next. */
  async note(work: Remembered): Promise<void> {
    await this.ctx.storage.put(keyOf(work.target, work.deployment), work);
  }

  /** Forgets a deployment. */
  async strikeOut(target: string, deployment: string): Promise<void> {
    await this.ctx.storage.delete(keyOf(target, deployment));
  }

  /** @returns what is to be looked at by `now`, in milliseconds since 1970: the longest due first */
  async listDue(now: number, count: number): Promise<Remembered[]> {
    const all = await this.ctx.storage.list<Remembered>();
    return [...all.values()]
      .filter(({ lookAt }) => lookAt <= now)
      .sort((a, b) => a.lookAt - b.lookAt)
      .slice(0, count);
  }
}
