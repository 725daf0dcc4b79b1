/** What the handling of a change from a forge has at hand, and what it says about how far it got. */
import type { Config, Target } from '../config/config.ts';
import type { SettledOwed, TakenOwed, TakeOwed } from '../database/owed.ts';
import type { Connect } from '../database/session.ts';
import type { Waiting } from '../database/words.ts';
import type { ApproveOptions } from '../deployment/approve.ts';
import type { Attended, AttendOptions } from '../deployment/attend.ts';
import type { DeployOptions, Opened } from '../deployment/deploy.ts';
import type { ForgeWork } from '../domain/change.ts';
import type { Deployment } from '../domain/deployment.ts';
import type { Manifest } from '../domain/manifest.ts';
import type { ForgeAtHand } from '../forges/forge.ts';

export interface ChangeDesk {
  readonly config: Config;
  /** By the name of the caller. */
  readonly forges: ReadonlyMap<string, ForgeAtHand>;
  connect(target: Target): Connect;
  deploy(options: DeployOptions): { opened: Promise<Opened>; done: Promise<Deployment> };
  attend(options: AttendOptions): Promise<Attended>;
  /** What waits for its approval and would run just this. */
  findWaiting(target: Target, manifest: Manifest, parameters: object): Promise<Waiting[]>;
  /** What this caller has approved by just this proof; null when that is nothing. */
  findApproved(target: Target, caller: string, proof: object): Promise<string | null>;
  approve(options: ApproveOptions): Promise<Deployment>;
  /** What forges are still to be told of this target's deployments. */
  takeOwed(target: Target, what: TakeOwed): Promise<TakenOwed>;
  settleOwed(target: Target, settled: readonly SettledOwed[]): Promise<void>;
  /** Whether what is left to be done is taken up again by itself, should this try die; else nothing is told before it is owed in the database. */
  readonly isKept: boolean;
  /** Milliseconds since 1970. */
  now(): number;
  /** Takes out of a text what must not be read at a forge: secrets, and where databases are. */
  hide(text: string): string;
  /** Called as soon as there is a deployment. Never rejects. */
  onOpened(target: string, deployment: string): Promise<void>;
  /** Called when it is over. Never rejects. */
  onOver(target: string, deployment: string): Promise<void>;
}

/** `told`: it is over, and the forge knows. `untold`: it is over, and the forge does not know yet. `dropped`: nothing follows from it any more. `waiting`: somebody has to approve it. */
export type ChangeFinding = 'told' | 'untold' | 'at_work' | 'waiting' | 'unreachable' | 'stale' | 'dropped';

export interface ChangeProgress {
  readonly finding: ChangeFinding;
  /** What is left to be done; its `looks` are one more. */
  readonly work: ForgeWork;
  /** Until it should be taken up again; null when there is nothing left. */
  readonly again_seconds: number | null;
  readonly state: Deployment['state'] | null;
  /** Why what was told is not so any more, a sentence; null where it is so, or was not asked. */
  readonly stale: string | null;
  /** What went wrong on the way, for the log. */
  readonly errors: readonly unknown[];
}
