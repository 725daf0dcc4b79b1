import { describe, expect, it } from 'vitest';
import { leaving } from '../../src/cli/conduct.ts';
import { onSignal } from '../../src/cli/leave.ts';
import { FIRST_VIEW } from '../../src/cli/progress.ts';

describe('Ctrl-C', () => {
  it('asks to leave, and leaves at once the second time; what npm passes on is no second time', () => {
    const leave = new AbortController();
    const exits: number[] = [];
    let now = 1000;
    const react = onSignal(
      leave,
      (code) => exits.push(code),
      () => now,
    );
    react();
    expect(leave.signal.aborted).toBe(true);
    now += 100;
    react();
    expect(exits).toEqual([]);
    now += 400;
    react();
    expect(exits).toEqual([3]);
  });
});

describe('the last words', () => {
  it('do not say that nothing runs when nothing was answered: a small bundle may run by then', () => {
    const { message, facts } = leaving(FIRST_VIEW, 'run-1');
    expect(message).toMatch(/^Left before there was an answer\. If everything has arrived in the database, it goes on there; if not, nothing runs\./);
    expect(message).toContain('repeat it with --id run-1');
    expect(facts).toEqual({ id: 'run-1' });
  });
});
