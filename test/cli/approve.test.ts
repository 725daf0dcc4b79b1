/** `weft approve`, and what the other commands say of a deployment that waits for it. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { stageFiles } from '../support/orders.ts';
import { sql } from '../support/sql.ts';
import { type Run, run } from './run.ts';

let database: TestDatabase;

beforeEach(async () => {
  database = await freshDatabase();
});

afterEach(() => database.drop());

const weft = (...argv: string[]): Promise<Run> => run(argv, { env: { DATABASE_URL: database.url } });
const flat = ({ stdout }: Run): string => stdout.replaceAll(/\s+/g, ' ');

/** As a Worker opens it, in the name of its caller. */
async function waiting(): Promise<{ id: string; digest: string }> {
  const protection = { environment: 'production', second_person: true, rehearsal_first: false };
  const id = await stageFiles(database.url, { '1.sql': 'create table shelf (n int);' }, { caller: 'ci', protection });
  const [{ digest }] = await sql(database.url, 'select digest from weft.approvals where deployment_id = $1', [id]);
  return { id, digest };
}

it('status and resume say that it waits, for whom, and with which words it is approved; both leave it where it is', async () => {
  const { id, digest } = await waiting();
  for (const [command, code] of [
    ['status', 0],
    ['resume', 3],
  ] as const) {
    const said = await weft(command, id);
    expect(said.code).toBe(code);
    expect(flat(said)).toContain('Waits for approval. shop has not begun. Somebody other than ci has to approve it, as the environment "production" asks for.');
    expect(flat(said)).toContain(`weft approve ${id} --digest ${digest}`);
  }
  expect(flat(await weft('status'))).toContain('waits for the approval of somebody other than ci');
});

it('approves by the digest that is named, has it run, and says who has approved it', async () => {
  const { id, digest } = await waiting();
  const wrong = await weft('approve', id, '--digest', '0'.repeat(64));
  expect([wrong.code, wrong.stderr.replaceAll(/\s+/g, ' ')]).toEqual([2, expect.stringContaining('has another digest than the one that was approved')]);
  expect((await weft('approve', id, '--digest', 'abc')).code).toBe(2);
  const done = await weft('approve', id, '--digest', digest);
  expect(done.code).toBe(0);
  expect(flat(done)).toMatch(/Done\. shop is deployed.*approved by role /);
  expect((await weft('approve', id, '--json')).json()).toMatchObject({ id, state: 'succeeded', approval: { by: expect.stringMatching(/^role /) } });
});

it('receipt says who has approved it, and by which digest; or that nobody has', async () => {
  const { id, digest } = await waiting();
  await weft('approve', id, '--digest', digest);
  const approved = await weft('receipt', id);
  expect(approved.stdout).toMatch(new RegExp(`^ +approved by +role \\S+, \\d{4}-\\d\\d-\\d\\d \\d\\d:\\d\\d:\\d\\dZ, digest ${digest}$`, 'm'));
  const other = await waiting();
  await weft('cancel', other.id);
  expect((await weft('receipt', other.id)).stdout).toMatch(/^ +approved by +nobody; it needed somebody else than ci$/m);
});

it('without a digest approves what it has shown', async () => {
  const { id, digest } = await waiting();
  const done = await weft('approve', id);
  expect(done.code).toBe(0);
  expect(done.stderr.replaceAll(/\s+/g, ' ')).toContain(`Approving shop, opened by ci: deployment ${id}, 1 step, digest ${digest}.`);
});
