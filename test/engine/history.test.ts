/**
 * History quarrels, ended: a file that was applied and has changed is shown as what differs; comments and white space are no change;
 * a file that was only renamed is not run again; and what is new in front of what was applied is told, or refused. Nothing is guessed.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Deployment } from '../../src/domain/deployment.ts';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { connectOver, deployFiles } from '../support/orders.ts';
import { sql } from '../support/sql.ts';

let database: TestDatabase;

beforeEach(async () => {
  database = await freshDatabase();
  await sql(database.url, 'create table journal (n int)');
});

afterEach(() => database.drop());

type Files = Readonly<Record<string, string>>;

const deploy = (files: Files, bundleFile: object = {}): Promise<Deployment> => {
  const phases = [{ name: 'main', transaction: 'per-step', steps: [{ run: '**/*.sql' }] }];
  return deployFiles(connectOver(database.url), { 'weft.yaml': JSON.stringify({ name: 'shop', phases, ...bundleFile }), ...files });
};
const write = (n: number): string => `insert into journal values (${n});`;
const journal = async () => (await sql(database.url, 'select n from journal order by n')).map(({ n }) => n);
const history = async () => (await sql(database.url, 'select path from weft.history order by path')).map(({ path }) => path);
const events = (...kinds: string[]) =>
  sql(
    database.url,
    'select e.kind, e.path, e.data from weft.events as e join weft.deployments as d on d.id = e.deployment_id where e.kind = any ($1) order by d.created_at, e.number',
    [kinds],
  );
const states = ({ phases }: Deployment) => Object.fromEntries(phases.flatMap(({ steps }) => steps.map(({ path, state }) => [path, state])));

describe('a file that was applied and has changed', () => {
  it('refuses the deployment before anything runs, and shows what differs, who applied it, and when', async () => {
    const first = await deploy({ '1.sql': `${write(1)}\n${write(2)}\n` });
    const end = await deploy({ '0.sql': write(0), '1.sql': `${write(1)}\n${write(3)}\n` });
    expect(end).toMatchObject({
      state: 'failed',
      error: {
        sqlstate: 'WF013',
        path: '1.sql',
        hint: expect.stringContaining('weft.kept_file'),
        changed: [{ path: '1.sql', deployment: first.id, difference: ['@@ -1,3 +1,3 @@', ` ${write(1)}`, `-${write(2)}`, `+${write(3)}`, ' '].join('\n') }],
      },
    });
    expect(end.error?.detail).toContain(`--- 1.sql, as deployment ${first.id} applied it on 20`);
    expect(end.error?.detail).toContain(`\n-${write(2)}\n+${write(3)}\n`);
    expect(await journal()).toEqual([1, 2]);
  });

  it('is shown for the first five of several', async () => {
    const many = (n: number) => Object.fromEntries(Array.from({ length: 7 }, (_, at) => [`${at}.sql`, write(n + at)]));
    await deploy(many(0));
    const end = await deploy(many(100));
    expect(end.error?.message).toBe('0.sql, 1.sql, 2.sql, 3.sql, 4.sql and 2 more was applied before with other bytes.');
    const changed = end.error?.changed as { difference: string | null }[];
    expect(changed.map(({ difference }) => difference !== null)).toEqual([true, true, true, true, true, false, false]);
    expect(end.error?.detail?.match(/^---/gm)).toHaveLength(5);
  });

  it('of more than compared_bytes is told by its digests', async () => {
    const large = (n: number) => `${write(n)}\n--${' x'.repeat(600_000)}\n`;
    await deploy({ '1.sql': large(1) });
    const end = await deploy({ '1.sql': large(2) });
    expect(end).toMatchObject({
      state: 'failed',
      error: { sqlstate: 'WF013', changed: [{ difference: null }], detail: expect.stringContaining('compared_bytes') },
    });
  });

  it('can be given its applied content back from the database', async () => {
    const content = `-- ü\n${write(1)}`;
    await deploy({ '1.sql': content });
    const [row] = await sql(database.url, `select convert_from(weft.kept_file('shop', '1.sql'), 'UTF8') as content`);
    expect(row.content).toBe(content);
    expect(await deploy({ '1.sql': content })).toMatchObject({ state: 'succeeded' });
  });

  it('keeps its bytes as long as the history names it: the deployment that brought them cannot be deleted', async () => {
    const { id } = await deploy({ '1.sql': write(1) });
    await expect(sql(database.url, 'delete from weft._deployments where id = $1', [id])).rejects.toMatchObject({
      code: '23503',
      message: `Deployment ${id} has applied files, or brought their bytes: the history names it.`,
    });
  });
});

