/**
 * The relay between a Worker (or any client) and one PostgreSQL server: WebSocket in at `/v1?address=host:port` and `/v2`, as the
 * Neon driver asks for it, and plain TCP in at a second port; TCP out, always to the one address that it was started with. It listens on
 * 127.0.0.1 and refuses web pages (any Origin but its own) and other names for this machine (Host).
 *
 * It is also the test bench for everything that goes wrong on a network: latency, silence, a cut after a given message. And it
 * counts: messages, bytes, and how often the client had to wait for the server.
 */
import { createServer as createHttpServer, type IncomingMessage } from 'node:http';
import { type AddressInfo, createServer as createTcpServer, type Server, type Socket } from 'node:net';
import { type WebSocket, WebSocketServer } from 'ws';
import { Connection, type End, socketEnd, webSocketEnd } from './relay_connection.ts';
import type { Direction } from './wire.ts';

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
  /**
   * When nothing comes through any more on a connection, by a fault: how soon the server is told, as its machine would notice, which asks the other one and hears nothing.
   * Only of sessions that have asked for that in their start-up message (tcp_keepalives_idle). Never without it.
   */
  readonly noticedAfterMs?: number;
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
  /** What the server has said to each duplicate, the beginning of it. */
  readonly copies: readonly string[];
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
   * `delay`: what follows in this direction passes `delayMs` later.
   * `duplicate`: a second connection to the server is made, which brings it every byte that the client has sent so far once more; what it answers there is thrown away.
   */
  readonly how: 'reset' | 'half-close' | 'silence' | 'delay' | 'duplicate';
  /** Of a `delay`, in milliseconds. */
  readonly delayMs?: number;
  /** Who sees the reset (default: both). The other one is left with a connection on which nothing comes. */
  readonly sides?: Sides;
  /** Which connections it is for, asked when the messages have passed (default: any). */
  readonly where?: (connection: ConnectionRecord) => boolean;
  /** How often it happens (default: once). */
  readonly times?: number;
}

export interface PlannedFault {
  /** Resolves with the connection when it has happened, the first time; of a delay, when it begins. */
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

export interface Plan {
  readonly fault: Fault;
  /** How many messages had already come in on a lane when the fault was planned. */
  readonly base: WeakMap<Connection, number>;
  left: number;
  readonly happened: (connection: ConnectionRecord) => void;
}

class LocalRelay implements Relay {
  port = 0;
  tcpPort = 0;
  connections: Connection[] = [];
  plans: Plan[] = [];
  delay: { toServer: number; toClient: number };
  silent = false;
  readonly to: { readonly host: string; readonly port: number };
  readonly noticedAfterMs: number | undefined;
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
    this.noticedAfterMs = options.noticedAfterMs;
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
