/**
 * What Weft needs of a forge: who sent a webhook and what it says, whether that is still true, where the files are, and how to report
 * back. One folder each; nothing outside of it knows what an API looks like.
 */
import type { ArchivedBundle } from '../bundle/collected.ts';
import type { CallerKeys } from '../config/secrets.ts';
import type { Account, Change, ForgeKind } from '../domain/change.ts';
import type { Fetch } from './asking.ts';

/** A webhook as it came. */
export interface Delivery {
  readonly headers: Headers;
  readonly body: Uint8Array<ArrayBuffer>;
}

/** What a delivery says: something that sources may follow (a push of several branches says several things), or why nothing follows from it. */
export type Heard = { readonly changes: readonly Change[] } | { readonly ignored: string };

/** Who sent a delivery, and what proves it. */
export interface Proved {
  readonly caller: string;
  readonly signature: string;
}

/** How the webhooks of a kind of forge are proved and read. */
export interface Dialect {
  /**
   * What the headers alone say of who sent; to be asked before the body is read, and memory taken for it.
   * @param callers those that are forges of this kind, with what proves their webhooks
   * @returns who sent it, and what proves it; null where that needs the body
   * @throws Problem unsigned when the headers that every delivery has are missing; signature_mismatch
   */
  proveByHeaders(headers: Headers, callers: readonly CallerKeys[]): Promise<Proved | null>;
  /** The same by the body too. @throws Problem unsigned, signature_mismatch, stale */
  prove(delivery: Delivery, callers: readonly CallerKeys[], nowSeconds: number): Promise<Proved>;
  /** @throws Problem malformed_json, invalid_request */
  read(delivery: Delivery): Heard;
}

/** One forge, asked and told. */
export interface ForgeClient {
  /**
   * Whether what a delivery said is still so: the commit is the head that it was.
   * @returns the branch that has this commit as its head, as the forge has confirmed, or null; `stale`: why it is not so any more, a sentence, or null
   * @throws Problem forge_unreachable, forge_refused
   */
  confirm(change: Change): Promise<Confirmed>;
  /** @throws Problem as readArchive does, and forge_unreachable, forge_refused */
  fetchBundle(change: Change, folder: string): Promise<ArchivedBundle>;
  /**
   * Tells how it goes, where people look. Never rejects.
   * @param reports what was left there before, and is written anew
   * @returns what is there now; and what went wrong, if something did
   */
  report(change: Change, account: Account, reports: Reports): Promise<{ readonly reports: Reports; readonly error: unknown }>;
}

/** `reviewers`: of a review, the ids of those who have approved, and have not started what they approve. */
export type Confirmed = { readonly branch: string | null; readonly reviewers?: readonly string[]; readonly stale: null } | { readonly stale: string };
export type Reports = Readonly<Record<string, string>>;

/** A caller of the configuration that is a forge. */
export interface ForgeAtHand {
  readonly name: string;
  readonly kind: ForgeKind;
  /** What proves its webhooks. */
  readonly webhooks: readonly string[];
  readonly client: ForgeClient;
}

export interface ForgeSurroundings {
  readonly fetch: Fetch;
  /** Milliseconds since 1970. */
  now(): number;
  /** The version of this Weft. */
  readonly version: string;
}
