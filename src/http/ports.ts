/**
 * All that the routes need from outside, in one object: configuration, keys, clock, the way to a database, the drive, and
 * the readings. The Worker makes it once per isolate from its bindings; tests make one by hand. Nothing here is per request.
 */

import type { Config, Target } from '../config/config.ts';
import type { CallerKeys } from '../config/secrets.ts';
import type { Connect, Session } from '../database/session.ts';
import type { ApproveOptions } from '../deployment/approve.ts';
import type { CancelOptions } from '../deployment/cancel.ts';
import type { DeployOptions, Opened } from '../deployment/deploy.ts';
import type { ResumeOptions } from '../deployment/resume.ts';
import type { UndoOptions } from '../deployment/undo.ts';
import type { ForgeWork } from '../domain/change.ts';
import type { Changes, Deployment, DeploymentEvent, Drift, Glance } from '../domain/deployment.ts';
import type { Foresight, ForesightQuestion } from '../domain/foresight.ts';
import type { Forgotten, History } from '../domain/history.ts';
import type { SecretValues } from '../domain/parameters.ts';
import type { ForgetRequest } from '../domain/request.ts';
import type { Later, UndoPlan } from '../domain/undo_plan.ts';
import type { ForgeAtHand } from '../forges/forge.ts';
import type { FindKey } from '../trust/issuer_keys.ts';
import type { LogEntry } from './log.ts';
import type { Rates } from './rates.ts';

/** Looks after a deployment once its request was answered. Neither method rejects. */
export interface Aftercare {
  /** Resolves once it is sure that somebody will look again, or the log says why nobody will. @param secrets what was proved to be its secret parameters */
  handOn(target: string, deployment: string, secrets: SecretValues | null): Promise<void>;
  /** It is over. */
  strikeOut(target: string, deployment: string): Promise<void>;
}

/** Which identity tokens were used, and what for: as far as it is remembered. */
export interface TokenMemory {
  /**
   * @param token SHA-256 of the token · @param digest of the document that it is used for · @param expires seconds since 1970, when it may be forgotten
   * @returns false when it was used for another document before
   */
  claim(token: string, digest: string, expires: number): Promise<boolean>;
}

/** Handles what a forge has reported, once its webhook is proved. */
export interface ChangeTaker {
  /** Leaves it in the queue. Absent where there is none. @throws whatever the queue does */
  leave?(work: ForgeWork): Promise<void>;
  /** Takes it up at once. Resolves when it is over, or the log says why it is not; never rejects. */
  takeUp(work: ForgeWork): Promise<void>;
  /**
   * Tells forges how deployments of this target ended that their events have asked for.
   * @returns those that are to be looked at again, for a forge did not take it; never rejects
   */
  tellOwed(target: string): Promise<ReadonlySet<string>>;
}

export interface Ports {
  readonly config: Config;
  /** Every caller with the values of its secrets. */
  readonly callers: readonly CallerKeys[];
  /** The public keys of those who issue identity tokens. */
  readonly findKey: FindKey;
  readonly tokens: TokenMemory;
  /** How often somebody may ask. */
  readonly rates: Rates;
  /** The version of this Weft, as package.json has it. */
  readonly version: string;
  /** Milliseconds since 1970. */
  now(): number;
  /** Resolves after this many milliseconds, or as soon as the signal fires. */
  sleep(milliseconds: number, signal?: AbortSignal): Promise<void>;
  /**
   * The way to a target's database. Nothing is opened until the result is called.
   * @param purpose of who only looks, and is let in as far as that leaves room for others: readers wait, followers are refused (busy)
   */
  connect(target: Target, purpose?: 'read' | 'follow'): Connect;
  deploy(options: DeployOptions): { opened: Promise<Opened>; done: Promise<Deployment> };
  resume(options: ResumeOptions): Promise<Deployment>;
  cancel(options: CancelOptions): Promise<Deployment>;
  undo(options: UndoOptions): Promise<Deployment>;
  approve(options: ApproveOptions): Promise<Deployment>;
  /** Whether a commit in a database waits, and has waited for a while, for a synchronous standby. */
  isCommitHeld(target: string, connect: Connect): Promise<boolean>;
  readStatus(session: Session, id: string): Promise<Deployment>;
  readGlance(session: Session, id: string): Promise<Glance>;
  readDeployments(session: Session, limit: number): Promise<Deployment[]>;
  readEvents(session: Session, id: string, after: number): Promise<DeploymentEvent[]>;
  readHistory(session: Session, bundle?: string): Promise<History>;
  readForesight(session: Session, question: ForesightQuestion): Promise<Foresight>;
  readUndoPlan(session: Session, id: string | null, bundle?: string | null): Promise<UndoPlan>;
  readLater(session: Session, id: string): Promise<Later>;
  readDrift(session: Session): Promise<Drift>;
  acceptDrift(session: Session, fingerprint: string, caller: string | null): Promise<Drift>;
  forget(session: Session, wish: Pick<ForgetRequest, 'path' | 'bundle' | 'why'>, caller: string | null): Promise<Forgotten>;
  readChanges(session: Session, id: string): Promise<Changes>;
  readReceipt(session: Session, id: string, number: number | null): Promise<string>;
  /** Callers that are forges, by their names. */
  readonly forges: ReadonlyMap<string, ForgeAtHand>;
  readonly changes: ChangeTaker;
  /** Absent where the Worker has neither a queue nor a memory. */
  readonly aftercare?: Aftercare;
  /** Writes one structured line. Whoever implements it takes out secrets. */
  log(entry: LogEntry): void;
}
