/** Refusals the whole way: what HTTP can bring reaches no database, what a database can say reaches the sender. */
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startWorker } from '../../src/dev/miniflare.ts';
import { LIMITS } from '../../src/domain/limits.ts';
import { PROBLEMS, type ProblemSlug } from '../../src/domain/problem.ts';
import { END, entry } from '../bundle/tars.ts';
import { BAD_INPUT } from '../http/bad_input.ts';
import { DEPLOYMENTS, digestOf, inlineFiles, makeRequests, manifestOf } from '../http/requests.ts';
import { withDatabase } from '../support/database.ts';
import { sql } from '../support/sql.ts';
import { type AnyDocument, openWorld, type World } from './support.ts';

let world: World;
beforeAll(async () => {
  world = await openWorld();
});
afterAll(() => world?.stop());

function expectProblem({ answer, document }: { answer: Response; document: AnyDocument }, slug: ProblemSlug): void {
  expect(document).toMatchObject({ type: `urn:weft:problem:${slug}`, title: PROBLEMS[slug].title, status: PROBLEMS[slug].status });
  expect(document.detail).toMatch(/^.{20,}/);
  expect(answer.status).toBe(PROBLEMS[slug].status);
  expect(answer.headers.get('content-type')).toBe('application/problem+json');
}

describe('no connection reaches the database', () => {
  test.each(BAD_INPUT)('for %s: %s', async (_name, slug, path, init) => {
    const refused = await world.send(path, await init(world.requests));
    expectProblem(refused, slug);
    if (refused.answer.status === 401) expect(refused.answer.headers.get('www-authenticate')).toMatch(/^(Bearer|Webhook) realm="weft"/);
    expect(world.relay.connections).toEqual([]);
  });

  test('for what needs no database', async () => {
    expect((await world.worker.fetch('/')).status).toBe(200);
    expect((await world.worker.fetch('/healthz')).status).toBe(200);
    expect((await world.worker.fetch('/favicon.ico')).status).toBe(404);
    expect((await world.worker.fetch(DEPLOYMENTS, { method: 'PATCH' })).status).toBe(405);
    expect(world.relay.connections).toEqual([]);
  });
});

describe('a refusal reaches its sender', () => {
  const headers = { 'content-type': 'application/x-tar' };

  test('who sends as much as is drained', async () => {
    const body = new Uint8Array(LIMITS.drain_bytes);
    for (let attempt = 0; attempt < 5; attempt++) expectProblem(await world.send(DEPLOYMENTS, { method: 'POST', body, headers }), 'unsigned');
  });

  test('who does not say how much it sends', async () => {
    let parts = 8;
    const body = new ReadableStream<Uint8Array>({
      async pull(controller) {
        await new Promise((resolve) => setTimeout(resolve, 5));
        if (parts-- === 0) controller.close();
        else controller.enqueue(new Uint8Array(1_000_000));
      },
    });
    expectProblem(await world.send(DEPLOYMENTS, { method: 'POST', body, headers, duplex: 'half' } as RequestInit), 'unsigned');
  });
});

