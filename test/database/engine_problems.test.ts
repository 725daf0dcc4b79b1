/** What the server's SQLSTATEs mean to whoever asked: a statement that was ended is told by what it was. */
import { expect, it } from 'vitest';
import { readRunResult } from '../../src/database/engine.ts';
import { SqlError } from '../../src/database/session.ts';
import { findApproved } from '../../src/database/words.ts';
import { freshDatabase } from '../support/database.ts';
import { connectOver } from '../support/orders.ts';

const cancelled = new SqlError({ sqlstate: '57014', message: 'canceling statement due to user request' });

it('a question that the server ended is no CALL: nothing of it stays, and there is nothing to resume', async () => {
  const database = await freshDatabase();
  const session = await connectOver(database.url)();
  try {
    await session.query(`create or replace function weft.find_approved(p_caller text, p_proof jsonb) returns jsonb stable set search_path = pg_catalog, pg_temp language plpgsql
      as $$ begin perform pg_sleep(60); return null; end $$`);
    await session.query('set statement_timeout = 100');
    await expect(findApproved(session, 'forge', {})).rejects.toMatchObject({
      slug: 'interrupted',
      message: 'The database ended this question: canceling statement due to statement timeout. Nothing of it stays; ask again.',
    });
  } finally {
    await session.close();
    await database.drop();
  }
});

it('a CALL that the server ended keeps what it has committed, and can be resumed', () => {
  expect(() => readRunResult({ kind: 'error', error: cancelled })).toThrow(
    'The CALL was cancelled on the server. What was committed stays; the deployment can be resumed.',
  );
});
