/**
 * The way in over a WebSocket: node-postgres on a stream that is a WebSocket, whose messages are the bytes of the protocol. So Neon's servers
 * speak it, and proxies like theirs. It opens and begins a connection as Neon's own driver does; a test holds the two against each other.
 */
import { Buffer } from 'node:buffer';
import { EventEmitter } from 'node:events';
import Client from 'pg/lib/client.js';
import type { ConnectionParts } from '../config/connection_string.ts';
import type { DriverClient, DriverStream } from './internals.ts';
import { startupOptions } from './startup.ts';

/**
 * @param parts where to; sslmode has no meaning here: `wss` encrypts
 * @param proxy `host:port/path` of a proxy that takes `?address=host:port`; without one the host itself is asked, as Neon's do
 * @param insecure `ws` instead of `wss`
 */
export function webSocketClient(parts: ConnectionParts, applicationName: string, proxy: string | undefined, insecure: boolean): DriverClient {
  const { host, port, user, database } = parts;
  const address = proxy === undefined ? `${host}/v2` : `${proxy}?address=${host}:${port}`;
  return new Client({
    host,
    port,
    user,
    database,
    password: () => parts.password ?? '',
    ssl: false,
    sslnegotiation: 'postgres', // or the environment would have a say in it
    application_name: applicationName,
    options: startupOptions(),
    stream: () => new WebSocketStream(`${insecure ? 'ws' : 'wss'}://${address}`),
  }) as unknown as DriverClient;
}

/** What node-postgres asks of a socket. It never pushes back: how much is under way is decided in `pipeline.ts`. */
class WebSocketStream extends EventEmitter implements DriverStream {
  readonly writable = true;
  readonly #address: string;
  #socket: WebSocket | undefined;

  constructor(address: string) {
    super();
    this.#address = address;
  }

  /** @throws SyntaxError when the address is none */
  connect(): void {
    const socket = new WebSocket(this.#address);
    socket.binaryType = 'arraybuffer';
    socket.addEventListener('open', () => this.emit('connect'));
    socket.addEventListener('message', ({ data }) => this.emit('data', Buffer.from(data)));
    socket.addEventListener('error', (event) => this.emit('error', event)); // a close follows
    socket.addEventListener('close', () => this.emit('close'));
    this.#socket = socket;
  }

  write(bytes: Uint8Array, done?: (error?: unknown) => void): void {
    this.#socket?.send(bytes);
    done?.();
  }

  end(): void {
    this.#socket?.close();
  }

  destroy(): void {
    this.end();
  }

  setNoDelay(): void {}
}
