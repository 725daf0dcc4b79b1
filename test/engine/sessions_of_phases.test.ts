/**
 * `role` and `settings` of a phase: each of its files begins with them, whatever the one before did, in a transaction and outside.
 */
import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { LIMITS } from '../../src/domain/limits.ts';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { connectOver, deployFiles } from '../support/orders.ts';
import { sql } from '../support/sql.ts';

let database: TestDatabase;
let owner: string;

beforeEach(async () => {
  database = await freshDatabase();
  owner = `owner_${randomBytes(4).toString('hex')}`;
  await sql(database.url, `create role "${owner}"; grant "${owner}" to current_user; create schema s; grant all on schema s to "${owner}"`);
  await sql(database.url, `create table seen (n int, who text, work_mem text, tenant text, path text); grant all on seen to "${owner}"`);
});

afterEach(async () => {
  await sql(database.url, `drop owned by "${owner}"; drop role "${owner}"`);
  await database.drop();
});

const LOOK = (n: number) =>
  `insert into public.seen values (${n}, current_user, current_setting('work_mem'), current_setting('app.tenant', true), current_setting('search_path'));`;
const seen = async () => sql(database.url, 'select * from seen order by n');

interface Phase {
  readonly transaction?: string;
  readonly role?: string;
  readonly settings?: Readonly<Record<string, unknown>>;
}

function deployed(phases: readonly (Phase & { readonly files: Readonly<Record<string, string>> })[], all: Phase = {}) {
  const written = phases.map(({ files, ...phase }, index) => ({ name: `p${index}`, ...phase, steps: Object.keys(files).map((run) => ({ run })) }));
  const texts = Object.assign({}, ...phases.map(({ files }) => files)) as Record<string, string>;
  return deployFiles(connectOver(database.url), { 'weft.yaml': JSON.stringify({ name: 'shop', ...all, phases: written }), ...texts });
}

describe.each(['single', 'per-step', 'auto', 'none'])('transaction: %s', (transaction) => {
  const settings = { work_mem: '7MB', 'app.tenant': 'acme', search_path: 's, public' };

  it('each file begins with role and settings, whatever the one before has made of them', async () => {
    const spoil = `set work_mem = '9MB'; set app.tenant = 'other'; set search_path = public; set role none;`;
    const end = await deployed([{ transaction, role: owner, settings, files: { '1.sql': `${LOOK(1)} ${spoil}`, '2.sql': LOOK(2) } }]);
    expect(end, JSON.stringify(end.error)).toMatchObject({ state: 'succeeded', phases: [{ role: owner, settings }] });
    const one = { who: owner, work_mem: '7MB', tenant: 'acme', path: 's, public' };
    expect(await seen()).toEqual([
      { n: 1, ...one },
      { n: 2, ...one },
    ]);
  });

  it('they end with the phase', async () => {
    await deployed([
      { transaction, role: owner, settings, files: { '1.sql': LOOK(1) } },
      { transaction, files: { '2.sql': LOOK(2) } },
    ]);
    const [, after] = await seen();
    expect(after.who).not.toBe(owner);
    expect([after.work_mem, after.tenant || null]).toEqual(['4MB', null]);
  });

  it('what a file makes belongs to the role', async () => {
    await deployed([{ transaction, role: owner, settings, files: { '1.sql': 'create table mine (n int)' } }]);
    expect(await sql(database.url, `select relowner::regrole::text as owner from pg_class where oid = 's.mine'::regclass`)).toEqual([{ owner }]);
  });

  it('a file of several chunks goes on with them', async () => {
    const padding = `-- ${'x'.repeat(200)}\n`.repeat(Math.ceil(LIMITS.chunk_bytes / 204));
    const end = await deployed([{ transaction, role: owner, settings, files: { '1.sql': `${LOOK(1)}\n${padding}${LOOK(2)}` } }]);
    expect(end, JSON.stringify(end.error)).toMatchObject({ state: 'succeeded' });
    expect((await seen()).map(({ who, work_mem }) => [who, work_mem])).toEqual([
      [owner, '7MB'],
      [owner, '7MB'],
    ]);
  });

  it.each([
    ['a role that is not there', { role: 'nobody_at_all' }, '22023'],
    ['a role that it may not become', { role: 'pg_read_server_files' }, '42501'],
    ['a setting that takes no such value', { settings: { work_mem: 'much' } }, '22023'],
    ['a setting that only superusers change', { settings: { log_statement: 'all' } }, '42501'],
  ])('%s fails the step before anything of it runs, and the account names it', async (_, phase, sqlstate) => {
    const end = await deployed([{ transaction, ...phase, files: { '1.sql': LOOK(1) } }]);
    expect(end).toMatchObject({
      state: 'failed',
      error: {
        sqlstate,
        path: '1.sql',
        message: expect.stringMatching(/^The file cannot begin with the role and settings of its phase: /),
        hint: expect.stringContaining('weft.yaml'),
      },
    });
    expect(end.error?.line ?? null).toBeNull();
    expect(await seen()).toEqual([]);
  });
});

it('what runs at top level runs with them', async () => {
  await sql(database.url, `create table s.t (n int); alter table s.t owner to "${owner}"`);
  const phase = { transaction: 'none', role: owner, settings: { search_path: 's', maintenance_work_mem: '12MB' } };
  const end = await deployed([{ ...phase, files: { '1.sql': 'create index concurrently t_n on t (n);' } }]);
  expect(end, JSON.stringify(end.error)).toMatchObject({ state: 'succeeded' });
  expect(await sql(database.url, `select relowner::regrole::text as owner from pg_class where oid = 's.t_n'::regclass`)).toEqual([{ owner }]);
});

it('those of the bundle hold for every phase, and a phase’s own go before them', async () => {
  const end = await deployed([{ files: { '1.sql': LOOK(1) } }, { settings: { work_mem: 8192 }, files: { '2.sql': LOOK(2) } }], {
    role: owner,
    settings: { work_mem: '6MB', 'app.tenant': 'acme' },
  });
  expect(end, JSON.stringify(end.error)).toMatchObject({ state: 'succeeded' });
  expect((await seen()).map(({ who, work_mem, tenant }) => [who, work_mem, tenant])).toEqual([
    [owner, '6MB', 'acme'],
    [owner, '8MB', 'acme'],
  ]);
});

it('a condition is asked by the role that deploys', async () => {
  const files = {
    'weft.yaml': JSON.stringify({ name: 'shop', role: owner, phases: [{ name: 'p', steps: [{ run: '1.sql', when: `current_user <> '${owner}'` }] }] }),
  };
  await deployFiles(connectOver(database.url), { ...files, '1.sql': LOOK(1) });
  expect((await seen()).map(({ who }) => who)).toEqual([owner]);
});
