/**
 * A second person, and a rehearsal first: what the environment of a target asks of a deployment stands in the database with it, so that whoever
 * comes next meets it too, and the engine alone decides whether it was given.
 */
import { createHash, randomBytes } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type ApproveOptions, approve } from '../../src/deployment/approve.ts';
import { attend } from '../../src/deployment/attend.ts';
import { cancel } from '../../src/deployment/cancel.ts';
import { resume } from '../../src/deployment/resume.ts';
import type { Deployment } from '../../src/domain/deployment.ts';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { connectOver, deployFiles, makeOrder, type OrderOptions, openOrder, stageFiles, stageOrder } from '../support/orders.ts';
import { offers } from '../support/source.ts';
import { sql } from '../support/sql.ts';

let database: TestDatabase;

beforeEach(async () => {
  database = await freshDatabase();
});

afterEach(() => database.drop());

const FILES = { '1.sql': 'create table shelf (n int);' };
const SECOND = { environment: 'production', second_person: true, rehearsal_first: false };
const REHEARSED = { environment: 'production', second_person: false, rehearsal_first: true };
/** Of a bundle of its own: what of its own bundle was opened later ends what waits. */
const elsewhere = (files: Readonly<Record<string, string>>) => ({
  'weft.yaml': 'name: elsewhere\nphases: [{ name: main, steps: [{ run: "*.sql" }] }]\n',
  ...files,
});
const FIVE_SECONDS = { deadlineMs: 5_000 };

const connect = () => connectOver(database.url);
const deploy = (files: Readonly<Record<string, string>> = FILES, options: OrderOptions & { deadlineMs?: number } = {}) =>
  deployFiles(connect(), files, { caller: 'ci', protection: SECOND, ...options });
/** As the Worker says it. */
const say = (deployment: Deployment, more: Partial<ApproveOptions> = {}) =>
  approve({
    connect: connect(),
    deployment: deployment.id,
    digest: deployment.approval?.digest ?? '',
    caller: 'boss',
    target: null,
    request: null,
    signature: null,
    ...FIVE_SECONDS,
    ...more,
  });
const statusOf = async (id: string): Promise<Deployment> => (await sql(database.url, 'select weft.status($1) as it', [id]))[0].it;
const eventsOf = async (id: string) =>
  (await sql(database.url, 'select kind from weft.events where deployment_id = $1 order by number', [id])).map(({ kind }) => kind);
const hasShelf = async () => (await sql(database.url, `select to_regclass('shelf') is not null as it`))[0].it;

