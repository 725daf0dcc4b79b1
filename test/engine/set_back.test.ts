/**
 * A branch at a forge that is set back to a commit which was deployed before: it is deployed again, once for each time that the branch has been elsewhere
 * since, as the database has it. What comes twice, or from elsewhere, is no new wish.
 */
import { afterEach, beforeEach, expect, it } from 'vitest';
import { deploy } from '../../src/deployment/deploy.ts';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { connectOver, makeOrder, type OrderOptions, randomId } from '../support/orders.ts';
import { sql } from '../support/sql.ts';

let database: TestDatabase;
beforeEach(async () => {
  database = await freshDatabase();
});
afterEach(() => database.drop());

interface Asking extends OrderOptions {
  readonly ref?: string | null;
  readonly repository?: string;
  /** When its forge said so. */
  readonly confirmed?: string;
  readonly files?: Readonly<Record<string, string>>;
}

const view = (commit: string) => ({ '1.sql': `create or replace view head as select '${commit}'::text as commit;` });

/** As the Worker does for a commit that a forge has confirmed to be the head of a branch. */
async function ask(commit: string, { ref = 'refs/heads/main', repository = '7', confirmed = randomId(), files = view(commit), ...options }: Asking = {}) {
  const named = { ...files, 'weft.yaml': 'name: shop\nphases: [{ name: main, steps: [{ run: "*.sql", repeat: always }] }]\n' };
  const { order, chunks } = await makeOrder(named, { id: `github-${repository}${commit}`, caller: 'github', ...options });
  const signature = { webhook_of: 'github', repository_id: repository, commit, ...(ref === null ? {} : { ref, confirmed_at: confirmed }) };
  const { opened, done } = deploy({ connect: connectOver(database.url), order: { ...order, signature }, chunks, deadlineMs: 30_000 });
  const [{ id, repeated, overtakenBy }, { state }] = await Promise.all([opened, done]);
  return { id, repeated, overtakenBy, state };
}

const head = async () => (await sql(database.url, 'select commit from head'))[0].commit;
const count = async () => (await sql(database.url, 'select count(*)::int as n from weft._deployments'))[0].n;

it('is deployed again each time that the branch is set back, forth, and back', async () => {
  const ids: string[] = [];
  for (const commit of ['a', 'b', 'a', 'b', 'a']) {
    const { id, repeated } = await ask(commit);
    expect([await head(), repeated]).toEqual([commit, false]);
    ids.push(id);
    // What comes twice finds what it has led to, and that nothing has replaced it.
    expect(await ask(commit)).toEqual({ id, repeated: true, overtakenBy: null, state: 'succeeded' });
  }
  expect([new Set(ids).size, await count()]).toEqual([5, 5]);
});

it('is deployed again behind what is not over yet, and behind what failed', async () => {
  const first = await ask('a');
  const broken = await ask('b', { files: { '1.sql': 'select nonsense' } });
  expect(broken.state).toBe('failed');
  const second = await ask('a');
  expect([second.repeated, second.id === first.id]).toEqual([false, false]);
  await ask('c', { protection: { environment: 'live', second_person: true, rehearsal_first: false } });
  expect(await ask('a')).toMatchObject({ repeated: false, state: 'succeeded' });
});

it.each<[string, Asking]>([
  ['another branch', { ref: 'refs/heads/other' }],
  ['a pull request, which is no branch’s head', { ref: null }],
  ['a branch of the same name in another repository', { repository: '8' }],
  ['somebody else', { caller: 'ci' }],
  ['a rehearsal', { mode: 'rehearse' }],
])('is not deployed again behind what came from %s', async (_, elsewhere) => {
  const { id } = await ask('a');
  const other = await ask('b', elsewhere);
  expect(await ask('a')).toEqual({ id, repeated: true, overtakenBy: elsewhere.mode === 'rehearse' ? null : other.id, state: 'succeeded' });
});

it('is not deployed again for what is no branch’s head, nor for a request of one’s own under an id that came before', async () => {
  const { id } = await ask('a');
  const later = await ask('b');
  expect(await ask('a', { ref: null })).toMatchObject({ id, repeated: true, overtakenBy: later.id });
  const signed = async (commit: string) => {
    const { order, chunks } = await makeOrder(view(commit), { id: `run-of-${commit}`, caller: 'ci' });
    const signature = { proof: 'token', repository_id: '7', commit, ref: 'refs/heads/main' };
    return deploy({ connect: connectOver(database.url), order: { ...order, signature }, chunks, deadlineMs: 30_000 }).opened;
  };
  const mine = await signed('a');
  await signed('b');
  expect(await signed('a')).toMatchObject({ id: mine.id, repeated: true });
});

it('is not deployed again by what is sent once more behind a connection that broke, though something newer has come meanwhile', async () => {
  const confirmed = '2026-03-04T12:00:00.000Z';
  const { id } = await ask('a', { confirmed });
  const later = await ask('b');
  expect(await ask('a', { confirmed })).toMatchObject({ id, repeated: true, overtakenBy: later.id });
  expect(await ask('a')).toMatchObject({ repeated: false });
});

it('is one deployment when several ask for it at once', async () => {
  await ask('a');
  await ask('b');
  const asked = await Promise.all([ask('a'), ask('a'), ask('a')]);
  expect([new Set(asked.map(({ id }) => id)).size, await count(), await head()]).toEqual([1, 3, 'a']);
});
