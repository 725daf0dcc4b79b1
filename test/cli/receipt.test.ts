/** `weft receipt`, straight to a database: what it prints, and that what it prints with `--json` counts to the byte. */
import { createHash } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { receiptSchema } from '../../src/domain/receipt.ts';
import { emptyDatabase, type TestDatabase } from '../support/database.ts';
import { sql } from '../support/sql.ts';
import { makeFolder } from './folder.ts';
import { type Run, run } from './run.ts';

let database: TestDatabase;

beforeEach(async () => {
  database = await emptyDatabase();
});

afterEach(() => database.drop());

const weft = (...argv: string[]): Promise<Run> => run(argv, { env: { DATABASE_URL: database.url } });
const GOODS = { '1.sql': 'create table goods (id int);', '2.sql': 'insert into goods values (1), (2);' };

describe('weft receipt', () => {
  it('prints with --json exactly the bytes that were written, and nothing behind them', async () => {
    const { id, receipt } = (await weft('deploy', makeFolder(GOODS), '--json')).json();
    const { code, stdout } = await weft('receipt', id, '--json');
    expect(code).toBe(0);
    expect(createHash('sha256').update(stdout).digest('hex')).toBe(receipt.sha256);
    expect(await sql(database.url, `select document, sha256 from weft.receipts`)).toEqual([{ document: stdout, sha256: receipt.sha256 }]);
    expect(receiptSchema.parse(JSON.parse(stdout))).toMatchObject({ id, number: 1, state: 'succeeded' });
  });

  it('shows people who, what, when and how it ended, and the SHA-256 by which it is known', async () => {
    const { id, receipt } = (await weft('deploy', makeFolder(GOODS), '--id', 'run-7', '--json')).json();
    const { code, stdout } = await weft('receipt', id);
    expect(code).toBe(0);
    expect(stdout).toMatch(new RegExp(`^Receipt 1 of deployment ${id}: succeeded\\.\n`));
    expect(stdout).toMatch(/^ {2}caller +.*with request run-7; run as weft_test/m);
    expect(stdout).toMatch(/^ {2}manifest +SHA-256 [0-9a-f]{64}$/m);
    expect(stdout).toMatch(/^ {2}WAL +[0-9A-F]+\/[0-9A-F]+ → [0-9A-F]+\/[0-9A-F]+$/m);
    expect(stdout).toMatch(/^ {2}2\.sql +succeeded +1 statement +2 rows +.*[0-9a-f]{12}$/m);
    expect(stdout.trimEnd().endsWith(`SHA-256 of this receipt: ${receipt.sha256}`)).toBe(true);
  });

  it('of a failure says what failed', async () => {
    const { id } = (await weft('deploy', makeFolder({ '1.sql': 'select 1 / 0;' }), '--json')).json();
    const { stdout } = await weft('receipt', id);
    expect(stdout).toContain(': failed.');
    expect(stdout).toMatch(/22012: division by zero/);
  });

  it('ends with 2 where there is none: no such deployment, not over yet, no such number', async () => {
    const { id } = (await weft('deploy', makeFolder(GOODS), '--json')).json();
    const none = await weft('receipt', '00000000-0000-4000-8000-000000000000');
    expect([none.code, none.stdout]).toEqual([2, '']);
    expect(none.stderr).toContain('There is no deployment');
    const second = await weft('receipt', id, '--number', '2');
    expect([second.code, second.stdout]).toEqual([2, '']);
    expect(second.stderr).toContain('has no receipt with number 2');
    expect((await weft('receipt', id, '--number', 'two')).code).toBe(2);
  });
});
