import { describe, expect, it } from 'vitest';
import { findAddress, readOrigin } from '../../src/cli/address.ts';
import { nextBatch } from '../../src/cli/batches.ts';
import { Printer } from '../../src/cli/io.ts';

function find(values: Record<string, string>, env: Record<string, string>) {
  const sink = { write: () => undefined };
  const io = { env, stdout: sink, stderr: sink, isTTY: false, columns: 80, signal: new AbortController().signal };
  return findAddress({ printer: new Printer(io, false), values });
}

const WORKER = { WEFT_URL: 'https://weft.example.com', WEFT_TARGET: 'shop', WEFT_SECRET: 'whsec_x' };

describe('an address', () => {
  it('comes from the environment or from options', () => {
    expect(find({}, { DATABASE_URL: 'postgres://a' })).toEqual({ kind: 'database', connectionString: 'postgres://a', transport: 'tcp' });
    expect(find({ database: 'postgres://b', transport: 'websocket' }, { DATABASE_URL: 'postgres://a' })).toMatchObject({
      connectionString: 'postgres://b',
      transport: 'websocket',
    });
    expect(find({}, WORKER)).toMatchObject({ kind: 'worker', origin: 'https://weft.example.com', target: 'shop', caller: null });
    expect(find({ target: 'other', caller: 'ci' }, WORKER)).toMatchObject({ target: 'other', caller: 'ci' });
    expect(find({}, { DATABASE_URL: '' })).toBeNull();
  });

  it('is never guessed between two', () => {
    expect(() => find({}, { ...WORKER, DATABASE_URL: 'postgres://a' })).toThrow('both set');
    expect(() => find({ to: 'https://a', database: 'postgres://a' }, {})).toThrow('two addresses');
    expect(find({ to: 'https://other.example.com' }, { ...WORKER, DATABASE_URL: 'postgres://a' })).toMatchObject({
      kind: 'worker',
      origin: 'https://other.example.com',
    });
    expect(find({ database: 'postgres://a' }, WORKER)).toMatchObject({ kind: 'database' });
  });

  it('is refused when a part is missing or belongs to the other kind', () => {
    expect(() => find({}, { ...WORKER, WEFT_SECRET: '' })).toThrow('WEFT_SECRET');
    expect(() => find({}, { ...WORKER, WEFT_TARGET: '' })).toThrow('WEFT_TARGET');
    expect(() => find({ database: 'postgres://a', target: 'shop' }, {})).toThrow('--target belongs');
    expect(() => find({ transport: 'tcp' }, WORKER)).toThrow('--transport belongs');
    expect(() => find({ target: 'shop' }, {})).toThrow('no address by itself');
    expect(() => find({ transport: 'pigeon' }, { DATABASE_URL: 'postgres://a' })).toThrow('tcp or websocket');
  });

  it('of a Worker is an https origin; http only of this machine', () => {
    expect(readOrigin('https://weft.example.com/')).toBe('https://weft.example.com');
    expect(readOrigin('http://localhost:8787')).toBe('http://localhost:8787');
    expect(readOrigin('http://127.0.0.1:8787')).toBe('http://127.0.0.1:8787');
    for (const wrong of [
      'http://weft.example.com',
      'http://localhost.example.com',
      'https://weft.example.com/path',
      'https://a:b@weft.example.com',
      'ftp://x',
      'weft.example.com',
    ]) {
      expect(() => readOrigin(wrong), wrong).toThrow();
    }
  });
});

describe('a large bundle', () => {
  const artifact = (path: string, size: number) => ({ path, digest: path.padEnd(64, '0'), size });
  const artifacts = [
    artifact('a', 40_000_000),
    artifact('b', 40_000_000),
    artifact('c', 40_000_000),
    artifact('d', 200_000_000),
    { ...artifact('e', 5), digest: 'a'.padEnd(64, '0') },
  ];
  const paths = (missing: string) => nextBatch(artifacts, new Set([...missing].map((path) => path.padEnd(64, '0')))).map(({ path }) => path);

  it('travels in bodies below 90 MB, in the order of the manifest, each digest once', () => {
    expect(paths('abcd')).toEqual(['a', 'b']);
    expect(paths('cd')).toEqual(['c']);
    expect(paths('d')).toEqual(['d']);
    expect(paths('ca')).toEqual(['a', 'c']);
    expect(nextBatch(artifacts, new Set([artifact('a', 0).digest]))).toHaveLength(1);
  });
});
