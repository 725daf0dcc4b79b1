/**
 * The receipt: the account of how a deployment ended, written in the transaction in which it did, and the same bytes ever after.
 */
import { createHash } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { dropDatabase, freshDatabase, type TestDatabase } from '../support/database.ts';
import { AT_THE_GATE, connectOver, deployFiles, makeOrder, openOrder, shutGate, stageFiles } from '../support/orders.ts';
import { sql } from '../support/sql.ts';

let database: TestDatabase;

beforeEach(async () => {
  database = await freshDatabase();
});

afterEach(() => database.drop());

const FILES = { '1.sql': 'create table shelf (n integer primary key);', '2.sql': 'insert into shelf values (1), (2);' };
const deploy = (files: Readonly<Record<string, string>>, options: Parameters<typeof deployFiles>[2] = {}) =>
  deployFiles(connectOver(database.url), files, options);
const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

interface Receipt {
  readonly number: number;
  readonly sha256: string;
  readonly text: string;
  // biome-ignore lint/suspicious/noExplicitAny: the document of a receipt
  readonly document: any;
}

async function receiptsOf(id: string): Promise<Receipt[]> {
  const rows = await sql(database.url, `select number, sha256, document from weft.receipts where deployment_id = '${id}' order by number`);
  return rows.map(({ number, sha256: digest, document }) => ({ number, sha256: digest, text: document, document: JSON.parse(document) }));
}

