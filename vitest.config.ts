import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';
import { LongFirst } from './test/support/long_first.ts';
import { SecondTries } from './test/support/second_tries.ts';

// Each file runs in a process of its own, and what it imports is compiled once for all of them.
process.env.NODE_COMPILE_CACHE ??= fileURLToPath(new URL('node_modules/.cache/node-compile-cache', import.meta.url));

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/support/global_setup.ts'],
    testTimeout: 60_000,
    hookTimeout: 120_000,
    expect: { poll: { timeout: 20_000 } },
    pool: 'forks',
    // One more than there are cores: each waits for its backends, and for time to pass, as often as it works. No more than the one server has connections for.
    maxWorkers: Math.min(Math.max(availableParallelism(), 2), 7) + 1,
    // In CI a failure stops everybody: whoever fails there is asked once more, and named at the end.
    retry: process.env.CI ? 1 : 0,
    sequence: { sequencer: LongFirst },
    reporters: ['default', new SecondTries()],
  },
});
