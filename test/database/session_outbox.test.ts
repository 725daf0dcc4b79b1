import { describe, expect, test } from 'vitest';
import { Outbox } from '../../src/database/outbox.ts';

function outbox(): { out: Outbox; writes: Uint8Array[] } {
  const writes: Uint8Array[] = [];
  return { out: new Outbox((bytes) => writes.push(bytes)), writes };
}

const part = (length: number, fill: number) => new Uint8Array(length).fill(fill);

describe('the outbox', () => {
  test('joins small parts into one write', () => {
    const { out, writes } = outbox();
    expect(out.put([part(3, 1), part(2, 2)])).toBe(5);
    out.put([part(1, 3)]);
    out.flush();
    expect(writes.map((bytes) => [...bytes])).toEqual([[1, 1, 1, 2, 2, 3]]);
  });

  test('writes what is joined by itself in the next turn', async () => {
    const { out, writes } = outbox();
    out.put([part(3, 1)]);
    expect(writes).toHaveLength(0);
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(writes).toHaveLength(1);
  });

  test('writes before too much is joined', () => {
    const { out, writes } = outbox();
    for (let count = 0; count < 100; count++) out.put([part(10_000, count)]);
    out.flush();
    expect(Math.max(...writes.map((bytes) => bytes.length))).toBeLessThan(80_000);
    expect(Buffer.concat(writes).equals(Buffer.concat(Array.from({ length: 100 }, (_, count) => part(10_000, count))))).toBe(true);
  });

  test('hands a large part on uncopied, in its place, in slices of a mebibyte at most', () => {
    const { out, writes } = outbox();
    const large = part(2.5 * 1024 * 1024, 7);
    out.put([part(5, 1), large, part(5, 2)]);
    out.flush();
    expect(writes.map((bytes) => bytes.length)).toEqual([5, 1024 * 1024, 1024 * 1024, 512 * 1024, 5]);
    expect(writes.slice(1, 4).every((bytes) => bytes.buffer === large.buffer)).toBe(true);
  });

  test('writes nothing of what was discarded', async () => {
    const { out, writes } = outbox();
    out.put([part(3, 1)]);
    out.discard();
    await new Promise((resolve) => setTimeout(resolve, 20));
    out.flush();
    expect(writes).toEqual([]);
  });
});
