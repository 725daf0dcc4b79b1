/**
 * Secret parameters: they come with each CALL, and are stored nowhere. Whatever happens to a deployment, its secrets are in no table of
 * schema weft, in no answer, and in no log of the server.
 */
import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readEvents } from '../../src/database/engine.ts';
import { cancel } from '../../src/deployment/cancel.ts';
import { deploy } from '../../src/deployment/deploy.ts';
import { resume } from '../../src/deployment/resume.ts';
import { Problem } from '../../src/domain/problem.ts';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { AT_THE_GATE, connectOver, makeOrder, type OrderOptions, shutGate, stageFiles, until } from '../support/orders.ts';
import { offers } from '../support/source.ts';
import { serverLog, serverLogEnd, sql } from '../support/sql.ts';

let database: TestDatabase;
let secret: string;
/** All that came back to whoever called. */
let heard: string[];
/** From where on the server's log is read, in bytes: a little before the test, so that something is there to be read. */
let logBegin: number;

beforeEach(async () => {
  database = await freshDatabase();
  // whatever has to be escaped somewhere, and longer than what a server shows of a value
  secret = `it's "${randomBytes(40).toString('base64url')}" \\ Ünïcode`;
  heard = [];
  logBegin = offers('processes to stop') ? Math.max(0, (await serverLogEnd(database.superuserUrl ?? '')) - 1000) : 0;
  await sql(database.url, 'create table vault (token text primary key check (length(token) < 1000), n int)');
});

afterEach(() => database.drop());

const DECLARED = { token: { type: 'text', secret: true }, region: { type: 'text', default: 'eu' } };

const bundle = (phase: object, name = 'shop', declared: object = DECLARED) =>
  JSON.stringify({ name, parameters: declared, phases: [{ name: 'main', transaction: 'single', steps: [{ run: '**/*.sql' }], ...phase }] });

async function orderOf(files: Readonly<Record<string, string>>, options: OrderOptions & { phase?: object; declared?: object } = {}) {
  const named = { 'weft.yaml': bundle(options.phase ?? {}, options.bundle, options.declared), ...files };
  return makeOrder(named, { secrets: { token: secret }, ...options });
}

async function deployOne(files: Readonly<Record<string, string>>, options: OrderOptions & { phase?: object; declared?: object } = {}) {
  const { order, chunks } = await orderOf(files, options);
  const end = await deploy({ connect: connectOver(database.url), order, chunks, deadlineMs: 50_000, onStatus: (status) => heard.push(JSON.stringify(status)) })
    .done;
  heard.push(JSON.stringify(end));
  return end;
}

const refusal = async (promise: Promise<unknown>) => {
  const thrown = await promise.then(
    () => null,
    (error: unknown) => error,
  );
  expect(thrown).toBeInstanceOf(Problem);
  heard.push(JSON.stringify(thrown), (thrown as Problem).message);
  return thrown as Problem;
};

/** Everything that schema weft holds, as text. */
async function dump(): Promise<string> {
  const tables = await sql(
    database.url,
    `select c.oid::regclass::text as name from pg_class as c where c.relnamespace = 'weft'::regnamespace and c.relkind in ('r', 'v')`,
  );
  const rows: string[] = [];
  for (const { name } of tables) rows.push(...(await sql(database.url, `select t::text as row from ${name} as t`)).map(({ row }) => row));
  return rows.join('\n');
}

/** Looks for the secret in whatever form, and for any part of it that is long enough to be one. */
async function expectNoTrace(from?: { readonly log: false }) {
  const session = await connectOver(database.url)();
  const [{ ids }] = await sql(database.url, 'select array_agg(id::text) as ids from weft.deployments');
  for (const id of ids ?? []) heard.push(JSON.stringify(await readEvents(session, id, 0)));
  await session.close();
  const places: Record<string, string> = { tables: await dump(), answers: heard.join('\n') };
  if (from?.log !== false && offers('processes to stop')) places.log = await serverLog(database.superuserUrl ?? '', logBegin);
  const key = secret.slice(6, 40);
  const parts = Array.from({ length: key.length - 7 }, (_, at) => key.slice(at, at + 8));
  const forms = [...parts, secret, Buffer.from(key).toString('hex'), Buffer.from(secret).toString('base64').slice(0, 40)].map((form) => form.toLowerCase());
  for (const [place, text] of Object.entries(places)) {
    const low = text.toLowerCase();
    expect(low.length).toBeGreaterThan(100);
    expect(
      forms.filter((form) => low.includes(form)),
      place,
    ).toEqual([]);
  }
}

