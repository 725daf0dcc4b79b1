/** What a file sets for a transaction alone ends with that transaction, as it does under psql, also where the file goes on in another backend. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { resume } from '../../src/deployment/resume.ts';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { connectOver, deployFiles, stageFiles } from '../support/orders.ts';
import { sql } from '../support/sql.ts';

let database: TestDatabase;
let other: string;

beforeEach(async () => {
  database = await freshDatabase();
  other = `${database.name}_other`;
  await sql(database.url, `create role ${other}; grant ${other} to current_user; create schema s; grant usage on schema s to public`);
  await sql(database.url, `create table public.seen (n int, path text, role text, zone text, mem text); grant all on public.seen to ${other}`);
});

afterEach(async () => {
  await sql(database.url, `drop owned by ${other}; drop role ${other}`);
  await database.drop();
});

const look = (n: number) =>
  `insert into public.seen select ${n}, current_setting('search_path'), current_setting('role'), current_setting('TimeZone'), current_setting('work_mem');`;
const seen = () => sql(database.url, 'select n, path, role, zone, mem from public.seen order by n');
const run = (file: string, mode?: 'rehearse') => deployFiles(connectOver(database.url), { '1.sql': file }, { transaction: 'none', mode });
/** What psql has of a setting when nothing has set it. */
const USUAL = { path: '"$user", public', role: 'none', mem: '4MB', zone: expect.not.stringContaining('Tokyo') };

describe.each([
  ['set local search_path = s', { path: 's' }],
  ["set local schema 's'", { path: 's' }],
  ['set local "search_path" to s', { path: 's' }],
  ['/* so */ SET LOCAL search_path FROM CURRENT; set local search_path = s', { path: 's' }],
  ["select set_config('search_path', 's', true)", { path: 's' }],
  ["do $$ begin perform set_config('search_path', 's', true); end $$", { path: 's' }],
  ['set local role $other', { role: '$other' }],
  ["select set_config('role', '$other', true)", { role: '$other' }],
  ["set local time zone 'Asia/Tokyo'", { zone: 'Asia/Tokyo' }],
  ["set local timezone = 'Asia/Tokyo'", { zone: 'Asia/Tokyo' }],
  ["select set_config('work_mem', '7MB', true)", { mem: '7MB' }],
] as const)('%s', (statement, inside) => {
  const filled = (text: string) => text.replaceAll('$other', other);
  const expected = () => Object.fromEntries(Object.entries(inside).map(([key, value]) => [key, filled(value)]));

  it('holds to the COMMIT of its block, and no longer', async () => {
    const end = await run(filled(`begin;\n${statement};\n${look(1)}\ncommit;\n${look(2)}`));
    expect(end).toMatchObject({ state: 'succeeded' });
    expect(await seen()).toMatchObject([
      { n: 1, ...expected() },
      { n: 2, ...USUAL },
    ]);
  });

  it('outside of a block changes nothing for the statements behind it', async () => {
    expect(await run(filled(`${statement.replace(/^.*CURRENT; /, '')};\n${look(1)}`))).toMatchObject({ state: 'succeeded' });
    expect(await seen()).toMatchObject([USUAL]);
  });

  it('nor where what follows runs in another backend', async () => {
    await sql(database.url, 'create table public.t (a int)');
    const file = `begin;\n${statement};\ncommit;\ncreate index concurrently t_a on public.t (a);\n${look(1)}`;
    const id = await stageFiles(database.url, { '1.sql': filled(file) }, { transaction: 'none' });
    await sql(database.url, `call weft.run('${id}')`); // hands the statement out, to nobody
    expect(await resume({ connect: connectOver(database.url), id, target: null, deadlineMs: 30_000 })).toMatchObject({ state: 'succeeded' });
    expect(await seen()).toMatchObject([USUAL]);
  });
});

it('SET and SET LOCAL of the same setting in one block: the first stays, the second does not', async () => {
  const file = `begin;\nset search_path = s;\nset local search_path = pg_catalog;\n${look(1)}\ncommit;\n${look(2)}\nset role ${other};\nbegin;\nset local role none;\n${look(3)}\ncommit;\n${look(4)}`;
  expect(await run(file)).toMatchObject({ state: 'succeeded' });
  expect(await seen()).toMatchObject([
    { n: 1, path: 'pg_catalog', role: 'none' },
    { n: 2, path: 's', role: 'none' },
    { n: 3, path: 's', role: 'none' },
    { n: 4, path: 's', role: other },
  ]);
});

it('a SET, a RESET and what a function sets for the session stay', async () => {
  const file = `select set_config('search_path', 's', false);\n${look(1)}\nset role ${other};\n${look(2)}\nreset role;\nset search_path = default;\n${look(3)}`;
  expect(await run(file)).toMatchObject({ state: 'succeeded' });
  expect(await seen()).toMatchObject([{ path: 's' }, { path: 's', role: other }, USUAL]);
});

it('the rows behind a COPY go in under what holds in their block', async () => {
  await sql(database.url, `create table s.mine (n int); grant insert on s.mine to ${other}`);
  const file = `begin;\nset local search_path = s;\nset local role ${other};\ncopy mine from stdin;\n1\n2\n\\.\n${look(1)}\ncommit;\n${look(2)}`;
  for (const mode of ['rehearse', undefined] as const) expect(await run(file, mode)).toMatchObject({ state: 'succeeded' });
  expect(await sql(database.url, 'select n from s.mine order by n')).toEqual([{ n: 1 }, { n: 2 }]);
  expect(await seen()).toMatchObject([
    { n: 1, path: 's', role: other },
    { n: 2, ...USUAL },
  ]);
});

it('a rehearsal has the path and the role of a block no longer than the block', async () => {
  const file = `begin;\nset local schema 's';\ncreate table inner_one (n int);\ncommit;\ncreate table outer_one (n int);\ndo $$ begin perform 's.inner_one'::regclass, 'public.outer_one'::regclass; end $$;`;
  await sql(database.url, `grant create on schema s to public`);
  expect(await run(file, 'rehearse')).toMatchObject({ state: 'succeeded', error: null });
  expect(await run(file)).toMatchObject({ state: 'succeeded', error: null });
});
