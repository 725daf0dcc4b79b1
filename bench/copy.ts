/**
 * COPY FROM STDIN over node-postgres, which has the protocol and no function for it: what psql's `\copy` does (PostgreSQL manual, 54.2.6).
 */
import { once } from 'node:events';
import type { Readable } from 'node:stream';
import type pg from 'pg';

/** What of node-postgres' connection is used here; its types do not name it. */
interface Connection {
  query(text: string): void;
  sendCopyFromChunk(chunk: Buffer): void;
  endCopyFrom(): void;
  sendCopyFail(reason: string): void;
  readonly stream: NodeJS.WritableStream & { readonly writableNeedDrain?: boolean };
}

class Copy {
  readonly #text: string;
  readonly #source: Readable;
  readonly #settle: (error: Error | null) => void;
  #error: Error | null = null;

  constructor(text: string, source: Readable, settle: (error: Error | null) => void) {
    this.#text = text;
    this.#source = source;
    this.#settle = settle;
  }

  submit(connection: Connection): void {
    connection.query(this.#text);
  }

  handleCopyInResponse(connection: Connection): void {
    const send = async () => {
      for await (const chunk of this.#source) {
        connection.sendCopyFromChunk(chunk);
        if (connection.stream.writableNeedDrain === true) await once(connection.stream, 'drain');
      }
      connection.endCopyFrom();
    };
    send().catch((error) => connection.sendCopyFail(String(error)));
  }

  handleCommandComplete(): void {}

  handleError(error: Error): void {
    this.#error = error;
    this.#settle(error);
  }

  handleReadyForQuery(): void {
    if (this.#error === null) this.#settle(null);
  }
}

/**
 * Runs one COPY … FROM STDIN.
 * @throws Error what the server says, or the source
 */
export function copyFrom(client: pg.Client, text: string, source: Readable): Promise<void> {
  return new Promise((resolve, reject) => {
    client.query(new Copy(text, source, (error) => (error === null ? resolve() : reject(error))) as unknown as pg.Submittable);
  });
}
