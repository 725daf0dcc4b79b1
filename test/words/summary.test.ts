import { describe, expect, it } from 'vitest';
import { COLOURED } from '../../src/cli/io.ts';
import type { Deployment, DeploymentError } from '../../src/domain/deployment.ts';
import { UNCOLOURED } from '../../src/words/style.ts';
import { renderSummary } from '../../src/words/summary.ts';
import { makeDeployment, makeLive, makePhase, makeStep } from '../cli/deployments.ts';

const ERROR: DeploymentError = {
  sqlstate: '23502',
  message: 'column "total" of relation "orders" contains null values',
  detail: null,
  hint: null,
  phase: 'schema',
  path: 'schema/047_orders.sql',
  line: 12,
  statement: 'alter table shop.orders\n  add column total numeric not null',
};

function show(changes: Partial<Deployment>): string {
  return `\n${renderSummary(makeDeployment({ finished_at: '2026-03-01T02:00:13.400Z', fingerprint: { before: `1:18:${'a'.repeat(64)}`, after: `1:18:${'b'.repeat(64)}` }, ...changes }), UNCOLOURED)}\n`;
}

describe('the summary', () => {
  it('of a success: phases, counts, times, fingerprint', () => {
    const skipped = { ...makePhase('schema', 'single', 'succeeded', { done: 3 }) };
    skipped.steps[0] = makeStep('schema/001.sql', 'skipped');
    expect(show({ state: 'succeeded', phases: [skipped, makePhase('data', 'per-step', 'succeeded', { done: 2 })] })).toMatchInlineSnapshot(`
      "
      Done. shop is deployed, in 12.4 s.

        schema  single    committed: 2 steps, 1 applied before, 24 ms
        data    per-step  committed: 2 steps, 24 ms

        deployment   0190a0de-0000-7000-8000-000000000001
        fingerprint  1:18:aaaaaaaaaaaa… → 1:18:bbbbbbbbbbbb…
      "
    `);
  });

  it('of parameters: their values, of a secret one that there was one', () => {
    const plain = { type: 'text', secret: false, given: true, digest: null };
    const parameters = [
      { ...plain, name: 'environment', value: 'staging' },
      { ...plain, name: 'nothing', given: false, value: null },
      { ...plain, name: 'token', secret: true, value: null },
      { ...plain, name: 'unused', secret: true, given: false, value: null },
    ];
    expect(show({ state: 'succeeded', parameters })).toContain('  parameters   environment=staging  nothing=  token=***  unused=\n');
  });

  it('of a phase that took longer than the last tries of its steps: all of its time', () => {
    const phase = {
      ...makePhase('schema', 'single', 'succeeded', { done: 1 }),
      started_at: '2026-03-01T02:00:01.000Z',
      finished_at: '2026-03-01T02:00:21.200Z',
    };
    expect(show({ state: 'succeeded', phases: [phase] })).toContain('committed: 1 step, 20.2 s');
  });

  it('of an error inside functions: through which of them it came, without the statements between', () => {
    const context = 'PL/pgSQL function shop.total() line 3 at RETURN\nSQL statement "select 1"\nPL/pgSQL function shop.all() line 9 at PERFORM';
    const shown = show({ state: 'failed', error: { ...ERROR, context } });
    expect(shown).toContain('\n  in PL/pgSQL function shop.total() line 3 at RETURN\n  in PL/pgSQL function shop.all() line 9 at PERFORM\n');
    expect(shown).not.toContain('select 1');
  });

  it.each([
    ['23505', 'repair the data (or correct schema/047_orders.sql) and deploy again'],
    ['42501', 'grant what is missing (or correct schema/047_orders.sql) and deploy again'],
    ['55006', 'make sure that nobody uses what schema/047_orders.sql is about (or correct it) and deploy again'],
    ['55P03', 'make sure that the lock is free (or correct schema/047_orders.sql) and deploy again'],
    ['53100', "make room on the server's disk (or correct schema/047_orders.sql) and deploy again"],
    ['53200', 'see that the server has memory for it (or correct schema/047_orders.sql) and deploy again'],
    ['53400', 'raise the limit that was met (or correct schema/047_orders.sql) and deploy again'],
    ['WF015', 'do as the hint says and deploy again'],
    ['55P04', 'do as the hint says and deploy again'],
    ['42703', 'correct schema/047_orders.sql and deploy again'],
  ])('of an error with %s: what is to be repaired', (sqlstate, remedy) => {
    expect(show({ state: 'failed', error: { ...ERROR, sqlstate } })).toContain(`Next: ${remedy}; what`);
  });

  it('of a file whose objects exist: that the database may be older than its history', () => {
    const words =
      'Nothing needs to be cleaned up.\nIf the database had all of this before Weft came, or by hand: "weft baseline FOLDER --only schema/047_orders.sql" records';
    const said = (sqlstate: string, step: object, hint = ERROR.hint) => {
      const phase = makePhase('schema', 'single', 'failed', { pending: 1 });
      const steps = phase.steps.map((one) => ({ ...one, path: 'schema/047_orders.sql', ...step }));
      return show({ state: 'failed', phases: [{ ...phase, steps }], error: { ...ERROR, sqlstate, hint } });
    };
    for (const sqlstate of ['42P06', '42P07', '42701', '42710', '42723']) expect(said(sqlstate, { kind: 'run' })).toContain(words);
    expect(said('42P01', { kind: 'run' })).not.toContain('baseline');
    // A file that runs again is to be written so that it can; and a baseline would not have it run.
    expect(said('42710', { kind: 'run', options: { repeat: 'on-change' } })).not.toContain('baseline');
    const hint = 'The history of this database is empty. "weft baseline" records them.';
    expect(said('42P07', { kind: 'run' }, hint).split('weft baseline')).toHaveLength(2);
  });

  it.each([
    [null, 'bbbb', 'bbbb after; none before: for more than a second'],
    ['aaaa', null, 'aaaa before; none after: for more than a second'],
    [null, null, 'none before and after: for more than a second'],
  ])('of a fingerprint that was not taken: why (%s, %s)', (before, after, words) => {
    expect(show({ state: 'succeeded', fingerprint: { before, after } })).toContain(`  fingerprint  ${words} another session had a table locked`);
  });

  it('of one that has not begun: no word of a fingerprint', () => {
    expect(show({ state: 'cancelled', started_at: null, fingerprint: { before: null, after: null } })).not.toContain('fingerprint');
  });

  it('of an applied file that has changed: no word of correcting it', () => {
    const shown = show({ state: 'failed', error: { ...ERROR, sqlstate: 'WF013', hint: 'Put the change into a new file.' } });
    expect(shown).toContain('Next: as the hint says. Nothing of this deployment was run');
    expect(shown).not.toContain('correct schema');
  });

  it('of a failed all-or-nothing phase: what, where, what is left of it, what to do', () => {
    const schema = makePhase('schema', 'single', 'failed', { pending: 52 });
    const phases = [makePhase('before', 'per-step', 'succeeded', { done: 2 }), schema, makePhase('data', 'per-step', 'pending', { pending: 3 })];
    expect(show({ state: 'failed', phases, error: ERROR })).toMatchInlineSnapshot(`
      "
      Failed. shop stopped after 12.4 s.

        schema/047_orders.sql:12  in phase schema
        | alter table shop.orders
        |   add column total numeric not null
        23502: column "total" of relation "orders" contains null values

      The database now:
        before  per-step  committed: 2 steps, 24 ms
        schema  single    rolled back as a whole: nothing of it is left (52 steps)
        data    per-step  not begun

      Next: repair the data (or correct schema/047_orders.sql) and deploy again; what is committed is not run twice. Nothing needs to be cleaned up.

        deployment   0190a0de-0000-7000-8000-000000000001
        fingerprint  1:18:aaaaaaaaaaaa… → 1:18:bbbbbbbbbbbb…
      "
    `);
  });

  it('of an error whose place is known: path, line and character, the line itself, and a mark below', () => {
    const error = (more: object) => show({ state: 'failed', phases: [makePhase('schema', 'single', 'failed', { pending: 1 })], error: { ...ERROR, ...more } });
    const statement = 'create table t (\r\n  a int,\r\n  b int,\r\n  c int,\r\n  d int,\r\n\te intt\r\n)';
    expect(error({ statement, statement_line: 12, line: 17, character: 4, excerpt: '\te intt', caret: 4 })).toContain(
      [
        '  schema/047_orders.sql:17:4  in phase schema',
        ...['create table t (', '  a int,', '  b int,', '  c int,', '… 1 more line', '\te intt', '\t  ^'].map((line) => `  | ${line}`),
        '  23502: ',
      ].join('\n'),
    );
    expect(error({ statement: 'do $$\nbegin\n  raise x;\nend $$', statement_line: 1, line: 3, excerpt: '  raise x;' })).toContain(
      ['  schema/047_orders.sql:3  in phase schema', '  | do $$', '  | begin', '  |   raise x;', '  23502: '].join('\n'),
    );
    expect(error({ statement: 'select x', statement_line: 1, line: 1, character: 10, excerpt: "select '大', x", caret: 13 })).toContain(
      `  | select '大', x\n  | ${' '.repeat(13)}^\n`,
    );
    const far = error({ statement: 'x', statement_line: 1, line: 1, character: 150, excerpt: `${'a'.repeat(149)}b${'c'.repeat(10)}`, caret: 150 });
    expect(far).toContain(`  | …${'a'.repeat(79)}bcccccccccc\n  | ${' '.repeat(80)}^\n`);
    expect(error({ statement: 'select 1;\r\n' })).not.toContain('x0d');
  });

  it('of an error in a row: the row, and its line once', () => {
    const error = (more: object) => show({ state: 'failed', phases: [makePhase('schema', 'single', 'failed', { pending: 1 })], error: { ...ERROR, ...more } });
    const row = { statement: 'copy t from stdin', statement_line: 12, line: 14, character: 3, excerpt: '1\tx', caret: 3, detail: null, hint: null };
    expect(error({ ...row, message: 'Line 14, column "n": no number' })).toContain(
      [
        '  schema/047_orders.sql:14:3  in phase schema',
        '  | copy t from stdin',
        '  | … 1 more line',
        '  | 1\tx',
        '  |  \t^',
        '  23502: column "n": no number',
      ].join('\n'),
    );
    expect(error({ ...row, message: 'Line 14: no row' })).toContain('  23502: no row\n');
    expect(error({ ...row, message: 'Line 13: no row' })).toContain('  23502: Line 13: no row\n');
    expect(error({ path: 'a.json', line: null, statement: null, excerpt: '{"a": 1}', message: 'Object 2: no' })).toContain(
      ['  a.json  in phase schema', '  | {"a": 1}', '  23502: Object 2: no'].join('\n'),
    );
  });

  it('of an error whose message does not name what it is about: table with its schema, type, column, constraint', () => {
    const error = (more: object) => show({ state: 'failed', phases: [makePhase('schema', 'single', 'failed', { pending: 1 })], error: { ...ERROR, ...more } });
    const named = { schema: 'shop', table: 'orders', column: 'total', constraint: 'positive' };
    expect(error({ ...named, message: 'value in column "total" of relation "orders" violates "positive"' })).toContain('\n  About: table shop.orders\n');
    expect(error({ ...named, message: 'no' })).toContain('\n  About: table shop.orders, column total, constraint positive\n');
    expect(error({ schema: 'shop', datatype: 'mail', message: 'value for domain shop.mail' })).not.toContain('About');
    expect(error({ schema: 'shop', datatype: 'mail', message: 'no' })).toContain('\n  About: type shop.mail\n');
    expect(error({ schema: 'public', table: 'orders', message: 'relation "orders"' })).not.toContain('About');
  });

  it('of an error in a function: the statement that it has put together, and what the server says of a value', () => {
    const error = (context: string) =>
      show({ state: 'failed', phases: [makePhase('schema', 'single', 'failed', { pending: 1 })], error: { ...ERROR, context } });
    const place = 'PL/pgSQL function f(integer) line 3 at';
    expect(error(`SQL statement "insert into a\n  values ('"x"')"\n${place} EXECUTE`)).toContain(
      `\n  in PL/pgSQL statement insert into a values ('"x"')\n  in ${place} EXECUTE\n`,
    );
    expect(error(`SQL statement "insert into a"\n${place} SQL statement\nSQL statement "b"\n${place} EXECUTE`)).toContain(
      `\n  in ${place} SQL statement\n  in PL/pgSQL statement b\n  in ${place} EXECUTE\n`,
    );
    expect(error('JSON data, line 1: {"a": x...\nunnamed')).toContain('\n  in JSON data, line 1: {"a": x...\n');
  });

  it('of a failed phase that commits each step', () => {
    const schema = makePhase('schema', 'per-step', 'failed', { done: 46, pending: 5 });
    schema.steps.splice(46, 0, makeStep('schema/047_orders.sql', 'failed', ERROR));
    const error = {
      ...ERROR,
      detail: 'Failing row contains\n(1, null).',
      hint: 'Give it a default.',
      statement: Array.from({ length: 9 }, (_, n) => `line ${n}`).join('\n'),
    };
    expect(show({ state: 'failed', phases: [schema], error })).toMatchInlineSnapshot(`
      "
      Failed. shop stopped after 12.4 s.

        schema/047_orders.sql:12  in phase schema
        | line 0
        | line 1
        | line 2
        | line 3
        | … 5 more lines
        23502: column "total" of relation "orders" contains null values
        Detail: Failing row contains
        (1, null).
        Hint: Give it a default.

      The database now:
        schema  per-step  committed: 46 of 52 steps; the step that failed is rolled back; 5 have not run

      Next: repair the data (or correct schema/047_orders.sql) and deploy again; what is committed is not run twice. Nothing needs to be cleaned up.

        deployment   0190a0de-0000-7000-8000-000000000001
        fingerprint  1:18:aaaaaaaaaaaa… → 1:18:bbbbbbbbbbbb…
      "
    `);
  });

  it('of an error that no file is to blame for', () => {
    const error = { sqlstate: '57P01', message: 'died without a word at schema', phase: 'schema', path: null, line: null, statement: null };
    expect(show({ state: 'failed', phases: [makePhase('schema', 'single', 'failed', { pending: 1 })], error })).toMatchInlineSnapshot(`
      "
      Failed. shop stopped after 12.4 s.

        in phase schema
        57P01: died without a word at schema

      The database now:
        schema  single  rolled back as a whole: nothing of it is left (1 step)

      Next: remove the cause and deploy again; what is committed is not run twice. Nothing needs to be cleaned up.

        deployment   0190a0de-0000-7000-8000-000000000001
        fingerprint  1:18:aaaaaaaaaaaa… → 1:18:bbbbbbbbbbbb…
      "
    `);
  });

  it('of what was taken back since: by whom, and whether all of it', () => {
    const phases = [makePhase('schema', 'single', 'succeeded', { done: 1 })];
    const undone = { by: 'deadbeef', state: 'succeeded' as const, finished_at: '2026-03-02T02:00:00Z', whole: true };
    expect(show({ state: 'succeeded', phases, undone })).toMatch(
      /^\nUndone\. shop had been deployed; deployment deadbeef has taken it back, at 2026-03-02 02:00:00Z\.\n\nWhen it ended, before it was undone:\n/,
    );
    expect(show({ state: 'degraded', phases, undone: { ...undone, whole: false } })).toMatch(
      /^\nUndone in part\. shop had been deployed, and was degraded; deployment deadbeef has taken a part of it back/,
    );
    expect(show({ state: 'succeeded', phases, undone: { ...undone, state: 'failed', whole: false } })).toContain(
      'an undo of it, deployment deadbeef, ended as failed',
    );
    expect(show({ state: 'succeeded', phases, undone: { ...undone, state: 'running', finished_at: null, whole: false } })).toContain('Done. shop is deployed');
  });

  it('of an undo: what it leaves, and how to go on after a failure', () => {
    expect(show({ state: 'succeeded', undoes: 'deadbeef', without_undo: [{ phase: 'schema', path: '1.sql' }] })).toMatch(
      /^\nUndone in part\. Deployment deadbeef of shop was taken back, except for what has no undo, in 12\.4 s\.\n\nNo undo, stays in the database:\n {2}1\.sql\n/,
    );
    const failed = show({ state: 'failed', undoes: 'deadbeef', error: { ...ERROR, path: 'undo/1.sql' } });
    expect(failed).toContain('Failed. The undo of shop stopped after 12.4 s.');
    expect(failed).toContain('Next: remove the cause; then "weft undo deadbeef" goes on with what is not undone');
  });

  it('of a rehearsal and of a deployment that the history refuses: one would fail, the other has run nothing', () => {
    const refused = { state: 'failed', error: { sqlstate: 'WF013', message: '1.sql was applied before with other bytes.' } } as const;
    expect(show({ ...refused, mode: 'rehearse' })).toMatch(/^\nWould fail\. A deployment of shop would be refused\. Nothing of it is in the database\./);
    expect(show({ ...refused, mode: 'rehearse' })).not.toContain('The database now:');
    expect(show(refused)).toMatch(/^\nFailed\. shop was refused; nothing of it was run\./);
  });

  it('of a bundle that was there already: that nothing was to be run', () => {
    const phases = [{ ...makePhase('schema', 'single', 'succeeded', {}), steps: [makeStep('1.sql', 'skipped')] }];
    expect(show({ state: 'succeeded', phases })).toMatch(
      /^\nDone\. shop was deployed before; there was nothing to run\.\n\n {2}schema {2}single {2}nothing to run: 1 applied before\n/,
    );
  });

  it('of drift that was found: what, and that it stays drift', () => {
    const objects = Array.from({ length: 7 }, (_, n) => ({ change: 'added' as const, kind: 'table', identity: `public.t${n}` }));
    const drift_found = [{ since: 'deadbeef', reopened: false, count: 7, objects }];
    const told = show({ state: 'succeeded', drift_found, has_committed: true });
    expect(told).toContain('Drift: when it began, 7 objects were not as deployments had left them:\n  added table public.t0\n');
    expect(told).toContain(
      `  … and 2 more\n"weft drift ${makeDeployment().id}" shows what they were and what they are.\nThey stay drift, but for what this deployment has changed itself; "weft drift --accept" says that they are meant.`,
    );
    expect(show({ state: 'failed', error: ERROR, drift_found, has_committed: false })).toContain('\nThey stay drift');
    // How the database stands comes first.
    expect(show({ state: 'failed', error: ERROR, drift_found, has_committed: false })).toMatch(/The database now:\n[\s\S]*\nDrift: [\s\S]*\nNext: /);
    expect(show({ state: 'succeeded', mode: 'baseline', drift_found, has_committed: true })).not.toContain('stay drift');
  });

  it('of a cancelled deployment', () => {
    const phases = [
      makePhase('schema', 'single', 'succeeded', { done: 3 }),
      makePhase('data', 'per-step', 'running', { done: 1, pending: 2 }),
      makePhase('totals', 'single', 'pending', { pending: 1 }),
    ];
    expect(show({ state: 'cancelled', phases, fingerprint: { before: 'aaaa', after: null } })).toMatchInlineSnapshot(`
      "
      Cancelled. shop stopped after 12.4 s.

      The database now:
        schema  single    committed: 3 steps, 36 ms
        data    per-step  committed: 1 of 3 steps; 2 have not run
        totals  single    not begun

      Next: deploy again when you like; what is committed is not run twice. Nothing needs to be cleaned up.

        deployment   0190a0de-0000-7000-8000-000000000001
        fingerprint  aaaa before; none after: for more than a second another session had a table locked, or the catalog could not be read
      "
    `);
  });

  const CLEANING = {
    path: '1.sql',
    line: 3,
    sent: 'drop index concurrently public.t_a',
    error: { ...ERROR, sqlstate: '23505', message: 'a duplicate', path: '1.sql', line: 3 },
  };
  const WAITING = makeLive({ waiting_for: 'Lock: virtualxid', blocked_by: [42] });
  const shownOf = (changes: Partial<Deployment>) => show({ state: 'running', finished_at: null, fingerprint: { before: null, after: null }, ...changes });

  it('of one that is being cancelled, and waits with its clean-up: what waits for whom', () => {
    const error = { sqlstate: '57014', message: 'Cancelled by role alice.' };
    expect(shownOf({ cancelling: true, cleaning: { ...CLEANING, error }, live: WAITING })).toMatchInlineSnapshot(`
      "
      Cancelling. shop goes no further. 1.sql:3 has left something half-made. Backend 4711 is taking that away.

      The database now:

      "drop index concurrently public.t_a" waits for Lock: virtualxid, held by backend 42.
      Next: once that session has ended or released it, "weft cancel 0190a0de-0000-7000-8000-000000000001" shows the end, or completes it if nobody else has.

        deployment   0190a0de-0000-7000-8000-000000000001
        fingerprint  none before: for more than a second another session had a table locked, or the catalog could not be read
      "
    `);
  });

  it('of one that is being cancelled, without a clean-up, or with nobody at work', () => {
    expect(shownOf({ cancelling: true, live: makeLive() })).toContain('Cancelling. shop goes no further. Backend 4711 has been told, and is still at work.');
    const shown = shownOf({ cancelling: true, cleaning: CLEANING });
    expect(shown).toContain('1.sql:3 has left something half-made. No backend is at work on it right now.');
    expect(shown).toContain('Next: "weft cancel 0190a0de-0000-7000-8000-000000000001" goes on with that, and ends it.');
  });

  it('of one that failed and waits with its clean-up: the error', () => {
    const shown = shownOf({ cleaning: CLEANING, live: WAITING });
    expect(shown).toContain('Failing. shop goes no further. 1.sql:3 has left something half-made. Backend 4711 is taking that away.');
    expect(shown).toContain('  23505: a duplicate\n');
    expect(shownOf({ cancelling: true, cleaning: CLEANING, live: WAITING }), 'cancelled meanwhile').toContain('  23505: a duplicate\n');
  });

  it.each(['failed', 'cancelled'] as const)('of what remains of one that is %s: never that nothing needs to be cleaned up', (state) => {
    const remains = [{ object: 'public.t_a', statement: 'drop index concurrently public.t_a' }];
    const shown = show({ state, error: { ...ERROR, hint: 'To take it away: drop index concurrently public.t_a.', remains } });
    expect(shown).toContain('Next: remove what is half-made, as the hint says');
    expect(shown).toContain('drop index concurrently public.t_a');
    expect(shown).not.toContain('cleaned up');
  });

  it('of one whose statement was handed out: that the server finishes that one, what waits for a call, and that its file has begun', () => {
    const handed_out = { path: 'lane/001.sql', number: 1, line: 3, statement: 'create index concurrently a_x\n  on a (x)' };
    const phases = [makePhase('lane', 'auto', 'running', { pending: 1 })];
    expect(shownOf({ phases, handed_out, live: makeLive({ handed_out }) })).toMatchInlineSnapshot(`
      "
      Running. shop runs as backend 4711.
      The backend was handed one statement, which PostgreSQL runs in no transaction: lane/001.sql, line 3: create index concurrently a_x on a (x)
      It finishes that without a client, too; what is behind it then waits for a call.

      The database now:
        lane  auto  committed: 0 of 1 step; lane/001.sql has begun

      Next: "weft resume 0190a0de-0000-7000-8000-000000000001" attaches to it and continues it if need be; "weft cancel 0190a0de-0000-7000-8000-000000000001" stops it.

        deployment   0190a0de-0000-7000-8000-000000000001
        fingerprint  none before: for more than a second another session had a table locked, or the catalog could not be read
      "
    `);
    const step = { ...makeStep(handed_out.path, 'pending'), account: 'Statement 1 of lane/001.sql stays in the database.' };
    const half = [{ ...makePhase('lane', 'auto', 'running', {}), steps: [step] }];
    expect(shownOf({ phases: half, handed_out })).toMatchInlineSnapshot(`
      "
      Running. shop is not over, and no backend is at work on it.
      A session was handed one statement, which PostgreSQL runs in no transaction: lane/001.sql, line 3: create index concurrently a_x on a (x)
      The next call finds out what became of that, and goes on behind it.

      The database now:
        lane  auto  committed: 0 of 1 step, and a part of lane/001.sql

        Statement 1 of lane/001.sql stays in the database.

      Next: "weft resume 0190a0de-0000-7000-8000-000000000001" continues it; if nobody is attached, it waits for that, or for any later call. "weft cancel 0190a0de-0000-7000-8000-000000000001" stops it.

        deployment   0190a0de-0000-7000-8000-000000000001
        fingerprint  none before: for more than a second another session had a table locked, or the catalog could not be read
      "
    `);
  });

  it('of one whose statement was cancelled on the server: that, and where', () => {
    const interrupted = { sqlstate: '57014', message: 'canceling statement due to user request', phase: 'schema', path: '2.sql' };
    expect(show({ state: 'running', finished_at: null, interrupted })).toContain(
      'Running. shop is not over, and no backend is at work on it: a statement of 2.sql was cancelled on the server (57014: canceling statement due to user request), by a person, or by a program that watches over it.',
    );
  });

  it('of one that is not over: how to attach again', () => {
    expect(
      show({
        state: 'running',
        finished_at: null,
        phases: [makePhase('schema', 'single', 'running', { pending: 3 })],
        fingerprint: { before: 'aaaa', after: null },
      }),
    ).toMatchInlineSnapshot(`
      "
      Running. shop is not over, and no backend is at work on it.

      The database now:
        schema  single  in flight, all or nothing: nothing is committed yet (3 steps)

      Next: "weft resume 0190a0de-0000-7000-8000-000000000001" continues it; if nobody is attached, it waits for that, or for any later call. "weft cancel 0190a0de-0000-7000-8000-000000000001" stops it.

        deployment   0190a0de-0000-7000-8000-000000000001
        fingerprint  aaaa before
      "
    `);
  });

  it('obeys no control character of a message, a path or a statement', () => {
    const error = { ...ERROR, message: 'a\u001b[2Jb', path: 'c\u001b[2J', statement: 'select \u001b[2J' };
    expect(show({ state: 'failed', phases: [makePhase('schema', 'single', 'failed', { pending: 1 })], error })).not.toContain('\u001b');
  });

  it('is the same words in colour', () => {
    const deployment = makeDeployment({ state: 'failed', phases: [makePhase('schema', 'single', 'failed', { pending: 1 })], error: ERROR });
    // biome-ignore lint/suspicious/noControlCharactersInRegex: colours are what is taken out
    expect(renderSummary(deployment, COLOURED).replace(/\u001b\[\d+m/g, '')).toBe(renderSummary(deployment, UNCOLOURED));
  });
});

it('a deployment that was opened again has taken what it worked, not what lay between its ends', () => {
  const phase = { ...makePhase('main', 'single', 'succeeded', { done: 1 }), started_at: '2026-03-01T02:00:01.100Z', finished_at: '2026-03-01T02:00:13.300Z' };
  const shown = show({ state: 'succeeded', phases: [phase], rests: [{ since: '2026-03-01T02:00:01.500Z', until: '2026-03-01T02:00:13.100Z' }] });
  expect(shown).toMatch(/Done\..* in 800 ms/);
  expect(shown).toContain(', 600 ms\n');
});
