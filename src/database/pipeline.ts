/**
 * One pipeline: sends messages without waiting between them, and pairs what the server answers with what was sent. The
 * drivers' own `query()` waits for each answer; this does not. It knows the order of the protocol (PostgreSQL manual, 55.2.3
 * and 55.2.4) and the window; the connection itself is `wire_session.ts`.
 */
import { LIMITS } from '../domain/limits.ts';
import { sqlErrorOf } from './errors.ts';
import type { ServerMessage } from './internals.ts';
import { encodeCopyFail, encodeQuery, encodeSetting, encodeStatement, FLUSH, SYNC } from './messages.ts';
import type { Outbox } from './outbox.ts';
import type { Message, Messages, OnReply, Reply, Row, SqlError } from './session.ts';

/** After this many bytes of statements, the server is asked to send its answers, which are the acknowledgements. */
const flush_bytes = LIMITS.staging_window_bytes / 16;

/** Something that was sent and is not yet answered. */
interface Sent {
  readonly kind: Message['kind'];
  /** Where its reply goes. A `sync` has none of its own: the last statement before it, which a failed commit turns into an error. */
  readonly reply: number;
  /** Under way until it is answered. */
  bytes: number;
  columns: readonly string[];
  rows: Row[];
  error: SqlError | null;
}

export class Pipeline {
  /** Resolves with the replies; rejects with what `fail` was given, or with what the source of the messages threw. */
  readonly replies: Promise<Reply[]>;
  readonly #outbox: Outbox;
  readonly #source: Iterator<Message> | AsyncIterator<Message>;
  readonly #onReply: OnReply | undefined;
  readonly #results: Reply[] = [];
  /** How many of them nothing can change any more. */
  #finalCount = 0;
  readonly #sent: Sent[] = [];
  #resolve!: (replies: Reply[]) => void;
  #reject!: (error: unknown) => void;
  /** The source is exhausted. */
  #exhausted = false;
  #over = false;
  /** Statements were sent after the last sync. */
  #open = false;
  /** A statement failed whose sync has not gone out: the server ignores what comes until then, so nothing is sent. */
  #skipping = false;
  #underWayBytes = 0;
  #largestUnderWayBytes = 0;
  #unflushedBytes = 0;
  /** Of statements that were sent, and that the server ignores: the next sync answers for them. */
  #ignoredBytes = 0;
  #wake: (() => void) | null = null;

