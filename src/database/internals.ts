/**
 * The few inner parts of the two drivers that Weft relies on, as types. Both are node-postgres: `pg` 8.23.1, and the 8.8
 * inside `@neondatabase/serverless` 1.2.0. The versions are pinned in package.json; the tests of sessions hold these shapes.
 */

/** A message of the server as pg-protocol parses it. */
export interface ServerMessage {
  readonly name: string;
  /** rowDescription: the columns. dataRow: the values in text form. */
  readonly fields?: readonly { readonly name: string }[] | readonly (string | null)[];
  /** error, notice: severity, SQLSTATE and the rest (manual, 55.8). */
  readonly severity?: string;
  readonly code?: string;
  readonly message?: string;
  readonly detail?: string;
  readonly hint?: string;
  readonly where?: string;
}

/** A net.Socket, a TLS socket, the Neon driver's shim over WebSocket, or pg-cloudflare's over cloudflare:sockets. */
export interface DriverStream {
  write(bytes: Uint8Array, done: (error?: unknown) => void): unknown;
  end(): unknown;
  destroy(): unknown;
  on(event: string, listener: (argument?: unknown) => void): unknown;
}

/**
 * Emits `message` for whatever the server says (and the same once more under the message's own name), `error` when the
 * transport fails, `end` when it has closed.
 */
export interface DriverConnection {
  /** Replaced when TLS is negotiated: read it only after connecting. */
  readonly stream: DriverStream;
  on(event: 'message', listener: (message: ServerMessage) => void): unknown;
  on(event: 'error' | 'end', listener: (error?: unknown) => void): unknown;
  emit(event: 'error', error: unknown): unknown;
  removeAllListeners(event: string): unknown;
  sendSASLInitialResponseMessage(mechanism: string, response: string): void;
  sendSCRAMClientFinalMessage(response: string): void;
}

/** What the driver does itself: connect, encrypt, authenticate, parse. */
export interface DriverClient {
  readonly connection: DriverConnection;
  readonly processID: number | null;
  connect(): Promise<unknown>;
  on(event: 'error', listener: (error: unknown) => void): unknown;
}
