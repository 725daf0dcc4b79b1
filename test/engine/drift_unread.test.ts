/**
 * A deployment that ended while somebody else's lock kept the catalog from being read: what it has left is not known, and never drift. And what
 * is accepted is the catalog as it is then, whatever has ended since it was looked at.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { AT_THE_GATE, connectOver, deployFiles as deployBundle, shutGate, until } from '../support/orders.ts';
import { sql } from '../support/sql.ts';
import { passFiles } from './support.ts';

let database: TestDatabase;

beforeEach(async () => {
  database = await freshDatabase();
});

afterEach(() => database.drop());

const drift = () => sql(database.url, 'select change, kind, identity from weft.drift()');
const document = async () => (await sql(database.url, 'select weft.describe_drift() as document'))[0].document;
const kinds = async (id: string) =>
  (await sql(database.url, `select kind from weft.events where deployment_id = $1 and kind like 'catalog%' order by number`, [id])).map(({ kind }) => kind);
const START = { '1.sql': 'create table goods (id int); create view v as select id from goods' };
const BY_HAND = { change: 'added', kind: 'table', identity: 'public.by_hand' };

/** Has a deployment end while the table under a view is locked, with a table made by hand before it; and its run give up. */
async function endUnread() {
  await passFiles(database.url, START);
  await sql(database.url, 'create table by_hand (n int)');
  const gate = await shutGate(database.url);
  const running = passFiles(database.url, { ...START, '2.sql': `create table two (n int); ${AT_THE_GATE}` });
  await gate.reached();
  const stranger = await database.client();
  await stranger.query('begin; lock table goods in access exclusive mode');
  await gate.open();
  const end = await running;
  await until(
    database.url,
    `not exists (select from pg_stat_activity where datname = current_database() and state = 'active' and query ilike 'call weft.run%')`,
    'the run is over',
  );
  await stranger.query('commit');
  await stranger.end();
  return end;
}

describe('when the catalog could not be read at the end of a deployment', () => {
  it('drift is unknown, with the reason, until the next one finds what is there: what was drift before stays, what the deployment made is none', async () => {
    const { id, fingerprint } = await endUnread();
    expect(fingerprint.after).toBe(null);
    expect(await kinds(id)).toEqual(['catalog_not_read']);
    expect(await drift()).toEqual([{ change: 'unknown', kind: 'database', identity: expect.any(String) }]);
    expect(await document()).toMatchObject({
      verdict: 'unknown',
      reason: expect.stringContaining(`when deployment ${id} ended`),
      since: { deployment: id },
      objects: [],
    });

    const next = await passFiles(database.url, START); // which has nothing to run
    expect(next).toMatchObject({ has_committed: false, drift_found: [{ since: id, count: 1, objects: [BY_HAND] }] });
    expect(await kinds(id)).toEqual(['catalog_not_read', 'catalog_read_late']);
    expect(await drift()).toEqual([BY_HAND]);
    await passFiles(database.url, { ...START, '3.sql': 'create table three (n int)' });
    expect(await drift()).toEqual([BY_HAND]);
  });

  it('somebody can say that what is there is meant', async () => {
    const { id } = await endUnread();
    const { fingerprint } = await document();
    await sql(database.url, `select weft.accept_drift('${fingerprint.after}')`);
    expect(await kinds(id)).toContain('catalog_read_late');
    expect(await document()).toMatchObject({ verdict: 'none', since: { deployment: id, accepted: { count: 1, objects: [BY_HAND] } } });
  });

  it('the run tries again, and knows as soon as the lock is gone', async () => {
    await passFiles(database.url, START);
    const stranger = await database.client();
    await stranger.query('begin; lock table goods in access exclusive mode');
    const running = passFiles(database.url, { ...START, '2.sql': 'create table two (n int)' });
    await until(database.url, `exists (select from weft.events where kind = 'succeeded' and data = '{}' offset 1)`, 'the deployment is over');
    await stranger.query('commit');
    await stranger.end();
    const { id } = await running;
    await until(database.url, `exists (select from weft.events where kind = 'catalog_read_late')`, 'it knows');
    expect((await sql(database.url, 'select weft.status($1) as it', [id]))[0].it.fingerprint).toEqual({ before: null, after: expect.any(String) });
    expect(await kinds(id)).toEqual(['catalog_not_read', 'catalog_not_read', 'catalog_read_late']);
    expect(await drift()).toEqual([]);
  });
});

it('what is accepted is what is there, also when a deployment has ended while the catalog was being read', async () => {
  await passFiles(database.url, START);
  await sql(database.url, 'create table by_hand (n int)');
  const gate = await shutGate(database.url);
  await sql(
    database.url,
    `create function wait() returns trigger set lock_timeout = 0 language plpgsql as $$ begin if current_setting('application_name') = 'accepting' then ${AT_THE_GATE.replace('select', 'perform')} end if; return new; end $$;
     create trigger wait before insert on weft._snapshots for each row execute function wait();
     select weft._note_other_parts()`,
  );
  const accepter = await database.client();
  await accepter.query(`set application_name = 'accepting'`);
  const accepting = accepter.query('select weft.accept_drift() as document');
  await gate.reached(); // the catalog is read, and no lock is taken yet
  const end = await deployBundle(connectOver(database.url), { '2.sql': 'create table two (n int)' }, { bundle: 'other' });
  expect(end).toMatchObject({ state: 'succeeded', has_committed: true });
  await gate.open();
  const [{ document }] = (await accepting).rows;
  await accepter.end();
  expect(document).toMatchObject({ verdict: 'none', since: { deployment: end.id, accepted: { count: 2, objects: [BY_HAND, { identity: 'public.wait()' }] } } });
});