describe('a change of comments and white space', () => {
  it('is none: nothing runs, the history takes the new bytes over, and the journal says so', async () => {
    const first = await deploy({ '1.sql': write(1) });
    const end = await deploy({ '1.sql': `-- the first\ninsert  into journal\n  values ( 1 );\n` });
    expect(end).toMatchObject({ state: 'succeeded', phases: [{ steps: [{ state: 'skipped', result: { history: { content: 'unchanged' } } }] }] });
    expect(await journal()).toEqual([1]);
    expect(await events('content_unchanged')).toEqual([
      { kind: 'content_unchanged', path: '1.sql', data: { digest_before: first.phases[0]?.steps[0]?.digest, digest: end.phases[0]?.steps[0]?.digest } },
    ]);
    expect(await sql(database.url, 'select deployment_id as id, digest from weft.history')).toEqual([
      { id: first.id, digest: end.phases[0]?.steps[0]?.digest },
    ]);
  });

  it('is forgotten by the next deployment, and what changes later is held against the new bytes', async () => {
    await deploy({ '1.sql': write(1) });
    const reformatted = `/* the first */\n${write(1)}\n`;
    await deploy({ '1.sql': reformatted });
    await deploy({ '1.sql': reformatted });
    expect(await events('content_unchanged')).toHaveLength(1);
    const end = await deploy({ '1.sql': `/* the first */\n${write(2)}\n` });
    expect(end.error?.changed).toMatchObject([{ difference: ['@@ -1,3 +1,3 @@', ' /* the first */', `-${write(1)}`, `+${write(2)}`, ' '].join('\n') }]);
  });

  it('inside of a function’s body is a change', async () => {
    await deploy({ '1.sql': 'create function f() returns int language sql as $$ select 1 $$;' });
    expect(await deploy({ '1.sql': 'create function f() returns int language sql as $$ select  1 $$;' })).toMatchObject({ error: { sqlstate: 'WF013' } });
  });
});

