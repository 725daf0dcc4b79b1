/**
 * Where the messages of PostgreSQL's protocol end in a stream of bytes, and which of them hand the turn to the other side
 * (PostgreSQL manual, chapter 55). Reads lengths and types only; no query, no value, no password is looked at or kept.
 */

export type Direction = 'to-server' | 'to-client';

export interface WireMessage {
  /** Where it ends, counted in bytes from the start of the chunk that was fed. */
  readonly end: number;
  /**
   * `ask`: after it the client can do nothing but wait (start-up, password, Query, Sync, FunctionCall, CopyDone, CopyFail).
   * `answer`: the server's turn is over (a request for a password, ReadyForQuery, CopyInResponse, the byte that answers SSLRequest).
   * `other`: neither.
   */
  readonly role: 'ask' | 'answer' | 'other';
  /** What the start-up message said: user, database, application_name and the settings; only there. */
  readonly startup?: Readonly<Record<string, string>>;
  /** Whether the server answers with a single byte without a length (SSLRequest, GSSENCRequest). */
  readonly expectsByte?: boolean;
}

const SSL_REQUEST = 80877103;
const GSS_REQUEST = 80877104;
const CANCEL_REQUEST = 80877102;
/** What of a body is kept: start-up messages, and the code of an authentication request. */
const BODY_BYTES_MAX = 16 * 1024;

export class WireReader {
  readonly #direction: Direction;
  /** Messages before the end of start-up have no type byte. */
  #typed: boolean;
  #bareBytes = 0;
  #head: number[] = [];
  #body: number[] = [];
  #type = '';
  #left = 0;

  constructor(direction: Direction) {
    this.#direction = direction;
    this.#typed = direction === 'to-client';
  }

  /** The next byte is an answer without type and length. */
  expectByte(): void {
    this.#bareBytes++;
  }

  /** @returns the messages that end in this chunk, in order */
  feed(chunk: Uint8Array): WireMessage[] {
    const found: WireMessage[] = [];
    let at = 0;
    while (at < chunk.length) {
      if (this.#left > 0) {
        const taken = Math.min(this.#left, chunk.length - at);
        if (this.#keepsBody()) for (let i = at; i < at + taken && this.#body.length < BODY_BYTES_MAX; i++) this.#body.push(chunk[i] ?? 0);
        this.#left -= taken;
        at += taken;
      } else if (this.#bareBytes > 0 && this.#head.length === 0) {
        this.#bareBytes--;
        at++;
        found.push({ end: at, role: 'answer' });
        continue;
      } else {
        this.#head.push(chunk[at++] ?? 0);
        if (this.#head.length < (this.#typed ? 5 : 4)) continue;
        this.#type = this.#typed ? String.fromCharCode(this.#head[0] ?? 0) : '';
        this.#left = Math.max(0, int32(this.#head, this.#head.length - 4) - 4);
        this.#body = [];
      }
      if (this.#left > 0) continue;
      this.#head = [];
      found.push({ end: at, ...this.#describe() });
    }
    return found;
  }

  #keepsBody(): boolean {
    return !this.#typed || (this.#direction === 'to-client' && this.#type === 'R');
  }

  #describe(): Omit<WireMessage, 'end'> {
    if (!this.#typed) return this.#describeStart();
    if (this.#direction === 'to-server') return { role: 'pQSFcf'.includes(this.#type) ? 'ask' : 'other' };
    // Of the authentication requests, AuthenticationOk (0) and SASLFinal (12) want no answer.
    if (this.#type === 'R') return { role: [0, 12].includes(int32(this.#body, 0)) ? 'other' : 'answer' };
    return { role: 'ZG'.includes(this.#type) ? 'answer' : 'other' };
  }

  #describeStart(): Omit<WireMessage, 'end'> {
    const code = int32(this.#body, 0);
    if (code === SSL_REQUEST || code === GSS_REQUEST) return { role: 'ask', expectsByte: true };
    if (code === CANCEL_REQUEST) return { role: 'other' };
    this.#typed = true;
    const words = new TextDecoder().decode(Uint8Array.from(this.#body.slice(4))).split('\0');
    const startup: Record<string, string> = {};
    for (let i = 0; i + 1 < words.length && words[i] !== ''; i += 2) startup[words[i] ?? ''] = words[i + 1] ?? '';
    return { role: 'ask', startup };
  }
}

function int32(bytes: readonly number[], at: number): number {
  return (((bytes[at] ?? 0) << 24) | ((bytes[at + 1] ?? 0) << 16) | ((bytes[at + 2] ?? 0) << 8) | (bytes[at + 3] ?? 0)) >>> 0;
}
