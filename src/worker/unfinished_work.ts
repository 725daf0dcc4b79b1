/**
 * What the edge remembers, in two Durable Objects of one class, whose storage is SQLite: one for which deployments were not over at the
 * last look, and when to look again; one for which identity tokens were used. The database knows the deployments too: losing this costs
 * a wake-up, never correctness. No secret is kept here: of a token, only its digest.
 */
import { DurableObject } from 'cloudflare:workers';

export interface Remembered {
  readonly target: string;
  readonly deployment: string;
  readonly looks: number;
  /** Milliseconds since 1970. */
  readonly lookAt: number;
  /** Whether a message of the queue comes before that. */
  readonly isQueued: boolean;
}

interface UsedToken {
  readonly digest: string;
  /** Seconds since 1970. */
  readonly expires: number;
}

/** A token is taken for some seconds longer than it says. */
const FORGET_SECONDS = 60;

/** Keys that the storage takes in one call. */
const DELETED_AT_ONCE = 128;

/** A name of a target holds no blank. */
const keyOf = (target: string, deployment: string): string => `${target} ${deployment}`;

export class UnfinishedWork extends DurableObject {
  /** Remembers a deployment, or when to look for it next. */
  async note(work: Remembered): Promise<void> {
    await this.ctx.storage.put(keyOf(work.target, work.deployment), work);
  }

  /**
   * Remembers a deployment for which a message is about to be left, unless one is there already.
   * @param now milliseconds since 1970
   * @param until by when whoever has that message must have looked, or said when it looks next
   * @returns whether there is one; then nothing is changed
   */
  async noteUnlessQueued(work: Remembered, now: number, until: number): Promise<boolean> {
    const known = await this.ctx.storage.get<Remembered>(keyOf(work.target, work.deployment));
    if (known?.isQueued === true && known.lookAt > now && known.lookAt <= until) return true;
    await this.note(work);
    return false;
  }

  /** Forgets a deployment. */
  async strikeOut(target: string, deployment: string): Promise<void> {
    await this.ctx.storage.delete(keyOf(target, deployment));
  }

  /**
   * Takes a token for one document.
   * @param token SHA-256 of it · @param digest of the document · @param expires seconds since 1970
   * @returns false when it was taken for another one
   */
  async claimToken(token: string, digest: string, expires: number): Promise<boolean> {
    const known = await this.ctx.storage.get<UsedToken>(token);
    if (known !== undefined) return known.digest === digest;
    await this.ctx.storage.put(token, { digest, expires } satisfies UsedToken);
    if ((await this.ctx.storage.getAlarm()) === null) await this.ctx.storage.setAlarm((expires + FORGET_SECONDS) * 1000);
    return true;
  }

  /** Forgets tokens that have expired. Only the object with tokens sets an alarm. */
  async alarm(): Promise<void> {
    const now = Date.now();
    const all = await this.ctx.storage.list<UsedToken>();
    const times = [...all.values()].map(({ expires }) => (expires + FORGET_SECONDS) * 1000);
    const past = [...all].filter(([, { expires }]) => (expires + FORGET_SECONDS) * 1000 <= now).map(([token]) => token);
    for (let at = 0; at < past.length; at += DELETED_AT_ONCE) await this.ctx.storage.delete(past.slice(at, at + DELETED_AT_ONCE));
    const next = Math.min(...times.filter((time) => time > now));
    if (Number.isFinite(next)) await this.ctx.storage.setAlarm(next);
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