describe('a deployment that needs a second person', () => {
  it('waits in state open, with everything in the database, and is run by nobody: not by its own CALL, not by a resume, not by whoever looks after it', async () => {
    const waiting = await deploy(FILES, { target: 'shop' });
    expect(waiting).toMatchObject({ state: 'open', live: null, ahead: [], approval: { environment: 'production', not_by: 'ci', waits: true, by: null } });
    expect(waiting.approval?.digest).toMatch(/^[0-9a-f]{64}$/);
    expect(await resume({ connect: connect(), id: waiting.id, target: 'shop', ...FIVE_SECONDS })).toMatchObject({ state: 'open' });
    expect(await attend({ connect: connect(), id: waiting.id, target: 'shop', callers: ['ci'], ...FIVE_SECONDS })).toMatchObject({
      deployment: { state: 'open' },
      isAtWork: false,
    });
    expect((await sql(database.url, 'call weft.run()'))[0].result).toBeNull();
    expect(await hasShelf()).toBe(false);
    expect(await eventsOf(waiting.id)).toEqual(['opened', 'waits_for_approval']);
  });

  it('is run when somebody else approves its digest; who that was is told by status, events, receipt, history and the views', async () => {
    const waiting = await deploy();
    const done = await say(waiting);
    expect(done).toMatchObject({ state: 'succeeded', approval: { by: 'boss', waits: false, digest: waiting.approval?.digest } });
    expect(await hasShelf()).toBe(true);
    expect((await eventsOf(done.id)).slice(0, 4)).toEqual(['opened', 'waits_for_approval', 'approved', 'staged']);
    const [{ receipt }] = await sql(database.url, 'select weft.receipt($1)::jsonb as receipt', [done.id]);
    expect(receipt.approval).toMatchObject({ by: 'boss', digest: waiting.approval?.digest, environment: 'production', not_by: 'ci' });
    expect((await sql(database.url, 'select weft.list_history() as it'))[0].it).toMatchObject([{ path: '1.sql', approved_by: 'boss' }]);
    expect(await sql(database.url, 'select approved_by from weft.history')).toEqual([{ approved_by: 'boss' }]);
    expect(await sql(database.url, 'select approved_by from weft.deployments')).toEqual([{ approved_by: 'boss' }]);
    expect(await sql(database.url, 'select state, caller, approved_by from weft.approvals')).toEqual([
      { state: 'succeeded', caller: 'ci', approved_by: 'boss' },
    ]);
  });

  it('shows each file that it would run to whoever approves it, byte for byte, by its digest', async () => {
    const waiting = await deploy({ ...FILES, '2.sql': 'select 1;' });
    expect(waiting.phases[0]?.steps).toMatchObject([
      { path: '1.sql', size: 27, digest: createHash('sha256').update(FILES['1.sql']).digest('hex') },
      { path: '2.sql', size: 9 },
    ]);
    const [row] = await sql(database.url, `select convert_from(weft.file($1, '1.sql'), 'UTF8') as it, weft.file($1, 'no.sql') as none`, [waiting.id]);
    expect(row).toEqual({ it: FILES['1.sql'], none: null });
  });

  it('says from which commit it comes, as far as a webhook or a token has said so, and so does its receipt', async () => {
    const commit = 'a'.repeat(40);
    const webhook = { webhook_of: 'github', event: 'push', repository: 'octo/shop', commit, folder: 'db', body_sha256: 'b', signature: 'sha256=c' };
    const token = {
      proof: 'identity',
      iss: 'https://gitlab.example.com',
      token_sha256: 'd',
      sha: commit,
      project_path: 'octo/shop',
      ref: 'main',
      pipeline_id: '7',
      user_login: 'mona',
    };
    const sourceOf = async (signature: object | null) =>
      (await sql(database.url, 'select weft._describe_source($1::jsonb) as it', [signature === null ? null : JSON.stringify(signature)]))[0].it;
    expect(await sourceOf(webhook)).toEqual({ forge: 'github', event: 'push', repository: 'octo/shop', commit, folder: 'db' });
    expect(await sourceOf(token)).toEqual({ issuer: token.iss, repository: 'octo/shop', commit, ref: 'main', run: '7', actor: 'mona' });
    expect([await sourceOf({ 'webhook-id': 'x', 'webhook-signature': 'v1,y' }), await sourceOf(null)]).toEqual([null, null]);
    const waiting = await deploy();
    await sql(database.url, 'update weft._deployments set signature = $1 where id = $2', [JSON.stringify(webhook), waiting.id]);
    expect((await say(waiting)).source).toMatchObject({ commit });
    const [{ it: receipt }] = await sql(database.url, 'select weft.receipt($1)::jsonb as it', [waiting.id]);
    expect(receipt.source).toMatchObject({ forge: 'github', repository: 'octo/shop', commit });
  });

  it('is found by just its files and parameters, as long as it waits', async () => {
    const files = { 'weft.yaml': 'name: shop\nparameters: { size: { type: integer } }\nphases: [{ name: main, steps: [{ run: "*.sql" }] }]\n', ...FILES };
    const waiting = await deploy(files, { parameters: { size: 3 } });
    const manifestOf = (id: string) => `(select manifest from weft._deployments where id = '${id}')`;
    const find = async (manifest: string, parameters: object) =>
      (await sql(database.url, `select weft.find_waiting(${manifest}, $1::jsonb) as it`, [JSON.stringify(parameters)]))[0].it;
    const found = [{ deployment: waiting.id, digest: waiting.approval?.digest, caller: 'ci', actor: null }];
    expect(await find(manifestOf(waiting.id), { size: 3 })).toEqual(found);
    for (const other of [{}, { size: 4 }]) expect(await find(manifestOf(waiting.id), other)).toEqual([]);
    expect(await find(`jsonb_set(${manifestOf(waiting.id)}, '{artifacts,0,digest}', '"${'0'.repeat(64)}"')`, { size: 3 })).toEqual([]);
    await say(waiting);
    expect(await find(manifestOf(waiting.id), { size: 3 })).toEqual([]);
  });

  it('is found again by the word that has approved it, by whoever said that, and by no other', async () => {
    const find = async (caller: string, proof: object) =>
      (await sql(database.url, 'select weft.find_approved($1, $2::jsonb) as it', [caller, JSON.stringify(proof)]))[0].it;
    const word = { webhook_of: 'github', event: 'deployment_review', body_sha256: 'b', folder: 'db' };
    const waiting = await deploy();
    expect(await find('boss', {})).toBeNull();
    await say(waiting, { signature: { ...word, reviewers: '2' } });
    expect([await find('boss', word), await find('ci', word), await find('boss', { ...word, body_sha256: 'c' })]).toEqual([waiting.id, null, null]);
    // Nor by what somebody has said without a proof; and of two the newer.
    const next = await deploy({ ...FILES, '2.sql': 'select 2;' });
    await say(next);
    expect(await find('boss', {})).toBe(waiting.id);
    const last = await deploy({ ...FILES, '3.sql': 'select 3;' });
    await say(last, { signature: word });
    expect(await find('boss', word)).toBe(last.id);
  });

  it('is never approved by whoever has opened it, under whichever proof', async () => {
    const waiting = await deploy();
    await expect(say(waiting, { caller: 'ci' })).rejects.toMatchObject({ slug: 'own_approval' });
    await expect(say(waiting, { caller: 'ci', signature: { token_of: 'another' } })).rejects.toMatchObject({ slug: 'own_approval' });
    expect(await statusOf(waiting.id)).toMatchObject({ state: 'open', approval: { by: null } });
  });

  it.each([
    ['another digest', (id: string) => ({ deployment: id, digest: '0'.repeat(64) }), 'not_approved'],
    ['no digest', (id: string) => ({ deployment: id, digest: '' }), 'not_approved'],
    ['an unknown deployment', () => ({ deployment: '00000000-0000-4000-8000-000000000000' }), 'deployment_not_found'],
  ])('is not approved by %s', async (_, change, slug) => {
    const waiting = await deploy();
    await expect(say(waiting, change(waiting.id))).rejects.toMatchObject({ slug });
    expect(await statusOf(waiting.id)).toMatchObject({ state: 'open', approval: { by: null } });
  });

  it('cannot be approved any more when it is over, and one that needs no approval cannot be given one', async () => {
    const cancelled = await deploy();
    await cancel({ connect: connect(), id: cancelled.id, caller: 'ci', target: null });
    await expect(say(cancelled)).rejects.toMatchObject({ slug: 'not_approved', message: expect.stringContaining('it is cancelled') });
    const plain = await deploy({ '2.sql': 'select 2;' }, { protection: undefined });
    await expect(say(plain, { digest: '0'.repeat(64) })).rejects.toMatchObject({ slug: 'not_approved', message: expect.stringContaining('needs no approval') });
  });

  it('is approved once: who repeats it, or comes second, changes nothing, also when it is over', async () => {
    const waiting = await deploy();
    await say(waiting);
    expect(await say(waiting)).toMatchObject({ state: 'succeeded', approval: { by: 'boss' } });
    await expect(say(waiting, { caller: 'other' })).rejects.toMatchObject({ slug: 'not_approved' });
    expect((await eventsOf(waiting.id)).filter((kind) => kind === 'approved' || kind === 'started')).toEqual(['approved', 'started']);
  });

  it('approved by two at the same time, while it is resumed, is approved by one of them and run once', async () => {
    const waiting = await deploy({ '1.sql': 'create table shelf (n int); select pg_sleep(0.3);' });
    const results = await Promise.allSettled([
      say(waiting),
      say(waiting, { caller: 'other' }),
      resume({ connect: connect(), id: waiting.id, target: null, ...FIVE_SECONDS }),
    ]);
    expect(results[0]?.status === 'fulfilled' || results[1]?.status === 'fulfilled').toBe(true);
    const end = await resume({ connect: connect(), id: waiting.id, target: null, ...FIVE_SECONDS });
    expect(end).toMatchObject({ state: 'succeeded', approval: { by: expect.stringMatching(/^(?:boss|other)$/) } });
    expect((await eventsOf(waiting.id)).filter((kind) => kind === 'approved' || kind === 'started')).toEqual(['approved', 'started']);
  });

  it('approved before all of its artifacts are here, it is run when they are', async () => {
    const order = await makeOrder(FILES, { id: 'early', caller: 'ci', protection: SECOND });
    const session = await connect()();
    const opened = await openOrder(session, order);
    expect(opened).toMatchObject({ state: 'open', approval: { waits: false, by: null } });
    expect(await say({ id: opened.id, approval: opened.approval } as Deployment)).toMatchObject({ state: 'open', approval: { by: 'boss' } });
    await stageOrder(session, order, opened);
    await session.close();
    expect(await statusOf(opened.id)).toMatchObject({ state: 'staged' });
  });

  it('is asked about once: the same request again, and a resume behind the approval, do not ask anew', async () => {
    const waiting = await deploy(FILES, { id: 'run-1' });
    expect(await deploy(FILES, { id: 'run-1' })).toMatchObject({ id: waiting.id, state: 'open' });
    await sql(database.url, 'select weft.approve($1, $2, $3)', [waiting.id, waiting.approval?.digest ?? '', 'boss']);
    expect(await deploy(FILES, { id: 'run-1' })).toMatchObject({ id: waiting.id, state: 'succeeded' });
    expect((await eventsOf(waiting.id)).filter((kind) => kind === 'waits_for_approval')).toHaveLength(1);
  });

  it('has no place in line, so it holds up nobody, and nobody who is behind it', async () => {
    const waiting = await deploy();
    const next = await deploy(elsewhere({ '2.sql': 'create table rack (n int);' }), { protection: undefined });
    expect(next.state).toBe('succeeded');
    expect(await say(waiting)).toMatchObject({ state: 'succeeded' });
  });

  describe('an undo, asked for twice', () => {
    const askToUndo = async (deployment: Deployment, more = '') => {
      const [{ it: opened }] = await sql(database.url, `select weft.undo($1, p_caller => 'ci', p_protection => $2::jsonb ${more}) as it`, [
        deployment.id,
        JSON.stringify(SECOND),
      ]);
      return statusOf(opened.deployment);
    };
    const shelf = {
      'weft.yaml': 'name: shop\nphases: [{ name: main, steps: [{ run: "up/*.sql", undo: "down/*.sql" }] }]\n',
      'up/1.sql': 'create table shelf (n int);',
      'down/1.sql': 'drop table shelf;',
    };

    it('waits twice; when one of them has run, the other is over, and says why: by its approval, or by whoever comes by', async () => {
      const done = await deploy(shelf, { protection: undefined });
      const [one, other, third] = [await askToUndo(done), await askToUndo(done), await askToUndo(done)];
      expect([one.state, other.state]).toEqual(['open', 'open']);
      expect(await say(other)).toMatchObject({ state: 'succeeded', undoes: done.id });
      const over = {
        state: 'cancelled',
        approval: { by: null },
        error: {
          sqlstate: 'WF098',
          message: `While it waited for its approval, deployment ${other.id} took back all of deployment ${done.id}: nothing of that is left to undo.`,
        },
      };
      expect(await say(one)).toMatchObject(over);
      await deploy(elsewhere({ '2.sql': 'select 1;' }), { protection: undefined });
      expect(await attend({ connect: connect(), id: third.id, target: 'shop', callers: ['ci'], ...FIVE_SECONDS })).toMatchObject({ deployment: over });
      expect(await hasShelf()).toBe(false);
    });

    it('goes on waiting where the other one has left something, or has failed', async () => {
      const done = await deploy({ ...shelf, 'up/2.sql': 'create table rack (n int);' }, { protection: undefined });
      const [partly, failed, whole] = [
        await askToUndo(done, ', p_partly => true'),
        await askToUndo(done, ', p_partly => true'),
        await askToUndo(done, ', p_partly => true'),
      ];
      await sql(database.url, 'create view v as select n from shelf');
      expect(await say(failed)).toMatchObject({ state: 'failed' });
      await sql(database.url, 'drop view v');
      expect(await say(partly)).toMatchObject({ state: 'succeeded' });
      expect(await say(whole)).toMatchObject({ state: 'succeeded' });
    });
  });

  describe('behind which another one of its bundle was opened', () => {
    const view = (content: string) => ({
      'weft.yaml': 'name: shop\nphases: [{ name: main, steps: [{ run: v.sql, repeat: on-change }] }]\n',
      'v.sql': `create or replace view v as select '${content}'::text as it;`,
    });
    const seen = async () => (await sql(database.url, 'select it from v'))[0].it;

    it('sets nothing back: once that one has run it is cancelled, by whoever comes by, or by its approval', async () => {
      const older = await deploy(view('old'));
      const old = await deploy(view('older'), { target: 'shop' });
      const newer = await deploy(view('new'));
      expect(await say(newer)).toMatchObject({ state: 'succeeded' });
      expect(await say(older)).toMatchObject({
        state: 'cancelled',
        approval: { by: null },
        error: { sqlstate: 'WF098', message: expect.stringContaining(newer.id) },
      });
      expect(await attend({ connect: connect(), id: old.id, target: 'shop', callers: ['ci'], ...FIVE_SECONDS })).toMatchObject({
        deployment: { state: 'cancelled' },
      });
      expect(await seen()).toBe('new');
    });

    it('is not approved while that one stands in line; where that one has left nothing, it is', async () => {
      const older = await deploy(view('old'));
      const newer = await deploy({ ...view('new'), 'v.sql': 'select 1/0;' });
      await sql(database.url, 'select weft.approve($1, $2, $3)', [newer.id, newer.approval?.digest ?? '', 'boss']);
      await expect(say(older)).rejects.toMatchObject({
        slug: 'not_approved',
        message: expect.stringContaining(`${newer.id}, which is of the same bundle, and in line`),
      });
      expect(await statusOf(older.id)).toMatchObject({ state: 'open', approval: { by: null } });
      expect((await sql(database.url, `call weft.run('${newer.id}')`))[0].result).toMatchObject({ state: 'failed' });
      expect(await say(older)).toMatchObject({ state: 'succeeded' });
      expect(await seen()).toBe('old');
    });
  });

  it('with secrets waits for its approval first, and then for them', async () => {
    const files = {
      'weft.yaml': 'name: shop\nparameters:\n  key: { type: text, secret: true }\nphases:\n  - { name: main, steps: [{ run: "*.sql" }] }\n',
      '1.sql': `create table shelf as select length(:'key') as n;`,
    };
    const waiting = await deploy(files, { secrets: { key: 'a-secret-of-ours' }, id: 'run-1' });
    expect(waiting).toMatchObject({ state: 'open' });
    expect(await resume({ connect: connect(), id: waiting.id, target: null, ...FIVE_SECONDS })).toMatchObject({ state: 'open' });
    expect(await say(waiting)).toMatchObject({ state: 'staged', approval: { by: 'boss' } });
    expect(await deploy(files, { secrets: { key: 'a-secret-of-ours' }, id: 'run-1' })).toMatchObject({ id: waiting.id, state: 'succeeded' });
  });

  it('is cancelled when nobody approves it in time; by then an approval comes too late', async () => {
    const waiting = await deploy();
    const late = await deploy({ '2.sql': 'select 2;' });
    await sql(database.url, `update weft._protections set asked_at = asked_at - interval '200 hours', approve_until = approve_until - interval '200 hours'`);
    expect(await say(waiting)).toMatchObject({ state: 'cancelled', approval: { by: null }, error: { sqlstate: 'WF097' } });
    await sql(database.url, `select weft.change_setting('sweep_every_hours', 0)`);
    await deploy(elsewhere({ '3.sql': 'select 3;' }), { protection: undefined });
    expect(await statusOf(late.id)).toMatchObject({ state: 'cancelled', error: { sqlstate: 'WF097' } });
    expect(await hasShelf()).toBe(false);
  });

  it('keeps its bytes as long as it may be approved, though they are older than what is staged for nothing', async () => {
    const waiting = await deploy();
    await sql(
      database.url,
      `update weft._chunks set staged_at = staged_at - interval '100 hours'; update weft._deployments set created_at = created_at - interval '100 hours'`,
    );
    for (const n of [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]) await stageFiles(database.url, elsewhere({ [`x${n}.sql`]: `select ${n};` }));
    await sql(database.url, 'call weft.sweep()');
    expect(await say(waiting)).toMatchObject({ state: 'succeeded' });
  });

  it('a baseline and an undo are asked about, a rehearsal is not', async () => {
    const up = { '1.sql': 'create table shelf (n int);' };
    expect(await deploy(up, { mode: 'rehearse' })).toMatchObject({ state: 'succeeded', approval: null });
    await sql(database.url, 'create table shelf (n int)');
    const baseline = await deploy(up, { mode: 'baseline' });
    expect(baseline).toMatchObject({ state: 'open' });
    expect(await say(baseline)).toMatchObject({ state: 'succeeded', mode: 'baseline', approval: { by: 'boss' } });
    const [{ it: opened }] = await sql(database.url, `select weft.undo($1, p_caller => 'ci', p_protection => $2::jsonb) as it`, [
      baseline.id,
      JSON.stringify(SECOND),
    ]);
    expect(opened).toMatchObject({ state: 'open', approval: { waits: true } });
    const undo = await statusOf(opened.deployment);
    await expect(say(undo, { caller: 'ci' })).rejects.toMatchObject({ slug: 'own_approval' });
    expect(await say(undo)).toMatchObject({ state: 'succeeded', undoes: baseline.id });
  });

  it('has the same digest for the same files and parameters, and another for others', async () => {
    const parameters = 'parameters:\n  who: { type: text, required: true }\n';
    const files = { 'weft.yaml': `name: shop\n${parameters}phases:\n  - { name: main, steps: [{ run: "*.sql" }] }\n`, ...FILES };
    const digest = async (more: Readonly<Record<string, string>>, who: string) =>
      (await deploy({ ...files, ...more }, { parameters: { who } })).approval?.digest;
    const first = await digest({}, 'a');
    expect(await digest({}, 'a')).toBe(first);
    expect(new Set([first, await digest({}, 'b'), await digest({ '2.sql': 'select 2;' }, 'a')]).size).toBe(3);
  });
});

