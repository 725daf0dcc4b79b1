/** A small zip: what is in it by its directory, and every way in which it is none, or would become more than it says. */
import { deflateRawSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { readZip } from '../../src/bundle/zip.ts';
import { Problem } from '../../src/domain/problem.ts';
import { makeZip, type ZipFile } from '../support/zips.ts';
import { problemOf } from './support.ts';

const TEXT = Buffer.from('create table a (n int);\n'.repeat(20));
const FILES: readonly ZipFile[] = [
  { name: 'a', content: TEXT },
  { name: 'b', content: Buffer.from('select 1;'), stored: true },
  { name: 'empty', content: Buffer.alloc(0) },
];
const unpack = (zip: Uint8Array) => readZip(zip).map(({ name, size, read }) => [name, size, Buffer.from(read()).toString()]);

test('is read by its directory: packed and not, with a comment and without', () => {
  const wanted = FILES.map(({ name, content }) => [name, content.length, Buffer.from(content).toString()]);
  for (const comment of ['', 'PK\x05\x06 is how an end begins']) expect(unpack(makeZip(FILES, comment))).toEqual(wanted);
  expect(unpack(makeZip([]))).toEqual([]);
});

describe('refused is', () => {
  const whole = makeZip(FILES);
  const bent = (at: number, value: number) => {
    const copy = Buffer.from(whole);
    copy[at < 0 ? copy.length + at : at] = value;
    return copy;
  };
  test.each<[string, Uint8Array]>([
    ['no byte at all', new Uint8Array(0)],
    ['a page for people', Buffer.from(`<html>${'x'.repeat(200)}</html>`)],
    ['one that was cut', whole.subarray(0, whole.length - 1)],
    ['one with something behind it', Buffer.concat([whole, Buffer.from('x')])],
    ['one with something in front of it', Buffer.concat([Buffer.from('x'), whole])],
    ['one with more files than it has', bent(-12, 9)],
    ['one with fewer files than it has', bent(-12, 1)],
    ['one of several parts', bent(-18, 1)],
    ['one that is encrypted', makeZip([{ name: 'a', content: TEXT, flags: 1 }])],
    ['one that is packed by another method', makeZip([{ name: 'a', content: TEXT, method: 12 }])],
    ['a file that becomes more than it says', makeZip([{ name: 'a', content: TEXT, size: TEXT.length - 1 }])],
    ['a file that becomes less than it says', makeZip([{ name: 'a', content: TEXT, size: TEXT.length + 1 }])],
    ['a file that is not packed, of another size', makeZip([{ name: 'a', content: TEXT, size: 3, stored: true }])],
    ['a file that does not unpack', makeZip([{ name: 'a', content: TEXT, packed: Buffer.from('no deflate') }])],
    ['a file that unpacks to a thousand times what it says', makeZip([{ name: 'a', content: TEXT, packed: deflateRawSync(Buffer.alloc(50_000_000)) }])],
  ])('%s', async (_name, zip) => {
    await problemOf(() => unpack(zip), 'forge_refused');
  });

  test('what any byte of it bent, and any cut of it, makes of it, unless nothing depends on it: by a Problem, and by nothing else', () => {
    const outcomes = { read: 0, refused: 0 };
    for (let at = 0; at < whole.length; at++) {
      for (const zip of [bent(at, (whole[at] ?? 0) ^ 0xff), whole.subarray(0, at)]) {
        try {
          unpack(zip);
          outcomes.read += 1;
        } catch (error) {
          if (!(error instanceof Problem)) throw new Error(`byte ${at}: ${String(error)}`, { cause: error });
          outcomes.refused += 1;
        }
      }
    }
    expect(outcomes.refused).toBeGreaterThan(whole.length);
  });
});
