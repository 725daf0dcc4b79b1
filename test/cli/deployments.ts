/** Deployments as the engine describes them, for tests of what is shown of them. */
import type { Deployment, DeploymentError, PhaseStatus, StepStatus } from '../../src/domain/deployment.ts';

export const ID = '0190a0de-0000-7000-8000-000000000001';

export function makeDeployment(changes: Partial<Deployment> = {}): Deployment {
  return {
    id: ID,
    state: 'running',
    target: null,
    bundle: 'shop',
    caller: 'direct',
    request_id: 'run-1',
    created_at: '2026-03-01T02:00:00Z',
    staged_at: '2026-03-01T02:00:00Z',
    started_at: '2026-03-01T02:00:01Z',
    finished_at: null,
    phases: [],
    error: null,
    fingerprint: { before: null, after: null },
    wal: { before: null, after: null },
    ahead: [],
    live: null,
    ...changes,
  };
}

/** @param steps how many succeeded, and how many are pending behind them */
export function makePhase(name: string, transaction: string, state: PhaseStatus['state'], steps: { done?: number; pending?: number }): PhaseStatus {
  const { done = 0, pending = 0 } = steps;
  const all = Array.from({ length: done + pending }, (_, index) =>
    makeStep(`${name}/${String(index + 1).padStart(3, '0')}.sql`, index < done ? 'succeeded' : 'pending'),
  );
  return { name, transaction, state, steps: all };
}

export function makeStep(path: string, state: StepStatus['state'], error: DeploymentError | null = null): StepStatus {
  const isRun = state === 'succeeded' || state === 'failed';
  return { path, kind: 'run', state, milliseconds: isRun ? 12 : null, rows: isRun ? 0 : null, statements: isRun ? 1 : null, error };
}

export function makeLive(changes: Partial<NonNullable<Deployment['live']>> = {}): NonNullable<Deployment['live']> {
  return { pid: 4711, since: '2026-03-01T02:00:01Z', phase: null, step: null, steps: null, path: null, waiting_for: null, blocked_by: [], ...changes };
}
