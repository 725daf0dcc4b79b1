/** Catches the Problem that a call throws, for tests that look at its parts. */
import { Problem } from '../../src/domain/problem.ts';

export async function problemOf(call: () => unknown): Promise<Problem> {
  try {
    await call();
  } catch (error) {
    if (error instanceof Problem) return error;
    throw error;
  }
  throw new Error('nothing was refused');
}