describe('in SQL alone', () => {
  it('a role approves in its own name, and the next CALL runs it', async () => {
    const waiting = await deploy();
    const [{ it: approved }] = await sql(database.url, 'select weft.approve($1, $2) as it', [waiting.id, waiting.approval?.digest ?? '']);
    expect(approved).toMatchObject({ state: 'staged', approval: { by: expect.stringMatching(/^role /) } });
    expect((await sql(database.url, `call weft.run('${waiting.id}')`))[0].result).toMatchObject({ state: 'succeeded' });
  });

  it.runIf(offers('a superuser'))('a role that has the rights of the owner approves under its own name; one that has not does not', async () => {
    const role = `weft_test_${randomBytes(4).toString('hex')}`;
    await sql(database.superuserUrl as string, `create role ${role} login password 'of-the-tests-only'`);
    try {
      const url = new URL(database.url);
      const owner = decodeURIComponent(url.username);
      url.username = role;
      url.password = 'of-the-tests-only';
      const waiting = await deploy();
      const wish = [waiting.id, waiting.approval?.digest ?? ''];
      await expect(sql(url.href, 'select weft.approve($1, $2)', wish)).rejects.toMatchObject({ code: '42501' });
      await sql(database.superuserUrl as string, `grant ${owner} to ${role}`);
      const [{ it: approved }] = await sql(url.href, 'select weft.approve($1, $2) as it', wish);
      expect(approved).toMatchObject({ state: 'staged', approval: { by: `role ${role}` } });
    } finally {
      await sql(database.superuserUrl as string, `drop role ${role}`);
    }
  });
});

