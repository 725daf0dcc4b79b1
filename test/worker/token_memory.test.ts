/** Which tokens were used: with a memory, without one, and with one that does not answer. */
import { describe, expect, it } from 'vitest';
import { LIMITS } from '../../src/domain/limits.ts';
import type { LogEntry } from '../../src/http/log.ts';
import type { TokenStore } from '../../src/worker/bindings.ts';
import { createTokenMemory } from '../../src/worker/token_memory.ts';

const NOW = 1_795_000_000;

function memoryOf(store: TokenStore | null) {
  const lines: LogEntry[] = [];
  const clock = { seconds: NOW };
  const memory = createTokenMemory({ store, log: (entry) => void lines.push(entry), now: () => clock.seconds * 1000 });
  return { memory, lines, clock };
}

describe('claim', () => {
  it('gives a token to one document, as often as that comes', async () => {
    const { memory } = memoryOf(null);
    expect(await memory.claim('t', 'a', NOW + 60)).toBe(true);
    expect(await memory.claim('t', 'a', NOW + 60)).toBe(true);
    expect(await memory.claim('t', 'b', NOW + 60)).toBe(false);
    expect(await memory.claim('u', 'b', NOW + 60)).toBe(true);
  });

  it('remembers it as long as it is taken: some seconds longer than it says', async () => {
    const { memory, clock } = memoryOf(null);
    expect(await memory.claim('t', 'a', NOW + 60)).toBe(true);
    clock.seconds += 60 + LIMITS.identity_clock_seconds - 1;
    expect(await memory.claim('t', 'b', NOW + 60)).toBe(false);
    clock.seconds += 1;
    expect(await memory.claim('t', 'b', NOW + 60)).toBe(true);
  });

  it('asks the memory, which other isolates ask too', async () => {
    const asked: string[] = [];
    const { memory } = memoryOf({ claimToken: async (token, digest) => asked.push(`${token} ${digest}`) > 1 });
    expect(await memory.claim('t', 'a', NOW + 60)).toBe(false);
    expect(await memory.claim('u', 'a', NOW + 60)).toBe(true);
    expect(asked).toEqual(['t a', 'u a']);
  });

  it('goes on by itself when the memory does not answer, and says so in the log', async () => {
    const { memory, lines } = memoryOf({ claimToken: () => Promise.reject(new Error('gone')) });
    expect(await memory.claim('t', 'a', NOW + 60)).toBe(true);
    expect(await memory.claim('t', 'b', NOW + 60)).toBe(false);
    expect(lines).toMatchObject([{ level: 'error', message: 'token_memory' }]);
  });

  it('does not grow without end', async () => {
    const { memory } = memoryOf(null);
    for (let number = 0; number <= LIMITS.identity_tokens_count_max; number++) await memory.claim(`t${number}`, 'a', NOW + 60);
    expect(await memory.claim('t0', 'b', NOW + 60)).toBe(true); // forgotten
    expect(await memory.claim(`t${LIMITS.identity_tokens_count_max}`, 'b', NOW + 60)).toBe(false);
  });
});
