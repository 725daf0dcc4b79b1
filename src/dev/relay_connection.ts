/**
 * One connection through the relay: two lanes of bytes, the messages that are seen in them, and what a plan does to it. Knows nothing of how
 * connections come in.
 */
import { connect, type Socket } from 'node:net';
import type { WebSocket } from 'ws';
import { Lane } from './lane.ts';
import type { ConnectionRecord, Plan, Sides } from './relay.ts';
import { type Direction, type WireMessage, WireReader } from './wire.ts';

/** What a connection asks of its relay. */
export interface Ground {
  readonly to: { readonly host: string; readonly port: number };
  readonly delay: { readonly toServer: number; readonly toClient: number };
  readonly silent: boolean;
  readonly noticedAfterMs: number | undefined;
  readonly plans: readonly Plan[];
  dropPlan(plan: Plan): void;
  gone(connection: Connection): void;
}

/** One end of a connection, whichever way it came in. */
export interface End {
  write(bytes: Uint8Array): Promise<void> | undefined;
  pause(): void;
  resume(): void;
  /** No more bytes will follow. */
  finish(): void;
  reset(): void;
}

export class Connection implements ConnectionRecord {
  readonly number: number;
  readonly way: 'websocket' | 'tcp';
  startup: Readonly<Record<string, string>> = {};
  readonly toServer = { messages: 0, bytes: 0 };
  readonly toClient = { messages: 0, bytes: 0 };
  waits = 0;
  turns = 0;
  readonly copies: string[] = [];
  open = true;
  readonly #relay: Ground;
  readonly #client: End;
  readonly #server: End;
  readonly #lanes: Record<Direction, Lane>;
  readonly #readers: Record<Direction, WireReader> = { 'to-server': new WireReader('to-server'), 'to-client': new WireReader('to-client') };
  readonly #arrived: Record<Direction, number> = { 'to-server': 0, 'to-client': 0 };
  /** A direction that is over: what still comes in is thrown away. */
  readonly #over: Record<Direction, boolean> = { 'to-server': false, 'to-client': false };
  /** The message after which a fault happens has passed; so many bytes of the next still do. */
  readonly #cutting: Record<Direction, { plan: Plan; bytes: number } | null> = { 'to-server': null, 'to-client': null };
  #silent = false;
  #noticing: NodeJS.Timeout | undefined;
  /** What has gone out to the server, as long as a plan may want it once more. */
  readonly #sent: Uint8Array[] = [];
  readonly #duplicates: Socket[] = [];
  /** Turns that the client has asked for and the server has not ended. */
  #asked = 0;
  /** Whether the last thing that the client sent was such a request, whole. */
  #idle = false;
  #clientSpoke = false;

