/** Where the tests' database comes from, and what is skipped with it. (That each of them works is shown by running the tests with it.) */
import { describe, expect, test } from 'vitest';
import { chooseSource, describeSkipped } from '../support/source.ts';
import { filesIn, read } from './house.ts';

describe('the database of the tests', () => {
  test.each([
    { env: {}, source: { kind: 'embedded', version: '18' } },
    { env: { WEFT_TEST_POSTGRES: '', WEFT_TEST_DATABASE_URL: '', WEFT_TEST_CONTAINER: '', WEFT_TEST_IMAGE: '' }, source: { kind: 'embedded', version: '18' } },
    { env: { WEFT_TEST_POSTGRES: '14' }, source: { kind: 'embedded', version: '14' } },
    { env: { WEFT_TEST_DATABASE_URL: 'postgresql://there/db' }, source: { kind: 'given', url: 'postgresql://there/db' } },
    { env: { WEFT_TEST_CONTAINER: '1' }, source: { kind: 'container', image: 'postgres:18' } },
    { env: { WEFT_TEST_CONTAINER: '1', WEFT_TEST_POSTGRES: '15' }, source: { kind: 'container', image: 'postgres:15' } },
    { env: { WEFT_TEST_IMAGE: 'vendor/postgres:17.2' }, source: { kind: 'container', image: 'vendor/postgres:17.2' } },
  ])('with $env is $source', ({ env, source }) => {
    expect(chooseSource(env)).toEqual(source);
  });

  test.each([
    { env: { WEFT_TEST_POSTGRES: '13' }, says: 'it can be 14, 15, 16, 17, 18' },
    { env: { WEFT_TEST_CONTAINER: 'postgres:18' }, says: 'WEFT_TEST_IMAGE' },
    {
      env: { WEFT_TEST_DATABASE_URL: 'postgresql://there/db', WEFT_TEST_POSTGRES: '16' },
      says: 'WEFT_TEST_DATABASE_URL names a server, and WEFT_TEST_POSTGRES asks',
    },
    { env: { WEFT_TEST_DATABASE_URL: 'postgresql://there/db', WEFT_TEST_IMAGE: 'a' }, says: 'leave one of them out' },
    { env: { WEFT_TEST_IMAGE: 'a', WEFT_TEST_POSTGRES: '16' }, says: 'leave one of them out' },
  ])('is not guessed with $env', ({ env, says }) => {
    expect(() => chooseSource(env)).toThrow(says);
  });

  test('that is given is not killed, nor in a container stopped by pid, and that is said', () => {
    expect(describeSkipped({ kind: 'embedded', version: '18' })).toBe(null);
    expect(describeSkipped({ kind: 'given', url: 'postgresql://there/db' })).toBe(
      'WEFT_TEST_DATABASE_URL names a server that is not ours: tests that need a superuser, or servers to kill, or processes to stop are skipped.',
    );
    expect(describeSkipped({ kind: 'container', image: 'postgres:18' })).toBe('The server runs in a container: tests that need processes to stop are skipped.');
  });

  test('comes from one place: no other test reads the environment for it, and testcontainers is loaded by nothing else', () => {
    const files = filesIn('test').filter((file) => file.endsWith('.ts') && file !== 'test/house/source.test.ts');
    const reads = files.filter((file) => /WEFT_TEST_(?:DATABASE_URL|POSTGRES|CONTAINER|IMAGE)\b/.test(read(file).replace(/\/\*\*[\s\S]*?\*\//g, '')));
    expect(reads.sort()).toEqual(['test/support/global_setup.ts', 'test/support/source.ts', 'test/support/versions.ts']);
    expect([...filesIn('src'), ...files].filter((file) => /from 'testcontainers'/.test(read(file)))).toEqual(['test/support/container.ts']);
    expect(files.filter((file) => /from '[^']*\/container\.ts'/.test(read(file).replace(/^import type .*$/gm, '')))).toEqual([]);
  });
});