describe('a receipt', () => {
  it('says who deployed what, what each step came to, and how the database was before and after', async () => {
    const end = await deploy(FILES, { caller: 'ci', id: 'run-7' });
    const [receipt, ...more] = await receiptsOf(end.id);
    expect(more).toEqual([]);
    const { order } = await makeOrder(FILES, { caller: 'ci', id: 'run-7' });
    expect(receipt?.document).toMatchObject({
      format: 1,
      id: end.id,
      number: 1,
      state: 'succeeded',
      bundle: 'shop',
      mode: 'apply',
      caller: 'ci',
      request: { id: 'run-7', size: order.request.length, sha256: sha256(Buffer.from(order.request).toString()) },
      manifest: { sha256: expect.stringMatching(/^[0-9a-f]{64}$/) },
      phases: [
        {
          name: 'main',
          state: 'succeeded',
          steps: [
            { path: '1.sql', state: 'succeeded', statements: 1, rows: 0, tries: 1, digest: sha256(FILES['1.sql']) },
            { path: '2.sql', state: 'succeeded', statements: 1, rows: 2, tries: 1, digest: sha256(FILES['2.sql']) },
          ],
        },
      ],
      attempts: [{ number: 1, phase: 'main', outcome: 'done' }],
      error: null,
      fingerprint: end.fingerprint,
      wal: { before: expect.stringMatching(/^[0-9A-F]+\/[0-9A-F]+$/), after: expect.stringMatching(/^[0-9A-F]+\/[0-9A-F]+$/) },
      engine_version: { before: 1, after: 1 },
      server_version: { before: expect.stringMatching(/^\d+/), after: expect.stringMatching(/^\d+/) },
    });
    expect(receipt?.document.finished_at).toMatch(/\+00:00$/);
    expect(receipt?.sha256).toBe(sha256(receipt?.text ?? ''));
    expect(end.receipt).toMatchObject({ number: 1, sha256: receipt?.sha256 });
  });

  it('is of a failure, too, with the error; of one that was cancelled before it began, and of one that was refused', async () => {
    const failed = await deploy({ '1.sql': 'select 1;', '2.sql': 'select 1 / 0;' });
    expect((await receiptsOf(failed.id))[0]?.document).toMatchObject({
      state: 'failed',
      error: { sqlstate: '22012', path: '2.sql', line: 1 },
      phases: [{ state: 'failed', steps: [{ state: 'succeeded' }, { state: 'failed', error: { sqlstate: '22012' } }] }],
    });

    const cancelled = await stageFiles(database.url, FILES);
    await sql(database.url, `select weft.cancel('${cancelled}', 'somebody')`);
    expect((await receiptsOf(cancelled))[0]?.document).toMatchObject({
      state: 'cancelled',
      started_at: null,
      cancelled: { caller: 'somebody' },
      phases: [{ state: 'pending' }],
    });

    await deploy(FILES);
    const refused = await deploy({ ...FILES, '1.sql': 'create table shelf (n bigint primary key);' });
    expect((await receiptsOf(refused.id))[0]?.document).toMatchObject({ state: 'failed', error: { sqlstate: 'WF013' } });
  });

  it('is of a rehearsal with its report, and of an undo with what it takes back', async () => {
    const rehearsal = await deploy(FILES, { mode: 'rehearse' });
    expect((await receiptsOf(rehearsal.id))[0]?.document).toMatchObject({
      state: 'succeeded',
      mode: 'rehearse',
      rehearsal: { steps: [{ path: '1.sql', state: 'succeeded' }, {}] },
    });

    const phases = [{ name: 'main', steps: [{ run: '1.sql', undo: '1.undo.sql' }] }];
    const done = await deploy({ 'weft.yaml': JSON.stringify({ name: 'shop', phases }), '1.sql': FILES['1.sql'], '1.undo.sql': 'drop table shelf;' });
    expect((await receiptsOf(done.id))[0]?.document.artifacts).toEqual([{ path: '1.undo.sql', size: 17, sha256: sha256('drop table shelf;') }]);
    const [{ undo }] = await sql(database.url, `select weft.undo('${done.id}') ->> 'deployment' as undo`);
    await sql(database.url, `call weft.run('${undo}')`);
    expect((await receiptsOf(undo))[0]?.document).toMatchObject({
      state: 'succeeded',
      undoes: done.id,
      compared: { verdict: 'same' },
      phases: [{ steps: [{ path: '1.undo.sql', undoes: '1.sql', state: 'succeeded' }] }],
    });
  });

  it('shows plain parameters with their values, secret ones as digests', async () => {
    const bundle = {
      'weft.yaml': JSON.stringify({
        name: 'shop',
        parameters: { town: { type: 'text' }, token: { type: 'text', secret: true } },
        phases: [{ name: 'main', steps: [{ run: '1.sql' }] }],
      }),
      '1.sql': `do $$ begin perform weft.parameter('token'); end $$;`,
    };
    const end = await deploy(bundle, { parameters: { town: 'Ulm' }, secrets: { token: 'correct horse battery' } });
    const [receipt] = await receiptsOf(end.id);
    expect(receipt?.document.parameters).toMatchObject([
      { name: 'token', secret: true, given: true, value: null },
      { name: 'town', value: 'Ulm' },
    ]);
    expect(receipt?.text).not.toContain('correct horse');
  });

  it('of a deployment that was cancelled at work says of no phase that it runs', async () => {
    const phase = (name: string) => ({ name, transaction: 'per-step', lock_timeout: '1h', steps: [{ run: `${name}.sql` }] });
    const files = {
      'weft.yaml': JSON.stringify({ name: 'shop', phases: ['a', 'b', 'c'].map(phase) }),
      'a.sql': 'select 1;',
      'b.sql': AT_THE_GATE,
      'c.sql': 'select 3;',
    };
    const gate = await shutGate(database.url);
    const id = await stageFiles(database.url, files);
    const running = sql(database.url, `call weft.run('${id}')`);
    await gate.reached();
    await sql(database.url, `select weft.cancel('${id}')`);
    const [{ result }] = await running;
    await gate.open();
    const phases = [
      { state: 'succeeded' },
      { state: 'cancelled', finished_at: expect.any(String), steps: [{ state: 'pending' }] },
      { state: 'pending', started_at: null },
    ];
    expect(result).toMatchObject({ state: 'cancelled', phases });
    expect((await receiptsOf(id))[0]?.document).toMatchObject({ state: 'cancelled', phases });
  });

  it('is there exactly when the deployment is over: they are one commit', async () => {
    const client = await database.client();
    const id = await stageFiles(database.url, FILES);
    await client.query('begin');
    await client.query(`select weft.cancel('${id}')`);
    expect(await receiptsOf(id)).toEqual([]);
    await client.query('rollback');
    await client.end();
    expect(await receiptsOf(id)).toEqual([]);
    await sql(database.url, `call weft.run('${id}')`);
    expect(await receiptsOf(id)).toHaveLength(1);
    expect(
      await sql(
        database.url,
        `select count(distinct xmin::text)::int as n from (select xmin from weft._receipts union all select xmin from weft._deployments) as x`,
      ),
    ).toEqual([{ n: 1 }]);
  });

  it('stays what it was when the deployment is opened again, and another one is added', async () => {
    const phases = [{ name: 'main', steps: [{ run: '1.sql' }, { run: '2.sql', on_error: 'continue' }] }];
    const end = await deploy({ 'weft.yaml': JSON.stringify({ name: 'shop', phases }), '1.sql': 'select 1;', '2.sql': 'select * from missing;' });
    const before = await receiptsOf(end.id);
    expect(before).toMatchObject([{ number: 1, document: { state: 'degraded' } }]);
    await sql(database.url, 'create table missing ()');
    await sql(database.url, `call weft.run('${end.id}', p_reopen => '{"caller": "an operator"}')`);
    const after = await receiptsOf(end.id);
    expect(after).toMatchObject([
      { number: 1, sha256: before[0]?.sha256, text: before[0]?.text },
      { number: 2, document: { state: 'succeeded', number: 2, reopened: [{ caller: 'an operator' }] } },
    ]);
    expect(await sql(database.url, `select weft.receipt('${end.id}') as newest, weft.receipt('${end.id}', 1) as first`)).toEqual([
      { newest: after[1]?.text, first: before[0]?.text },
    ]);
    await expect(sql(database.url, `select weft.receipt('${end.id}', 3)`)).rejects.toMatchObject({
      code: 'WF091',
      message: expect.stringContaining('has no receipt with number 3'),
    });
  });

  it('is what a repeated request gets: the first one’s, to the byte', async () => {
    const first = await deploy(FILES, { id: 'the same' });
    const [receipt] = await receiptsOf(first.id);
    await sql(database.url, 'create table by_hand ()');
    const second = await deploy(FILES, { id: 'the same' });
    expect(second).toMatchObject({ id: first.id, receipt: first.receipt });
    expect(await receiptsOf(first.id)).toEqual([receipt]);
    const session = await connectOver(database.url)();
    expect(await openOrder(session, await makeOrder(FILES, { id: 'the same' }))).toMatchObject({ id: first.id, repeated: true, receipt: first.receipt });
    await session.close();
  });

  it('reads the same whatever the session has set, and is written so', async () => {
    await sql(database.url, `alter database ${database.name} set timezone = 'Asia/Kolkata'`);
    const id = await stageFiles(database.url, FILES);
    await sql(database.url, `call weft.run('${id}')`); // from a session that has set nothing else
    expect((await receiptsOf(id))[0]?.document.finished_at).toMatch(/\+00:00$/);
    const read = async (settings: string) => (await sql(database.url, `${settings}; select weft.receipt('${id}') as text`))[0].text;
    expect(await read(`set timezone = 'Asia/Kolkata'; set datestyle = 'german'`)).toBe(await read('select 1'));
  });

  it('is not to be had before the end, and the refusal says how far the deployment is', async () => {
    const id = await stageFiles(database.url, FILES);
    await expect(sql(database.url, `select weft.receipt('${id}')`)).rejects.toMatchObject({
      code: 'WF091',
      message: `Deployment ${id} has no receipt yet: it is staged.`,
    });
    await expect(sql(database.url, `select weft.receipt('00000000-0000-0000-0000-000000000000')`)).rejects.toMatchObject({ code: 'WF002' });
  });
});

