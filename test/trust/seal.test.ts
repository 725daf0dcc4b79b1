/** Secret parameters in what the Worker leaves for itself: of no use without its key, or for another deployment. */
import { expect, it } from 'vitest';
import { openSealed, sealSecrets } from '../../src/trust/seal.ts';
import { problemOf } from '../config/problems.ts';
import { CI_NEXT, STRANGER } from './fixtures.ts';

const PLACE = { target: 'shop', deployment: '0190a0de-0000-7000-8000-00000000000a' };
const VALUES = { token: 'grüße 4711', other: '' };

it('what was sealed is opened with the same key, for the same deployment', async () => {
  expect(await openSealed(await sealSecrets(VALUES, CI_NEXT, PLACE), CI_NEXT, PLACE)).toEqual(VALUES);
});

it('no value and no name of one is to be read in it, and no two look alike', async () => {
  const sealed = [await sealSecrets(VALUES, CI_NEXT, PLACE), await sealSecrets(VALUES, CI_NEXT, PLACE)];
  expect(sealed[0]).not.toBe(sealed[1]);
  for (const text of sealed) expect(Buffer.from(text, 'base64').toString('latin1')).not.toMatch(/4711|token/);
});

it.each([
  ['another key', { secret: STRANGER }],
  ['another target', { place: { ...PLACE, target: 'other' } }],
  ['another deployment', { place: { ...PLACE, deployment: '0190a0de-0000-7000-8000-00000000000b' } }],
  [
    'a changed byte',
    { change: (sealed: string) => Buffer.from(Buffer.from(sealed, 'base64').map((byte, index) => (index === 20 ? byte ^ 1 : byte))).toString('base64') },
  ],
  ['an end cut off', { change: (sealed: string) => Buffer.from(sealed, 'base64').subarray(0, 12).toString('base64') }],
  ['what is no base64', { change: () => '???' }],
] as [string, { secret?: string; place?: typeof PLACE; change?: (sealed: string) => string }][])('%s opens nothing', async (_name, given) => {
  const { secret = CI_NEXT, place = PLACE, change = (sealed: string) => sealed } = given;
  expect(await openSealed(change(await sealSecrets(VALUES, CI_NEXT, PLACE)), secret, place)).toBeNull();
});

it('a key of another form is refused, and not repeated', async () => {
  const problem = await problemOf(() => sealSecrets(VALUES, 'short', PLACE));
  expect(problem.slug).toBe('invalid_configuration');
  expect(problem.message).not.toContain('short');
});
