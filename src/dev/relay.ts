/**
 * The relay between a Worker (or any client) and one PostgreSQL server: WebSocket in at `/v1?address=host:port` and `/v2`, as the
 * Neon driver asks for it, and plain TCP in at a second port; TCP out, always to the one address that it was started with. It listens on
 * 127.0.0.1 and refuses web pages (any Origin but its own) and other names for this machine (Host).
 *
 * It is also the test bench for everything that goes wrong on a network: latency, silence, a cut after a given message. And it
 * counts: messages, bytes, and how often the client had to wait for the server.
 */
import { createServer as createHttpServer, type IncomingMessage } from 'node:http';
import { type AddressInfo, connect, createServer as createTcpServer, type Server, type Socket } from 'node:net';
import { type WebSocket, WebSocketServer } from 'ws';
import { Lane } from './lane.ts';
import { type Direction, type WireMessage, WireReader } from './wire.ts';

export type { Direction } from './wire.ts';

/** Milliseconds in one direction: a round trip of 80 ms is `40`. */
export type Delay = number | { readonly toServer: number; readonly toClient: number };

export interface RelayOptions {
  readonly to: { readonly host: string; readonly port: number };
  /** Of the WebSocket side; any free one without it. */
  readonly port?: number;
  readonly tcpPort?: number;
  /** Latency of each direction from the start on. The opening handshakes of TCP and WebSocket themselves are not delayed. */
  readonly delayMs?: Delay;
}

export interface Flow {
  readonly messages: number;
  readonly bytes: number;
}

export interface ConnectionRecord {
  /** Counted from 1 in the order of arrival. */
  readonly number: number;
  readonly way: 'websocket' | 'tcp';
  /** What the start-up message said: user, database, application_name and settings. Empty until it came. */
  readonly startup: Readonly<Record<string, string>>;
  /** What has gone out to the server, and to the client. */
  readonly toServer: Flow;
  readonly toClient: Flow;
  /**
   * How often the client had gone idle until the server answered, by the protocol: the server's turn ends (ReadyForQuery, a request
   * for a password, CopyInResponse, the answer to SSLRequest), every such turn that the client asked for is over, and after its last
   * request the client has sent nothing more. What the client sends counts when it comes in here, what the server says when it goes
   * out to the client, latency included: so a pipeline of many Syncs is one wait. What a client waits for between Flush and Sync is not seen; `turns` sees it.
   */
  readonly waits: number;
  /**
   * How often the traffic, seen from the client, turned from "to the server" to "to the client". Exact when the client needs less time to go on
   * than the latency is long; without latency a pipelining client's answers overtake its next message, and it counts too many.
   */
  readonly turns: number;
  readonly open: boolean;
  /** Cuts this connection now, by RST. @param sides who is to notice (default: both) */
  cut(sides?: Sides): void;
}

export type Sides = 'both' | 'server' | 'client';

export interface Fault {
  readonly direction: Direction;
  /** This many messages still pass in that direction: of a connection's first ones, start-up included; of a connection that is already open, from now on. */
  readonly afterMessages: number;
  /** And this many bytes of the message that follows. */
  readonly extraBytes?: number;
  /**
   * `reset`: RST. `half-close`: the far end of this direction sees the end of the stream (FIN), the other direction lives on.
   * `silence`: nothing passes in either direction, and nobody is told.
   */
  readonly how: 'reset' | 'half-close' | 'silence';
  /** Who sees the reset (default: both). The other one is left with a connection on which nothing comes. */
  readonly sides?: Sides;
  /** Which connections it is for, asked when the messages have passed (default: any). */
  readonly where?: (connection: ConnectionRecord) => boolean;
  /** How often it happens (default: once). */
  readonly times?: number;
}

export interface PlannedFault {
  /** Resolves with the connection when it has happened, the first time. */
  readonly fired: Promise<ConnectionRecord>;
  cancel(): void;
}

export interface Relay {
  /** ws://127.0.0.1:port, without a path. */
  readonly url: string;
  readonly port: number;
  readonly tcpPort: number;
  /** Every connection since the start or the last `forget()`, closed ones too. */
  readonly connections: readonly ConnectionRecord[];
  plan(fault: Fault): PlannedFault;
  /** For what comes in from now on. */
  setDelay(delay: Delay): void;
  /** Nothing passes any more, on any connection, and none is closed; new ones hang. */
  silence(): void;
  /** What was held during the silence passes now. */
  endSilence(): void;
  /** Resets all connections, on both sides. */
  cutAll(): void;
  /** Empties `connections`; open ones stay open and are no longer listed. */
  forget(): void;
  stop(): Promise<void>;
}

