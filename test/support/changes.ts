/** What a forge has told of, for tests: a push of one commit to main. */
import type { Change, ForgeWork } from '../../src/domain/change.ts';

export const COMMIT = 'a'.repeat(40);

export const CHANGE: Change = {
  event: 'push',
  repository: { id: '7', name: 'octo/shop' },
  commit: COMMIT,
  branch: 'main',
  environment: null,
  workflow: null,
  number: null,
  attempt: null,
};

/** The work of it, for the caller `hub`, before anything was done. */
export const makeWork = (changes: Partial<ForgeWork> = {}, change: Partial<Change> = {}): ForgeWork => ({
  kind: 'change',
  forge: 'hub',
  change: { ...CHANGE, ...change },
  proof: { delivery: 'b'.repeat(64), signature: 'sha256=00' },
  folder: 'db',
  target: 'shop',
  deployment: null,
  reports: {},
  account: null,
  looks: 0,
  ...changes,
});
