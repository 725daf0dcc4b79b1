import { describe, expect, it } from 'vitest';
import { isErrandProved, proveErrand } from '../../src/trust/errand_proof.ts';
import { makeHmac } from '../../src/trust/hmac.ts';

const ERRAND = '{"tell":"octo/shop"}';
const SECRETS = ['the-secret-of-this-forge', 'the-one-that-replaces-it'];

describe('an errand that the Worker leaves for itself', () => {
  it('is proved by any secret of its forge, so that one can be changed for the other', async () => {
    const proof = await proveErrand(ERRAND, 'shop', SECRETS);
    expect(await isErrandProved(ERRAND, 'shop', proof, SECRETS)).toBe(true);
    expect(await isErrandProved(ERRAND, 'shop', proof, [...SECRETS].reverse())).toBe(true);
  });

  it.each([
    ['another byte', { errand: `${ERRAND} ` }],
    ['another target', { target: 'shop-copy' }],
    ['another secret', { secrets: ['of-somebody-else-altogether'] }],
    ['no secret', { secrets: [] }],
    ['another proof', { proof: 'AAAA' }],
    ['no base64', { proof: 'é' }],
    ['no proof', { proof: '' }],
  ] as { 0: string; 1: { errand?: string; target?: string; secrets?: string[]; proof?: string } }[])('is not by %s', async (_, changes) => {
    const given = { errand: ERRAND, target: 'shop', secrets: SECRETS, proof: await proveErrand(ERRAND, 'shop', SECRETS), ...changes };
    expect(await isErrandProved(given.errand, given.target, given.proof, given.secrets)).toBe(false);
  });

  it('is not by what the forge itself has signed with that secret', async () => {
    const bytes = new TextEncoder();
    const webhook = await makeHmac(bytes.encode(SECRETS[0]), bytes.encode(ERRAND));
    expect(await isErrandProved(ERRAND, 'shop', btoa(String.fromCharCode(...webhook)), SECRETS)).toBe(false);
  });
});
