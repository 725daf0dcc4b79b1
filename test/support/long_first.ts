/**
 * Begins with the files that are short to read and long to run. Vitest begins with the largest ones, and of these the last would be at work for minutes
 * when all others are over.
 */
import { BaseSequencer, type TestSpecification } from 'vitest/node';

const LONG = ['chaos/stories', 'engine/two_am_cuts', 'engine/two_am_orphans', 'chaos/chosen_rounds'];

export class LongFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const isLong = ({ moduleId }: TestSpecification) => LONG.some((name) => moduleId.endsWith(`/test/${name}.test.ts`));
    const sorted = await super.sort(files);
    return [...sorted.filter(isLong), ...sorted.filter((file) => !isLong(file))];
  }
}
