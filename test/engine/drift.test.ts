/**
 * What a deployment has changed in the catalog, and what has changed since the last one ended: every object by name, with both definitions.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { stageFiles } from '../support/orders.ts';
import { sql } from '../support/sql.ts';
import { deployFiles, failFiles, passFiles } from './support.ts';

let database: TestDatabase;

beforeEach(async () => {
  database = await freshDatabase();
});

afterEach(async () => {
  await database.drop();
});

const drift = () => sql(database.url, 'select * from weft.drift()');
const document = async () => (await sql(database.url, 'select weft.describe_drift() as document'))[0].document;
const changes = (id: string) => sql(database.url, `select change, kind, identity from weft.changes('${id}')`);

describe('drift', () => {
  it('is none behind a deployment, whatever it made, and however it ended', async () => {
    await passFiles(database.url, {
      'a.sql':
        'create table goods (id int primary key, name text); create index on goods (name); create view cheap as select id from goods; create type mood as enum ($$sad$$)',
    });
    expect(await drift()).toEqual([]);
    await failFiles(database.url, { 'b.sql': 'create table gone (); select 1/0' });
    expect(await drift()).toEqual([]);
    const { fingerprint } = await deployFiles(database.url, { 'c.sql': 'create table half ()', 'd.sql': 'select 1/0' }, 'per-step');
    expect(await document()).toMatchObject({
      verdict: 'none',
      count: 0,
      objects: [],
      running: null,
      since: { state: 'failed', drift_found: [] },
      fingerprint: { before: fingerprint.after },
    });
  });

  it('is still there behind a deployment that has committed nothing: one that failed, was refused, was rehearsed, or had nothing to run', async () => {
    const { id } = await passFiles(database.url, { 'a.sql': 'create table goods (id int)' });
    await sql(database.url, 'alter table goods add name text');
    await failFiles(database.url, { 'b.sql': 'create table gone (); select 1/0' });
    await failFiles(database.url, { 'a.sql': 'create table other (id int)' });
    await passFiles(database.url, { 'a.sql': 'create table goods (id int)' });
    const rehearsal = await stageFiles(database.url, { 'c.sql': 'create table c ()' });
    await sql(database.url, `update weft._deployments set mode = 'rehearse' where id = '${rehearsal}'`);
    await sql(database.url, `call weft.run('${rehearsal}')`);
    expect(await document()).toMatchObject({ verdict: 'drift', since: { deployment: id }, objects: [{ identity: 'public.goods.name' }] });
    const told = await sql(database.url, `select data ->> 'since' as since from weft.events where kind = 'drift_found'`);
    expect(told).toEqual(Array(4).fill({ since: id }));
    expect(await sql(database.url, 'select state, has_committed from weft._deployments order by created_at')).toEqual([
      { state: 'succeeded', has_committed: true },
      { state: 'failed', has_committed: false },
      { state: 'failed', has_committed: false },
      { state: 'succeeded', has_committed: false },
      { state: 'succeeded', has_committed: false },
    ]);
  });

  it('is remembered for as long as nothing was committed since, however many deployments that were', async () => {
    const { id } = await passFiles(database.url, { 'a.sql': 'create table goods (id int)' });
    await sql(database.url, 'alter table goods add name text');
    for (let n = 0; n < 11; n++) await passFiles(database.url, { 'a.sql': 'create table goods (id int)' });
    expect(await document()).toMatchObject({ verdict: 'drift', since: { deployment: id }, count: 1 });
  });

  it('is told by a deployment that meets it, in its document, and with both definitions in what it has changed', async () => {
    const { id } = await passFiles(database.url, { 'a.sql': 'create table goods (id int); create table old (id int)' });
    await sql(database.url, 'alter table goods alter id type bigint; drop table old');
    const taker = await passFiles(database.url, { 'b.sql': 'create table if not exists goods (id bigint)' });
    const found = {
      since: id,
      count: 2,
      objects: [
        { change: 'changed', kind: 'column', identity: 'public.goods.id' },
        { change: 'missing', kind: 'table' },
      ],
    };
    expect(taker).toMatchObject({ has_committed: true, drift_found: [found] });
    expect(await document()).toMatchObject({ verdict: 'drift', count: 2, since: { deployment: taker.id, drift_found: [found] } });
    const [{ changes: whole }] = await sql(database.url, `select weft.describe_changes('${taker.id}') as changes`);
    expect(whole).toMatchObject({
      verdict: 'none',
      drift_found: [
        {
          since: id,
          count: 2,
          objects: [
            { change: 'changed', before: 'integer', after: 'bigint' },
            { change: 'missing', after: null },
          ],
        },
      ],
    });
    await sql(database.url, 'delete from weft._snapshots');
    const [{ changes: names }] = await sql(database.url, `select weft.describe_changes('${taker.id}') as changes`);
    expect(names.drift_found).toEqual(taker.drift_found);
    expect(JSON.stringify(names.drift_found[0].objects)).not.toMatch(/before|after/);
  });

  it('ends with a baseline, which says that what is there is what shall be', async () => {
    await passFiles(database.url, { 'a.sql': 'create table goods (id int)' });
    await sql(database.url, 'create table by_hand (id int)');
    const id = await stageFiles(database.url, { 'b.sql': 'create table by_hand (id int)' });
    await sql(database.url, `update weft._deployments set mode = 'baseline' where id = '${id}'`);
    await sql(database.url, `call weft.run('${id}')`);
    expect(await document()).toMatchObject({ verdict: 'none', since: { deployment: id, state: 'succeeded' } });
  });

  it('names what somebody changed, added and dropped since, with what it was and what it is', async () => {
    const { id } = await passFiles(database.url, {
      'a.sql': 'create table goods (id int primary key, name text); create index by_name on goods (name); create sequence numbers',
    });
    await sql(
      database.url,
      `alter table goods alter name set not null; alter table goods add price numeric(10, 2) default 0; drop index by_name; alter sequence numbers increment 5;
       create function twice(n int) returns int language sql as 'select n * 2'`,
    );
    expect(await drift()).toEqual([
      { change: 'missing', kind: 'index', identity: 'public.by_name', before: 'CREATE INDEX by_name ON public.goods USING btree (name)', after: null },
      { change: 'changed', kind: 'column', identity: 'public.goods.name', before: 'text', after: 'text not null' },
      { change: 'added', kind: 'column', identity: 'public.goods.price', before: null, after: 'numeric(10,2) default 0' },
      {
        change: 'changed',
        kind: 'sequence',
        identity: 'public.numbers',
        before: expect.stringMatching(/bigint$/),
        after: expect.stringMatching(/bigint, increment 5$/),
      },
      { change: 'added', kind: 'function', identity: 'public.twice(n integer)', before: null, after: expect.stringContaining('select n * 2') },
    ]);
    expect(await document()).toMatchObject({ verdict: 'drift', reason: null, count: 5, since: { deployment: id, bundle: 'shop', state: 'succeeded' } });
  });

  it('is over when it was taken back', async () => {
    await passFiles(database.url, { 'a.sql': 'create table goods (id int)' });
    await sql(database.url, 'alter table goods add name text');
    expect(await drift()).toHaveLength(1);
    await sql(database.url, 'alter table goods drop name');
    expect(await drift()).toEqual([]);
  });

  it('is told in the journal of each deployment that meets it', async () => {
    const { id } = await passFiles(database.url, { 'a.sql': 'create table goods (id int); create table old (id int)' });
    const told = `select deployment_id as met_by, data from weft.events where kind = 'drift_found'`;
    expect(await sql(database.url, told)).toEqual([]);
    await sql(database.url, 'alter table goods add name text; drop table old');
    expect(await failFiles(database.url, { 'b.sql': 'select 1/0' })).toMatchObject({ sqlstate: '22012' });
    expect(await sql(database.url, told)).toEqual([
      {
        met_by: expect.any(String),
        data: {
          since: id,
          reopened: false,
          fingerprint: { before: expect.any(String), after: expect.any(String) },
          count: 2,
          objects: [
            { change: 'added', kind: 'column', identity: 'public.goods.name' },
            { change: 'missing', kind: 'table', identity: 'public.old' },
          ],
        },
      },
    ]);
    await passFiles(database.url, { 'c.sql': 'select 1' });
    await passFiles(database.url, { 'd.sql': 'select 1' });
    expect(await sql(database.url, told)).toHaveLength(3);
  });

  it('cannot be told before a deployment has left anything, and says so instead of nothing', async () => {
    await stageFiles(database.url, { 'a.sql': 'select 1' });
    expect(await drift()).toEqual([
      { change: 'unknown', kind: 'database', identity: database.name, before: null, after: expect.stringMatching(/^No deployment has left anything/) },
    ]);
    expect(await document()).toMatchObject({ verdict: 'unknown', since: null, count: 0, reason: expect.stringMatching(/^No deployment has left anything/) });
  });

  it('is no list of nonsense on another major version, nor behind another reading', async () => {
    const { id } = await passFiles(database.url, { 'a.sql': 'create table goods (id int)' });
    for (const fingerprint of ['1:13:00', '0:18:00']) {
      await sql(database.url, `update weft._deployments set fingerprint_expected = '${fingerprint}' where id = '${id}'`);
      expect(await drift()).toEqual([
        { change: 'other version', kind: 'database', identity: database.name, before: null, after: expect.stringMatching(/PostgreSQL (13|18)/) },
      ]);
      expect(await document()).toMatchObject({ verdict: 'other version', objects: [] });
    }
  });

  it('names the deployment that is running, whose changes may be among the objects', async () => {
    await passFiles(database.url, { 'a.sql': 'create table goods (id int)' });
    const id = await stageFiles(database.url, { 'b.sql': 'select 1' });
    await sql(database.url, `update weft._deployments set state = 'running', started_at = now() where id = '${id}'`);
    expect(await document()).toMatchObject({ verdict: 'none', running: id });
  });

  it('counts all and lists so many, so that no answer is without bounds', async () => {
    await passFiles(database.url, { 'a.sql': 'select 1' });
    await sql(database.url, `do $$ begin for n in 1..1010 loop execute format('create sequence s%s', n); end loop; end $$`);
    const { count, objects } = await document();
    expect([count, objects.length]).toEqual([1010, 1000]);
  });
});

describe('what a deployment changed', () => {
  it('stays to be told when others have followed', async () => {
    const first = await passFiles(database.url, { 'a.sql': 'create table goods (id int)' });
    await sql(database.url, 'create table by_hand ()');
    const second = await passFiles(database.url, { 'b.sql': 'alter table goods add name text; create view seen as select id from goods' });
    expect(await changes(first.id)).toEqual([{ change: 'added', kind: 'table', identity: 'public.goods' }]);
    expect(await changes(second.id)).toEqual([
      { change: 'added', kind: 'column', identity: 'public.goods.name' },
      { change: 'added', kind: 'view', identity: 'public.seen' },
    ]);
  });

  it('is nothing where it changed rows only', async () => {
    const { id } = await passFiles(database.url, { 'a.sql': 'select 1' });
    expect(await changes(id)).toEqual([]);
  });

  it('is kept for the newest deployments, and a catalog that several saw is kept once', async () => {
    const [{ limit }] = await sql(database.url, 'select 10 as limit');
    const first = await passFiles(database.url, { '0.sql': 'create table t0 ()' });
    expect(await sql(database.url, 'select count(*)::int from weft._snapshots')).toEqual([{ count: 2 }]);
    for (let n = 1; n <= limit; n++) await passFiles(database.url, { [`${n}.sql`]: `create table t${n} ()` });
    expect(await sql(database.url, `select count(*)::int, weft._limit('deployments_with_snapshots_count') as limit from weft._snapshots`)).toEqual([
      { count: limit + 1, limit },
    ]);
    expect(await sql(database.url, `select change, after from weft.changes('${first.id}')`)).toEqual([
      { change: 'unknown', after: expect.stringMatching(/not kept/) },
    ]);
    expect(await drift()).toEqual([]);
  });
});
