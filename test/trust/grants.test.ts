import { describe, expect, it } from 'vitest';
import { mayDo } from '../../src/trust/grants.ts';
import { config } from './fixtures.ts';

describe('may_do', () => {
  it.each([
    ['ci', 'deploy', 'shop', true],
    ['ci', 'read', 'shop', true],
    ['ci', 'deploy', 'preview-1', false],
    ['people', 'deploy', 'preview-1', true],
    ['people', 'read', 'preview-1', true],
    ['people', 'cancel', 'preview-1', false],
    ['people', 'read', 'shop', false],
    ['nobody', 'read', 'shop', false],
  ] as const)('%s may %s on %s: %s', (caller, action, target, expected) => {
    expect(mayDo(config, caller, action, target)).toBe(expected);
  });
});
