import { describe, expect, it } from 'vitest';
import { COLOURED } from '../../src/cli/io.ts';
import { FIRST_VIEW, linesBetween, ProgressPrinter, positionOf, renderLive, type View } from '../../src/cli/progress.ts';
import type { Deployment } from '../../src/domain/deployment.ts';
import { UNCOLOURED } from '../../src/words/style.ts';
import { widthOf } from '../../src/words/text.ts';
import { waitOf } from '../../src/words/waits.ts';
import { makeDeployment, makeLive, makePhase, makeStep } from './deployments.ts';

function draw(changes: Partial<View>, columns = 80): string {
  return `\n${renderLive({ ...FIRST_VIEW, ...changes }, 72_000, columns, UNCOLOURED).join('\n')}\n`;
}

function following(deployment: Deployment, columns?: number): string {
  return draw({ activity: 'following', deployment }, columns);
}

const PHASES = [makePhase('schema', 'per-step', 'running', { done: 46, pending: 6 }), makePhase('totals', 'single', 'pending', { pending: 2 })];

describe('a deployment on a terminal', () => {
  it('begins with connecting and sending', () => {
    expect(draw({})).toMatchInlineSnapshot(`
      "
      connecting  1:12
      "
    `);
    expect(draw({ activity: 'sending', sentBytes: 12_000_000 })).toMatchInlineSnapshot(`
      "
      sending, 11.4 MiB so far  1:12
      "
    `);
  });

  it('shows a bar, the step at work, and the time', () => {
    const live = makeLive({ phase: 'schema', step: 47, steps: 54, path: 'schema/047.sql' });
    expect(following(makeDeployment({ phases: PHASES, live }))).toMatchInlineSnapshot(`
      "
      ████████████░░░ 47/54 schema: schema/047.sql  1:12
      "
    `);
  });

  it('shows where an all-or-nothing phase is while nothing of it is committed', () => {
    const phases = [makePhase('schema', 'single', 'running', { pending: 52 })];
    const live = makeLive({ phase: 'schema', step: 47, steps: 52, path: 'schema/047.sql' });
    expect(following(makeDeployment({ phases, live }))).toMatchInlineSnapshot(`
      "
      █████████████░░ 47/52 schema: schema/047.sql  1:12
      "
    `);
  });

  it('says what it waits for, and who holds it', () => {
    const live = makeLive({ phase: 'schema', step: 47, steps: 54, path: 'schema/047.sql', waiting_for: 'Lock: relation', blocked_by: [812, 813] });
    expect(following(makeDeployment({ phases: PHASES, live }))).toMatchInlineSnapshot(`
      "
      ████████████░░░ 47/54 schema: schema/047.sql  1:12
        waits for Lock: relation, held by backend 812, 813
      "
    `);
  });

  it('says which try it is, and by which application and role the lock is held', () => {
    const live = makeLive({
      waiting_for: 'Lock: relation',
      blocked_by: [812, 813],
      blockers: [
        { pid: 812, application: 'psql', role: 'bob' },
        { pid: 813, application: null, role: 'app' },
      ],
      attempt: { number: 3, of: 10 },
    });
    const wait = 'waits for Lock: relation, held by backend 812 (psql, role bob), 813 (role app), try 3 of 10';
    expect(waitOf(makeDeployment({ live }))).toBe(wait);
    const again = { ...live, attempt: { number: 4, of: 10 } };
    expect(linesBetween(makeDeployment({ live }), makeDeployment({ live: again }))).toEqual([wait.replace('3 of', '4 of')]);
    const handedOut = { path: '1.sql', number: 1, line: 1, statement: 'vacuum t' };
    expect(waitOf(makeDeployment({ live: { ...live, handed_out: handedOut, attempt: { number: 1, of: 10 } } }))).not.toContain('try');
    const build = { command: 'CREATE INDEX CONCURRENTLY', table: 't', phase: 'waiting for old snapshots', done: 0, total: 1, unit: 'sessions' };
    expect(waitOf(makeDeployment({ live: { ...live, build, handed_out: handedOut, attempt: { number: 2, of: 10 } } }))).toBe(
      'index of t: waiting for old snapshots, 0 of 1 session, held by backend 812 (psql, role bob), 813 (role app), try 2 of 10',
    );
  });

  it('says in the pause behind a try in vain what it was in vain for', () => {
    expect(waitOf(makeDeployment({ live: makeLive({ attempt: { number: 4, of: 10 } }) }))).toBe('a lock was not granted, try 4 of 10');
    expect(waitOf(makeDeployment({ live: makeLive({ attempt: { number: 1, of: 10 } }) }))).toBeNull();
  });

  it('says what a session that holds a lock does, and since when; on lines that stay, only what does not change from look to look', () => {
    const held = (state: string, query: string) => ({
      live: makeLive({
        waiting_for: 'Lock: relation',
        blocked_by: [812],
        blockers: [{ pid: 812, application: 'psql', role: 'bob', state, state_seconds: 720.4, transaction_seconds: 900, query }],
      }),
    });
    const idle = makeDeployment(held('idle in transaction', 'update shop.orders set total = ? where id = ?'));
    expect(waitOf(idle)).toBe(
      'waits for Lock: relation, held by backend 812 (psql, role bob, idle in transaction for 12 min 00 s, its transaction open for 15 min 00 s: update shop.orders set total = ? where id = ?)',
    );
    expect(waitOf(idle, false)).toBe(
      'waits for Lock: relation, held by backend 812 (psql, role bob, idle in transaction: update shop.orders set total = ? where id = ?)',
    );
    const busy = makeDeployment(held('active', 'select count(*) from shop.orders'));
    expect(waitOf(busy)).toContain('(psql, role bob, active for 12 min 00 s, its transaction open for 15 min 00 s: select count(*) from shop.orders)');
    expect(waitOf(busy, false)).toBe('waits for Lock: relation, held by backend 812 (psql, role bob)');
  });

  it('names the lock and its table where the server tells them, also on lines that stay', () => {
    const waiting_on = { mode: 'AccessExclusiveLock', object: 'shop.orders' };
    const live = makeLive({ waiting_for: 'Lock: relation', waiting_on, blocked_by: [812], attempt: { number: 1, of: 10 } });
    const wait = 'waits for AccessExclusiveLock on shop.orders, held by backend 812, try 1 of 10';
    expect([waitOf(makeDeployment({ live })), waitOf(makeDeployment({ live }), false)]).toEqual([wait, wait]);
    expect(waitOf(makeDeployment({ live: { ...live, blocked_by: [] } }))).toBe('waits for AccessExclusiveLock on shop.orders');
    const unnamed = { ...live, waiting_for: 'Lock: transactionid', waiting_on: { mode: 'ShareLock', object: null } };
    expect(waitOf(makeDeployment({ live: unnamed }))).toContain('waits for Lock: transactionid, held by');
  });

  it("shows how far an index is, in the server's own words", () => {
    const build = {
      command: 'CREATE INDEX CONCURRENTLY',
      table: 'public.orders',
      phase: 'building index: scanning table',
      done: 4711,
      total: 90_000,
      unit: 'blocks',
    };
    const live = makeLive({ phase: 'schema', step: 47, steps: 54, path: 'schema/047.sql', build });
    expect(following(makeDeployment({ phases: PHASES, live }))).toMatchInlineSnapshot(`
      "
      ████████████░░░ 47/54 schema: schema/047.sql  1:12
        index of public.orders: building index: scanning table, 4711 of 90000 blocks
      "
    `);
    // what nobody can see yet has no name, and what is held up by nobody tries nothing
    expect(waitOf(makeDeployment({ live: { ...live, build: { ...build, table: '99463' }, attempt: { number: 1, of: 10 } } }))).toBe(
      'index of a new table: building index: scanning table, 4711 of 90000 blocks',
    );
    const waits = {
      ...live,
      waiting_for: 'Lock: virtualxid',
      blocked_by: [812],
      build: { ...build, phase: 'waiting for old snapshots', done: 0, total: 1, unit: 'sessions' },
    };
    expect(following(makeDeployment({ phases: PHASES, live: waits }), 120)).toContain(
      'index of public.orders: waiting for old snapshots, 0 of 1 session, held by backend 812',
    );
  });

  it('shows how far a batch is: rounds, rows and speed; on lines that stay only because of whom it goes slower', () => {
    const batch = {
      rounds: 120,
      rows: 600_000,
      size: 5000,
      table: 'shop.orders',
      table_rows_estimate: 1_000_000,
      rows_per_second: 41_000.4,
      throttled_by: null,
    };
    const at = (more: Partial<typeof batch> | { throttled_by: { why: string } }) => {
      const phase = makePhase('totals', 'auto', 'running', { pending: 1 });
      const steps = phase.steps.map((step) => ({ ...step, batch: { ...batch, ...more } }));
      return makeDeployment({ phases: [{ ...phase, steps }], live: makeLive({ phase: 'totals', step: 1, steps: 1, path: steps[0]?.path ?? '' }) });
    };
    expect(waitOf(at({}))).toBe('120 rounds, 600000 rows, 41000 rows/s, next of 5000, shop.orders had about 1000000');
    expect(waitOf(at({}), false)).toBeNull();
    expect(waitOf(at({ throttled_by: { why: 'others wait' } }))).toMatch(/, goes slower: others wait$/);
    expect(linesBetween(at({}), at({ throttled_by: { why: 'a standby lags' } }))).toEqual(['goes slower: a standby lags']);
  });

  it('does not call work waiting', () => {
    const live = makeLive({ phase: 'schema', step: 47, steps: 54, path: 'schema/047.sql', waiting_for: 'IO: DataFileRead' });
    expect(renderLive({ ...FIRST_VIEW, activity: 'following', deployment: makeDeployment({ phases: PHASES, live }) }, 0, 80, UNCOLOURED)).toHaveLength(1);
  });

  it('says who is ahead', () => {
    expect(following(makeDeployment({ state: 'staged', phases: PHASES, ahead: ['0190a0de-0000-7000-8000-00000000000f', 'b'] }))).toMatchInlineSnapshot(`
      "
      ████████████░░░ 46/54 schema  1:12
        in line behind 2 deployments, first 0190a0de-0000-7000-8000-00000000000f
      "
    `);
  });

  it('says that it attaches again, and why', () => {
    expect(
      draw({ activity: 'attaching', deployment: makeDeployment({ phases: PHASES }), note: 'The connection was lost. Trying again in 2 s.' }),
    ).toMatchInlineSnapshot(`
      "
      ████████████░░░ 46/54 schema  1:12
        The connection was lost. Trying again in 2 s.
      "
    `);
  });

  it('cuts every line to the width, the path at its front', () => {
    const path = `schema/${'very/'.repeat(30)}deep.sql`;
    const live = makeLive({ phase: 'schema', step: 47, steps: 54, path, waiting_for: `Lock: ${'x'.repeat(200)}`, blocked_by: [1] });
    for (const columns of [30, 60, 120]) {
      const lines = renderLive({ ...FIRST_VIEW, activity: 'following', deployment: makeDeployment({ phases: PHASES, live }) }, 72_000, columns, UNCOLOURED);
      for (const line of lines) expect([...line].length).toBeLessThan(columns);
    }
    expect(following(makeDeployment({ phases: PHASES, live }), 60)).toContain('deep.sql');
  });

  it('lets no line go on in the next one, where the drawing would not be taken away: with wide characters, and in the narrowest terminal', () => {
    const path = '001_注文と明細の表を作る_得意先の表も一緒に.sql';
    const live = makeLive({ phase: 'schema', step: 47, steps: 54, path, waiting_for: `Lock: ${'表'.repeat(80)}`, blocked_by: [1] });
    const deployment = makeDeployment({ phases: PHASES, live });
    for (const columns of [2, 8, 15, 20, 25, 40, 60, 80]) {
      const views = [{}, { activity: 'sending', sentBytes: 12_000_000 }, { activity: 'following', deployment }] as const;
      for (const view of views)
        for (const line of renderLive({ ...FIRST_VIEW, ...view }, 36_720_000, columns, UNCOLOURED)) expect(widthOf(line)).toBeLessThan(columns);
    }
    expect(following(deployment, 15)).toContain('47/54 …に.sql');
    expect(following(deployment, 0)).toBe(following(deployment, 80));
  });

  it('says that it is only ending any more, for whom that waits first, and why', () => {
    const cleaning = { path: '1.sql', line: 3, sent: 'drop index concurrently public.t_a', error: { sqlstate: '23505', message: 'a duplicate' } };
    const live = makeLive({ waiting_for: 'Lock: virtualxid', blocked_by: [42] });
    expect(waitOf(makeDeployment({ cleaning, live }))).toBe(
      'failing; waits for Lock: virtualxid, held by backend 42; drop index concurrently public.t_a; taking away what 1.sql:3 has left half-made; 23505: a duplicate',
    );
    expect(waitOf(makeDeployment({ cancelling: true, live: makeLive() }))).toBe('cancelling');
    expect(waitOf(makeDeployment({ cleaning: { ...cleaning, sent: null } }))).toBe(
      'failing; no backend is at work on it right now; what 1.sql:3 has left half-made is not all taken away; 23505: a duplicate',
    );
    const others = makeLive({ waiting_for: 'others at work on public.t', blocked_by: [42, 43] });
    expect(waitOf(makeDeployment({ live: others }))).toBe('waits for others at work on public.t: backend 42, 43');
    expect(following(makeDeployment({ phases: PHASES, cancelling: true, cleaning, live }))).toContain(
      'cancelling; waits for Lock: virtualxid, held by backend 42',
    );
  });

  it('obeys no control character of a path', () => {
    const live = makeLive({ phase: 'schema', step: 1, steps: 54, path: 'a\u001b[2J.sql' });
    expect(following(makeDeployment({ phases: PHASES, live }))).not.toContain('\u001b');
  });

  it('uses colour only when asked to', () => {
    const view: View = { ...FIRST_VIEW, activity: 'following', deployment: makeDeployment({ phases: PHASES }) };
    expect(renderLive(view, 0, 80, COLOURED).join('')).toContain('\u001b[32m');
    expect(renderLive(view, 0, 80, UNCOLOURED).join('')).not.toContain('\u001b');
  });

  it('counts steps that a transaction in flight has behind it', () => {
    const phases = [makePhase('schema', 'single', 'running', { pending: 5 })];
    expect(positionOf(makeDeployment({ phases, live: makeLive({ step: 3, steps: 5 }) }))).toMatchObject({ done: 2, total: 5 });
    expect(positionOf(makeDeployment({ phases }))).toMatchObject({ done: 0, total: 5 });
  });
});

