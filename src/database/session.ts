/**
 * A session: one PostgreSQL connection that keeps its backend, over WebSocket or TCP; nobody above this interface knows which.
 * Everything that fails comes out as a Problem, or as a SqlError if the server itself said no.
 */

/** What the server said (PostgreSQL manual, 55.8, error and notice fields). The session is still usable. */
export class SqlError extends Error {
  override readonly name = 'SqlError';
  readonly sqlstate: string;
  readonly detail: string | undefined;
  readonly hint: string | undefined;
  /** Through which functions it came, innermost first, and at which of their lines. */
  readonly context: string | undefined;

  constructor(fields: { sqlstate: string; message: string; detail?: string | undefined; hint?: string | undefined; context?: string | undefined }) {
    super(fields.message);
    this.sqlstate = fields.sqlstate;
    this.detail = fields.detail;
    this.hint = fields.hint;
    this.context = fields.context;
  }
}

/** A value on the wire: text, bytes (sent in binary), or NULL. */
export type Value = string | Uint8Array | null;

/** A row as the server wrote it: every value in its text form. */
export type Row = Readonly<Record<string, string | null>>;

/**
 * One message of a pipeline.
 * `statement`: extended protocol, belongs to the implicit transaction that the next `sync` ends.
 * `sync`: commits what came before it; after an error the server skips to the next one. With no statement before it, it costs nothing.
 * `simple`: a query sent alone, in autocommit, with a synchronisation of its own: the only way to send a CALL that commits.
 * Statements before it are committed first, as by a `sync`.
 * `setting`: sets a setting of the session, in a transaction of its own, and in a way that no server writes into its log (messages.ts):
 * for a value that is secret. Statements before it are committed first.
 */
export type Message =
  | { readonly kind: 'statement'; readonly text: string; readonly values: readonly Value[] }
  | { readonly kind: 'sync' }
  | { readonly kind: 'simple'; readonly text: string }
  | { readonly kind: 'setting'; readonly name: string; readonly value: string };

/**
 * What came back for a `statement`, `simple` or `setting` message, in order.
 * `rows`: of a `simple` with several results, those of the last result that has columns.
 * `error`: the whole transaction is rolled back, also what had replied `rows` before. An error of the commit itself (a deferred
 * constraint) is the reply of the last statement before the `sync`.
 * `skipped`: an error before it, in the same transaction.
 */
export type Reply =
  | { readonly kind: 'rows'; readonly rows: readonly Row[] }
  | { readonly kind: 'error'; readonly error: SqlError }
  | { readonly kind: 'skipped' };

export type Messages = Iterable<Message> | AsyncIterable<Message>;

export type OnReply = (reply: Reply) => void;

export interface Session {
  /**
   * Sends messages without waiting between them, and waits at the end.
   * Messages are taken from `messages` only while fewer than `staging_window_bytes` are unacknowledged (CommandComplete is
   * the acknowledgement), so a slow database slows the reader down. A last `sync` is added if a statement is without one.
   * Pipelines of one session run one after another.
   * @param messages in the order in which they go out; bytes among their values are handed on, not copied: leave them as they are
   * @param onReply told of each reply, in order, as soon as nothing can change it any more: at the end of its transaction, because
   * the commit may fail. It must not throw
   * @returns a reply for each `statement`, `simple` and `setting`, in order; an error of the server is a reply, not an exception
   * @throws Problem session_lost when the connection ends before the last reply, and whatever `messages` throws (the session is then closed)
   */
  pipeline(messages: Messages, onReply?: OnReply): Promise<Reply[]>;

  /**
   * One statement, one wait.
   * @throws SqlError when the server refuses; Problem session_lost when the connection ends
   */
  query(text: string, values?: readonly Value[]): Promise<readonly Row[]>;

  /** The pid in BackendKeyData. With a proxy in between, it may not be the backend's own. */
  readonly announcedPid: number | null;

  /** Ends the connection. Never throws, never waits longer than a second. A running CALL goes on without us. */
  close(): Promise<void>;
}

/** Opens a session: one address, one way in, ready to be called again when a session is lost. */
export type Connect = () => Promise<Session>;