describe('a renamed file', () => {
  it('with the same bytes is not run again, and the history follows', async () => {
    await deploy({ '1.sql': write(1), '2.sql': write(2) });
    const end = await deploy({ '1.sql': write(1), 'new/2.sql': write(2), '3.sql': write(3) });
    expect(end).toMatchObject({ state: 'succeeded' });
    expect(states(end)).toEqual({ '1.sql': 'skipped', 'new/2.sql': 'skipped', '3.sql': 'succeeded' });
    expect(await events('renamed')).toEqual([{ kind: 'renamed', path: 'new/2.sql', data: { from: '2.sql' } }]);
    expect(await history()).toEqual(['1.sql', '3.sql', 'new/2.sql']);
    expect(await journal()).toEqual([1, 2, 3]);
  });

  it('is known also when comments and white space were changed with its name', async () => {
    await deploy({ '1.sql': write(1) });
    expect(states(await deploy({ '0001.sql': `-- the first\n${write(1)}` }))).toEqual({ '0001.sql': 'skipped' });
    expect(await journal()).toEqual([1]);
  });

  it('is followed by no rehearsal, also where comments were changed: it shows that nothing runs, and the history stays', async () => {
    const rows = () => sql(database.url, 'select path, digest, deployment_id, bytes_in, place from weft._history order by path');
    const phases = [{ name: 'main', transaction: 'per-step', steps: [{ run: '*.sql' }, { run: 'views/*.sql', repeat: 'on-change' }] }];
    const views = { 'views/b.sql': 'create or replace view b as select 1 as n;', 'views/a.sql': 'create or replace view a as select n from b;' };
    await deploy({ '1.sql': write(1), '2.sql': write(2), ...views }, { phases });
    const before = await rows();
    const renamed = {
      '3.sql': write(1),
      '2.sql': `-- 2\n${write(2)}`,
      'views/c.sql': views['views/a.sql'],
      'views/b.sql': 'create or replace view b as select 2 as n;',
    };
    const rehearsal = await deployFiles(connectOver(database.url), { 'weft.yaml': JSON.stringify({ name: 'shop', phases }), ...renamed }, { mode: 'rehearse' });
    expect(rehearsal).toMatchObject({ state: 'succeeded', rehearsal: { passes: 1, steps: [{ path: 'views/b.sql', state: 'succeeded' }] } });
    expect(await rows()).toEqual(before);
    expect(states(await deploy(renamed, { phases }))).toEqual({ '2.sql': 'skipped', '3.sql': 'skipped', 'views/b.sql': 'succeeded', 'views/c.sql': 'skipped' });
    expect(await history()).toEqual(['2.sql', '3.sql', 'views/b.sql', 'views/c.sql']);
  });

  it('stays under its old name where the deployment fails and nothing of it is committed, and so do bytes and words', async () => {
    const bundleFile = (mode: string) => ({
      phases: [
        {
          name: 'main',
          transaction: 'single',
          steps: [{ run: '**/*.sql' }, { load: 'd/*.csv', into: 'data', mode, ...(mode === 'sync' ? { key: ['n'] } : {}) }],
        },
      ],
    });
    await sql(database.url, 'create table data (n int primary key)');
    const before = { '1.sql': write(1), '2.sql': write(2), 'd/1.csv': 'n\n1\n' };
    expect(await deploy(before, bundleFile('sync'))).toMatchObject({ state: 'succeeded' });
    const kept = await sql(database.url, 'select * from weft._history order by path');
    const renamed = { 'a.sql': write(1), '2.sql': `-- two\n${write(2)}`, 'd/1.csv': 'n\n1\n' };
    const end = await deploy({ ...renamed, '3.sql': 'select 1 / 0' }, bundleFile('insert'));
    expect(end).toMatchObject({ state: 'failed', error: { sqlstate: '22012' } });
    expect((await events('renamed', 'content_unchanged', 'reworded')).map(({ path }) => path)).toEqual(['2.sql', 'a.sql', 'd/1.csv']);
    expect(await sql(database.url, 'select * from weft._history order by path')).toEqual(kept);
    expect(await deploy(renamed, bundleFile('insert'))).toMatchObject({ state: 'succeeded' });
    expect(await history()).toEqual(['2.sql', 'a.sql', 'd/1.csv']);
    expect(await journal()).toEqual([1, 2]);
  });

  it('keeps its new name where something behind it was committed before the deployment failed', async () => {
    await deploy({ '1.sql': write(1) });
    expect(await deploy({ 'a.sql': write(1), 'b.sql': write(2), 'c.sql': 'select 1 / 0' })).toMatchObject({ state: 'failed' });
    expect(await history()).toEqual(['a.sql', 'b.sql']);
  });

  it('may get its old name back', async () => {
    for (const path of ['1.sql', '0001.sql', '1.sql']) expect(await deploy({ [path]: write(1) })).toMatchObject({ state: 'succeeded' });
    expect(await journal()).toEqual([1]);
    expect(await history()).toEqual(['1.sql']);
  });

  it('of several at once, each with its own content, are all known', async () => {
    await deploy({ '1.sql': write(1), '2.sql': write(2) });
    expect(states(await deploy({ 'a/1.sql': write(1), 'a/2.sql': write(2) }))).toEqual({ 'a/1.sql': 'skipped', 'a/2.sql': 'skipped' });
  });

  it('whose name another file has taken is not known: that one has changed', async () => {
    await deploy({ '1.sql': write(1) });
    expect(await deploy({ '1.sql': write(2), '2.sql': write(1) })).toMatchObject({ state: 'failed', error: { sqlstate: 'WF013', path: '1.sql' } });
  });

  it('is no rename while the old path is there: then it is a copy, and runs', async () => {
    await deploy({ '1.sql': write(1) });
    expect(states(await deploy({ '1.sql': write(1), '2.sql': write(1) }))).toEqual({ '1.sql': 'skipped', '2.sql': 'succeeded' });
    expect(await journal()).toEqual([1, 1]);
  });

  it.each([
    ['one gone and two new', { '1.sql': write(1) }, { 'a.sql': write(1), 'b.sql': write(1) }],
    ['two gone and one new', { '1.sql': write(1), '2.sql': write(1) }, { 'a.sql': write(1) }],
    ['two gone and two new', { '1.sql': write(1), '2.sql': write(1) }, { 'a.sql': write(1), 'b.sql': write(1) }],
    [
      'two gone and two new that differ in comments',
      { '1.sql': write(1), '2.sql': `${write(1)} -- 2` },
      { 'a.sql': `/* a */ ${write(1)}`, 'b.sql': `/* b */ ${write(1)}` },
    ],
  ])('that could be any of several is refused, with words: %s of one content', async (_, before, after) => {
    await deploy(before as Files);
    const end = await deploy(after as Files);
    expect(end).toMatchObject({ state: 'failed', error: { sqlstate: 'WF060', path: 'a.sql', hint: expect.stringContaining('one file at a time') } });
    expect(end.error?.detail).toBe(
      `Applied, and gone from the bundle: ${Object.keys(before).join(', ')}; new, with the same content: ${Object.keys(after).join(', ')}. Nothing of this deployment was run.`,
    );
    expect(await journal()).toHaveLength(Object.keys(before).length);
  });

  it('that holds nothing is run: there is nothing to be known by', async () => {
    await deploy({ '1.sql': '', '2.sql': '-- nothing' });
    expect(states(await deploy({ '3.sql': '', '4.sql': '-- nothing at all', '5.sql': '' }))).toEqual({
      '3.sql': 'succeeded',
      '4.sql': 'succeeded',
      '5.sql': 'succeeded',
    });
  });

  it('of another bundle is none', async () => {
    await deploy({ '1.sql': write(1) });
    await deploy({ '2.sql': write(1) }, { name: 'other' });
    expect(await journal()).toEqual([1, 1]);
  });
});