/**
 * Starts a relay.
 * @throws Error when a given port is taken
 */
export async function startRelay(options: RelayOptions): Promise<Relay> {
  const relay = new LocalRelay(options);
  await relay.start();
  return relay;
}

interface Plan {
  readonly fault: Fault;
  /** How many messages had already come in on a lane when the fault was planned. */
  readonly base: WeakMap<Connection, number>;
  left: number;
  readonly happened: (connection: ConnectionRecord) => void;
}

/** One end of a connection, whichever way it came in. */
interface End {
  write(bytes: Uint8Array): Promise<void> | undefined;
  pause(): void;
  resume(): void;
  /** No more bytes will follow. */
  finish(): void;
  reset(): void;
}

class LocalRelay implements Relay {
  port = 0;
  tcpPort = 0;
  connections: Connection[] = [];
  plans: Plan[] = [];
  delay: { toServer: number; toClient: number };
  silent = false;
  readonly to: { readonly host: string; readonly port: number };
  readonly #options: RelayOptions;
  readonly #http = createHttpServer((_request, response) =>
    response.writeHead(426, { Upgrade: 'websocket' }).end('This is a WebSocket relay to a database.\n'),
  );
  readonly #tcp = createTcpServer({ allowHalfOpen: true, noDelay: true }, (socket) => this.#welcome('tcp', socketEnd(socket), socket));
  readonly #sockets = new WebSocketServer({ noServer: true, maxPayload: 1024 * 1024 * 1024 });
  readonly #live = new Set<Connection>();
  readonly #raw = new Set<Socket>();
  #held: (() => void)[] = [];
  #count = 0;

  constructor(options: RelayOptions) {
    this.#options = options;
    this.to = options.to;
    this.delay = bothWays(options.delayMs ?? 0);
    this.#http.on('upgrade', (request, socket, head) => this.#upgrade(request, socket as Socket, head));
    this.#http.on('connection', (socket: Socket) => this.#remember(socket));
    this.#tcp.on('connection', (socket: Socket) => this.#remember(socket));
  }

  get url(): string {
    return `ws://127.0.0.1:${this.port}`;
  }

  async start(): Promise<void> {
    this.port = await listen(this.#http, this.#options.port);
    this.tcpPort = await listen(this.#tcp, this.#options.tcpPort);
  }

  plan(fault: Fault): PlannedFault {
    let happened: (connection: ConnectionRecord) => void = () => undefined;
    const fired = new Promise<ConnectionRecord>((resolve) => {
      happened = resolve;
    });
    const plan: Plan = { fault, base: new WeakMap(), left: fault.times ?? 1, happened };
    for (const connection of this.#live) plan.base.set(connection, connection.arrived(fault.direction));
    this.plans.push(plan);
    return { fired, cancel: () => this.dropPlan(plan) };
  }

  dropPlan(plan: Plan): void {
    this.plans = this.plans.filter((other) => other !== plan);
  }

  setDelay(delay: Delay): void {
    this.delay = bothWays(delay);
  }

  silence(): void {
    this.silent = true;
  }

  endSilence(): void {
    this.silent = false;
    for (const connection of this.#live) connection.poke();
    for (const go of this.#held.splice(0)) go();
  }

  cutAll(): void {
    for (const connection of this.#live) connection.cut();
  }

  forget(): void {
    this.connections = [];
  }

  async stop(): Promise<void> {
    this.cutAll();
    this.#sockets.close();
    const closed = [this.#http, this.#tcp].map((server) => new Promise((resolve) => server.close(resolve)));
    for (const socket of this.#raw) socket.destroy();
    await Promise.all(closed);
  }

  gone(connection: Connection): void {
    this.#live.delete(connection);
  }

  #remember(socket: Socket): void {
    this.#raw.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => this.#raw.delete(socket));
  }

  #upgrade(request: IncomingMessage, socket: Socket, head: Buffer): void {
    const refusal = this.#refusal(request);
    if (refusal !== null) {
      socket.end(`HTTP/1.1 ${refusal}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
      return;
    }
    const accept = (): void =>
      this.#sockets.handleUpgrade(request, socket, head, (webSocket) => {
        socket.setNoDelay(true);
        this.#welcome('websocket', webSocketEnd(webSocket, socket), webSocket);
      });
    if (this.silent) this.#held.push(accept);
    else accept();
  }

  /** Why this upgrade is refused, as the rest of a status line; null when it is not. */
  #refusal(request: IncomingMessage): string | null {
    const names = ['127.0.0.1', 'localhost', '[::1]'].map((name) => `${name}:${this.port}`);
    if (!names.includes(request.headers.host ?? '')) return '403 Foreign Host';
    const origin = request.headers.origin;
    if (origin !== undefined && !names.some((name) => origin === `http://${name}`)) return '403 Foreign Origin';
    const url = new URL(request.url ?? '/', 'http://relay');
    if (url.pathname !== '/v1' && url.pathname !== '/v2') return '404 Not Found';
    const address = url.searchParams.get('address');
    if (address === null) return url.pathname === '/v2' ? null : '400 Missing Address';
    return sameAddress(address, this.to) ? null : '403 Foreign Address';
  }

  #welcome(way: 'websocket' | 'tcp', end: End, source: Socket | WebSocket): void {
    const connection = new Connection(this, ++this.#count, way, end, source);
    this.connections.push(connection);
    this.#live.add(connection);
  }
}

class Connection implements ConnectionRecord {
  readonly number: number;
  readonly way: 'websocket' | 'tcp';
  startup: Readonly<Record<string, string>> = {};
  readonly toServer = { messages: 0, bytes: 0 };
  readonly toClient = { messages: 0, bytes: 0 };
  waits = 0;
  turns = 0;
  open = true;
  readonly #relay: LocalRelay;
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
  /** Turns that the client has asked for and the server has not ended. */
  #asked = 0;
  /** Whether the last thing that the client sent was such a request, whole. */
  #idle = false;
  #clientSpoke = false;

  constructor(relay: LocalRelay, number: number, way: 'websocket' | 'tcp', client: End, source: Socket | WebSocket) {
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
    else this.#silent = true;
  }

  #end(): void {
    this.open = false;
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
    this.#aim(direction);
    for (const message of messages) {
      if (this.#cutting[direction] !== null) break;
      this.#arrived[direction]++;
      whole++;
      passed = message.end;
      this.#aim(direction);
    }
    const cutting = this.#cutting[direction];
    if (cutting === null) {
      this.#pass(direction, bytes, messages);
      return;
    }
    const more = Math.min(cutting.bytes, bytes.length - passed);
    cutting.bytes -= more;
    this.#pass(direction, bytes.subarray(0, passed + more), messages.slice(0, whole));
    if (cutting.bytes > 0) return;
    this.#over[direction] = true;
    this.#lanes[direction].push(NOTHING, () => this.#suffer(direction, cutting.plan));
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
    else if (how === 'silence') this.#silent = true;
    else if (direction === 'to-server') this.#server.finish();
    else this.#client.finish();
    plan.happened(this);
  }

  #pass(direction: Direction, bytes: Uint8Array, messages: readonly WireMessage[]): void {
    if (bytes.length === 0) return;
    const flow = direction === 'to-server' ? this.toServer : this.toClient;
    this.#lanes[direction].push(bytes, () => {
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

function socketEnd(socket: Socket): End {
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

function webSocketEnd(webSocket: WebSocket, socket: Socket): End {
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

function bothWays(delay: Delay): { toServer: number; toClient: number } {
  return typeof delay === 'number' ? { toServer: delay, toClient: delay } : { ...delay };
}

function sameAddress(address: string, to: { readonly host: string; readonly port: number }): boolean {
  const local = (host: string): string => (['localhost', '[::1]'].includes(host) ? '127.0.0.1' : host);
  const colon = address.lastIndexOf(':');
  return local(address.slice(0, colon)) === local(to.host) && Number(address.slice(colon + 1)) === to.port;
}

function listen(server: Server, port = 0): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ port, host: '127.0.0.1' }, () => resolve((server.address() as AddressInfo).port));
  });
}
