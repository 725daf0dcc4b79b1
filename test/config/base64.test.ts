import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeBase64, decodeBase64Url, encodeBase64, encodeBase64Url } from '../../src/config/base64.ts';

describe('base64', () => {
  it('writes and reads as Node does, in both alphabets', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 70 }), (bytes) => {
        expect(encodeBase64(bytes)).toBe(Buffer.from(bytes).toString('base64'));
        expect(encodeBase64Url(bytes)).toBe(Buffer.from(bytes).toString('base64url'));
        expect(decodeBase64(encodeBase64(bytes))).toEqual(Uint8Array.from(bytes));
        expect(decodeBase64Url(encodeBase64Url(bytes))).toEqual(Uint8Array.from(bytes));
      }),
    );
  });

  it.each(['YQ', 'YQ=', 'YR==', 'Y Q==', 'YQ==\n', '_w==', 'YQ==YQ==', '=', 'é'])('takes only the one way to write some bytes, not %j', (text) => {
    expect(decodeBase64(text)).toBeNull();
  });

  it.each(['YQ==', 'YR', 'Y', '/w', '+w', 'Y Q', '_w\n'])('takes only the one way to write some bytes for a URL, not %j', (text) => {
    expect(decodeBase64Url(text)).toBeNull();
  });
});
