/** `weft approve` through a Worker: what whoever waits is told, what whoever approves sees, and who may not. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type LocalWorker, startWorker } from '../../src/dev/miniflare.ts';
import { type Relay, startRelay } from '../../src/dev/relay.ts';
import { deploymentSchema } from '../../src/domain/deployment.ts';
import { generateSecret } from '../../src/trust/sign.ts';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { sql } from '../support/sql.ts';
import { makeFolder } from './folder.ts';
import { type Run, run } from './run.ts';

const SECRETS = { ci: generateSecret(), boss: generateSecret(), blind: generateSecret(), reader: generateSecret() };

let database: TestDatabase;
let relay: Relay;
let worker: LocalWorker;

beforeAll(async () => {
  database = await freshDatabase();
  const url = new URL(database.url);
  relay = await startRelay({ to: { host: url.hostname, port: Number(url.port) } });
  worker = await startWorker({
    config: {
      environments: { production: { second_person: true } },
      targets: { shop: { database: 'SHOP_URL', transport: 'websocket', proxy: `127.0.0.1:${relay.port}/v1`, insecure: true, environment: 'production' } },
      callers: Object.fromEntries(Object.keys(SECRETS).map((name) => [name, { secrets: [`${name.toUpperCase()}_SECRET`] }])),
      grants: [
        { caller: 'ci', targets: ['shop'], actions: ['deploy', 'undo', 'approve', 'read', 'cancel'] },
        { caller: 'boss', targets: ['shop'], actions: ['approve', 'read'] },
        { caller: 'blind', targets: ['shop'], actions: ['approve'] },
        { caller: 'reader', targets: ['shop'], actions: ['read'] },
      ],
    },
    secrets: { SHOP_URL: database.url, ...Object.fromEntries(Object.entries(SECRETS).map(([name, secret]) => [`${name.toUpperCase()}_SECRET`, secret])) },
  });
});

afterAll(async () => {
  await worker?.stop();
  await relay?.stop();
  await database?.drop();
});

const as = (caller: keyof typeof SECRETS, ...argv: string[]): Promise<Run> =>
  run([...argv, '--to', worker.origin, '--target', 'shop'], { env: { WEFT_CALLER: caller, WEFT_SECRET: SECRETS[caller] } });
const flat = (text: string): string => text.replaceAll(/\s+/g, ' ');
const stateOf = async (id: string) => (await sql(database.url, 'select state::text, approved_by from weft.deployments where id = $1', [id]))[0];

let count = 0;
async function waiting(): Promise<{ id: string; digest: string; name: string; said: Run }> {
  count += 1;
  const name = `waits_${count}`;
  const files = { '1.sql': `create table ${name} (n int);`, '2.sql': `insert into ${name} values (1);` };
  const folder = makeFolder({ 'weft.yaml': `name: ${name}\nphases: [{ name: main, steps: [{ run: "*.sql" }] }]\n`, ...files });
  const said = await as('ci', 'deploy', folder);
  const [row] = await sql(database.url, 'select deployment_id as id, digest from weft.approvals where bundle = $1', [name]);

  return { ...row, name, said };
}

describe('whoever deploys', () => {
  it('is told that it waits, for whom, what it would run, and the whole command that approves it; and ends with 3', async () => {
    const { id, digest, name, said } = await waiting();
    expect(said.code).toBe(3);
    const words = flat(said.stdout);
    expect(words).toContain(`Waits for approval. ${name} has not begun. Somebody other than ci has to approve it, as the environment "production" asks for.`);
    expect(words).toContain(`weft approve ${id} --digest ${digest}`);
    expect(words).toMatch(/It would run: main run 1\.sql \d+ B sha256 [0-9a-f]{12}… main run 2\.sql \d+ B sha256 [0-9a-f]{12}…/);
  });

  it('is refused when it approves what it has opened, though it may approve: the deployment waits on', async () => {
    const { id, digest } = await waiting();
    for (const more of [['--digest', digest], []]) {
      const refused = await as('ci', 'approve', id, ...more);
      expect(refused.code).toBe(2);
      expect(flat(refused.stderr)).toContain(`Deployment ${id} was opened by "ci" too: it needs the approval of somebody else.`);
    }
    expect(await stateOf(id)).toEqual({ state: 'open', approved_by: null });
  });
});

describe('whoever approves', () => {
  it('sees of whom it is, its digest and each file, then it is approved and run, and the end says by whom', async () => {
    const { id, digest, name } = await waiting();
    const done = await as('boss', 'approve', id);
    expect(done.code).toBe(0);
    expect(flat(done.stderr)).toContain(`Approving ${name}, opened by ci: deployment ${id}, 2 steps, digest ${digest}. main run 1.sql`);
    expect(flat(done.stdout)).toMatch(new RegExp(`Done\\. ${name} is deployed.*approved by boss, `));
    expect(await stateOf(id)).toEqual({ state: 'succeeded', approved_by: 'boss' });
  });

  it('sees what no file shows, and decides what the files do: values that become SQL, conditions, roles and settings', async () => {
    const shelf = 'shelf (n int); drop table if exists till; create table if not exists more';
    const bundle = `name: beside
parameters:
  shelf: { type: text }
  token: { type: text, secret: true }
phases:
  - name: main
    when: pg_catalog.pg_sleep(0) is not null
    settings: { work_mem: 8MB }
    steps:
      - { run: 1.sql, when: "not exists (select from pg_catalog.pg_class as c where c.relname = 'beside')", on_error: continue }
`;
    const folder = makeFolder({ 'weft.yaml': bundle, '1.sql': 'create table :shelf (n int);' });
    const argv = ['deploy', folder, '--set', `shelf=${shelf}`, '--set-env', 'token=TOKEN'];
    const said = await run([...argv, '--to', worker.origin, '--target', 'shop'], {
      env: { WEFT_CALLER: 'ci', WEFT_SECRET: SECRETS.ci, TOKEN: 'hidden-from-all' },
    });
    const [{ id }] = await sql(database.url, "select deployment_id as id from weft.approvals where bundle = 'beside'");
    const words = [
      `parameter shelf: ${shelf}`,
      'parameter token: secret, and not part of the digest',
      'phase main: when pg_catalog.pg_sleep(0) is not null',
      'phase main: work_mem 8MB',
      "1.sql: when not exists (select from pg_catalog.pg_class as c where c.relname = 'beside')",
      '1.sql: on_error continue',
    ];
    const looked = await as('boss', 'status', id);
    const approved = await as('boss', 'approve', id);
    for (const shown of [said.stdout, looked.stdout, approved.stderr]) {
      for (const word of words) expect(flat(shown)).toContain(word);
      expect(shown).not.toContain('hidden-from-all');
    }
    await as('ci', 'cancel', id);
  });

  it('may look before, by weft status', async () => {
    const { id, digest } = await waiting();
    const looked = await as('boss', 'status', id);
    expect(looked.code).toBe(0);
    expect(flat(looked.stdout)).toMatch(/It would run: main run 1\.sql/);
    expect(flat(looked.stdout)).toContain(`weft approve ${id} --digest ${digest}`);
    expect(await stateOf(id)).toEqual({ state: 'open', approved_by: null });
  });

  it('gets one document with --json', async () => {
    const { id, digest } = await waiting();
    const done = await as('boss', 'approve', id, '--digest', digest, '--json');
    expect(done.code).toBe(0);
    expect(deploymentSchema.parse(done.json())).toMatchObject({ id, state: 'succeeded', approval: { by: 'boss', digest } });
  });

  it('is refused with another digest, and told which it has', async () => {
    const { id, digest } = await waiting();
    const refused = await as('boss', 'approve', id, '--digest', '0'.repeat(64));
    expect([refused.code, flat(refused.stderr)]).toEqual([2, expect.stringContaining(`it has ${digest}`)]);
    expect(await stateOf(id)).toEqual({ state: 'open', approved_by: null });
  });

  it('is refused of what is over', async () => {
    const { id, digest } = await waiting();
    await as('ci', 'cancel', id);
    const refused = await as('boss', 'approve', id, '--digest', digest);
    expect([refused.code, flat(refused.stderr)]).toEqual([2, expect.stringContaining(`Deployment ${id} is over: it is cancelled.`)]);
  });

  it('who may not read has to name the digest, and is told so', async () => {
    const { id, digest } = await waiting();
    const refused = await as('blind', 'approve', id);
    expect([refused.code, flat(refused.stderr)]).toEqual([2, expect.stringContaining('--digest')]);
    expect((await as('blind', 'approve', id, '--digest', digest)).code).toBe(0);
    await expect.poll(() => stateOf(id), { timeout: 20_000 }).toEqual({ state: 'succeeded', approved_by: 'blind' });
  });

  it('needs the grant: without it no database is asked', async () => {
    const { id, digest } = await waiting();
    await expect.poll(() => relay.connections.filter(({ open }) => open).length, { timeout: 20_000 }).toBe(0);
    const before = relay.connections.length;
    const refused = await as('reader', 'approve', id, '--digest', digest);
    expect([refused.code, flat(refused.stderr)]).toEqual([2, expect.stringContaining('has no grant to approve')]);
    expect(relay.connections).toHaveLength(before);
  });
});

it('whoever goes back over several stops at an undo that waits, and goes on when it is approved', async () => {
  const yaml = 'name: back\nphases: [{ name: main, steps: [{ run: "up/*.sql", undo: "down/*.sql" }] }]\n';
  const ids: string[] = [];
  for (const name of ['back_1', 'back_2']) {
    await as(
      'ci',
      'deploy',
      makeFolder({ 'weft.yaml': yaml, [`up/${name}.sql`]: `create table ${name} (n int);`, [`down/${name}.sql`]: `drop table ${name};` }),
    );
    const [{ id }] = await sql(database.url, 'select id from weft.deployments order by created_at desc limit 1');
    expect((await as('boss', 'approve', id)).code).toBe(0);
    ids.push(id);
  }
  const [one = '', two] = ids;
  const said = await as('ci', 'undo', '--after', one);
  expect(said.code).toBe(3);
  expect(flat(said.stdout)).toContain('Waits for approval. The undo of back has not begun.');
  expect(flat(said.stderr)).toContain(
    `wait for this one. Once that is settled, weft undo --after ${one} goes on. Said before it is approved, it opens another undo, which needs an approval of its own. Of 1, not taken back: ${two}.`,
  );
  const [{ id }] = await sql(database.url, 'select id from weft.deployments where undoes = $1', [two]);
  expect((await as('boss', 'approve', id)).code).toBe(0);
  const { code, json } = await as('ci', 'undo', '--after', one, '--json');
  expect([code, json()]).toEqual([0, { after: one, bundle: 'back', undone: [], left: [] }]);
});