const LANES = ['single', 'per-step', 'auto', 'none'];

describe.each(LANES)('transaction: %s, no trace is left of a secret', (transaction) => {
  it('after a deployment that succeeded, and the files have read it', async () => {
    const file = `insert into vault values (:'token', 1);\nset app.token = :'token';\ninsert into vault values (current_setting('app.token') || weft.parameter('token'), 2);`;
    const end = await deployOne({ '1.sql': file }, { phase: { transaction } });
    expect(end, JSON.stringify(end.error)).toMatchObject({ state: 'succeeded' });
    expect((await sql(database.url, 'select token from vault order by n')).map(({ token }) => token)).toEqual([secret, secret + secret]);
    expect(end.parameters).toEqual([
      { name: 'region', type: 'text', secret: false, given: false, value: 'eu', digest: null },
      { name: 'token', type: 'text', secret: true, given: true, value: null, digest: null },
    ]);
    await expectNoTrace();
  });

  it.each([
    ['a key that is there already, with its value in the detail', `insert into vault values (:'token', 1);`, '23505'],
    ['a rule that a long row breaks, cut by the server', `insert into vault values (repeat(:'token', 90), 1);`, '23514'],
    ['a value of another type', `select (:'token')::int;`, '22P02'],
    ['a document that is none, quoted in pieces', `select ('[' || substr(weft.parameter('token'), 7) || ']')::jsonb;`, '22P02'],
    ['a syntax error within it', 'select :token;', undefined],
    ['a name that is none, in lower case', 'select 1 as ok; select :"token" from vault;', '42703'],
    [
      'what a file raises',
      `do $$ begin raise exception '% is wrong', weft.parameter('token') using detail = weft.parameter('token'), hint = upper(weft.parameter('token')); end $$;`,
      'P0001',
    ],
    ['what a statement within a function says', `do $$ begin execute format('select %L::int', weft.parameter('token')); end $$;`, '22P02'],
  ])('after a failure: %s', async (_, file, sqlstate) => {
    await sql(database.url, 'insert into vault values ($1, 0)', [secret]);
    const end = await deployOne({ '1.sql': file }, { phase: { transaction } });
    expect(end).toMatchObject({ state: 'failed', error: { path: '1.sql', line: 1, ...(sqlstate && { sqlstate }) } });
    expect(end.error?.statement).toContain('token');
    await expectNoTrace();
  });

  it('after a condition that cannot be evaluated', async () => {
    const phase = { transaction, steps: [{ run: '1.sql', when: `weft.parameter('token')::boolean` }] };
    expect(await deployOne({ '1.sql': 'select 1;' }, { phase })).toMatchObject({ state: 'failed', error: { sqlstate: '22P02' } });
    await expectNoTrace();
  });

  it('after a lock that was not to be had', async () => {
    const holder = await database.client();
    await holder.query(`begin; select 'in the way of ' || $1`.replace('$1', `'${secret.replaceAll("'", "''")}'`));
    await holder.query('lock table vault');
    const phase = { transaction, lock_timeout: '1ms' };
    const deploying = deployOne({ '1.sql': `insert into vault values (:'token', 1);` }, { phase });
    await until(database.url, `exists (select from weft.events where kind = 'lock_not_available')`);
    await expectNoTrace();
    await holder.end();
    expect((await deploying).state).toBe('succeeded');
    await expectNoTrace();
  });

  it('after a cancel in the middle of a statement that holds it', async () => {
    const gate = await shutGate(database.url);
    const deploying = deployOne({ '1.sql': `${AT_THE_GATE.replace(';', '')} from (select :'token') as t;` }, { phase: { transaction } });
    await gate.reached();
    const [{ id }] = await sql(database.url, 'select id from weft.deployments');
    await cancel({ connect: connectOver(database.url), id, caller: null, target: null });
    expect((await deploying).state).toBe('cancelled');
    await gate.open();
    await expectNoTrace();
  });
});