  constructor(relay: Ground, number: number, way: 'websocket' | 'tcp', client: End, source: Socket | WebSocket) {
    this.#relay = relay;
    this.number = number;
    this.way = way;
    this.#client = client;
    const server = connect({ host: relay.to.host, port: relay.to.port, noDelay: true, allowHalfOpen: true });
    this.#server = socketEnd(server);
    const isSilent = (): boolean => this.#silent || relay.silent;
    this.#lanes = {
      'to-server': new Lane({
        write: (bytes) => this.#server.write(bytes),
        pauseSource: () => client.pause(),
        resumeSource: () => client.resume(),
        delayMs: () => relay.delay.toServer,
        isSilent,
      }),
      'to-client': new Lane({
        write: (bytes) => client.write(bytes),
        pauseSource: () => server.pause(),
        resumeSource: () => server.resume(),
        delayMs: () => relay.delay.toClient,
        isSilent,
      }),
    };
    server.on('data', (bytes) => this.#arrive('to-client', bytes));
    server.on('end', () => this.#lanes['to-client'].push(NOTHING, () => client.finish()));
    server.on('error', () => this.#lanes['to-client'].push(NOTHING, () => client.reset()));
    server.on('close', () => this.#lanes['to-client'].push(NOTHING, () => this.#end()));
    const clientEnded = (): void => this.#lanes['to-server'].push(NOTHING, () => this.#server.finish());
    const clientGone = (): void =>
      this.#lanes['to-server'].push(NOTHING, () => {
        server.destroySoon();
        this.#end();
      });
    source.on('error', () => undefined);
    if (isWebSocket(source)) source.on('message', (bytes: Buffer) => this.#arrive('to-server', bytes));
    else source.on('data', (bytes: Buffer) => this.#arrive('to-server', bytes)).on('end', clientEnded);
    source.on('close', clientGone);
  }

  arrived(direction: Direction): number {
    return this.#arrived[direction];
  }

  poke(): void {
    for (const lane of Object.values(this.#lanes)) lane.poke();
  }

  cut(sides: Sides = 'both'): void {
    if (sides !== 'client') this.#server.reset();
    if (sides !== 'server') this.#client.reset();
    if (sides === 'both') this.#end();
    // Nothing shall tell the other side.
    else if (sides === 'client') this.#fallSilent();
    else this.#silent = true;
  }

  #end(): void {
    this.open = false;
    clearTimeout(this.#noticing);
    for (const copy of this.#duplicates) copy.destroy();
    for (const lane of Object.values(this.#lanes)) lane.close();
    this.#relay.gone(this);
  }

  #arrive(direction: Direction, bytes: Uint8Array): void {
    if (this.#over[direction]) return;
    const messages = this.#readers[direction].feed(bytes);
    if (direction === 'to-server') this.#clientSpoke = true;
    if (direction === 'to-server') this.#hearClient(messages, bytes.length);
    let passed = 0;
    let whole = 0;
    /** How much of it is on its way already, and how many messages. */
    const gone = { bytes: 0, messages: 0 };
    const passUpTo = (end: number): void => {
      this.#pass(direction, bytes.subarray(gone.bytes, end), messages.slice(gone.messages, whole));
      gone.bytes = end;
      gone.messages = whole;
    };
    for (;;) {
      this.#aim(direction);
      const cutting = this.#cutting[direction];
      if (cutting !== null) {
        const more = Math.min(cutting.bytes, bytes.length - passed);
        cutting.bytes -= more;
        passUpTo(passed + more);
        if (cutting.bytes > 0) return;
        this.#over[direction] = isCut(cutting.plan);
        this.#lanes[direction].push(NOTHING, () => this.#suffer(direction, cutting.plan));
        if (isCut(cutting.plan)) return;
        this.#lanes[direction].push(NOTHING, undefined, cutting.plan.fault.delayMs);
        this.#cutting[direction] = null;
      }
      const message = messages[whole];
      if (message === undefined) break;
      this.#arrived[direction]++;
      whole++;
      passed = message.end;
    }
    passUpTo(bytes.length);
  }

  /** Looks whether the messages that have come in so far are as many as a fault lets pass. */
  #aim(direction: Direction): void {
    if (this.#cutting[direction] !== null) return;
    for (const plan of this.#relay.plans) {
      const { fault } = plan;
      if (fault.direction !== direction || this.#arrived[direction] - (plan.base.get(this) ?? 0) !== fault.afterMessages) continue;
      if (fault.where !== undefined && !fault.where(this)) continue;
      plan.left--;
      if (plan.left <= 0) this.#relay.dropPlan(plan);
      this.#cutting[direction] = { plan, bytes: fault.extraBytes ?? 0 };
      return;
    }
  }

  #suffer(direction: Direction, plan: Plan): void {
    const { how, sides } = plan.fault;
    if (how === 'reset') this.cut(sides);
    else if (how === 'silence') this.#fallSilent();
    else if (how === 'duplicate') this.#repeat();
    else if (how === 'half-close' && direction === 'to-server') this.#server.finish();
    else if (how === 'half-close') this.#client.finish();
    plan.happened(this);
  }

  /** Nothing passes any more. The server's machine may notice, some time. */
  #fallSilent(): void {
    this.#silent = true;
    const { noticedAfterMs } = this.#relay;
    if (noticedAfterMs !== undefined && /\btcp_keepalives_idle=[1-9]/.test(this.startup.options ?? ''))
      this.#noticing = setTimeout(() => this.#server.reset(), noticedAfterMs);
  }

  /** Everything that has gone out to the server comes to it once more, over a second connection, which ends with this one. */
  #repeat(): void {
    const { host, port } = this.#relay.to;
    const copy = connect({ host, port, noDelay: true });
    const index = this.copies.push('') - 1;
    copy
      .on('error', () => undefined)
      .on('data', (bytes) => {
        this.copies[index] += bytes.toString('latin1').slice(0, COPY_CHARACTERS_MAX - (this.copies[index] ?? '').length);
      });
    for (const bytes of this.#sent) copy.write(bytes);
    this.#duplicates.push(copy);
  }

  #pass(direction: Direction, bytes: Uint8Array, messages: readonly WireMessage[]): void {
    if (bytes.length === 0) return;
    const flow = direction === 'to-server' ? this.toServer : this.toClient;
    const mayRepeat = direction === 'to-server' && this.#relay.plans.some(({ fault }) => fault.how === 'duplicate');
    this.#lanes[direction].push(bytes, () => {
      if (mayRepeat) this.#sent.push(bytes);
      flow.bytes += bytes.length;
      flow.messages += messages.length;
      if (direction === 'to-client') this.#hearServer(messages);
    });
  }

  #hearClient(messages: readonly WireMessage[], length: number): void {
    for (const message of messages) {
      if (message.role === 'ask') this.#asked++;
      if (message.expectsByte) this.#readers['to-client'].expectByte();
      if (message.startup !== undefined) this.startup = message.startup;
    }
    const last = messages.at(-1);
    this.#idle = last?.role === 'ask' && last.end === length;
  }

  #hearServer(messages: readonly WireMessage[]): void {
    if (this.#clientSpoke) this.turns++;
    this.#clientSpoke = false;
    for (const message of messages) {
      if (message.role !== 'answer') continue;
      this.#asked = Math.max(0, this.#asked - 1);
      if (this.#asked === 0 && this.#idle) {
        this.waits++;
        this.#idle = false;
      }
    }
  }
}

const NOTHING = new Uint8Array(0);
/** Of what a server says to a duplicate. */
const COPY_CHARACTERS_MAX = 1000;

/** Whether nothing more passes behind it, in this direction. */
function isCut({ fault: { how } }: Plan): boolean {
  return how !== 'delay' && how !== 'duplicate';
}

export function socketEnd(socket: Socket): End {
  socket.on('error', () => undefined);
  return {
    write: (bytes) => {
      if (socket.destroyed || socket.writableEnded || socket.write(bytes)) return undefined;
      return new Promise((resolve) => {
        const go = (): void => {
          socket.off('drain', go).off('close', go);
          resolve();
        };
        socket.on('drain', go).on('close', go);
      });
    },
    pause: () => socket.pause(),
    resume: () => socket.resume(),
    finish: () => socket.end(),
    reset: () => socket.resetAndDestroy(),
  };
}

export function webSocketEnd(webSocket: WebSocket, socket: Socket): End {
  return {
    write: (bytes) => {
      if (webSocket.readyState !== webSocket.OPEN) return undefined;
      const sent = new Promise<void>((resolve) => webSocket.send(bytes, { binary: true }, () => resolve()));
      return webSocket.bufferedAmount > 1024 * 1024 ? sent : undefined;
    },
    pause: () => webSocket.pause(),
    resume: () => webSocket.resume(),
    finish: () => webSocket.close(1000),
    reset: () => socket.resetAndDestroy(),
  };
}

function isWebSocket(source: Socket | WebSocket): source is WebSocket {
  return 'readyState' in source && 'ping' in source;
}