describe('nobody changes a receipt', () => {
  it.each([
    ['update', `update weft._receipts set document = '{}'`],
    ['delete', 'delete from weft._receipts'],
    ['truncate', 'truncate weft._receipts'],
    ['delete of its deployment', 'delete from weft._deployments'],
  ])('not by %s, not even who owns the schema', async (_, statement) => {
    const end = await deploy(FILES);
    const before = await receiptsOf(end.id);
    await expect(sql(database.url, statement)).rejects.toMatchObject({ code: expect.stringMatching(/^(WF090|23001|23503)$/) });
    expect(await receiptsOf(end.id)).toEqual(before);
  });

  it('nor does a file of a deployment', async () => {
    const end = await deploy(FILES);
    const other = await deploy({ ...FILES, '3.sql': 'delete from weft._receipts;' });
    expect(other).toMatchObject({ state: 'failed', error: { sqlstate: 'WF090', path: '3.sql' } });
    expect(await receiptsOf(end.id)).toHaveLength(1);
  });
});

describe('the end of a deployment does not fail because of its receipt', () => {
  it('where the database has no encoding, and an error quotes bytes that are no UTF-8', async () => {
    const name = `${database.name}_ascii`;
    await sql(database.url, `create database ${name} encoding 'SQL_ASCII' lc_collate 'C' lc_ctype 'C' template template0`);
    const url = new URL(database.url);
    url.pathname = `/${name}`;
    try {
      const files = {
        'weft.yaml': `name: shop\nphases: [{ name: main, transaction: per-step, on_error: continue, steps: [{ run: '*.sql' }] }]\n`,
        '1.sql': `create table p (x text primary key); insert into p values (chr(233)); comment on table p is E'\\351';`,
        '2.sql': 'insert into p values (chr(233));',
      };
      const end = await deployFiles(connectOver(url.href), files);
      expect(end).toMatchObject({ state: 'degraded', fingerprint: { after: expect.stringMatching(/^1:/) } });
      const [{ document, sha256: digest }] = await sql(url.href, 'select document, sha256 from weft.receipts');
      expect(digest).toBe(sha256(document));
      expect(JSON.parse(document).phases[0].steps[1]).toMatchObject({ path: '2.sql', state: 'failed', error: { detail: 'Key (x)=(?) already exists.' } });
    } finally {
      await dropDatabase(database.url, name);
    }
  });

  it('and there a plan, and the plan of an undo, can be told to a client too, whatever bytes are in names', async () => {
    const name = `${database.name}_ascii`;
    await sql(database.url, `create database ${name} encoding 'SQL_ASCII' lc_collate 'C' lc_ctype 'C' template template0`);
    const url = new URL(database.url);
    url.pathname = `/${name}`;
    const made = (columns: string) =>
      `do $$ begin execute format('create or replace view %I as select ${columns}', convert_from('\\xe9', 'SQL_ASCII')); end $$;`;
    try {
      const files = (columns: string) => ({
        'weft.yaml': 'name: shop\nphases: [{ name: main, steps: [{ run: v.sql, repeat: on-change }] }]\n',
        'v.sql': made(columns),
      });
      await deployFiles(connectOver(url.href), files('1 as n'));
      const newer = await deployFiles(connectOver(url.href), files('1 as n, 2 as m'));
      expect(newer.state).toBe('succeeded');
      await sql(url.href, `do $$ begin execute format('create view w as select * from %I', convert_from('\\xe9', 'SQL_ASCII')); end $$;`);
      const [{ plan }] = await sql(url.href, `select weft.plan_undo('${newer.id}') as plan`);
      expect(JSON.stringify(plan.foreseen)).toContain('?');
      await sql(url.href, `set client_min_messages = error; do $$ begin execute format('drop view %I cascade', convert_from('\\xe9', 'SQL_ASCII')); end $$;`);
      const [{ lost }] = await sql(url.href, `select weft.plan(d.manifest) -> 'lost' as lost from weft._deployments as d order by d.place desc limit 1`);
      expect(lost).toMatchObject([{ path: 'v.sql' }]);
      expect(JSON.stringify(lost)).toContain('?');
    } finally {
      await dropDatabase(database.url, name);
    }
  });

  it('whatever is wrong with the account: then the receipt says just that', async () => {
    await sql(
      database.url,
      `create or replace function weft._account_for(p_deployment uuid, p_number bigint) returns text language sql as $$ select (1 / 0)::text $$`,
    );
    const end = await deploy(FILES);
    expect(end).toMatchObject({ state: 'succeeded' });
    const [receipt] = await receiptsOf(end.id);
    expect(receipt?.document).toMatchObject({ format: 1, id: end.id, number: 1, state: 'succeeded', incomplete: '22012: division by zero' });
    expect(receipt?.sha256).toBe(sha256(receipt?.text ?? ''));
  });
});