describe('a deployment elsewhere', () => {
  const staged = makeDeployment({ state: 'staged', phases: [makePhase('schema', 'per-step', 'pending', { pending: 3 })] });
  const running = makeDeployment({
    phases: [makePhase('schema', 'per-step', 'running', { done: 1, pending: 2 })],
    live: makeLive({ phase: 'schema', step: 2, steps: 3, path: 'schema/002.sql' }),
  });
  const waiting = makeDeployment({
    phases: [makePhase('schema', 'per-step', 'running', { done: 2, pending: 1 })],
    live: makeLive({ phase: 'schema', step: 3, steps: 3, path: 'schema/003.sql', waiting_for: 'Lock: relation', blocked_by: [812] }),
  });

  it('is a line an event', () => {
    expect(linesBetween(null, staged)).toMatchInlineSnapshot(`
      [
        "deployment 0190a0de-0000-7000-8000-000000000001: shop, 1 phase, 3 steps",
        "staged: everything is in the database",
      ]
    `);
    expect(linesBetween(staged, running)).toMatchInlineSnapshot(`
      [
        "running as backend 4711",
        "1/3 schema: schema/001.sql: done, 12 ms",
        "2/3 schema: schema/002.sql: at work",
      ]
    `);
    expect(linesBetween(running, waiting)).toMatchInlineSnapshot(`
      [
        "2/3 schema: schema/002.sql: done, 12 ms",
        "3/3 schema: schema/003.sql: at work",
        "waits for Lock: relation, held by backend 812",
      ]
    `);
  });

  it('tells tries, and what was there already', () => {
    const ended = (changes: object) => {
      const phase = makePhase('main', 'auto', 'succeeded', { done: 1 });
      return linesBetween(staged, makeDeployment({ phases: [{ ...phase, steps: phase.steps.map((step) => ({ ...step, statements: 3, ...changes })) }] })).at(
        -1,
      );
    };
    expect(ended({ tries: 1, found_done: 0 })).toBe('1/1 main: main/001.sql: done, 12 ms');
    expect(ended({ tries: 4 })).toBe('1/1 main: main/001.sql: done, 12 ms in the last of 4 tries');
    expect(ended({ found_done: 3 })).toBe('1/1 main: main/001.sql: was there already, 12 ms');
    expect(ended({ found_done: 1 })).toBe('1/1 main: main/001.sql: done, 1 of 3 statements was there already, 12 ms');
  });

  it('says of what was applied before nothing until its phase begins, for it may be called back; and finds a file that the server put elsewhere', () => {
    const views = (state: 'pending' | 'running', ...steps: ReturnType<typeof makeStep>[]) =>
      makeDeployment({ phases: [{ ...makePhase('views', 'single', state, {}), steps }] });
    const [a, b] = [makeStep('a.sql', 'skipped'), makeStep('b.sql', 'skipped')];
    const before = views('pending', a, b);
    expect(linesBetween(null, before).join('\n')).not.toContain('a.sql');
    const begun = views('running', makeStep('b.sql', 'pending'), a);
    expect(linesBetween(before, begun)).toEqual(['2/2 views: a.sql: applied before']);
    expect(linesBetween(begun, views('running', a, makeStep('b.sql', 'succeeded')))).toEqual(['2/2 views: b.sql: done, 12 ms']);
  });

  it('tells drift once, when it is found', () => {
    const drift_found = [{ since: 'deadbeef', reopened: false, count: 2, objects: [] }];
    expect(linesBetween(running, { ...running, drift_found })).toEqual([
      `drift: 2 objects not as deployments have left the database; weft drift ${running.id}`,
    ]);
    expect(linesBetween({ ...running, drift_found }, { ...running, drift_found })).toEqual([]);
  });

  it('tells each phase of an index once, whatever it counts', () => {
    const building = (phase: string, done: number) =>
      makeDeployment({
        ...running,
        live: { ...makeLive(running.live ?? {}), build: { command: 'REINDEX CONCURRENTLY', table: 'public.t', phase, done, total: 9, unit: 'blocks' } },
      });
    expect(linesBetween(running, building('building index: scanning table', 1))).toEqual(['index of public.t: building index: scanning table']);
    expect(linesBetween(building('building index: scanning table', 1), building('building index: scanning table', 2))).toEqual([]);
    expect(linesBetween(building('building index: scanning table', 2), building('waiting for old snapshots', 0))).toEqual([
      'index of public.t: waiting for old snapshots',
    ]);
  });

  it('says nothing when nothing happened', () => {
    expect(linesBetween(running, running)).toEqual([]);
    expect(linesBetween(waiting, waiting)).toEqual([]);
  });
});

