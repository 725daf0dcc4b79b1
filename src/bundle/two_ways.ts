/**
 * Files that contain a migration and its way back, separated by a comment that another tool reads. To Weft, and to psql, it is only a
 * comment: the file would run, and take back at once what it did. It is looked at part by part, whatever weft.yaml says, because
 * nothing there can turn one file into two.
 */
import { Buffer } from 'node:buffer';
import { Problem } from '../domain/problem.ts';

/** The line between the two: of goose, sql-migrate, dbmate, node-pg-migrate and tern. */
const MARK = /^--(?:[ \t]*\+(?:goose|migrate)[ \t]+down\b|[ \t]*migrate:down\b|[ \t]*down migration\b|--[ \t]*create above[ \t]*\/[ \t]*drop below\b)[^\n]*/im;

/** Without one of these there is no such line; looked for in the bytes, for most files have none. */
const WORDS = ['+goose', '+migrate', 'migrate:down', 'Migration', 'above'];

/** A line that is neither empty nor a comment of one line. */
const STATEMENT = /^[ \t\r\f\v]*(?!--)\S/m;

/** Looks at one file, in order: `push` each part. Parts are large, and what the end of one cuts in two is not found. */
export class TwoWaysCheck {
  readonly #path: string;
  #mark: string | null = null;

  /** @param path of the file, as its bundle calls it; what does not end in .sql holds no statements */
  constructor(path: string) {
    this.#path = path;
  }

  /** @throws Problem invalid_bundle with the path and the line between the two */
  push(part: Uint8Array): void {
    if (!this.#path.endsWith('.sql')) return;
    const bytes = Buffer.from(part.buffer, part.byteOffset, part.byteLength);
    if (this.#mark === null && !WORDS.some((word) => bytes.includes(word))) return;
    // One character a byte: the marks are ASCII, and no character is cut in two.
    const text = bytes.toString('latin1');
    const found = this.#mark === null ? MARK.exec(text) : null;
    if (this.#mark === null && found === null) return;
    this.#mark ??= (found as RegExpExecArray)[0].trim();
    if (!STATEMENT.test(found === null ? text : text.slice(found.index + found[0].length))) return;
    throw new Problem(
      'invalid_bundle',
      `"${this.#path}" holds its own way back, behind the line "${this.#mark}". Another tool reads that line; here it is a comment, so the file would run and be taken back at once. Move what is behind it into a file of its own, and let weft.yaml name that as the undo: { run: "up/*.sql", undo: "down/*.sql" }, say.`,
      { path: this.#path },
    );
  }
}