describe('no trace is left', () => {
  it('of a secret that a check finds in a row', async () => {
    const files = { '1.sql': `insert into vault values (:'token', 1);`, 'rule.sql': 'select * from vault' };
    const phase = { steps: [{ run: '1.sql' }], checks: ['rule.sql'] };
    expect(await deployOne(files, { phase })).toMatchObject({ state: 'failed', error: { sqlstate: 'WF022', check: { offenders: [{ n: 1 }] } } });
    await expectNoTrace();
  });

  it.each(['error', 'warn'])('of a secret that is the name of a column, or a key of a document, in the rows of a check (%s)', async (severity) => {
    secret = secret.replace('Ünïcode', 'Unicode').slice(0, 60); // a name has 63 bytes
    const files = {
      '1.sql': 'insert into vault values (1, 2);',
      'rule.sql': `select n as :"token", n as "x${'***'}", jsonb_build_object('a', jsonb_build_array(jsonb_build_object(:'token', 1, :'token' || '!', 2))) as document, n from vault`,
    };
    const end = await deployOne(files, { phase: { steps: [{ run: '1.sql' }], checks: [{ check: 'rule.sql', severity }] } });
    const found = { columns: ['***', 'x***', 'document', 'n'], offenders: [{ '***': 2, 'x***': 2, document: { a: [{ '***': 1, '***!': 2 }] }, n: 2 }] };
    expect(severity === 'error' ? end.error?.check : end.phases[0]?.steps[1]?.result).toMatchObject(found);
    await expectNoTrace();
  });

  it('in the session that goes on behind a cut: the next statement has it all the same', async () => {
    const gate = await shutGate(database.url);
    const file = `set app.token = :'token';\nset app.both = :'token' ':';\n${AT_THE_GATE}\ninsert into vault values (current_setting('app.token') || current_setting('app.both'), 1);`;
    const deploying = deployOne(
      { '1.sql': file.replace(`set app.both = :'token' ':'`, `select set_config('app.both', :'token' || ':', false)`) },
      { phase: { transaction: 'none' } },
    );
    await gate.reached();
    await expectNoTrace();
    const [{ pid }] = await sql(database.url, 'select pid from weft._lease');
    await sql(database.url, 'select pg_terminate_backend($1)', [pid]);
    await gate.open();
    expect((await deploying).state).toBe('succeeded');
    expect(await sql(database.url, 'select token from vault')).toEqual([{ token: `${secret}${secret}:` }]);
    await expectNoTrace({ log: false }); // whoever ends a backend has its statement logged, with the context: docs/BUNDLES.md
  });

  it('of a procedure that commits, handed out and failing, where the statement reads it', async () => {
    await sql(database.url, `create procedure leak(v text) language plpgsql as $$ begin commit; raise exception 'no % today', v; end $$`);
    const phase = { transaction: 'auto', steps: [{ run: '1.sql', done_when: 'false' }] };
    const end = await deployOne({ '1.sql': `call leak(weft.parameter('token'));` }, { phase });
    expect(end).toMatchObject({ state: 'failed', error: { sqlstate: 'P0001', message: expect.stringContaining('***') } });
    await expectNoTrace({ log: false }); // what fails at top level the server logs, as the procedure says it
  });

  it.each([
    ['fails', `insert into vault values (:'token', 0); insert into vault values (:'token', 1);`, 'failed'],
    ['makes an object with the secret in its definition', `create view told as select :'token'::text as token;`, 'succeeded'],
  ])('of a rehearsal that %s', async (_, file, state) => {
    expect(await deployOne({ '1.sql': file }, { mode: 'rehearse' })).toMatchObject({ state, mode: 'rehearse' });
    await expectNoTrace();
  });

  it('of a secret of another type, in the words with which the server refuses it', async () => {
    const declared = { token: { type: 'integer', secret: true } };
    const problem = await refusal(deployOne({ '1.sql': 'create table t ();' }, { declared }));
    expect(problem).toMatchObject({ slug: 'invalid_parameters', message: expect.stringContaining('The parameter "token" is no integer: ') });
    expect(await sql(database.url, 'select id from weft.deployments')).toEqual([]);
    heard.push('x'.repeat(200));
    expect(heard.join()).not.toContain(secret.slice(6, 20));
  });

  it('in the statements’ digests: they are of the text as the file has it', async () => {
    const file = `select :'token';`;
    await deployOne({ '1.sql': file });
    const [{ is_of_file }] = await sql(database.url, `select statement_digests[1] = sha256('select :''token''') as is_of_file from weft._steps`);
    expect(is_of_file).toBe(true);
  });
});

