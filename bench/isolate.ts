/**
 * The live memory of a Worker's isolate, asked over workerd's own inspector: what is left after a garbage collection, JavaScript's heap and the
 * memory behind its array buffers together. (The size of the process tells nothing: it only shows that nobody has needed the memory back.)
 */
import { WebSocket } from 'ws';

const answer_milliseconds_max = 10_000;
const poke_every_milliseconds = 50;

export interface Memory {
  /** JavaScript objects, in bytes. */
  readonly usedBytes: number;
  /** What array buffers hold, in bytes. */
  readonly backingBytes: number;
}

interface Answer {
  readonly id?: number;
  readonly error?: { readonly message: string };
  readonly result?: { readonly usedSize?: number; readonly backingStorageSize?: number };
}

export function bytesOf({ usedBytes, backingBytes }: Memory): number {
  return usedBytes + backingBytes;
}

export class Isolate {
  readonly #socket: WebSocket;
  readonly #poke: () => Promise<unknown>;
  readonly #waiting = new Map<number, PromiseWithResolvers<NonNullable<Answer['result']>>>();
  #count = 0;

  /**
   * @param port where workerd's inspector listens (`inspectorPort` of the Worker)
   * @param poke gives the isolate something to do: while it is idle, workerd puts the collection off
   * @throws Error when there is no isolate to be asked
   */
  static async find(port: number, poke: () => Promise<unknown>): Promise<Isolate> {
    const response = await fetch(`http://127.0.0.1:${port}/json`);
    const targets = (await response.json()) as { readonly id: string; readonly webSocketDebuggerUrl: string }[];
    const target = targets.find(({ id }) => id.endsWith(':user:weft'));
    if (target === undefined) throw new Error(`the inspector knows no Worker called weft, only: ${targets.map(({ id }) => id).join(', ')}`);
    const socket = new WebSocket(target.webSocketDebuggerUrl);
    await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject));
    return new Isolate(socket, poke);
  }

  private constructor(socket: WebSocket, poke: () => Promise<unknown>) {
    this.#socket = socket;
    this.#poke = poke;
    socket.on('message', (data: Buffer) => this.#hear(JSON.parse(data.toString('utf8')) as Answer));
    socket.on('close', () => {
      for (const { reject } of this.#waiting.values()) reject(new Error('the inspector has closed the connection'));
    });
  }

  /** Collects garbage, and then looks at what is left. Stops the isolate for as long. What was written to the console does not count: an inspector keeps it. */
  async measure(): Promise<Memory> {
    await this.#ask('Runtime.discardConsoleEntries');
    await this.#ask('HeapProfiler.collectGarbage');
    const { usedSize, backingStorageSize } = await this.#ask('Runtime.getHeapUsage');
    if (usedSize === undefined || backingStorageSize === undefined) throw new Error('this workerd does not tell the size of the heap');
    return { usedBytes: usedSize, backingBytes: backingStorageSize };
  }

  close(): void {
    this.#socket.terminate();
  }

  #ask(method: string): Promise<NonNullable<Answer['result']>> {
    const id = ++this.#count;
    const waiting = Promise.withResolvers<NonNullable<Answer['result']>>();
    this.#waiting.set(id, waiting);
    const timer = setTimeout(() => waiting.reject(new Error(`${method} was not answered`)), answer_milliseconds_max);
    const poker = setInterval(() => this.#poke().catch(waiting.reject), poke_every_milliseconds);
    this.#socket.send(JSON.stringify({ id, method }));
    return waiting.promise.finally(() => {
      clearTimeout(timer);
      clearInterval(poker);
      this.#waiting.delete(id);
    });
  }

  #hear({ id, error, result }: Answer): void {
    const waiting = this.#waiting.get(id ?? 0);
    if (error === undefined) waiting?.resolve(result ?? {});
    else waiting?.reject(new Error(error.message));
  }
}
