/** What a forge has told of, for tests: a push of one commit to main. */
import type { Change } from '../../src/domain/change.ts';

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
