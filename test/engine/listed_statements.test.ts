/** How a file is read that does not run: a baseline, and what is to be taken for the file's own, ask for its statements and the lines where they stand. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { sql } from '../support/sql.ts';

let database: TestDatabase;

beforeEach(async () => {
  database = await freshDatabase();
});

afterEach(() => database.drop());

describe('a file that is only read, not run, is listed by its statements, and the rows behind a COPY are passed over', () => {
  const list = async (text: string): Promise<readonly [string, number][]> => {
    const [{ statements, lines }] = await sql(database.url, 'select statements, lines from weft._list_statements($1)', [text]);
    return statements.map((statement: string, at: number) => [statement.trim(), lines[at] + statement.slice(0, statement.search(/\S/)).split('\n').length - 1]);
  };
  /** A table with rows of one length or another, so that a piece of the file ends anywhere. */
  const tableOf = (n: number, end: string, csv: boolean) => {
    const row = csv ? `${n},"it's; a${end}line"` : `${n}\tit's; "a row\\\\`;
    const rows = Array.from({ length: (n * 7) % 23 }, (_, k) => row + 'x'.repeat((n * k) % 97));
    return [`create table t${n} (a int, b text);`, `copy t${n} from stdin${csv ? ' (format csv)' : ''};`, ...rows, '\\.', `alter table t${n}`, '  add c int;'];
  };

  it.each([
    ['text', '\n', false],
    ['CSV', '\n', true],
    ['text, with CRLF', '\r\n', false],
  ])('%s, at the line where each begins', async (_, end, csv) => {
    const expected: [string, number][] = [];
    const all: string[] = [];
    for (let n = 0; n < 150; n++) {
      const lines = tableOf(n, end, csv);
      const at = all.join(end).split('\n').length + (n > 0 ? 1 : 0);
      const count = (upTo: number) => lines.slice(0, upTo).join(end).split('\n').length;
      expected.push(
        [lines[0]?.slice(0, -1) as string, at],
        [lines[1]?.slice(0, -1) as string, at + 1],
        [`alter table t${n}${end}  add c int`, at + count(lines.length - 2)],
      );
      all.push(...lines);
    }
    expect(await list(all.join(end))).toEqual(expected);
    expect(await list(`${all.join(end)}${end}copy u from stdin;${end}1${end}2`)).toHaveLength(expected.length + 1);
    expect(await list(`${all.join(end)}${end}copy u from stdin;`)).toHaveLength(expected.length + 1);
  });

  it('and twice as many of them are twice as much to read', async () => {
    await sql(
      database.url,
      `create sequence weft.given;
      alter function weft._split(weft._scanner, text, boolean) rename to _split_it;
      create function weft._split(inout p_scanner weft._scanner, p_text text, p_is_last boolean, out statements text[], out lines integer[], out rest text) language plpgsql as $$
      declare v_split record;
      begin
        perform setval('weft.given', nextval('weft.given') + length(p_text));
        v_split := weft._split_it(p_scanner, p_text, p_is_last);
        p_scanner := v_split.p_scanner;
        statements := v_split.statements;
        lines := v_split.lines;
        rest := v_split.rest;
      end $$`,
    );
    const given = async (count: number) => {
      await sql(database.url, `alter sequence weft.given restart`);
      await list(Array.from({ length: count }, (_, n) => `copy t${n} from stdin;\n${n}\n${'x'.repeat(100)}\n\\.\n`).join(''));
      const [{ sum }] = await sql(database.url, `select nextval('weft.given')::int as sum`);
      return sum;
    };
    const [one, two] = [await given(400), await given(800)];
    expect(two / one).toBeLessThan(2.5);
  });
});
