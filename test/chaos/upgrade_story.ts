/**
 * The engine is brought up to date while a deployment is open, and at work: it was opened, staged and begun by the engine before. The upgrade waits for no
 * runner and cuts none off; it comes in as soon as nobody is at work, all of it or nothing, and the deployment goes on under the new one.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { inspectServer } from '../../src/database/engine.ts';
import { type Engine, installEngine, readEngine, renderInstallation } from '../../src/database/install.ts';
import { answerOf, Patience } from '../../src/deployment/errand.ts';
import { Problem } from '../../src/domain/problem.ts';
import { makeOrder, type TestOrder } from '../support/orders.ts';
import { sqlAnew as sql } from '../support/sql.ts';
import { BUNDLE, TABLES } from './bundle.ts';
import { LIMITS } from './limits.ts';
import { DEPLOY, type Story } from './stories.ts';

const ENGINE = await readEngine();
const again_ms = 100;
const tries_count_max = 100;
/** An upgrade says nothing until it is done. */
const upgrade_ms_max = 8_000;

/** The one before: without a column that came, with a function that went. */
const OLDER: Engine = {
  version: 0,
  upgrades: [],
  files: [
    ...ENGINE.files.map(({ name, sql: text }) => ({ name, sql: text.replace('as $$ select 1 $$', () => 'as $$ select 0 $$') })),
    { name: '99_zz.sql', sql: `create or replace function weft.greet() returns text language sql as $$ select 'hello' $$;` },
  ],
};

/** This one, with the limits of the campaign. */
const NEWER: Engine = {
  ...ENGINE,
  upgrades: [{ name: '1_notes.sql', sql: 'alter table weft._history add column note text; drop function weft.greet();' }],
  files: ENGINE.files.map(({ name, sql: text }) => ({
    name,
    sql: Object.entries(LIMITS).reduce((all, [limit, value]) => all.replace(new RegExp(`(when '${limit}'\\s+then )\\d+`), `$1${value}`), text),
  })),
};

/** As somebody with psql would. @returns its id */
async function stageByHand(url: string, { order, chunks }: TestOrder): Promise<string> {
  const [{ opened }] = await sql(url, 'select weft.open($1, $2) as opened', [Buffer.from(order.request), JSON.stringify(order.manifest)]);
  const digests: string[] = [];
  const bytes: Uint8Array[] = [];
  for await (const chunk of chunks(new Set<string>(opened.missing))) {
    digests.push(chunk.digest);
    bytes.push(chunk.bytes);
  }
  await sql(url, 'select weft.stage($1, $2, $3, $4)', [opened.deployment, digests, bytes.map(({ length }) => length), Buffer.concat(bytes)]);
  return opened.deployment;
}

/** Begins the run, and stays with it as long as it lasts. */
async function runByHand(url: string, id: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => undefined);
  await client.connect();
  client
    .query(`call weft.run('${id}')`)
    .catch(() => undefined)
    .finally(() => client.end().catch(() => undefined));
}

export const UPGRADE: Story = {
  ...DEPLOY,
  name: 'upgrade',
  prepare: async (url) => {
    await sql(url, 'drop schema weft cascade');
    await sql(url, renderInstallation(null, OLDER));
    await sql(url, TABLES);
  },
  begin: async (url, id) => {
    const options = { id, bundle: 'chaos' };
    const old = await stageByHand(url, await makeOrder(BUNDLE, options));
    await runByHand(url, old);
    const trigger = await DEPLOY.begin(url, id);
    return async (errand) => {
      const patience = new Patience(errand);
      for (let tries = 1; ; tries += 1) {
        const session = await errand.connect();
        const installing = inspectServer(session).then(({ engine }) => installEngine(session, engine, NEWER));
        const isDone = await answerOf(session, installing, patience, undefined, upgrade_ms_max)
          .then(
            () => true,
            (error: unknown) => {
              if (error instanceof Problem && error.slug === 'interrupted' && tries < tries_count_max && !patience.isExhausted) return false;
              throw error;
            },
          )
          .finally(() => session.close());
        if (isDone) return trigger(errand);
        await sleep(again_ms);
      }
    };
  },
  more: `select format('version %s, installations %s, greets: %s, notes: %s', weft.version(), (select string_agg(i.version::text, ', ' order by i.version) from weft._installations as i),
    to_regprocedure('weft.greet()') is not null, exists (select from pg_attribute as a where a.attrelid = 'weft._history'::regclass and a.attname = 'note')) as line`,
};