describe('what a deployment needs', () => {
  it('is asked for when it is not there, and then lets others pass', async () => {
    const { order, chunks } = await orderOf({ '1.sql': `insert into vault values (:'token', 1);` }, { bundle: 'a' });
    const waiting = deploy({ connect: connectOver(database.url), order: { ...order, secrets: null }, chunks, deadlineMs: 20_000 });
    expect(await refusal(waiting.done)).toMatchObject({ slug: 'secrets_missing', facts: { parameters: ['token'] } });
    const [{ id, state }] = await sql(database.url, 'select id, state from weft.deployments');
    expect(state).toBe('staged');

    expect(await deployOne({ '1.sql': 'insert into vault values (1, 2);' }, { bundle: 'b', secrets: undefined })).toMatchObject({
      state: 'succeeded',
      ahead: [],
    });
    await sql(database.url, 'call weft.run()');
    expect(await sql(database.url, 'select state::text from weft.deployments where id = $1', [id])).toEqual([{ state: 'staged' }]);

    expect(await refusal(resume({ connect: connectOver(database.url), id, target: null, deadlineMs: 20_000 }))).toMatchObject({ slug: 'secrets_missing' });
    expect(
      await refusal(resume({ connect: connectOver(database.url), id, target: null, secrets: { token: secret, more: 'than that' }, deadlineMs: 20_000 })),
    ).toMatchObject({
      slug: 'invalid_parameters',
      message: expect.stringContaining('"more"'),
    });
    const end = await resume({ connect: connectOver(database.url), id, target: null, secrets: { token: secret }, deadlineMs: 20_000 });
    expect(end.state).toBe('succeeded');
    expect(await sql(database.url, 'select token from vault where n = 1')).toEqual([{ token: secret }]);
    await expectNoTrace();
  });

  it('is asked for by a CALL from psql, and taken from the session', async () => {
    const files = { 'weft.yaml': bundle({}), '1.sql': `insert into vault values (:'token', 1);` };
    const id = await stageFiles(database.url, files, { secrets: { token: secret } });
    const client = await database.client();
    const [lacking] = (await client.query('call weft.run($1)', [id])).rows;
    expect(lacking.result).toMatchObject({ state: 'staged', lacking: ['token'] });
    await client.query(`select set_config('weft.secrets', $1, false)`, [JSON.stringify({ token: secret })]);
    const [end] = (await client.query('call weft.run($1)', [id])).rows;
    expect(end.result).toMatchObject({ state: 'succeeded' });
    expect((await client.query(`select current_setting('weft.secrets') as left, current_setting('weft.values', true) as read`)).rows).toEqual([
      { left: '', read: '' },
    ]);
    await client.end();
    await expectNoTrace();
  });

  describe('with a CALL that names no deployment', () => {
    const say = async (client: Awaited<ReturnType<TestDatabase['client']>>, secrets: object) => {
      await client.query(`select set_config('weft.secrets', $1, false)`, [JSON.stringify(secrets)]);
    };
    const stage = (name: string, declared: object = DECLARED, secrets: Record<string, string> = { token: secret }) =>
      stageFiles(
        database.url,
        { 'weft.yaml': bundle({}, name, declared), '1.sql': 'create table if not exists t (n int); insert into t values (1);' },
        { bundle: name, secrets },
      );

    it('is asked for by name, whether one waits or several, and what needs none is run', async () => {
      const client = await database.client();
      const ids = [await stage('a'), await stage('b', { key: { type: 'text', secret: true } }, { key: secret })];
      const plain = await stageFiles(database.url, { '1.sql': 'create table plain ()' }, { bundle: 'c' });
      const [{ result }] = (await client.query('call weft.run()')).rows;
      expect(result).toMatchObject({ id: ids[0], state: 'staged', lacking: ['token'], others_lacking: [{ id: ids[1], bundle: 'b', lacking: ['key'] }] });
      expect(await sql(database.url, 'select state::text from weft.deployments where id = $1', [plain])).toEqual([{ state: 'succeeded' }]);
      await client.end();
    });

    it('goes to the one that it fits, and the others behind it are run too', async () => {
      const client = await database.client();
      await stage('a');
      await stage('b', { key: { type: 'text', secret: true } }, { key: secret });
      await stageFiles(database.url, { '1.sql': 'create table plain ()' }, { bundle: 'c' });
      await say(client, { token: secret });
      const [{ result }] = (await client.query('call weft.run()')).rows;
      expect(result).toMatchObject({ bundle: 'b', lacking: ['key'] });
      expect(await sql(database.url, 'select bundle, state::text from weft.deployments order by bundle')).toEqual([
        { bundle: 'a', state: 'succeeded' },
        { bundle: 'b', state: 'staged' },
        { bundle: 'c', state: 'succeeded' },
      ]);
      await say(client, { key: secret });
      expect((await client.query('call weft.run()')).rows).toEqual([{ result: null }]);
      await client.end();
      await expectNoTrace();
    });

    it('is refused where it fits several or none, and those that wait are named', async () => {
      const client = await database.client();
      const ids = [await stage('a'), await stage('b')];
      for (const secrets of [{ token: secret }, { tokken: secret }]) {
        await say(client, secrets);
        await expect(client.query('call weft.run()')).rejects.toMatchObject({
          code: 'WF040',
          hint: `These wait for secrets: ${ids[0]} of a (token); ${ids[1]} of b (token). Name one in the CALL: call weft.run('ID').`,
        });
      }
      await client.end();
      expect(await sql(database.url, `select from weft.deployments where state <> 'staged'`)).toEqual([]);
    });
  });

  it.each(['call weft.run()', 'call weft.run($1)'])('may come along with an undo in SQL whose files name none: %s', async (call) => {
    const files = { '1.sql': `create table made (); insert into vault values (:'token', 1);`, 'u/1.sql': 'drop table made; delete from vault;' };
    expect(await deployOne(files, { phase: { steps: [{ run: '*.sql', undo: 'u/*.sql' }] } })).toMatchObject({ state: 'succeeded' });
    for (const isSaidFirst of [true, false]) {
      const client = await database.client();
      const say = () => client.query(`select set_config('weft.secrets', $1, false)`, [JSON.stringify({ token: secret })]);
      if (isSaidFirst) await say();
      const [{ id }] = (await client.query(`select weft.undo(p_rehearse => $1) ->> 'deployment' as id`, [isSaidFirst])).rows;
      await say();
      await client.query(call, call.includes('$') ? [id] : []);
      await client.end();
      expect(await sql(database.url, 'select state::text from weft.deployments where id = $1', [id])).toEqual([{ state: 'succeeded' }]);
    }
    expect(await sql(database.url, 'select from vault')).toEqual([]);
    await expectNoTrace();
  });

  it('is not asked for with words that end in an empty list', async () => {
    const id = await stageFiles(database.url, { '1.sql': 'select 1;' }, {});
    const client = await database.client();
    await client.query(`select set_config('weft.secrets', '{"token": "some value"}', false)`);
    await expect(client.query('call weft.run($1)', [id])).rejects.toMatchObject({ code: 'WF040', hint: 'It has none.' });
    await client.query(`select set_config('weft.secrets', '', false)`);
    await client.query('call weft.run($1)', [id]);
    await client.query(`select set_config('weft.secrets', '{"token": "some value"}', false)`);
    await expect(client.query('select weft.undo($1, p_partly => true)', [id])).rejects.toThrow();
    await client.end();
  });

  it('goes to its own files only: not to those of a deployment that stands before it', async () => {
    const spying = `insert into vault values (coalesce(nullif(current_setting('weft.secrets', true), ''), nullif(current_setting('weft.values', true), ''), 'nothing'), 7);`;
    await stageFiles(database.url, { '1.sql': spying }, { bundle: 'spy' });
    expect((await deployOne({ '1.sql': 'select 1;' })).state).toBe('succeeded');
    expect(await sql(database.url, 'select token from vault where n = 7')).toEqual([{ token: 'nothing' }]);
  });

  it('is refused when it is too short to be kept out of what is written down', async () => {
    expect(await refusal(deployOne({ '1.sql': 'select 1;' }, { secrets: { token: 'abc' } }))).toMatchObject({
      slug: 'invalid_parameters',
      message: expect.stringContaining('secret_characters_min'),
    });
  });

  it('is refused when it stands in the request, which is stored', async () => {
    const problem = await refusal(deployOne({ '1.sql': 'select 1;' }, { secrets: undefined, parameters: { token: secret } }));
    expect(problem).toMatchObject({ slug: 'invalid_parameters', message: expect.stringContaining('is secret and stands in the request') });
    expect(await sql(database.url, 'select id from weft.deployments')).toEqual([]);
  });

  it('may be left out where it is not required, and is null then', async () => {
    const file = `insert into vault values (coalesce(weft.parameter('token'), 'none'), 1);`;
    expect(await deployOne({ '1.sql': file }, { secrets: undefined })).toMatchObject({ state: 'succeeded' });
    expect(await sql(database.url, 'select token from vault')).toEqual([{ token: 'none' }]);
  });
});