describe('the printer', () => {
  function print(isTTY: boolean, env: Record<string, string> = {}): string {
    let written = '';
    const sink = { write: (text: string) => (written += text) };
    const printer = new ProgressPrinter({ env, stdout: sink, stderr: sink, isTTY, columns: 80, signal: new AbortController().signal }, Date.now());
    printer.update({ activity: 'following', deployment: makeDeployment({ phases: PHASES }) });
    printer.update({ activity: 'attaching', note: 'The connection was lost.' });
    printer.end();
    return written;
  }

  it('redraws on a terminal, and leaves nothing behind', () => {
    expect(print(true).endsWith('\u001b[2F\u001b[0J')).toBe(true);
  });

  it('writes whole lines without escapes elsewhere, and on a dumb terminal', () => {
    for (const written of [print(false), print(true, { TERM: 'dumb' })]) {
      expect(written).not.toContain('\u001b');
      expect(written.trim().split('\n').at(-1)).toMatch(/The connection was lost\.$/);
    }
  });

  it('uses no colour where NO_COLOR is set', () => {
    expect(print(true)).toContain('\u001b[33m');
    expect(print(true, { NO_COLOR: '1' })).not.toContain('\u001b[33m');
    expect(print(true, { NO_COLOR: '1' })).not.toContain('\u001b[32m');
  });
});
