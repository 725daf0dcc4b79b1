/** Where a walk stands: what is in the folder, what should be in the database, and what was there before each deployment. */
import type { Seen } from './catalog.ts';
import type { File } from './files.ts';
import { EMPTY, type Folder } from './folder.ts';
import { type Hand, type Held, NOTHING } from './held.ts';

/** A deployment that has run, and what it met. */
export interface Deployed {
  readonly id: string;
  readonly held: Held;
  readonly hands: readonly Hand[];
  readonly others: readonly number[];
  readonly recorded: number;
  /** Null where it began on what another one had left half-way, or ran beside one. */
  readonly seen: Seen | null;
  /** Its files, and those of them that ran. */
  readonly files: ReadonlySet<number>;
  readonly ran: ReadonlySet<number>;
  /** Whether it has run the file that gives rights, and whether an earlier one had. */
  readonly rights: 'none' | 'first' | 'again';
  /** Those files as they were then, in the order of the plan, and which of them failed where that is borne. */
  readonly plan: readonly File[];
  readonly failed: ReadonlySet<number>;
  /** Whether it has changed what is held. */
  readonly hasChanged: boolean;
  /** Whether it ended in another database, of which this one is a copy. */
  readonly isMoved?: boolean | undefined;
}

/** What was recorded as applied and not run. */
export interface Recorded {
  /** Of the baseline. */
  readonly id: string;
  readonly file: File;
  /** How many deployments there were then. */
  readonly at: number;
  /** What was done by hand by then, what of it was said to be meant, and whether all of it has been since. */
  readonly hands: readonly Hand[];
  readonly accepted: readonly Hand[];
  readonly isMeant: boolean;
  /** The file as it was applied before. */
  readonly before: File | undefined;
}

export interface State {
  readonly folder: Folder;
  /** As it was behind each day. */
  readonly folders: ReadonlyMap<number, Folder>;
  readonly held: Held;
  /** Under which name the history has files: how often each was renamed. */
  readonly names: ReadonlyMap<number, number>;
  /** What another bundle has brought, each with a deployment of its own. */
  readonly others: readonly number[];
  /** What was done by hand, and what of it somebody has said to be meant. */
  readonly hands: readonly Hand[];
  readonly accepted: readonly Hand[];
  /** Files for which somebody has opened the way. */
  readonly opened: ReadonlySet<number>;
  /** Whatever anybody has ever given to that which runs again. */
  readonly given: readonly Hand[];
  /** The newest last. */
  readonly deployed: readonly Deployed[];
  readonly recorded: readonly Recorded[];
  /** Whether the rights on relations are known; a deployment that stopped in the middle may have made one anew that nobody may read yet. */
  readonly areRightsKnown: boolean;
  /** Whether something stopped in the middle of what commits by and by. */
  readonly isHalfWay: boolean;
}

export const BEGINNING: State = {
  folder: EMPTY,
  folders: new Map(),
  held: NOTHING,
  names: new Map(),
  others: [],
  hands: [],
  accepted: [],
  opened: new Set(),
  given: [],
  deployed: [],
  recorded: [],
  areRightsKnown: true,
  isHalfWay: false,
};

/** What was recorded so far is meant, whether it is withdrawn or not. */
export const takeForMeant = (state: State): State => ({ ...state, recorded: state.recorded.map((one) => ({ ...one, isMeant: true })) });

/** What a walk has met so far. */
export interface Tally {
  deployments: number;
  failed: number;
  degraded: number;
  refused: number;
  cancelled: number;
  rehearsals: number;
  undone: number;
  again: number;
  resumed: number;
  drifts: number;
  moved: number;
  withdrawn: number;
}

export const newTally = (): Tally => ({
  deployments: 0,
  failed: 0,
  degraded: 0,
  refused: 0,
  cancelled: 0,
  rehearsals: 0,
  undone: 0,
  again: 0,
  resumed: 0,
  drifts: 0,
  moved: 0,
  withdrawn: 0,
});

export interface Databases {
  /** Makes a database with the engine in it. @returns its address, and how it goes */
  make(): Promise<{ readonly url: string; drop(): Promise<void> }>;
}

/** Where it all happens. */
export interface World {
  /** Another one behind a day on which the database was moved. */
  url: string;
  readonly databases: Databases;
  readonly tally: Tally;
}

/** What is not as it must be. */
export class Fault extends Error {
  /** In a word: a shorter history shows the same fault if it comes to the same word. */
  readonly kind: string;
  readonly lines: readonly string[];

  constructor(kind: string, lines: readonly string[]) {
    super(`${kind}: ${lines.join('\n')}`);
    this.kind = kind;
    this.lines = lines;
  }
}

/** @throws Fault when there are lines */
export function expectNone(kind: string, lines: readonly string[]): void {
  if (lines.length > 0) throw new Fault(kind, lines);
}
