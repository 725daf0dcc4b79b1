/**
 * How a deployment comes to be: a request becomes one deployment however often it is sent, and its bytes become chunks that the engine has digested
 * itself. Most of it through the functions of the engine; a few of them as the doorman calls them.
 */
import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ensureEngine, openDeployment, readStatus } from '../../src/database/engine.ts';
import type { Session } from '../../src/database/session.ts';
import { stagingMessages } from '../../src/database/staging.ts';
import { LIMITS } from '../../src/domain/limits.ts';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { randomId, within } from '../support/orders.ts';
import { sql } from '../support/sql.ts';
import { type Files, type Parcel, pack, send, sha256 } from './support.ts';

let database: TestDatabase;
const roles: string[] = [];

beforeEach(async () => {
  database = await freshDatabase();
  await withSession((session) => ensureEngine(session));
});

afterEach(async () => {
  const gone = roles.splice(0);
  const { href: elsewhere } = Object.assign(new URL(database.url), { pathname: '/postgres' });
  await database.drop();
  for (const role of gone) await sql(elsewhere, `drop role if exists ${role}`);
});

const withSession = <T>(use: (session: Session) => Promise<T>, url = database.url): Promise<T> => within(url, use);

const parcelOf = (files: Files, id = randomId(), more: Parameters<typeof pack>[2] = {}): Parcel =>
  pack([{ name: 'main', transaction: 'single', files }], id, more);

interface Answer {
  readonly outcome: string;
  readonly deployment: string;
  readonly state: string;
  readonly missing: string[];
}

interface OpenOptions {
  readonly caller?: string;
  readonly target?: string | null;
  readonly engine?: number;
  readonly signature?: unknown;
  readonly url?: string;
}

/** weft.open, without the doorman's ways. @param request a parcel, or the bytes of a request */
async function open(request: Parcel | Uint8Array, { caller = 'direct', target = null, engine = 1, signature = null, url }: OpenOptions = {}): Promise<Answer> {
  const bytes = request instanceof Uint8Array ? request : request.order.request;
  const [{ answer }] = await sql(
    url ?? database.url,
    'select weft.open(p_request => $1, p_caller => $2, p_target => $3, p_signature => $4, p_engine => $5) as answer',
    [bytes, caller, target, signature === null ? null : JSON.stringify(signature), engine],
  );
  return answer;
}

/** weft.stage with these parts; what is announced and how they are cut can be told otherwise. */
async function stage(deployment: string, parts: readonly Uint8Array[], lies: { digests?: string[]; sizes?: number[]; isLast?: boolean } = {}) {
  const { digests = parts.map(sha256), sizes = parts.map(({ length }) => length), isLast = true } = lies;
  const [{ answer }] = await sql(database.url, 'select weft.stage($1, $2, $3, $4, $5) as answer', [deployment, digests, sizes, Buffer.concat(parts), isLast]);
  return answer.state;
}

const chunksKept = async (): Promise<string[]> =>
  (await sql(database.url, `select encode(digest, 'hex') as digest from weft._chunks order by 1`)).map(({ digest }) => digest);

const count = async (table: string): Promise<number> => (await sql(database.url, `select count(*)::int as count from weft.${table}`))[0].count;

const partsOf = ({ chunks }: Parcel): Uint8Array[] => [...chunks.values()];

