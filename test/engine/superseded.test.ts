/** A checkout that is taken back: what runs again and again under its old name, when a file with another name has made the same objects since. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { deploy } from '../../src/deployment/deploy.ts';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { connectOver, deployFiles, makeOrder, type OrderOptions } from '../support/orders.ts';
import { sql } from '../support/sql.ts';

let database: TestDatabase;

beforeEach(async () => {
  database = await freshDatabase();
  await sql(database.url, 'create table goods (k int primary key, v text)');
});

afterEach(() => database.drop());

type Files = Readonly<Record<string, string>>;
type Rule = 'single' | 'per-step' | 'auto' | 'none';

const bundle = (files: Files, rule: Rule = 'single', mode = 'sync'): Files => {
  const steps = [
    { run: 'v/*.sql', repeat: 'on-change' },
    { load: 'd/*.csv', into: 'goods', key: ['k'], mode },
  ].filter((step) => Object.keys(files).some((path) => path.startsWith(String(Object.values(step)[0]).slice(0, 2))));
  return { ...files, 'weft.yaml': JSON.stringify({ name: 'shop', phases: [{ name: 'p', transaction: rule, steps }] }) };
};
const view = (n: number): string => `create or replace view va as select ${n} as n;`;
const events = () => sql(database.url, `select path, data ->> 'by' as by from weft.events where kind = 'superseded' order by at`);
const shown = async () => (await sql(database.url, 'select (select n from va) as view, array(select k from goods order by k) as goods'))[0];

async function deployed(files: Files, options: OrderOptions = {}) {
  const end = await deployFiles(connectOver(database.url), files, options);
  expect(end.state, JSON.stringify(end.error)).toBe('succeeded');
  return Object.fromEntries(end.phases.flatMap(({ steps }) => steps.map(({ path, state }) => [path, state])));
}

const OLDER: Files = { 'v/1.sql': view(1), 'd/1.csv': 'k,v\n1,one\n' };
const NEWER: Files = { 'v/2.sql': view(2), 'd/2.csv': 'k,v\n2,two\n' };

describe.each(['single', 'per-step', 'auto', 'none'] as const)('in a phase that is %s', (rule) => {
  it('it comes back, and so does the newer one when that is brought again; what is there runs no more', async () => {
    await deployed(bundle(OLDER, rule));
    await deployed(bundle(NEWER, rule));
    expect(await deployed(bundle(OLDER, rule))).toEqual({ 'v/1.sql': 'succeeded', 'd/1.csv': 'succeeded' });
    expect(await shown()).toEqual({ view: 1, goods: [1] });
    expect(await events()).toEqual([
      { path: 'v/1.sql', by: 'v/2.sql' },
      { path: 'd/1.csv', by: 'd/2.csv' },
    ]);
    expect(await deployed(bundle(OLDER, rule))).toEqual({ 'v/1.sql': 'skipped', 'd/1.csv': 'skipped' });
    expect(await deployed(bundle(NEWER, rule))).toEqual({ 'v/2.sql': 'succeeded', 'd/2.csv': 'succeeded' });
    expect(await shown()).toEqual({ view: 2, goods: [2] });
  });
});

it('a request that came before says what has run since, and the one that ran last that nothing has', async () => {
  const connect = connectOver(database.url);
  const bring = async (files: Files, id: string, options: OrderOptions = {}) => {
    const { opened, done } = deploy({ connect, deadlineMs: 30_000, ...(await makeOrder(bundle(files), { ...options, id })) });
    return Promise.all([opened, done]);
  };
  const [older] = await bring(OLDER, 'one');
  expect(older.overtakenBy).toBeNull();
  await bring(NEWER, 'rehearsed', { mode: 'rehearse' });
  expect((await bring(OLDER, 'one'))[0]).toMatchObject({ id: older.id, repeated: true, overtakenBy: null });
  const [newer] = await bring(NEWER, 'two');
  expect((await bring(OLDER, 'one'))[0]).toMatchObject({ id: older.id, repeated: true, overtakenBy: newer.id });
  expect((await bring(NEWER, 'two'))[0]).toMatchObject({ id: newer.id, repeated: true, overtakenBy: null });
});

it('it comes back also under a third name, and with other comments', async () => {
  await deployed(bundle({ 'v/1.sql': view(1) }));
  await deployed(bundle({ 'v/2.sql': view(2) }));
  expect(await deployed(bundle({ 'v/3.sql': view(1) }))).toEqual({ 'v/3.sql': 'succeeded' });
  await deployed(bundle({ 'v/2.sql': view(2) }));
  expect(await deployed(bundle({ 'v/3.sql': `-- as it was\n${view(1)}` }))).toEqual({ 'v/3.sql': 'succeeded' });
  expect(await shown()).toMatchObject({ view: 1 });
});

it('it comes back where the newer file only replaced a part of what it made', async () => {
  await deployed(bundle({ 'v/1.sql': `${view(1)} create or replace view vb as select 1 as n;` }));
  await deployed(bundle({ 'v/2.sql': view(2) }));
  await deployed(bundle({ 'v/1.sql': `${view(1)} create or replace view vb as select 1 as n;` }));
  expect(await shown()).toMatchObject({ view: 1 });
});

it('it does not run where the file that is gone has made something else, or the newer file is in the bundle too', async () => {
  await deployed(bundle({ 'v/1.sql': view(1), 'v/2.sql': 'create or replace view vb as select 1 as n' }));
  await deployed(bundle({ 'v/1.sql': view(1), 'v/3.sql': 'create or replace view vc as select 2 as n' }));
  expect(await deployed(bundle({ 'v/1.sql': view(1) }))).toEqual({ 'v/1.sql': 'skipped' });
  await deployed(bundle({ 'v/1.sql': view(1), 'v/4.sql': view(4) }));
  expect(await deployed(bundle({ 'v/1.sql': view(1), 'v/4.sql': view(4) }))).toEqual({ 'v/1.sql': 'skipped', 'v/4.sql': 'skipped' });
  expect(await events()).toEqual([]);
});

it('data whose rows are its own does not run where another file with rows of the same table is gone; with one that was renamed it does', async () => {
  const [one, two] = ['k,v\n1,one\n', 'k,v\n2,two\n'];
  await deployed(bundle({ 'd/1.csv': one, 'd/2.csv': two }, 'single', 'upsert'));
  await deployed(bundle({ 'd/1.csv': one, 'd/2.csv': 'k,v\n2,zwei\n' }, 'single', 'upsert'));
  expect(await deployed(bundle({ 'd/1.csv': one }, 'single', 'upsert'))).toEqual({ 'd/1.csv': 'skipped' });
  await deployed(bundle({ 'd/3.csv': 'k,v\n1,eins\n' }, 'single', 'upsert'));
  expect(await deployed(bundle({ 'd/1.csv': one }, 'single', 'upsert'))).toEqual({ 'd/1.csv': 'succeeded' });
  expect(await sql(database.url, 'select v from goods where k = 1')).toEqual([{ v: 'one' }]);
});

it('a baseline that says it is there settles it', async () => {
  await deployed(bundle(OLDER));
  await deployed(bundle(NEWER));
  await deployed(bundle(OLDER), { mode: 'baseline' });
  expect(await deployed(bundle(OLDER))).toEqual({ 'v/1.sql': 'skipped', 'd/1.csv': 'skipped' });
  expect(await shown()).toEqual({ view: 2, goods: [2] });
});

it('a thousand files that are gone, and as many that are there, are held against each other in one look at each', async () => {
  const { id } = await deployFiles(connectOver(database.url), bundle(OLDER));
  const name = (word: string) => `format('${word}/%s.sql', g)`;
  const history = (word: string, when: string, made: string) => `
    insert into weft._history (bundle, path, digest, deployment_id, applied_at, bytes_in, applied_path, place, made)
    select 'many', ${name(word)}, sha256(convert_to(g::text, 'UTF8')), '${id}', ${when}, '${id}', ${name(word)}, g, jsonb_build_array(jsonb_build_object('kind', 'relation', 'name', ${made}))
    from generate_series(1, 1000) as g`;
  await sql(database.url, history('v', `now() - interval '1 day'`, `'public.v' || g`));
  await sql(database.url, history('old', 'now()', `case when g = 7 then 'public.v1000' else 'public.o' || g end`));
  const [{ manifest }] = await sql(
    database.url,
    `select jsonb_build_object('bundle', 'many', 'artifacts', jsonb_agg(jsonb_build_object('path', ${name('v')}, 'digest', encode(sha256(convert_to(g::text, 'UTF8')), 'hex'))),
       'phases', jsonb_build_array(jsonb_build_object('name', 'p', 'steps', jsonb_agg(jsonb_build_object('kind', 'run', 'path', ${name('v')}, 'repeat', 'on-change'))))) as manifest
     from generate_series(1, 1000) as g`,
  );
  expect(
    await sql(database.url, `select path, data -> 'by' as by, data -> 'objects' as objects from weft._find_superseded('many', $1, '{}')`, [manifest]),
  ).toEqual([{ path: 'v/1000.sql', by: 'old/7.sql', objects: [{ kind: 'relation', name: 'public.v1000' }] }]);
}, 60_000);
