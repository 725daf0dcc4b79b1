/** What wrangler.toml may provide beside the configuration: a queue, and a memory. Either may be missing. */
import type { DurableObjectNamespace, Queue } from '@cloudflare/workers-types';
import type { ForgeWork } from '../domain/change.ts';
import type { Unfinished } from '../domain/unfinished.ts';
import type { UnfinishedWork } from './unfinished_work.ts';

/** The methods of UnfinishedWork, as they are called from outside. */
export type Memory = Pick<UnfinishedWork, 'note' | 'noteUnlessQueued' | 'strikeOut' | 'listDue'>;

/** The same, of the object that remembers tokens. */
export type TokenStore = Pick<UnfinishedWork, 'claimToken'>;

export interface Bindings {
  readonly queue: Pick<Queue<Unfinished | ForgeWork>, 'send'> | null;
  readonly memory: Memory | null;
}

/** @param env the bindings `WEFT_QUEUE` and `WEFT_UNFINISHED` */
export function readBindings(env: Record<string, unknown>): Bindings {
  const queue = env.WEFT_QUEUE as Queue<Unfinished | ForgeWork> | undefined;
  const objects = env.WEFT_UNFINISHED as DurableObjectNamespace | undefined;
  return { queue: queue ?? null, memory: objects === undefined ? null : connectMemory(objects) };
}

/** @returns null where there is none: then each isolate remembers by itself */
export function readTokenStore(env: Record<string, unknown>): TokenStore | null {
  const objects = env.WEFT_UNFINISHED as DurableObjectNamespace | undefined;
  if (objects === undefined) return null;
  return { claimToken: (...given) => (objects.get(objects.idFromName('tokens')) as unknown as TokenStore).claimToken(...given) };
}

/** There is one, for all targets. A stub belongs to the request that made it: so each call makes one. */
function connectMemory(objects: DurableObjectNamespace): Memory {
  const object = () => objects.get(objects.idFromName('unfinished')) as unknown as Memory;
  return {
    note: (...given) => object().note(...given),
    noteUnlessQueued: (...given) => object().noteUnlessQueued(...given),
    strikeOut: (...given) => object().strikeOut(...given),
    listDue: (...given) => object().listDue(...given),
  };
}