describe('a request', () => {
  it('that comes twice is one deployment', async () => {
    const parcel = parcelOf({ 'a.sql': 'select 1;' });
    const first = await open(parcel);
    const second = await open(parcel);
    expect(first).toMatchObject({ outcome: 'created', state: 'open', missing: [...parcel.chunks.keys()] });
    expect(second).toMatchObject({ outcome: 'repeated', deployment: first.deployment, state: 'open', missing: first.missing });
    expect([await count('_deployments'), await count('_artifacts'), await count('_steps'), await count('events')]).toEqual([1, 1, 1, 1]);
  });

  it('that was signed anew, with another expiry and the keys in another order, is still the same', async () => {
    const parcel = parcelOf({ 'a.sql': 'select 1;' }, 'one');
    const first = await open(parcel);
    const later = parcelOf({ 'a.sql': 'select 1;' }, 'one', { expiresAt: '2098-12-31T00:00:00Z' });
    const turned = JSON.stringify(Object.fromEntries(Object.entries(JSON.parse(Buffer.from(later.order.request).toString())).reverse()), null, 2);
    for (const again of [later, Buffer.from(turned)]) {
      expect(await open(again)).toMatchObject({ outcome: 'repeated', deployment: first.deployment });
    }
    expect(await count('_deployments')).toBe(1);
    const [{ request }] = await sql(database.url, 'select request from weft._deployments');
    expect(request).toEqual(parcel.order.request); // the bytes that came first stay
  });

  it('with the id of another request is a conflict, and changes nothing', async () => {
    const first = await open(parcelOf({ 'a.sql': 'select 1;' }, 'one'));
    const before = await sql(database.url, 'select d::text from weft._deployments as d');
    const other = parcelOf({ 'a.sql': 'select 2;' }, 'one');
    expect(await open(other)).toEqual({ outcome: 'conflict', deployment: first.deployment, state: 'open' });
    expect(await sql(database.url, 'select d::text from weft._deployments as d')).toEqual(before);
    const through = withSession((session) => openDeployment(session, { ...other.order, signature: null }));
    await expect(through).rejects.toMatchObject({ slug: 'id_conflict', message: expect.stringContaining(first.deployment) });
  });

  it('of another caller, or for another target, is another deployment, whatever its id', async () => {
    const parcel = parcelOf({ 'a.sql': 'select 1;' }, 'one');
    const opened = [
      await open(parcel),
      await open(parcel, { caller: 'ci' }),
      await open(parcel, { target: 'production' }),
      await open(parcel, { caller: 'ci', target: 'production' }),
    ];
    expect(opened.map(({ outcome }) => outcome)).toEqual(['created', 'created', 'created', 'created']);
    expect(new Set(opened.map(({ deployment }) => deployment)).size).toBe(4);
  });

  it('that comes twenty times at once is one deployment', async () => {
    const parcel = parcelOf({ 'a.sql': 'select 1;', 'b.sql': 'select 2;' });
    const opened = await Promise.all(Array.from({ length: 20 }, () => withSession((session) => openDeployment(session, { ...parcel.order, signature: null }))));
    expect(new Set(opened.map(({ id }) => id)).size).toBe(1);
    expect(opened.filter(({ repeated }) => !repeated)).toHaveLength(1);
    for (const { missing } of opened) expect([...missing].sort()).toEqual([...parcel.chunks.keys()].sort());
    expect([await count('_deployments'), await count('_steps'), await count('events')]).toEqual([1, 2, 1]);
  });

  it('is kept byte for byte, and its signature as it came', async () => {
    const plain = Buffer.from(parcelOf({ 'a.sql': 'select 1;' }).order.request).toString();
    const odd = Buffer.from(`\r\n ${plain.replace('{', '{ "note" : "\\u00e9 é 漢 \\\\x00 \\"",\n\t')} \n`);
    const signature = { 'webhook-id': 'msg_1', 'webhook-timestamp': '1700000000', 'webhook-signature': 'v1,abc= v1,def=' };
    await open(odd, { signature });
    const [row] = await sql(database.url, 'select request, signature from weft._deployments');
    expect(row).toEqual({ request: odd, signature });
  });

  it.each([
    ['nothing', ''],
    ['no JSON', 'deploy it'],
    ['half of a document', '{"type": "deploy", "id": "1"'],
    ['bytes that are no UTF-8', Buffer.from('7b2261223a22ff227d', 'hex')],
    ['a character that PostgreSQL does not keep', '{"type": "deploy", "id": "\\u0000"}'],
    ['a number', '47'],
    ['a list', '[{"type": "deploy"}]'],
    ['a request of another type', { type: 'cancel', id: '1', manifest: { phases: [] } }],
    ['a request without a type', { id: '1', manifest: { phases: [] } }],
    ['a request without an id', { type: 'deploy', manifest: { phases: [] } }],
    ['a request without a manifest', { type: 'deploy', id: '1' }],
    ['a manifest without phases', { type: 'deploy', id: '1', manifest: { bundle: 'shop' } }],
    ['a manifest whose phases are no list', { type: 'deploy', id: '1', manifest: { bundle: 'shop', phases: {} } }],
  ])('is refused and not kept when it is %s', async (_, request) => {
    const bytes = typeof request === 'string' || Buffer.isBuffer(request) ? Buffer.from(request) : Buffer.from(JSON.stringify(request));
    await expect(open(bytes)).rejects.toMatchObject({ code: 'WF006' });
    expect(await count('_deployments')).toBe(0);
  });
});

