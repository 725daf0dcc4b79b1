/** VACUUM skips what its role may not vacuum, with no more than a warning, which nobody sees: the step fails, instead of saying that it was done. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { freshDatabase, type TestDatabase, testServer } from '../support/database.ts';
import { connectOver, deployFiles } from '../support/orders.ts';
import { sql } from '../support/sql.ts';

let database: TestDatabase;
let role: string;
let major: number;

beforeAll(async () => {
  database = await freshDatabase();
  role = `${database.name}_other`;
  await sql(database.url, `create role ${role}; grant ${role} to current_user; grant all on schema public to ${role}`);
  major = Number((await sql(database.url, `select current_setting('server_version_num')::int / 10000 as major`))[0].major);
});

afterAll(async () => {
  await database.drop();
  await sql((await testServer()).url, `drop role ${role}`);
});

beforeEach(async () => {
  await sql(
    database.url,
    `drop table if exists ours, theirs, days; create table ours (id int); create table days (id int) partition by list (id); create table days_1 partition of days for values in (1);
     create table days_2 partition of days for values in (2) partition by list (id); create table days_3 partition of days_2 default; set role ${role}; create table theirs (id int)`,
  );
});

let number = 0;
const vacuum = (text: string) => deployFiles(connectOver(database.url), { '1.sql': text }, { transaction: 'none', bundle: `bundle-${++number}` });
const asOther = (statement: string) => vacuum(`set role ${role};\n${statement};`);

describe('a table that its role may not vacuum', () => {
  it.each(['vacuum ours', 'vacuum (analyze) public.ours (id)', 'vacuum full ours', 'vacuum verbose public."ours"'])('fails the step: %s', async (statement) => {
    const { state, error } = await asOther(statement);
    expect({ state, ...error }).toMatchObject({
      state: 'failed',
      sqlstate: 'WF020',
      line: 2,
      message: `The server has run the statement, and has skipped public.ours with a warning, because role ${role} may not vacuum it.`,
      hint: expect.stringContaining('owner of the table'),
    });
  });

  it('fails it as a partition, too, at any depth', async () => {
    await sql(database.url, `alter table days owner to ${role}; alter table days_1 owner to ${role}`);
    expect((await asOther('vacuum days')).error?.message).toContain('skipped public.days_3 with a warning');
    await sql(database.url, 'alter table days_1 owner to current_user');
    expect((await asOther('vacuum (freeze) days')).error?.message).toContain('skipped public.days_1 and 1 more with a warning');
    await sql(database.url, `alter table days_1 owner to ${role}; alter table days_3 owner to ${role}; alter table days owner to current_user`);
    expect(await asOther('vacuum (truncate) days')).toMatchObject({ state: 'succeeded' });
  });
});

it.each([false, true])('what is skipped is what the server says that it skips; analyzed: %s', async (analyzed) => {
  const client = await database.client();
  const said: string[] = [];
  client.on('notice', ({ message = '' }) => said.push(/"([^"]+)"/.exec(message)?.[1] ?? ''));
  const rightsSince17 = [`grant maintain on days_1 to ${role}`, 'grant maintain on days_1, days_3 to public', `grant maintain on days to ${role}`];
  const situations = [
    '',
    `alter table days_3 owner to ${role}`,
    `alter table days owner to ${role}`,
    `alter table days_1 owner to ${role}; alter table days_3 owner to ${role}`,
    ...(major < 17 ? [] : rightsSince17),
  ];
  const [{ me }] = await sql(database.url, 'select current_user as me');
  for (const situation of situations) {
    const back = ['days', 'days_1', 'days_3'].map((name) => `alter table ${name} owner to current_user`).join('; ');
    await sql(database.url, `${back}; ${situation}`);
    for (const relation of ['days', 'days_1', 'ours', 'theirs', 'pg_class', 'pg_database'])
      for (const as of [role, me]) {
        said.length = 0;
        await client.query(`set role ${as}`);
        await client.query(`vacuum ${analyzed ? 'analyze' : ''} ${relation}`);
        await client.query('reset role');
        const [{ skipped }] = await sql(
          database.url,
          `select array(select c.relname::text from weft._list_skipped('${relation}'::regclass, '${as}', ${analyzed}) as s (oid) join pg_class as c using (oid)) as skipped`,
        );
        const expected = new Set(analyzed ? said : said.filter((name) => !['days', 'days_2'].includes(name)));
        expect(skipped, `${situation}: ${relation} as ${as}`).toEqual([...expected].toSorted());
      }
  }
  await client.end();
});

describe('is done, and no failure', () => {
  it('by its owner, by a member of its owner, by the owner of the database, and where it is no table', async () => {
    expect(await asOther('vacuum theirs')).toMatchObject({ state: 'succeeded' });
    expect(await vacuum('vacuum (verbose) theirs')).toMatchObject({ state: 'succeeded' });
    expect(await vacuum('vacuum full theirs')).toMatchObject({ state: 'succeeded' });
    await sql(database.url, `revoke all on ours from ${role}`);
    expect(await vacuum('vacuum ours')).toMatchObject({ state: 'succeeded' });
  });

  it('with the right to maintain it, from 17 on', async () => {
    if (major < 17) return;
    await sql(database.url, `grant maintain on ours to ${role}`);
    expect(await asOther('vacuum (freeze) ours')).toMatchObject({ state: 'succeeded' });
  });

  it('of all tables, and of several at once, where a warning is what was asked for', async () => {
    expect(await asOther('vacuum')).toMatchObject({ state: 'succeeded' });
    expect(await asOther('vacuum ours, theirs')).toMatchObject({ state: 'succeeded' });
  });
});