describe('a new file in front of one that was applied', () => {
  const late = { '1.sql': write(1), '2.sql': write(2) };

  it('runs under "order: any", the default, and the journal and the step say so', async () => {
    await deploy({ '2.sql': write(2), '3.sql': write(3) });
    const end = await deploy({ ...late, '3.sql': write(3), '4.sql': write(4) });
    expect(end).toMatchObject({
      state: 'succeeded',
      phases: [{ steps: [{ path: '1.sql', state: 'succeeded', result: { history: { out_of_order: '3.sql' } } }, {}, {}, { result: null }] }],
    });
    expect(await events('out_of_order')).toEqual([{ kind: 'out_of_order', path: '1.sql', data: { behind: '3.sql' } }]);
    expect(await journal()).toEqual([1, 2, 3, 4]);
  });

  it('is refused under "order: strict", before anything runs', async () => {
    await deploy({ '2.sql': write(2) }, { order: 'strict' });
    for (const _ of ['once', 'and again']) {
      const end = await deploy({ ...late, '3.sql': write(3) }, { order: 'strict' });
      expect(end).toMatchObject({
        state: 'failed',
        error: { sqlstate: 'WF061', path: '1.sql', detail: expect.stringContaining('2.sql has been applied, and its place is behind 1.sql.') },
      });
    }
    expect(await journal()).toEqual([2]);
  });

  it('is looked at among the files of one entry: the others have no order to break', async () => {
    const phases = [{ name: 'main', transaction: 'per-step', steps: [{ run: 'b/*.sql' }, { run: 'a.sql' }] }];
    await deploy({ 'b/1.sql': write(1), 'a.sql': write(9) }, { order: 'strict', phases });
    expect(await deploy({ 'b/1.sql': write(1), 'b/2.sql': write(2), 'a.sql': write(9) }, { order: 'strict', phases })).toMatchObject({ state: 'succeeded' });
    const end = await deploy({ 'b/0.sql': write(0), 'b/1.sql': write(1), 'b/2.sql': write(2), 'a.sql': write(9) }, { order: 'strict', phases });
    expect(end).toMatchObject({ state: 'failed', error: { sqlstate: 'WF061', path: 'b/0.sql' } });
  });

  it('that a condition left out before, or that failed and was tolerated, is not new', async () => {
    const steps = [{ run: '1.sql', when: 'exists (select from journal where n = 9)' }, { run: '2.sql', on_error: 'continue' }, { run: '3.sql' }];
    const phases = [{ name: 'main', transaction: 'per-step', steps }];
    const files = { '1.sql': write(1), '2.sql': 'insert into nowhere values (1)', '3.sql': write(3) };
    expect(await deploy(files, { order: 'strict', phases })).toMatchObject({ state: 'degraded' });
    await sql(database.url, 'insert into journal values (9); create table nowhere (n int)');
    expect(await deploy(files, { order: 'strict', phases })).toMatchObject({ state: 'succeeded' });
    expect(await journal()).toEqual([1, 3, 9]);
  });

  it('that was renamed from behind is not run, so it breaks no order', async () => {
    await deploy({ '2.sql': write(2), '3.sql': write(3) }, { order: 'strict' });
    expect(await deploy({ '1.sql': write(3), '2.sql': write(2) }, { order: 'strict' })).toMatchObject({ state: 'succeeded' });
  });
});
