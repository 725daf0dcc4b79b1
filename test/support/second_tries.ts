/**
 * Names at the end of a run the tests that passed only when they were asked again (CI does: a hundred sockets and timers on two busy cores are no proof
 * of a fault). Each is a fault all the same, of the test or of Weft, and is to be mended.
 */
import type { Reporter, TestCase } from 'vitest/node';

export class SecondTries implements Reporter {
  readonly #names: string[] = [];

  onTestCaseResult(test: TestCase): void {
    if (test.diagnostic()?.flaky !== true) return;
    const errors = (test.result().errors ?? []).map(({ message }) => message.split('\n', 1)[0]);
    this.#names.push(`  ${test.module.relativeModuleId} > ${test.fullName}${errors.map((error) => `\n    ${error}`).join('')}`);
  }

  onTestRunEnd(): void {
    if (this.#names.length > 0) process.stdout.write(`\nPassed only at the second try, and are to be mended:\n${this.#names.join('\n')}\n\n`);
  }
}
