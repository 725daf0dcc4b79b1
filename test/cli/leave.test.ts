import { describe, expect, it } from 'vitest';
import { onSignal } from '../../src/cli/leave.ts';

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