describe('staging', () => {
  it('proves every chunk by its digest, and names the path of the one that differs', async () => {
    const parcel = parcelOf({ 'a.sql': 'select 1;', 'db/b.sql': 'select 2;' });
    const { deployment } = await open(parcel);
    const [a = Buffer.alloc(0)] = partsOf(parcel);
    const wrong = stage(deployment, [a, Buffer.from('select 3;')], { digests: [...parcel.chunks.keys()] });
    await expect(wrong).rejects.toMatchObject({
      code: 'WF005',
      message: expect.stringContaining('db/b.sql'),
      detail: expect.stringContaining(sha256('select 3;')),
    });
    expect(await chunksKept()).toEqual([]); // also not the good one of the same message
    expect((await open(parcel)).missing).toHaveLength(2);
  });

  it('refuses a chunk that the deployment does not name, though another one does', async () => {
    const mine = parcelOf({ 'a.sql': 'select 1;' });
    const theirs = parcelOf({ 'a.sql': 'select 2;' });
    const { deployment } = await open(mine);
    await open(theirs);
    await expect(stage(deployment, [...partsOf(mine), ...partsOf(theirs)])).rejects.toMatchObject({ code: 'WF011' });
    await expect(stage('00000000-0000-4000-8000-000000000000', partsOf(mine))).rejects.toMatchObject({ code: 'WF011' });
    expect(await chunksKept()).toEqual([]);
  });

  it.each([
    ['too few bytes', [9, 8]],
    ['too many bytes', [9, 10]],
    ['one size less than digests', [18]],
    ['one size more than digests', [9, 9, 0]],
  ])('refuses sizes that do not add up: %s', async (_, sizes) => {
    const parcel = parcelOf({ 'a.sql': 'select 1;', 'b.sql': 'select 2;' });
    const { deployment } = await open(parcel);
    await expect(stage(deployment, partsOf(parcel), { sizes })).rejects.toMatchObject({ code: 'WF004' });
    expect(await chunksKept()).toEqual([]);
  });

  it('refuses chunks that were cut at another place, though their sizes add up', async () => {
    const parcel = parcelOf({ 'a.sql': 'select 1;', 'b.sql': 'select 2;' });
    const { deployment } = await open(parcel);
    await expect(stage(deployment, partsOf(parcel), { sizes: [8, 10] })).rejects.toMatchObject({ code: 'WF005', message: expect.stringContaining('a.sql') });
    expect(await chunksKept()).toEqual([]);
  });

  it('takes an empty file, the same chunk twice in one message, and chunks that are there already', async () => {
    const parcel = parcelOf({ 'a.sql': '', 'b.sql': 'select 2;' });
    const { deployment } = await open(parcel);
    const [empty = Buffer.alloc(1), b = Buffer.alloc(1)] = partsOf(parcel);
    expect(await stage(deployment, [b, b], { isLast: false })).toBeNull();
    expect(await stage(deployment, [empty, b])).toBe('staged');
    expect(await stage(deployment, [b])).toBe('staged');
    expect(await chunksKept()).toEqual([...parcel.chunks.keys()].sort());
  });

  it('answers what is still missing, and stages the deployment by itself when that is nothing', async () => {
    const parcel = parcelOf({ 'a.sql': 'select 1;', 'b.sql': 'select 2;', 'c.sql': 'select 3;' });
    const { deployment } = await open(parcel);
    const [a = '', b = '', c = ''] = parcel.chunks.keys();
    const [bytesOfA = Buffer.alloc(0), ...others] = partsOf(parcel);
    expect(await stage(deployment, [bytesOfA])).toBe('open');
    const again = await open(parcel);
    expect(again).toMatchObject({ outcome: 'repeated', state: 'open', deployment });
    expect([...again.missing].sort()).toEqual([b, c].sort());
    expect(again.missing).not.toContain(a);
    expect(await stage(deployment, others)).toBe('staged');
    expect(await open(parcel)).toMatchObject({ state: 'staged', missing: [] });
    const events = await sql(database.url, 'select number, kind from weft.events order by number');
    expect(events).toEqual([
      { number: 1, kind: 'opened' },
      { number: 2, kind: 'staged' },
    ]);
    const [{ content }] = await sql(database.url, `select content from weft._chunks where digest = decode('${c}', 'hex')`);
    expect(content.toString()).toBe('select 3;');
  });

  it('needs a chunk that two deployments, or two files, share once', async () => {
    const shared = { 'lib.sql': 'select 47;', 'copy.sql': 'select 47;' };
    const first = parcelOf({ ...shared, 'a.sql': 'select 1;' });
    const second = parcelOf({ ...shared, 'b.sql': 'select 2;' });
    const third = parcelOf({ 'lib.sql': 'select 47;' });
    const opened = await open(first);
    expect(opened.missing).toHaveLength(2);
    await stage(opened.deployment, partsOf(first));
    expect((await open(second)).missing).toEqual([sha256('select 2;')]);
    expect(await open(third)).toMatchObject({ outcome: 'created', state: 'staged', missing: [] }); // nothing to upload at all
    expect(await count('_chunks')).toBe(2);
  });

  it('keeps what arrived before a refused message', async () => {
    const parcel = parcelOf({ 'a.sql': 'select 1;', 'b.sql': 'select 2;' });
    const { deployment } = await open(parcel);
    const [a = Buffer.alloc(0)] = partsOf(parcel);
    await stage(deployment, [a], { isLast: false });
    await expect(stage(deployment, [Buffer.from('select 9;')], { digests: [sha256('select 2;')] })).rejects.toMatchObject({ code: 'WF005' });
    expect((await open(parcel)).missing).toEqual([sha256('select 2;')]);
  });

  it('brings an artifact of more than three mebibytes there and back, byte for byte', async () => {
    const big = Buffer.from(`/* ${randomBytes(1_600_000).toString('hex')} */ create table t (n int);`);
    const parcel = parcelOf({ 'big.sql': big, 'small.sql': 'insert into t values (1);' });
    const artifact = parcel.order.manifest.artifacts[0];
    expect(big.length).toBeGreaterThan(3 * LIMITS.chunk_bytes);
    expect(artifact?.chunks).toHaveLength(4);
    const id = await withSession(async (session) => {
      const opened = await openDeployment(session, { ...parcel.order, signature: null });
      expect([...opened.missing].sort()).toEqual([...parcel.chunks.keys()].sort());
      const chunks = [...parcel.chunks].map(([digest, bytes]) => ({ digest, bytes }));
      for (const reply of await session.pipeline(stagingMessages(opened.id, chunks))) expect(reply.kind).toBe('rows');
      expect((await readStatus(session, opened.id)).state).toBe('staged');
      return opened.id;
    });
    const [{ content }] = await sql(
      database.url,
      `select string_agg(c.content, '' order by u.ordinality) as content
       from weft._artifacts as a cross join unnest(a.chunks) with ordinality as u (digest) join weft._chunks as c on c.digest = u.digest
       where a.deployment_id = $1 and a.path = 'big.sql'`,
      [id],
    );
    expect(sha256(content)).toBe(artifact?.digest);
    expect((await send(database.url, parcel)).state).toBe('succeeded'); // the same request: runs what was staged
    expect(await sql(database.url, 'select n from t')).toEqual([{ n: 1 }]);
  });
});