describe('a deployment that has to be rehearsed first', () => {
  const again = (files = FILES, options: OrderOptions = {}) => deploy(files, { protection: REHEARSED, ...options });

  it('is refused without a rehearsal of the same digest there, and nothing of it is kept', async () => {
    await expect(again()).rejects.toMatchObject({ slug: 'rehearsal_missing', message: expect.stringContaining('weft deploy --rehearse') });
    await again({ '1.sql': 'create table shelf (m int);' }, { mode: 'rehearse' });
    await expect(again()).rejects.toMatchObject({ slug: 'rehearsal_missing' });
    expect(await sql(database.url, `select mode from weft.deployments`)).toEqual([{ mode: 'rehearse' }]);
    expect(await hasShelf()).toBe(false);
  });

  it('starts behind a rehearsal that ended well, whoever rehearsed it, and the receipt names that', async () => {
    const rehearsal = await again(FILES, { mode: 'rehearse', caller: 'somebody' });
    const done = await again();
    expect(done).toMatchObject({ state: 'succeeded', rehearsed_by: rehearsal.id, approval: null });
    expect((await sql(database.url, 'select weft.receipt($1)::jsonb ->> $2 as it', [done.id, 'rehearsed_by']))[0].it).toBe(rehearsal.id);
  });

  it('does not start behind one that failed, also where an older one ended well, or behind one that is too old', async () => {
    await again(FILES, { mode: 'rehearse' });
    await sql(database.url, 'create table shelf (n int)');
    expect(await again(FILES, { mode: 'rehearse' })).toMatchObject({ state: 'failed' });
    await expect(again()).rejects.toMatchObject({ slug: 'rehearsal_missing', message: expect.stringContaining('failed') });
    await sql(database.url, 'drop table shelf');
    await again(FILES, { mode: 'rehearse' });
    await sql(database.url, `update weft._deployments set finished_at = finished_at - interval '169 hours'`);
    await expect(again()).rejects.toMatchObject({ slug: 'rehearsal_missing', message: expect.stringContaining('rehearsal_counts_hours') });
  });

  it('is held to it again when it is approved', async () => {
    await again(FILES, { mode: 'rehearse' });
    const waiting = await again(FILES, { protection: { ...SECOND, rehearsal_first: true } });
    expect(waiting).toMatchObject({ state: 'open' });
    await sql(database.url, 'create table shelf (n int)');
    await again(FILES, { mode: 'rehearse' });
    await expect(say(waiting)).rejects.toMatchObject({ slug: 'rehearsal_missing' });
    expect(await statusOf(waiting.id)).toMatchObject({ state: 'open', approval: { by: null } });
    await sql(database.url, 'drop table shelf');
    await again(FILES, { mode: 'rehearse' });
    expect(await say(waiting)).toMatchObject({ state: 'succeeded' });
  });
});
