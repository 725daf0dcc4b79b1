/**
 * The pages in docs/, done as they say, and held equal to what they describe: routes, problems, limits, keys, states, functions.
 */
import { createHash } from 'node:crypto';
import { appendFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { experimental_readRawConfig } from 'wrangler';
import { parse } from 'yaml';
import { parseBundleFile } from '../../src/bundle/bundle_file.ts';
import { PARAMETER_WORDS } from '../../src/bundle/parameter_words.ts';
import { wordsOf } from '../../src/bundle/step_words.ts';
import { COMMANDS } from '../../src/cli/commands.ts';
import { parseConfig } from '../../src/config/config.ts';
import { EVENTS } from '../../src/config/forges.ts';
import { CLAIMS } from '../../src/config/identities.ts';
import { readEngineFiles } from '../../src/database/engine_files.ts';
import { CHECKOUT } from '../../src/dev/places.ts';
import { deploymentStateSchema, eventSchema } from '../../src/domain/deployment.ts';
import { LIMITS } from '../../src/domain/limits.ts';
import { CHECK_RULES } from '../../src/domain/manifest.ts';
import { PARAMETER_TYPES } from '../../src/domain/parameters.ts';
import { PROBLEMS } from '../../src/domain/problem.ts';
import { actionSchema, deployRequestSchema, requestSchema } from '../../src/domain/request.ts';
import { PAIR_WORDS, SINGLE_WORDS } from '../../src/domain/unwatched.ts';
import { makeReadToken } from '../../src/trust/read_token.ts';
import { digestSecrets } from '../../src/trust/secrets.ts';
import { makeHouse } from '../http/support.ts';
import { emptyDatabase, type TestDatabase } from '../support/database.ts';
import { connectOver, deployFiles } from '../support/orders.ts';
import { sql } from '../support/sql.ts';
import { startTestStack, type TestStack } from '../support/stack.ts';
import { makeWorkplace, PAGES, readPage, runShell, snippet, snippetsOf, withoutChance } from './snippets.ts';

let place: ReturnType<typeof makeWorkplace>;
beforeAll(() => {
  place = makeWorkplace();
});
afterAll(() => place?.remove());

/** The rows of every table below a heading, each as its cells. */
function rowsBelow(page: string, heading: string): string[][] {
  const [, below = ''] = readPage(page).split(new RegExp(`^#+ ${heading}$`, 'm'));
  const [section = ''] = below.split(/^#+ /m);
  const rows = section.split('\n').filter((line) => line.startsWith('|'));
  return rows
    .map((row) =>
      row
        .slice(1, -1)
        .split('|')
        .map((cell) => cell.trim()),
    )
    .filter((cells) => !/^(-+|type|limit|key|variable|state|name|view|member|setting)$/.test(cells[0] ?? ''));
}

const bare = (cell: string | undefined): string => (cell ?? '').replaceAll('`', '');

describe('every page', () => {
  test.each(PAGES)('%s marks each block that could be run: for a test, or with the reason why none runs it', (page) => {
    const unmarked = snippetsOf(page).filter(({ language, mark }) => mark === null && language !== 'text');
    expect(unmarked.map(({ file, line, language }) => `${file}:${line}: this ${language} block has no mark`)).toEqual([]);
  });

  test('marks nothing that no test looks at', () => {
    const tests = ['readme.test.ts', 'docs.test.ts', 'production.test.ts', 'moving.test.ts', '../dev/two_am.test.ts']
      .map((file) => readFileSync(join(import.meta.dirname, file), 'utf8'))
      .join('\n');
    const names = PAGES.flatMap((page) => snippetsOf(page)).filter(({ mark }) => mark === 'test' || mark === 'output');
    expect(names.filter(({ name }) => !tests.includes(`'${name}'`))).toEqual([]);
  });
});

describe('BUNDLES.md', () => {
  test('a plain folder is checked with the words that the page shows', async () => {
    const { code, stdout, stderr, all } = await runShell(snippet('docs/BUNDLES.md', 'plain'), { cwd: place.path });
    expect(code, all).toBe(0);
    expect(withoutChance(stdout + stderr)).toBe(withoutChance(snippet('docs/BUNDLES.md', 'plain', 'output')));
  });

  test('files that hold their own way back are taken apart, and each has its undo', async () => {
    const { code, all } = await runShell(`${snippet('docs/BUNDLES.md', 'apart')}cat shop/down/001_staff.sql`, { cwd: place.path });
    expect(code, all).toBe(0);
    expect(all).not.toContain('warning');
    expect(all).toContain('undo down/001_staff.sql');
    expect(all.trimEnd().split('\n').at(-1)).toBe('drop table staff;');
  });

  test('its weft.yaml is one', () => {
    const file = parseBundleFile(new TextEncoder().encode(snippet('docs/BUNDLES.md', 'weft.yaml')));
    expect(file.phases.map(({ transaction, lock_timeout_ms }) => [transaction, lock_timeout_ms])).toEqual([
      ['single', 2000],
      ['per-step', null],
    ]);
  });

  test('its keys are those of the language', () => {
    const keys = rowsBelow('docs/BUNDLES.md', 'weft.yaml').map(([key]) => bare(key));
    expect(keys).toEqual([
      'name',
      'order',
      'parameters',
      'drift',
      'phases',
      'transaction',
      'lock_timeout',
      'role',
      'settings',
      'steps',
      'run',
      'load',
      'batch',
      'when',
      'undo',
      'done_when',
      'repeat',
      'on_error',
      'checks',
    ]);
  });

  test('its example of repeatable files is one', () => {
    const file = parseBundleFile(new TextEncoder().encode(snippet('docs/BUNDLES.md', 'repeat')));
    expect(file.phases.map(({ steps }) => steps.map(({ words }) => words.repeat))).toEqual([[undefined, 'on-change', 'on-change'], ['always']]);
  });

  test('its example of waiting is one', () => {
    const file = parseBundleFile(new TextEncoder().encode(snippet('docs/BUNDLES.md', 'lock_timeout')));
    expect(file.phases.map(({ lock_timeout_ms, lock_timeouts_ms }) => [lock_timeout_ms, lock_timeouts_ms])).toEqual([[5000, { table: 1000, data: 30_000 }]]);
  });

  test('its example of a batch is one, and comes to its end', async () => {
    const database = await emptyDatabase();
    await sql(
      database.url,
      `create schema shop; create table shop.orders (id bigint primary key, total numeric); create table shop.items (order_id bigint, price numeric);
       insert into shop.orders select generate_series(1, 20000); insert into shop.items select id, 2 from shop.orders, generate_series(1, 2);
       create index on shop.items (order_id); analyze shop.items, shop.orders`,
    );
    const files = { 'weft.yaml': snippet('docs/BUNDLES.md', 'batch'), 'backfills/order_totals.sql': snippet('docs/BUNDLES.md', 'batch_statement') };
    expect(await deployFiles(connectOver(database.url), files)).toMatchObject({ error: null, state: 'succeeded', phases: [{ steps: [{ rows: 20_000 }] }] });
    expect(await sql(database.url, 'select min(total)::int, max(total)::int from shop.orders')).toEqual([{ min: 4, max: 4 }]);
    await database.drop();
  });

  test('its example of conditions is one', () => {
    const file = parseBundleFile(new TextEncoder().encode(snippet('docs/BUNDLES.md', 'when')));
    expect(file.phases.map(({ when, steps }) => [when !== null, steps.map(({ words }) => words.when !== undefined)])).toEqual([
      [false, [false, true]],
      [true, [false]],
    ]);
  });

  test('its example of undo is one', () => {
    const file = parseBundleFile(new TextEncoder().encode(snippet('docs/BUNDLES.md', 'undo')));
    expect(file.phases.flatMap(({ steps }) => steps.map(({ glob, words }) => [glob, words.undo]))).toEqual([
      ['schema/*.sql', 'undo/*.sql'],
      ['data/currencies.sql', 'data/no_currencies.sql'],
    ]);
  });

  test('its example of a done_when is one', () => {
    const file = parseBundleFile(new TextEncoder().encode(snippet('docs/BUNDLES.md', 'done_when')));
    expect(file.phases.map(({ transaction, steps }) => [transaction, steps[0]?.words.done_when])).toEqual([
      ['none', undefined],
      ['auto', 'not exists (select from shop.orders where total is null)'],
    ]);
  });

  test('its example of checks is one', () => {
    const file = parseBundleFile(new TextEncoder().encode(snippet('docs/BUNDLES.md', 'checks')));
    expect(file.phases.flatMap(({ steps }) => steps.map(({ kind, glob, words }) => [kind, glob, words]))).toEqual([
      ['run', 'schema/*.sql', {}],
      ['check', 'checks/*.sql', {}],
      ['check', 'advice/*.sql', { severity: 'warn' }],
      ['check', null, { rule: 'indexed-foreign-keys', schemas: ['shop'] }],
    ]);
  });

  test('its example of loads is one', () => {
    const file = parseBundleFile(new TextEncoder().encode(snippet('docs/BUNDLES.md', 'load')));
    expect(file.phases.flatMap(({ steps }) => steps.map(({ kind, glob, words }) => [kind, glob, words.into, words.mode, words.key]))).toEqual([
      ['load', 'data/currencies.csv', 'shop.currency', 'sync', ['code']],
      ['load', 'data/products/*.ndjson', 'shop.product', 'upsert', ['supplier', 'number']],
      ['load', 'data/sample_orders.csv', 'shop.orders', 'insert', undefined],
    ]);
  });

  test('its words of a load are those of the language', () => {
    const [, section = ''] = readPage('docs/BUNDLES.md').split('A data file is loaded into a table');
    const rows = section.slice(section.indexOf('| `load`'), section.indexOf('**Columns**')).trim().split('\n');
    const words = rows.map((row) => /^\| `(\w+)`/.exec(row)?.[1] ?? '');
    expect([...words, 'when', 'on_error', 'undo'].sort()).toEqual([...wordsOf('steps', { load: '' })].sort());
  });

  test('its rules are those of the language', () => {
    const [, section = ''] = readPage('docs/BUNDLES.md').split('| rule | is broken by |\n');
    const rows = section.slice(0, section.indexOf('\n\n')).split('\n').slice(1);
    expect(rows.map((row) => /`([a-z-]+)`/.exec(row)?.[1])).toEqual([...CHECK_RULES]);
  });

  test('its example of parameters is one, and the words and types are those of the language', () => {
    const file = parseBundleFile(new TextEncoder().encode(snippet('docs/BUNDLES.md', 'parameters')));
    expect(file.parameters).toEqual([
      { name: 'environment', type: 'text', required: true },
      { name: 'region', type: 'text', default: 'eu', description: 'where the orders come from' },
      { name: 'retries', type: 'integer', default: '3' },
      { name: 'token', type: 'text', secret: true },
    ]);
    const [, section = ''] = readPage('docs/BUNDLES.md').split('| word | means |\n');
    const rows = section.slice(0, section.indexOf('\n\n')).split('\n').slice(1);
    expect(rows.map((row) => /^\| `([a-z]+)`/.exec(row)?.[1])).toEqual(PARAMETER_WORDS);
    expect([...(rows[0] ?? '').matchAll(/`([a-z]+)`/g)].map(([, name]) => name).slice(1)).toEqual([...PARAMETER_TYPES]);
  });

  test('its example of what something else sees to is one, and the words are those of the language', () => {
    const file = parseBundleFile(new TextEncoder().encode(snippet('docs/BUNDLES.md', 'ignore')));
    expect(file.unwatched).toEqual([{ partitions_of: ['public', 'events'] }, { schema: 'partman' }, { table: ['public', 'tmp_*'] }, { publication: 'dbz_*' }]);
    const [, section = ''] = readPage('docs/BUNDLES.md').split('| word | names |\n');
    const rows = section.slice(0, section.indexOf('\n\n')).split('\n').slice(1);
    const words = rows.flatMap((row) => [...(row.split('|')[1] ?? '').matchAll(/`([a-z_]+)`/g)].map(([, word]) => word));
    expect(words.toSorted()).toEqual([...SINGLE_WORDS, ...PAIR_WORDS].toSorted());
  });

  test('its example of what may fail is one', () => {
    const file = parseBundleFile(new TextEncoder().encode(snippet('docs/BUNDLES.md', 'on_error')));
    expect(file.phases.map(({ steps }) => steps.map(({ words }) => words.on_error))).toEqual([[undefined, 'continue'], ['continue']]);
  });
});

describe('CONFIGURATION.md', () => {
  test('its example is consistent, and names every key that a configuration can have', () => {
    const file = join(place.path, 'example.toml');
    writeFileSync(file, snippet('docs/CONFIGURATION.md', 'toml'));
    const { vars } = experimental_readRawConfig({ config: file }).rawConfig as { vars: { WEFT: unknown } };
    expect([...parseConfig(vars.WEFT).targets.keys()]).toEqual(['shop', 'warehouse']);
    const documented = rowsBelow('docs/CONFIGURATION.md', 'WEFT').map(([key]) => bare(key));
    expect(documented).toEqual([
      'origin',
      'targets.NAME.database',
      'targets.NAME.transport',
      'targets.NAME.proxy',
      'targets.NAME.insecure',
      'targets.NAME.scheduled',
      'targets.NAME.environment',
      'environments.NAME',
      'callers.NAME.secrets',
      'callers.NAME.identity',
      'callers.NAME.forge',
      'grants[].caller',
      'grants[].targets',
      'grants[].actions',
      'sources[]',
      'sealing_key',
    ]);
    const actions = rowsBelow('docs/CONFIGURATION.md', 'WEFT').find(([key = '']) => bare(key) === 'grants[].actions')?.[1] ?? '';
    expect([...actions.matchAll(/`([a-z_]+)`/g)].map(([, action]) => action)).toEqual(actionSchema.options);
  });

  test('its example of a second person is consistent', () => {
    const file = join(place.path, 'second_person.toml');
    writeFileSync(file, snippet('docs/CONFIGURATION.md', 'second-person'));
    const { vars } = experimental_readRawConfig({ config: file }).rawConfig as { vars: { WEFT: unknown } };
    const config = parseConfig(vars.WEFT);
    expect(config.environments.get('production')).toMatchObject({ second_person: true });
    expect(config.grants.find(({ caller }) => caller === 'reviewed')?.actions).toContain('approve');
  });

  test('its example of all of it is consistent', () => {
    const file = join(place.path, 'full.toml');
    writeFileSync(file, snippet('docs/CONFIGURATION.md', 'full'));
    const { vars } = experimental_readRawConfig({ config: file }).rawConfig as { vars: { WEFT: unknown } };
    const config = parseConfig(vars.WEFT);
    expect([...config.callers.keys()]).toEqual(['dashboard', 'actions', 'gitlab-ci', 'pipelines', 'github', 'azure-repos']);
    expect(config.sources).toHaveLength(3);
  });

  test('its lists of claims and of events are those that are read', () => {
    const claims = rowsBelow('docs/CONFIGURATION.md', 'Identity tokens').filter(([kind = '']) => bare(kind) in CLAIMS);
    const named = (cells: readonly string[]) => cells.flatMap((cell) => [...cell.matchAll(/`([a-z_]+)`/g)].map(([, name]) => name));
    expect(Object.fromEntries(claims.map(([kind = '', ...cells]) => [bare(kind), named(cells).filter((name) => name !== 'secrets')]))).toEqual(CLAIMS);
    const [, events = ''] = rowsBelow('docs/CONFIGURATION.md', 'Forges').find(([key = '']) => bare(key) === 'event') ?? [];
    expect(named([events])).toEqual(Object.values(EVENTS).flatMap((of) => Object.keys(of)));
  });

  test('its command passes', async () => {
    const { code, stdout, all } = await runShell(snippet('docs/CONFIGURATION.md', 'check'), { cwd: place.path });
    expect(code, all).toBe(0);
    expect(stdout).toContain('Valid: wrangler.toml');
  });
});

describe('FORGES.md', () => {
  test('its source for a job that asks whether it may start is one that is rehearsed, and that for its reviewers one that approves', () => {
    const file = join(place.path, 'rule.toml');
    writeFileSync(file, `${snippet('docs/FORGES.md', 'github')}\n${snippet('docs/FORGES.md', 'rule')}\n${snippet('docs/FORGES.md', 'review')}`);
    const { vars } = experimental_readRawConfig({ config: file }).rawConfig as { vars: { WEFT: unknown } };
    expect(parseConfig(vars.WEFT).sources.slice(-2)).toMatchObject([
      { event: 'deployment_protection_rule', mode: 'rehearse', target: 'shop' },
      { event: 'deployment_review', mode: 'approve', target: 'shop' },
    ]);
  });

  test('its jobs give what action.yml takes, and take what it gives', () => {
    const { jobs } = parse(snippet('docs/FORGES.md', 'approval job')) as {
      jobs: Record<'deploy' | 'approve', { outputs?: object; steps: { uses?: string; with?: object }[] }>;
    };
    const action = parse(readFileSync(join(CHECKOUT, 'action.yml'), 'utf8'));
    const step = jobs.deploy.steps.find(({ uses }) => uses?.startsWith('OWNER/weft@'));
    expect(Object.keys(action.inputs)).toEqual(expect.arrayContaining(Object.keys(step?.with ?? {})));
    expect(Object.keys(action.outputs)).toEqual(expect.arrayContaining(Object.keys(jobs.deploy.outputs ?? {})));
    expect(JSON.stringify(jobs.approve)).toContain(`pgweft@${action.inputs.version.default} approve`);
  });

  test('its example is a configuration that this Weft takes, and its events are those that are followed', () => {
    const file = join(place.path, 'github.toml');
    writeFileSync(file, snippet('docs/FORGES.md', 'github'));
    const { vars } = experimental_readRawConfig({ config: file }).rawConfig as { vars: { WEFT: unknown } };
    const { sources } = parseConfig(vars.WEFT);
    expect(sources.map(({ event, mode, target }) => [event, mode, target])).toEqual([
      ['push', 'apply', 'shop-staging'],
      ['pull_request', 'rehearse', 'shop-staging'],
      ['deployment', 'apply', 'shop'],
    ]);
    const events = rowsBelow('docs/FORGES.md', 'What follows from an event').map(([event]) => bare(event));
    expect(events.filter((event) => event !== 'event')).toEqual(Object.keys(EVENTS.github));
  });

  test('the same of GitLab', () => {
    const file = join(place.path, 'gitlab.toml');
    writeFileSync(file, snippet('docs/FORGES.md', 'gitlab'));
    const { vars } = experimental_readRawConfig({ config: file }).rawConfig as { vars: { WEFT: unknown } };
    expect(parseConfig(vars.WEFT).sources.map(({ event, mode }) => [event, mode])).toEqual([
      ['pipeline', 'apply'],
      ['merge_request', 'rehearse'],
    ]);
    const events = rowsBelow('docs/FORGES.md', "What follows from an event of GitLab's").map(([event]) => bare(event));
    expect(events.filter((event) => event !== 'event')).toEqual(Object.keys(EVENTS.gitlab));
  });

  test('the same of Azure DevOps', () => {
    const file = join(place.path, 'azure.toml');
    writeFileSync(file, snippet('docs/FORGES.md', 'azure'));
    const { vars } = experimental_readRawConfig({ config: file }).rawConfig as { vars: { WEFT: unknown } };
    expect(parseConfig(vars.WEFT).sources.map(({ event, mode, target }) => [event, mode, target])).toEqual([
      ['push', 'apply', 'shop-staging'],
      ['pull_request', 'rehearse', 'shop-staging'],
      ['build', 'apply', 'shop'],
    ]);
    const events = rowsBelow('docs/FORGES.md', 'What follows from an event of Azure DevOps').map(([event]) => bare(event));
    expect(events.filter((event) => event !== 'event')).toEqual(Object.keys(EVENTS.azure));
  });
});

describe('LIMITS.md', () => {
  test("has the doorman's limits, each with its value", () => {
    const rows = rowsBelow('docs/LIMITS.md', 'The doorman').map(([name, value]) => [bare(name), Number(value)]);
    expect(rows).toEqual(Object.entries(LIMITS));
  });

  test("has the engine's limits, each with its value", async () => {
    const constants = (await readEngineFiles()).files.find(({ name }) => name.includes('constants'))?.sql ?? '';
    const limits = [...constants.matchAll(/when '([a-z_]+)'\s+then (\d+)/g)].map(([, name, value]) => [name, Number(value)]);
    expect(limits.length).toBeGreaterThan(5);
    expect(rowsBelow('docs/LIMITS.md', 'The engine').map(([name, value]) => [bare(name), Number(value)])).toEqual(limits);
  });
});

describe('HTTP.md', () => {
  test('lists the routes that there are', () => {
    const documented = rowsBelow('docs/HTTP.md', 'HTTP').map(([method, path]) => `${method} ${bare(path).replaceAll(/\{(\w+)\}/g, ':$1')}`);
    const routes = makeHouse()
      .app.routes.filter(({ method }) => method !== 'ALL')
      .map(({ method, path }) => `${method} ${path}`);
    expect(documented.filter((row) => row.includes('/')).sort()).toEqual([...new Set(routes)].sort());
  });

  test('lists the problems that there are', () => {
    const rows = rowsBelow('docs/HTTP.md', 'Problems').map(([type, status, title, exit]) => [bare(type), status, title, exit]);
    const problems = Object.entries(PROBLEMS).map(([slug, { status, title, exit }]) => [
      slug,
      ['usage', 'set_up'].includes(slug) ? '' : String(status),
      title,
      String(exit),
    ]);
    expect(rows).toEqual(problems);
  });

  test('shows a request of the right form, and names all of its members', () => {
    expect(requestSchema.parse(JSON.parse(snippet('docs/HTTP.md', 'request')))).toMatchObject({ type: 'deploy' });
    const members = rowsBelow('docs/HTTP.md', 'The request').flatMap(([name = '']) => name.split(', ').map(bare));
    expect(members.sort()).toEqual([...Object.keys(deployRequestSchema.shape), 'deployment', 'digest', 'partly', 'path', 'bundle', 'why'].sort());
  });

  test('says how a reading token is made, so that it can be made by hand', async () => {
    const claims = { caller: 'ci', target: 'shop', expires: 1795366035 };
    for (const part of [JSON.stringify(claims), 'weft-read-v1.PAYLOAD', 'weft_read.PAYLOAD.MAC']) expect(readPage('docs/HTTP.md')).toContain(part);
    const key = Buffer.alloc(32, 7);
    const payload = Buffer.from(JSON.stringify(claims)).toString('base64url');
    const { createHmac } = await import('node:crypto');
    const mac = createHmac('sha256', key).update(`weft-read-v1.${payload}`).digest('base64url');
    expect(await makeReadToken(claims, `whsec_${key.toString('base64')}`)).toBe(`weft_read.${payload}.${mac}`);
  });

  describe('against the local stack', () => {
    let stack: TestStack;
    let env: Record<string, string>;
    beforeAll(async () => {
      stack = await startTestStack();
      const deployed = await runShell('npx weft deploy examples/shop --json', { cwd: place.path, env: stack.env });
      env = { ...stack.env, DEPLOYMENT: JSON.parse(deployed.stdout).id };
    });
    afterAll(() => stack?.stop());

    test('a request signed by weft sign is sent with curl', async () => {
      const { code, stdout, all } = await runShell(snippet('docs/HTTP.md', 'sign'), { cwd: place.path, env });
      expect(code, all).toBe(0);
      expect(JSON.parse(stdout)).toMatchObject({ id: env.DEPLOYMENT, state: 'succeeded' });
    });

    test('secrets travel beside a request, and what is shown of them is that they were given', async () => {
      const folder = join(place.path, 'vault');
      mkdirSync(folder);
      const { code, stdout, all } = await runShell(snippet('docs/HTTP.md', 'secrets'), { cwd: folder, env: { ...env, TOKEN: 'a word of eighty-one' } });
      expect(code, all).toBe(0);
      expect(JSON.parse(stdout)).toMatchObject({ state: 'succeeded', parameters: [{ name: 'token', secret: true, given: true, value: null }] });
      expect(all).not.toContain('eighty-one');
    });

    test('says how a secret is bound, so that it can be done by hand', async () => {
      const { createHmac } = await import('node:crypto');
      const key = Buffer.alloc(32, 7);
      const mac = createHmac('sha256', key).update('weft secret v1\nrun-1\nshop\ntoken\n4711').digest('hex');
      expect(await digestSecrets({ token: '4711' }, `whsec_${key.toString('base64')}`, { id: 'run-1', target: 'shop' })).toEqual({ token: mac });
      for (const part of ['weft secret v1', 'ID ', 'TARGET', 'NAME ', 'VALUE ']) expect(readPage('docs/HTTP.md')).toContain(`    ${part}`);
    });

    test('drift is said to be meant with a signed request, which binds what was looked at', async () => {
      await sql(stack.databaseUrl, 'create table by_hand ()');
      const drift = JSON.parse((await runShell('npx weft drift --json', { cwd: place.path, env })).stdout);
      const { code, stdout, all } = await runShell(snippet('docs/HTTP.md', 'accept drift'), {
        cwd: place.path,
        env: { ...env, FINGERPRINT: drift.fingerprint.after },
      });
      expect(code, all).toBe(0);
      expect(JSON.parse(stdout)).toMatchObject({
        verdict: 'none',
        since: { accepted: { by: env.WEFT_CALLER, objects: [{ change: 'added', identity: 'public.by_hand' }] } },
      });
    });

    test('deployments are listed and followed with a token', async () => {
      const { code, stdout, all } = await runShell(snippet('docs/HTTP.md', 'reading'), { cwd: place.path, env });
      expect(code, all).toBe(0);
      const events = stdout.slice(stdout.indexOf('event:'));
      const first = /^data: (.*)$/m.exec(events)?.[1] ?? '';
      expect(eventSchema.parse(JSON.parse(first))).toMatchObject({ number: 1, kind: 'opened' });
      expect(events).toMatch(/^event: end$/m);
    });
  });
});

describe('ENGINE.md', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await emptyDatabase();
  });
  afterAll(() => database?.drop());

  const PAGE = 'docs/ENGINE.md';

  /** Each statement alone, as psql sends them. @returns the rows of each */
  async function statements(name: string): Promise<Record<string, unknown>[][]> {
    const rows: Record<string, unknown>[][] = [];
    for (const statement of snippet(PAGE, name).split(/;\n/).slice(0, -1)) rows.push(await sql(database.url, statement));
    return rows;
  }

  test('installs the engine, and prints the same as a script', async () => {
    const env = { DATABASE_URL: database.url };
    const { code, stdout, all } = await runShell(snippet(PAGE, 'install'), { cwd: place.path, env });
    expect(code, all).toBe(0);
    expect(stdout).toContain('The engine is installed');
    const other = await emptyDatabase();
    await sql(other.url, readFileSync(join(place.path, 'engine.sql'), 'utf8'));
    const [ours, printed] = await Promise.all([database.url, other.url].map((url) => sql(url, 'select weft.version(), weft.fingerprint()')));
    expect(printed).toEqual(ours);
    await other.drop();
    const [[version] = [], installations] = await statements('version');
    expect(installations).toMatchObject([{ version: version?.version }]);
  });

  test('shows what was deployed, and what goes on while it does', async () => {
    const deployed = await runShell('npx weft deploy examples/shop', { cwd: place.path, env: { DATABASE_URL: database.url } });
    expect(deployed.code, deployed.all).toBe(0);
    const [deployments, steps, events, batches, history] = await statements('look');
    expect(deployments).toMatchObject([{ state: 'succeeded', bundle: 'shop' }]);
    expect([steps?.length, batches?.length, history?.length]).toEqual([12, 0, 12]);
    expect(events?.[0]).toMatchObject({ kind: 'succeeded' });
    const [[status] = []] = await statements('status');
    expect(JSON.parse(String(status?.jsonb_pretty))).toMatchObject({ state: 'succeeded', bundle: 'shop' });

    appendFileSync(join(place.path, 'slow.sql'), 'select pg_sleep(3);\n');
    const folder = 'mkdir slow && mv slow.sql slow/ && npx weft deploy slow';
    const running = runShell(folder, { cwd: place.path, env: { DATABASE_URL: database.url } });
    await expect
      .poll(async () => (await statements('activity'))[0]?.filter(({ application_name }) => application_name === 'weft 1/1 main').length, { timeout: 20_000 })
      .toBe(1);
    expect((await running).code).toBe(0);
  });

  test('continues what an interrupted run left, with nothing but a CALL', async () => {
    const { stdout } = await runShell('npx weft sign --generate-secret', { cwd: place.path });
    expect(stdout).toMatch(/^whsec_/);
    // Staged, and nobody runs it: a deployment whose client was gone before the CALL.
    const content = 'create table by_psql (n int); insert into by_psql values (1)';
    const request = JSON.stringify({ type: 'deploy', id: 'psql-1', expires_at: '2030-01-01T00:00:00Z' });
    const digest = (await sql(database.url, "select encode(sha256(convert_to($1, 'UTF8')), 'hex') as digest", [content]))[0].digest;
    const manifest = {
      format: 1,
      bundle: 'psql',
      artifacts: [{ path: '1.sql', digest, size: content.length }],
      phases: [{ name: 'main', transaction: 'single', steps: [{ kind: 'run', path: '1.sql' }] }],
    };
    const [{ opened }] = await sql(database.url, 'select weft.open($1, $2) as opened', [Buffer.from(request), JSON.stringify(manifest)]);
    await sql(database.url, 'select weft.stage($1, $2, $3, $4)', [opened.deployment, [digest], [content.length], Buffer.from(content)]);
    expect(await statements('secrets')).toMatchObject([[{ is_set: true }]]);
    await statements('resume');
    expect(await sql(database.url, 'select n from by_psql')).toEqual([{ n: 1 }]);
    expect((await sql(database.url, 'select state from weft.deployments where id = $1', [opened.deployment]))[0]).toEqual({ state: 'succeeded' });

    await sql(database.url, 'select weft.open($1, $2)', [Buffer.from(request.replace('psql-1', 'psql-2')), JSON.stringify(manifest)]);
    const [cancelled] = await statements('cancel');
    expect(cancelled).toEqual([{ '?column?': 'cancelled' }]);

    const protection = JSON.stringify({ environment: 'production', second_person: true });
    const guarded = [Buffer.from(request.replace('psql-1', 'psql-3')), JSON.stringify(manifest), protection];
    await sql(database.url, `select weft.open($1, $2, p_caller => 'ci', p_protection => $3)`, guarded);
    const [asked, shown, approved] = await statements('approve');
    expect(asked).toMatchObject([{ bundle: 'psql', caller: 'ci', environment: 'production' }]);
    expect(shown).toEqual([{ path: '1.sql', text: expect.stringContaining('create table by_psql') }]);
    expect(approved).toEqual([{ state: 'staged' }]);
    expect(await sql(database.url, 'select state, approved_by is not null as is_approved from weft.approvals')).toEqual([
      { state: 'succeeded', is_approved: true },
    ]);
  });

  test('finds what a deployment could not take away, under the names that the page has', async () => {
    const holder = await database.client();
    await sql(database.url, 'create table held (n int)');
    await holder.query('begin; insert into held values (1)');
    const env = { DATABASE_URL: database.url };
    const running = runShell(`mkdir held && echo 'create index concurrently held_n on held (n);' > held/1.sql && npx weft deploy held --json`, {
      cwd: place.path,
      env,
    });
    const atWork = `select a.pid from weft._lease as l join pg_stat_activity as a using (pid) where l.directive_at is not null and a.wait_event_type = 'Lock'`;
    await expect.poll(async () => (await sql(database.url, atWork)).length, { timeout: 20_000 }).toBe(1);
    const [{ id }] = await sql(database.url, `select id from weft.deployments where bundle = 'held'`);
    await sql(database.url, `select weft.cancel('${id}')`);
    const [, section = ''] = readPage(PAGE).split('## Half-made\n');
    const statusOf = async () => (await sql(database.url, `select weft.status('${id}') as status`))[0].status;
    await expect.poll(async () => (await statusOf()).cleaning?.sent, { timeout: 20_000 }).toBe('drop index concurrently public.held_n');
    const status = await statusOf();
    for (const name of ['cancelling', 'cleaning', 'live']) expect([name, Boolean(status[name]), section.includes(`\`${name}\``)]).toEqual([name, true, true]);
    // It died too often, says the record; the next runner gives up.
    await sql(
      database.url,
      `update weft._deployments set deaths = 4 where id = '${id}'; update weft._attempts set ended_at = null, outcome = null where deployment_id = '${id}'`,
    );
    await sql(database.url, 'select pg_terminate_backend(pid, 10000) from weft._lease');
    const { error } = JSON.parse((await running).stdout);
    expect(section.includes('`remains`')).toBe(true);
    expect(error.remains).toEqual([{ object: 'public.held_n', statement: 'drop index concurrently public.held_n' }]);
    expect(await statements('leftover')).toMatchObject([
      [{ deployment_id: id, object: 'public.held_n', statement: 'drop index concurrently public.held_n', needs: null }],
    ]);
    await holder.query('rollback');
    await holder.end();
    await sql(database.url, error.remains[0].statement);
  });

  test('goes back with nothing but a CALL, and shows what a rehearsal has found', async () => {
    const files = { '1.sql': 'create table to_and_fro (n int)', 'undo/1.sql': 'drop table to_and_fro' };
    const digests = await sql(
      database.url,
      `select encode(sha256(convert_to(f, 'UTF8')), 'hex') as digest from unnest($1::text[]) with ordinality as u (f, n) order by n`,
      [Object.values(files)],
    );
    const artifacts = Object.entries(files).map(([path, content], index) => ({ path, digest: digests[index].digest, size: content.length }));
    const steps = [{ kind: 'run', path: '1.sql', undo: 'undo/1.sql' }];
    const manifest = JSON.stringify({ format: 1, bundle: 'billing', artifacts, phases: [{ name: 'main', transaction: 'single', steps }] });
    for (const mode of ['rehearse', 'apply']) {
      const request = JSON.stringify({ type: 'deploy', id: `fro-${mode}`, mode, expires_at: '2030-01-01T00:00:00Z' });
      const [{ opened }] = await sql(database.url, 'select weft.open($1, $2) as opened', [Buffer.from(request), manifest]);
      if (opened.missing.length > 0) {
        const [contents, names] = [Object.values(files), artifacts.map(({ digest }) => digest)];
        await sql(database.url, 'select weft.stage($1, $2, $3, $4)', [
          opened.deployment,
          names,
          contents.map(({ length }) => length),
          Buffer.from(contents.join('')),
        ]);
      }
      await sql(database.url, `call weft.run('${opened.deployment}')`);
    }
    const [rehearsed] = await statements('rehearsals');
    expect(rehearsed).toMatchObject([{ path: '1.sql', line: 1, locks: null, remark: null }]);
    const [[plan] = []] = await statements('undo');
    expect(JSON.parse(String(plan?.jsonb_pretty))).toMatchObject({ bundle: 'billing', lacking: [] });
    expect(await sql(database.url, `select to_regclass('to_and_fro') as gone`)).toEqual([{ gone: null }]);
  });

  test('describes catalogs, and names every view, every function and every state', async () => {
    await statements('accept');
    await sql(database.url, 'create table by_hand (n int)');
    expect(await statements('drift')).toMatchObject([[{ change: 'added', kind: 'table', identity: 'public.by_hand', before: null }]]);
    expect(await statements('accept')).toMatchObject([[{ accept_drift: { verdict: 'none', since: { accepted: { count: 1 } } } }]]);
    expect(await statements('drift')).toEqual([[]]);
    await sql(database.url, 'drop table by_hand');
    expect(await statements('changes')).toHaveLength(1);
    const [[{ fingerprint } = {}] = [], snapshot] = await statements('fingerprint');
    expect(fingerprint).toMatch(/^\d+:\d+:[0-9a-f]{64}$/);
    expect(snapshot?.length).toBeGreaterThan(0);

    const [settings, , [swept] = []] = await statements('kept');
    expect(
      rowsBelow(PAGE, 'What is kept')
        .map(([name, value]) => [bare(name), Number(value)])
        .sort(),
    ).toEqual(settings?.map(({ name, default_value }) => [name, default_value]).sort());
    expect(swept).toEqual({ result: { chunks: 0, events: 0, requests: 0 } });
    const [receipts, kept] = await statements('receipts');
    const digest = createHash('sha256').update(String(kept?.[0]?.receipt)).digest('hex');
    expect(receipts).toContainEqual(expect.objectContaining({ sha256: digest, number: 1 }));

    const views = await sql(database.url, "select 'weft.' || viewname as name from pg_views where schemaname = 'weft'");
    expect(
      rowsBelow(PAGE, 'Look')
        .map(([name]) => bare(name))
        .sort(),
    ).toEqual(views.map(({ name }) => name).sort());
    const functions = await sql(
      database.url,
      "select distinct 'weft.' || proname as name from pg_proc where pronamespace = 'weft'::regnamespace and proname !~ '^_'",
    );
    const named = rowsBelow(PAGE, 'Functions').flatMap(([cell]) => [...(cell ?? '').matchAll(/weft\.\w+/g)].map(([name]) => name));
    expect(named.sort()).toEqual(functions.map(({ name }) => name).sort());
    expect(rowsBelow(PAGE, 'States').map(([name]) => bare(name))).toEqual(deploymentStateSchema.options);
  });

  test('leaves when asked', async () => {
    await statements('leave');
    expect(await sql(database.url, "select count(*)::int as count from pg_namespace where nspname = 'weft'")).toEqual([{ count: 0 }]);
    expect((await sql(database.url, "select count(*)::int as count from pg_tables where schemaname = 'shop'"))[0].count).toBeGreaterThan(0);
  });
});

describe('README.md', () => {
  test('and the pages name each command and each of its options', () => {
    const text = PAGES.map(readPage).join('\n');
    const unnamed = COMMANDS.flatMap(({ name, options }) => [`weft ${name}`, ...Object.keys(options).map((option) => `--${option}`)]).filter(
      (word) => !text.includes(word),
    );
    expect([...new Set(unnamed)]).toEqual([]);
  });

  test('has the exit codes of the help', async () => {
    const { stdout } = await runShell('npx weft --help', { cwd: place.path });
    const [, codes = ''] = stdout.split('Exit codes:\n');
    const ofHelp = [...codes.matchAll(/^ {2}(\d) {2}(.*)$/gm)].map(([, code, means]) => `| ${code} | ${means} |`);
    expect(ofHelp).toHaveLength(4);
    const readme = readPage('README.md').replaceAll('`', '').replaceAll('"', '');
    for (const row of ofHelp) expect(readme).toContain(row.replaceAll('"', ''));
  });
});