describe('a session that weft.open refuses', () => {
  const parcel = parcelOf({ 'a.sql': 'select 1;' });

  it('brings an older engine than the one that is there', async () => {
    await expect(open(parcel, { engine: 0 })).rejects.toMatchObject({ code: 'WF001' });
    expect(await count('_deployments')).toBe(0);
    expect(await open(parcel, { engine: 2 })).toMatchObject({ outcome: 'created' });
  });

  it('cannot be seen by others, because track_activities is off', async ({ skip }) => {
    const { superuserUrl, name } = database;
    if (superuserUrl === null) return skip('needs a superuser');
    await sql(superuserUrl, `alter database ${name} set track_activities = off`);
    await expect(open(parcel)).rejects.toMatchObject({ code: 'WF008', hint: expect.stringContaining(name) });
    await sql(superuserUrl, `alter database ${name} reset track_activities`);
    expect(await open(parcel)).toMatchObject({ outcome: 'created' });
  });

  it('cannot see others, because its role neither owns the schema nor has pg_read_all_stats', async ({ skip }) => {
    const { superuserUrl } = database;
    if (superuserUrl === null) return skip('needs a superuser');
    const role = `weft_test_reader_${randomBytes(6).toString('hex')}`;
    const password = randomBytes(12).toString('hex');
    await sql(database.url, `create role ${role} login password ${pg.escapeLiteral(password)}`);
    roles.push(role);
    await sql(
      database.url,
      `grant usage on schema weft to ${role}; grant all on all tables in schema weft to ${role}; grant execute on all routines in schema weft to ${role}; grant all on all sequences in schema weft to ${role}`,
    );
    const { href: url } = Object.assign(new URL(database.url), { username: role, password });
    await expect(open(parcel, { url })).rejects.toMatchObject({ code: 'WF009', message: expect.stringContaining(role) });
    expect(await count('_deployments')).toBe(0);
    await sql(superuserUrl, `grant pg_read_all_stats to ${role}`);
    expect(await open(parcel, { url })).toMatchObject({ outcome: 'created' });
  });
});