  constructor(messages: Messages, outbox: Outbox, onReply?: OnReply) {
    this.#outbox = outbox;
    this.#onReply = onReply;
    this.#source = Symbol.asyncIterator in messages ? messages[Symbol.asyncIterator]() : messages[Symbol.iterator]();
    this.replies = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  /** The most bytes that were ever unacknowledged at once. */
  get largestUnderWayBytes(): number {
    return this.#largestUnderWayBytes;
  }

  /**
   * Sends all messages under the window. Returns when the last one is handed to the transport.
   * @throws what the source throws, or the encoder for a message that cannot be sent
   */
  async send(): Promise<void> {
    while (!this.#over) {
      if (this.#underWayBytes >= LIMITS.staging_window_bytes && !this.#skipping) {
        await this.#acknowledgement();
        continue;
      }
      const step = this.#source.next();
      const next = 'then' in step ? await step : step;
      if (this.#over) return;
      if (next.done === true) {
        this.#sendSync();
        this.#outbox.flush();
        this.#exhausted = true;
        this.#finish();
        return;
      }
      this.#sendMessage(next.value);
    }
  }

  /** Ends the pipeline with an error. The source is told, not waited for. */
  fail(error: unknown): void {
    if (this.#over) return;
    this.#over = true;
    this.#wake?.();
    this.#reject(error);
    if (!this.#exhausted) void Promise.resolve(this.#source.return?.()).catch(() => {});
  }

  /**
   * Takes a message of the server.
   * @returns false when it answers nothing that was sent: the two sides disagree, and the connection is of no use any more
   */
  receive(message: ServerMessage): boolean {
    const head = this.#sent[0];
    switch (message.name) {
      case 'rowDescription':
        if (head === undefined) return false;
        head.columns = (message.fields as readonly { readonly name: string }[]).map((field) => field.name);
        head.rows = [];
        return true;
      case 'dataRow':
        if (head === undefined) return false;
        head.rows.push(rowOf(head.columns, message.fields as readonly (string | null)[]));
        return true;
      case 'commandComplete':
      case 'emptyQuery':
        if (head === undefined) return false;
        if (head.kind === 'statement') this.#settle(head);
        return true;
      case 'error':
        if (head === undefined) return false;
        // What answers a function call (FunctionCallResponse, 'V') the drivers' parser does not know, and calls an error without a code.
        if (head.kind === 'setting' && message.code === undefined) return true;
        this.#refuse(head, sqlErrorOf(message));
        return true;
      case 'readyForQuery':
        if (head === undefined || head.kind === 'statement') return false;
        this.#settle(head);
        return true;
      case 'copyInResponse':
        // Nobody sends rows here; the refusal comes back as an error of the statement. A sync that is already on its way is lost
        // on a server that waits for rows (manual, 55.2.6), and what follows it ends the session.
        this.#outbox.put(encodeCopyFail('Weft sends no rows to COPY FROM STDIN'));
        if (head?.kind === 'statement' && this.#sent[1]?.kind === 'sync') this.#outbox.put(SYNC);
        this.#outbox.flush();
        return true;
      default:
        return true;
    }
  }

  #sendMessage(message: Message): void {
    if (message.kind === 'sync') {
      this.#sendSync();
      return;
    }
    if (message.kind === 'simple' || message.kind === 'setting') {
      this.#sendSync();
      this.#put(message.kind, this.#results.length, message.kind === 'simple' ? encodeQuery(message.text) : encodeSetting(message.name, message.value));
      this.#results.push({ kind: 'skipped' });
      this.#unflushedBytes = 0;
      return;
    }
    const reply = this.#results.length;
    this.#results.push({ kind: 'skipped' });
    this.#open = true;
    if (this.#skipping) return;
    this.#unflushedBytes += this.#put('statement', reply, encodeStatement(message.text, message.values)).bytes;
    if (this.#unflushedBytes >= flush_bytes) {
      this.#unflushedBytes = 0;
      this.#outbox.put(FLUSH);
    }
  }

  /** Without statements to commit there is nothing to send. */
  #sendSync(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#skipping = false;
    this.#unflushedBytes = 0;
    const sync = this.#put('sync', this.#results.length - 1, SYNC);
    sync.bytes += this.#ignoredBytes;
    this.#ignoredBytes = 0;
  }

  #put(kind: Message['kind'], reply: number, parts: readonly Uint8Array[]): Sent {
    const sent: Sent = { kind, reply, bytes: this.#outbox.put(parts), columns: [], rows: [], error: null };
    this.#sent.push(sent);
    this.#underWayBytes += sent.bytes;
    this.#largestUnderWayBytes = Math.max(this.#largestUnderWayBytes, this.#underWayBytes);
    return sent;
  }

  /** The server said no to what is at the head: later statements of the same transaction are ignored, up to the sync. */
  #refuse(head: Sent, error: SqlError): void {
    head.error ??= error;
    if (head.kind !== 'statement') return;
    let ignored = 1;
    while (this.#sent[ignored]?.kind === 'statement') ignored += 1;
    const sync = this.#sent[ignored];
    for (const statement of this.#sent.splice(1, ignored - 1)) {
      if (sync === undefined) this.#ignoredBytes += statement.bytes;
      else sync.bytes += statement.bytes;
    }
    this.#skipping = sync === undefined;
    this.#settle(head);
  }

  /** The head is answered. */
  #settle(head: Sent): void {
    this.#sent.shift();
    this.#underWayBytes -= head.bytes;
    if (head.error !== null) this.#results[head.reply] = { kind: 'error', error: head.error };
    else if (head.kind !== 'sync') this.#results[head.reply] = { kind: 'rows', rows: head.rows };
    if (head.kind !== 'statement') this.#tellUpTo(head.reply);
    this.#wake?.();
    this.#finish();
  }

  /** The transaction is over that has this reply as its last. */
  #tellUpTo(last: number): void {
    for (const reply of this.#results.slice(this.#finalCount, last + 1)) this.#onReply?.(reply);
    this.#finalCount = last + 1;
  }

  #finish(): void {
    if (this.#over || !this.#exhausted || this.#sent.length > 0) return;
    this.#over = true;
    this.#resolve(this.#results);
  }

  /** Waits until the server has answered something. It was asked to: the window is many times what goes without a flush. */
  async #acknowledgement(): Promise<void> {
    this.#outbox.flush();
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
    this.#wake = null;
  }
}

function rowOf(columns: readonly string[], values: readonly (string | null)[]): Row {
  const row: Record<string, string | null> = {};
  for (const [index, column] of columns.entries()) row[column] = values[index] ?? null;
  return row;
}
