/**
 * The session over either driver. The driver connects, encrypts and authenticates; from then on it only parses: its own handling of
 * queries is removed, because it waits for every answer. What is sent in which order is for `pipeline.ts`; repeated attempts are for
 * `connect.ts`.
 */

import type { Problem } from '../domain/problem.ts';
import { type Cause, causeOf, endsSession, sessionLost } from './errors.ts';
import type { DriverClient, ServerMessage } from './internals.ts';
import { TERMINATE } from './messages.ts';
import { Outbox } from './outbox.ts';
import { Pipeline } from './pipeline.ts';
import { type Messages, type OnReply, type Reply, type Row, type Session, SqlError, type Value } from './session.ts';

const close_milliseconds_max = 1000;

/** What the driver does with the server's messages once it is connected, and must stop doing. */
const driver_listens_to = [
  'readyForQuery',
  'errorMessage',
  'notice',
  'notification',
  'rowDescription',
  'dataRow',
  'commandComplete',
  'emptyQuery',
  'portalSuspended',
  'parseComplete',
  'copyInResponse',
  'copyData',
];

export class WireSession implements Session {
  readonly #client: DriverClient;
  readonly #secrets: readonly string[];
  readonly #outbox: Outbox;
  /** Resolves when the transport has closed. */
  readonly #closed: Promise<void>;
  readonly #noteClosed: () => void;
  /** Rejects with the Cause when the connection ends. */
  readonly #ended: Promise<never>;
  readonly #noteEnded: (cause: Cause) => void;
  #lost: Problem | null = null;
  #pipeline: Pipeline | null = null;
  /** Pipelines run one after another. */
  #last: Promise<unknown> = Promise.resolve();
  #largestUnderWayBytes = 0;

  /**
   * Opens the connection.
   * @param client a driver's client that has not connected yet
   * @param secrets texts that must not show in any error: host, password
   * @param milliseconds how long to wait for the server
   * @throws Cause when the server or the transport says no, or nobody answers
   */
  static async open(client: DriverClient, secrets: readonly string[], milliseconds: number): Promise<WireSession> {
    const session = new WireSession(client, secrets);
    const timer = setTimeout(
      () => session.#end({ sqlstate: null, code: 'ETIMEDOUT', text: `nobody answered within ${Math.ceil(milliseconds / 1000)} s` }),
      milliseconds,
    );
    try {
      await Promise.race([client.connect(), session.#ended]);
    } catch (thrown) {
      // What came over the connection tells more than what the driver makes of it, and comes first.
      session.#lose(thrown);
      return await session.#ended;
    } finally {
      clearTimeout(timer);
    }
    for (const name of driver_listens_to) client.connection.removeAllListeners(name);
    // A FIN: Node would first try to send what is still to be sent.
    client.connection.stream.on('end', () => session.#lose(undefined));
    return session;
  }

  private constructor(client: DriverClient, secrets: readonly string[]) {
    this.#client = client;
    this.#secrets = secrets;
    this.#outbox = new Outbox((bytes) => this.#write(bytes));
    ({ promise: this.#closed, resolve: this.#noteClosed } = Promise.withResolvers<void>());
    ({ promise: this.#ended, reject: this.#noteEnded } = Promise.withResolvers<never>());
    this.#ended.catch(() => {});
    client.on('error', () => {});
    client.connection.on('message', (message) => this.#receive(message));
    client.connection.on('error', (thrown) => this.#lose(thrown));
    client.connection.on('end', () => {
      this.#noteClosed();
      this.#lose(undefined);
    });
  }

  get announcedPid(): number | null {
    return this.#client.processID;
  }

  /** The most bytes that any pipeline of this session had unacknowledged at once. */
  get largestUnderWayBytes(): number {
    return this.#largestUnderWayBytes;
  }

  pipeline(messages: Messages, onReply?: OnReply): Promise<Reply[]> {
    const run = this.#last.then(() => this.#run(messages, onReply));
    this.#last = run.catch(() => {});
    return run;
  }

  async query(text: string, values: readonly Value[] = []): Promise<readonly Row[]> {
    const [reply] = await this.pipeline([{ kind: 'statement', text, values }]);
    if (reply?.kind === 'rows') return reply.rows;
    throw reply?.kind === 'error' ? reply.error : new SqlError({ sqlstate: 'XX000', message: 'The server gave no answer.' });
  }

  async close(): Promise<void> {
    if (this.#lost === null) {
      const idle = this.#pipeline === null;
      if (idle) {
        this.#outbox.put(TERMINATE);
        this.#outbox.flush();
      }
      this.#end({ sqlstate: null, code: null, text: 'it was closed by this side' }, idle);
    }
    let timer: ReturnType<typeof setTimeout> | undefined;
    const patience = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, close_milliseconds_max);
    });
    await Promise.race([this.#closed, patience]);
    clearTimeout(timer);
    this.#hangUp(false);
  }

  async #run(messages: Messages, onReply: OnReply | undefined): Promise<Reply[]> {
    if (this.#lost !== null) throw this.#lost;
    const pipeline = new Pipeline(messages, this.#outbox, onReply);
    this.#pipeline = pipeline;
    pipeline.send().catch((error: unknown) => {
      // Nothing half-sent may commit: without a sync the server rolls it back.
      pipeline.fail(error);
      this.#end({ sqlstate: null, code: null, text: 'it was given up because what was to be sent could not be read' });
    });
    try {
      return await pipeline.replies;
    } finally {
      this.#pipeline = null;
      this.#largestUnderWayBytes = Math.max(this.#largestUnderWayBytes, pipeline.largestUnderWayBytes);
    }
  }

  #receive(message: ServerMessage): void {
    if (this.#lost !== null) return;
    if (message.name === 'error' && endsSession(message)) {
      this.#lose(message);
    } else if (this.#pipeline !== null && !this.#pipeline.receive(message)) {
      this.#end({ sqlstate: null, code: null, text: `the server sent "${message.name}" where nothing was asked` });
    }
  }

  #write(bytes: Uint8Array): void {
    if (this.#lost !== null) return;
    try {
      this.#client.connection.stream.write(bytes, (error) => {
        if (error) this.#lose(error);
      });
    } catch (error) {
      this.#lose(error);
    }
  }

  #lose(thrown: unknown): void {
    if (this.#lost === null) this.#end(causeOf(thrown, this.#secrets));
  }

  /** The one way in which a session ends; the first cause counts. */
  #end(cause: Cause, gently = false): void {
    if (this.#lost !== null) return;
    this.#lost = sessionLost(cause);
    this.#outbox.discard();
    this.#noteEnded(cause);
    this.#pipeline?.fail(this.#lost);
    this.#hangUp(gently);
  }

  #hangUp(gently: boolean): void {
    try {
      const { stream } = this.#client.connection;
      if (gently) stream.end();
      else stream.destroy();
    } catch {
      // It is closed, or was never open: there is nothing to hang up.
    }
  }
}