describe('behind a proved request', () => {
  interface File {
    readonly name: string;
    readonly body: string;
  }

  const cases: [name: string, slug: ProblemSlug, entries: (one: File, two: File, three: File) => Buffer[]][] = [
    ['an artifact twice', 'artifact_doubled', (one) => [entry(one), entry(one), END]],
    ['artifacts out of order', 'artifact_out_of_order', (one, two) => [entry(two), entry(one), END]],
    ['an artifact that the manifest does not name', 'artifact_unnamed', () => [entry({ name: digestOf('x'), body: 'x' }), END]],
    ['an artifact with another content', 'digest_mismatch', (one) => [entry({ ...one, body: one.body.toUpperCase() }), END]],
    ['an artifact with another size', 'digest_mismatch', (one) => [entry({ ...one, body: `${one.body} ` }), END]],
    ['an artifact that does not come', 'artifact_missing', (one, _two, three) => [entry(one), entry(three), END]],
    ['a path', 'forbidden_entry', (one) => [entry({ ...one, name: '../../1.sql' }), END]],
    ['a link', 'forbidden_entry', (one) => [entry({ name: one.name, type: '2' }), END]],
    ['a broken header', 'malformed_tar', (one, two) => [entry(one), entry({ ...two, spoilt: true }), END]],
    ['an early end', 'malformed_tar', (one, two) => [entry(one), entry(two).subarray(0, 520)]],
  ];
  const sizes = [
    { size: 'small', bytes: 100 },
    { size: 'large', bytes: LIMITS.chunk_bytes },
  ];
  const sizedCases = sizes.flatMap((size) => cases.map(([name, slug, entries]) => ({ ...size, name, slug, entries })));
  test.each(sizedCases)('$name is refused, of a $size bundle: $slug; the right tar then succeeds', async ({ size, bytes, name, slug, entries }) => {
    // What the database has already would not be looked at again: so each case has files of its own.
    const table = `${name.replaceAll(' ', '_')}_${size}`;
    const files = {
      '1.sql': `create table ${table} (id int);`,
      '2.sql': `insert into ${table} values (1);`,
      '3.sql': `insert into ${table} values (2);`.padEnd(bytes, '-'),
    };
    const [one, two, three] = Object.values(files).map((body) => ({ name: digestOf(body), body })) as [File, File, File];
    const document = world.requests.makeRequest({ manifest: manifestOf(files, { bundle: table }) });
    const init = await world.requests.postTar(document, {});
    const wrong = Buffer.concat([entry({ name: 'request.json', body: JSON.stringify(document) }), ...entries(one, two, three)]);
    expectProblem(await world.send(DEPLOYMENTS, { ...init, body: wrong }), slug);
    const gzip = { ...init.headers, 'content-type': 'application/gzip' };
    expectProblem(await world.send(DEPLOYMENTS, { ...init, body: gzipSync(wrong), headers: gzip }), slug);

    const right = await world.requests.postTar(document, files, { headers: { prefer: 'wait=30' } });
    // Nothing is opened before all of a small bundle is proved; but that some of it is missing, only the database knows.
    // A link may stand where secrets would: the entry behind the request is looked at before anything is opened.
    const isOpened = (size === 'large' && name !== 'a link') || slug === 'artifact_missing';
    expect((await world.send(DEPLOYMENTS, right)).document).toMatchObject({ state: 'succeeded', repeated: isOpened });
    expect(await world.count(table)).toBe(2);
  });

  test('a gzip that is cut is refused, and the whole one then succeeds', async () => {
    const files = { '1.sql': 'create table cut (id int);', '2.sql': 'insert into cut values (1);' };
    const document = world.requests.makeRequest({ manifest: manifestOf(files, { bundle: 'cut' }) });
    const init = await world.requests.postTar(document, files, { headers: { 'content-encoding': 'gzip', prefer: 'wait=30' } });
    const body = gzipSync(init.body, { level: 0 });
    expectProblem(await world.send(DEPLOYMENTS, { ...init, body: body.subarray(0, body.length - 1200) }), 'malformed_gzip');
    expect((await world.send(DEPLOYMENTS, { ...init, body })).document).toMatchObject({ state: 'succeeded' });
    expect(await world.count('cut')).toBe(1);
  });

  test('a file that is not UTF-8 is named with its path and byte', async () => {
    const bytes = Buffer.from('select 1; -- \xff', 'latin1');
    const digest = digestOf(bytes);
    const artifacts = [{ path: 'latin.sql', digest, size: bytes.length }];
    const document = world.requests.makeRequest({ manifest: manifestOf({ 'latin.sql': '' }, { artifacts }) });
    const init = await world.requests.postTar(document, {});
    const body = Buffer.concat([entry({ name: 'request.json', body: JSON.stringify(document) }), entry({ name: digest, body: bytes }), END]);
    const refused = await world.send(DEPLOYMENTS, { ...init, body });
    expectProblem(refused, 'not_utf8');
    expect(refused.document).toMatchObject({ path: 'latin.sql', byte: 13 });
  });
});

describe('what is wrong with a database', () => {
  test('is said in words, without its address or its password', async () => {
    const { url } = world.database;
    const role = `weft_poor_${process.pid}`;
    const database = new URL(url).pathname.slice(1);
    await sql(url, `create role ${role} login password 'a-long-password'`);
    await sql(url, `create role ${role}_read login password 'a-long-password'`);
    await sql(url, `alter role ${role}_read set default_transaction_read_only = on`);
    await sql(url, `revoke create on database ${database} from public`);
    const as = (name: string, password = 'a-long-password') => Object.assign(new URL(url), { username: name, password }).href;
    // Each in a database of its own: two targets of one database are refused before.
    const targets = {
      password: withDatabase(as(role, 'the-wrong-password'), 'weft_no_matter'),
      rights: as(role),
      readonly: withDatabase(as(`${role}_read`), 'postgres'),
      nowhere: withDatabase(url, 'weft_no_such_database'),
    };
    const names = Object.keys(targets);
    const secretOf = (name: string) => `${name.toUpperCase()}_URL`;
    const lines: string[] = [];
    const worker = await startWorker({
      config: {
        targets: Object.fromEntries(
          names.map((name) => [name, { database: secretOf(name), transport: 'websocket', proxy: `127.0.0.1:${world.relay.port}/v1`, insecure: true }]),
        ),
        callers: { ci: { secrets: ['CI_SECRET'] } },
        grants: [{ caller: 'ci', targets: ['*'], actions: ['deploy', 'read'] }],
      },
      secrets: { CI_SECRET: world.requests.secrets.ci, ...Object.fromEntries(Object.entries(targets).map(([name, value]) => [secretOf(name), value])) },
      onLog: (line) => lines.push(line),
    });
    try {
      const requests = makeRequests({ ...world.requests, origin: worker.origin, makeId: () => crypto.randomUUID() });
      const said: Record<string, string> = {};
      await Promise.all(
        names.map(async (target) => {
          const document = requests.makeRequest({ target, files: inlineFiles({ '1.sql': 'select 1;' }) });
          const answer = await worker.fetch(`/v1/targets/${target}/deployments`, await requests.post(document));
          const text = await answer.text();
          const problem = JSON.parse(text);
          said[target] = `${answer.status} ${problem.type}`;
          expect(text).not.toMatch(/a-long-password|the-wrong-password|127\.0\.0\.1/);
        }),
      );
      expect(said).toEqual({
        password: '502 urn:weft:problem:database_authentication',
        rights: '502 urn:weft:problem:role_without_rights',
        readonly: '502 urn:weft:problem:read_only_server',
        nowhere: '502 urn:weft:problem:database_missing',
      });
      expect(lines.join('\n')).not.toMatch(/a-long-password|the-wrong-password|127\.0\.0\.1/);
    } finally {
      await worker.stop();
      for (const name of [role, `${role}_read`]) await sql(url, `drop role if exists ${name}`);
    }
  });
});
