/** What is told at a forge: complete, short enough, and nothing in it that the forge would take for markup, a mention, or a command. */
import { expect, test } from 'vitest';
import { Problem } from '../../src/domain/problem.ts';
import { accountOfDeployment, accountOfProblem } from '../../src/forges/account.ts';
import { commentOf, markOf } from '../../src/forges/comment.ts';
import { makeDeployment } from '../http/support.ts';

const PLACE = { target: 'shop', folder: 'db', mode: 'apply' as const };

/** Markdown without its blocks and spans of code: what a forge interprets. */
const interpreted = (text: string) => text.replace(/^(`{3,})\n[\s\S]*?\n\1$/gm, '').replace(/`[^`\n]*`/g, '');

const step = (path: string, message: string) => ({
  path,
  kind: 'run',
  state: 'failed' as const,
  milliseconds: 7,
  rows: null,
  statements: null,
  account: 'Of "@all <b>" 2 statements stay.',
  error: { sqlstate: 'P0001', message, detail: 'Key (email)=(mallory@example.com)', hint: 'Ask #1.', context: 'c', excerpt: 'mallory', line: 3 },
});

test('a failure names file, line, message and hint; not detail, context and excerpt, which show rows', () => {
  const one = step('1.sql', 'it broke');
  const account = accountOfDeployment(PLACE, makeDeployment({ state: 'failed', error: { ...one.error, path: '1.sql' }, phases: [] }));
  expect(account).toMatchObject({
    state: 'failure',
    name: 'weft: db to shop',
    title: 'shop failed at shop',
    remarks: [{ path: 'db/1.sql', line: 3, level: 'failure', message: 'P0001: it broke\nHint: Ask #1.' }],
  });
  expect(account.text).toContain('**`db/1.sql`, line 3**');
  expect(JSON.stringify(account)).not.toContain('mallory');
});

test('whatever a file, a message or a folder is called, nothing of it is markup, a mention, a reference or a command', () => {
  const evil = 'x`` ```\n/close\n@all [x](https://evil.test) <img src=x> #1 !2 | a';
  const phases = [{ name: 'p|`q', transaction: 'auto', state: 'failed' as const, steps: [step('a`|\n/merge.sql', evil), step('b.sql', '```\n/approve\n```')] }];
  const account = accountOfDeployment({ ...PLACE, folder: 'd-->b/@me' }, makeDeployment({ state: 'degraded', bundle: 'shop', phases }));
  const comment = commentOf(account, 'a'.repeat(40));
  const open = interpreted(comment.replace(markOf(account), ''));
  expect(open).not.toMatch(/(?<!\\)[@#!<[]/);
  expect(open).not.toMatch(/^\//m);
  expect(open).not.toContain('evil.test');
  expect(markOf(account).match(/-->/g)).toHaveLength(1);
  expect(account.remarks).toHaveLength(2);
  expect(account.remarks.map(({ level }) => level)).toEqual(['warning', 'warning']);
});

test('nothing turns the direction of writing, by which one name can look like another', () => {
  const turned = '\u202elqs.eerf\u2066 x\u200f';
  const phases = [{ name: 'main', transaction: 'auto', state: 'failed' as const, steps: [step(turned, turned)] }];
  const { text, title } = accountOfDeployment(PLACE, makeDeployment({ state: 'degraded', bundle: turned, phases }));
  expect(text).toContain('lqs.eerf');
  expect(text + title).not.toMatch(/\p{Bidi_Control}/u);
});

test('a rehearsal tells what would be locked and changed, and what it does not show', () => {
  const rehearsal = {
    milliseconds: 1234,
    passes: 1,
    steps: [{ phase: 'main', path: '1.sql', kind: 'run', state: 'succeeded' as const, rows: 2, milliseconds: 5 }],
    locks: [
      { object: 'table public.goods', mode: 'AccessExclusiveLock', path: '1.sql', line: 2, held_milliseconds: 900 },
      { object: 'table public.goods', mode: 'AccessShareLock', path: '1.sql', line: 1, held_milliseconds: 900 },
    ],
    catalog: [{ kind: 'table', identity: 'public.more', change: 'added' as const, before: null, after: 'x' }],
    not_shown: [{ why: 'x', text: 'What @others do meanwhile.' }],
  };
  const { text, state, title } = accountOfDeployment({ ...PLACE, mode: 'rehearse' }, makeDeployment({ state: 'succeeded', mode: 'rehearse', rehearsal }));
  expect([state, title]).toEqual(['success', 'shop ran through at shop, and was rolled back']);
  for (const words of [
    '1.2 s in one transaction',
    '`table public.goods` | AccessExclusiveLock | 900 ms | `1.sql:2`',
    '| added | `table` | `public.more` |',
    '\\@others',
  ]) {
    expect(text).toContain(words);
  }
  expect(text).not.toContain('AccessShareLock');
});

test('a problem without a place has no remark, and one in weft.yaml has its line', () => {
  expect(accountOfProblem(PLACE, new Problem('database_unreachable', 'No answer.')).remarks).toEqual([]);
  const wrong = new Problem('invalid_bundle', 'weft.yaml, line 4: what?', { file: 'weft.yaml', line: 4 });
  expect(accountOfProblem({ ...PLACE, folder: '' }, wrong).remarks).toMatchObject([{ path: 'weft.yaml', line: 4 }]);
});
