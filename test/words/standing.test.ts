/** What a phase comes to, in a line. */
import { describe, expect, it } from 'vitest';
import type { Deployment, PhaseStatus, StepStatus } from '../../src/domain/deployment.ts';
import { standing } from '../../src/words/standing.ts';
import { makeDeployment, makeStep } from '../cli/deployments.ts';

const steps = (...states: StepStatus['state'][]) => states.map((state, index) => makeStep(`${index + 1}.sql`, state));

function say(phase: Partial<PhaseStatus>, deployment: Partial<Deployment> = {}): string {
  return standing({ name: 'main', transaction: 'per-step', state: 'running', steps: [], ...phase }, makeDeployment(deployment));
}

describe('a phase', () => {
  it('of which all was applied before has nothing to run, whether it was reached or not', () => {
    for (const transaction of ['single', 'per-step', 'auto', 'none'])
      for (const state of ['pending', 'succeeded'] as const)
        for (const end of ['succeeded', 'failed', 'running'] as const)
          expect(say({ transaction, state, steps: steps('skipped', 'skipped', 'skipped') }, { state: end })).toBe('nothing to run: 3 applied before');
  });

  it('that was not reached says how much of it is still to be run', () => {
    expect(say({ state: 'pending', steps: steps('skipped', 'pending', 'pending') }, { state: 'failed' })).toBe('not begun (2 steps; 1 applied before)');
    expect(say({ state: 'pending', steps: steps('pending') }, { state: 'failed' })).toBe('not begun');
    // "Nothing of it" would be wrong of one that earlier deployments have brought in part.
    expect(say({ transaction: 'single', state: 'pending', steps: steps('skipped', 'pending') }, { state: 'failed' })).toBe(
      'not begun (1 step; 1 applied before)',
    );
  });

  it('that failed says what is behind the step that failed', () => {
    const failed = { state: 'failed' } as const;
    expect(say({ ...failed, steps: steps('succeeded', 'failed', 'pending') }, failed)).toBe(
      'committed: 1 of 3 steps; the step that failed is rolled back; one has not run',
    );
    expect(say({ ...failed, steps: steps('succeeded', 'failed', 'failed') }, failed)).toBe('committed: 1 of 3 steps; the 2 that failed are rolled back');
  });

  it('counts what was applied before beside the steps that were to run, not among them', () => {
    const failed = { state: 'failed' } as const;
    expect(say({ ...failed, steps: steps('skipped', 'skipped', 'succeeded', 'failed', 'pending') }, failed)).toBe(
      'committed: 1 of 3 steps, 2 applied before; the step that failed is rolled back; one has not run',
    );
  });

  it('whose condition failed has no step that did', () => {
    expect(say({ state: 'failed', steps: steps('pending', 'pending') }, { state: 'failed' })).toBe('committed: 0 of 2 steps; 2 have not run');
  });

  it('whose check found rows keeps what ran before it', () => {
    const check = { ...makeStep('checks/1.sql', 'failed'), kind: 'check' };
    expect(say({ state: 'failed', steps: [makeStep('1.sql', 'succeeded'), check] }, { state: 'failed' })).toBe(
      'committed: 1 of 2 steps; what ran before the check stays',
    );
  });

  it('of a baseline says what was recorded, and nothing of running', () => {
    const file = (recorded: string) => ({ ...makeStep('1.sql', 'skipped'), result: { recorded } });
    expect(say({ state: 'skipped', steps: [file('now'), file('before'), file('never')] }, { mode: 'baseline', state: 'succeeded' })).toBe(
      'recorded: 1 file, 1 known before, 1 never recorded (checks, and what runs with every deployment)',
    );
    expect(say({ state: 'pending', steps: steps('pending') }, { mode: 'baseline', state: 'failed' })).toBe('nothing recorded (1 step)');
  });
});
