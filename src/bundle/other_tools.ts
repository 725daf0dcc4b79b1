/**
 * Folders that were written for another tool, and have no bundle file: what their names mean there, and would not mean here. Only where
 * nobody has said in `weft.yaml` what is meant.
 */
import { Problem } from '../domain/problem.ts';

const nameOf = (path: string): string => path.slice(path.lastIndexOf('/') + 1);

/**
 * A file that takes another one back is none to be run behind it, or in front.
 * @param chosen the files that would run
 * @param paths all of the folder
 * @throws Problem invalid_bundle with what to write
 */
export function refuseUndoFiles(chosen: readonly string[], paths: readonly string[]): void {
  const flyway = chosen.find((path) => /^U\d[\d._]*__/.test(nameOf(path)));
  if (flyway !== undefined) throw refusal(flyway, 'Flyway', '{ run: "**/V*.sql", undo: "**/U*.sql" }');
  if (!paths.some((path) => nameOf(path) === 'sqitch.plan')) return;
  const sqitch = chosen.find((path) => /(?:^|\/)revert\//.test(path));
  if (sqitch !== undefined)
    throw refusal(sqitch, 'Sqitch', '{ run: deploy/NAME.sql, undo: revert/NAME.sql }, a line for each change of sqitch.plan in its order');
}

function refusal(path: string, tool: string, step: string): Problem {
  const detail = `"${path}" is ${tool}'s way to take a file back, and without a weft.yaml it would be run like any other. Write a weft.yaml ("weft init" begins one) with the step ${step}.`;
  return new Problem('invalid_bundle', detail, { path });
}

/** What would run, and otherwise than it did there. */
export function warnOfOtherTools(chosen: readonly string[]): string[] {
  const repeatable = chosen.find((path) => /^R__/.test(nameOf(path)));
  const callback = chosen.find(
    (path) => /^(?:before|after)(?:Each)?[A-Z]\w*?(?:__.*)?\.sql$/.test(nameOf(path)) && !/^(?:before|after)\w*_\d/.test(nameOf(path)),
  );
  return [
    ...(repeatable === undefined
      ? []
      : [
          `"${repeatable}" is called as Flyway calls what runs again when it has changed, and last; without a weft.yaml it runs once, in the order of the names. In weft.yaml: { run: "**/R__*.sql", repeat: on-change }, behind { run: "**/V*.sql" }.`,
        ]),
    ...(callback === undefined
      ? []
      : [`"${callback}" is called as Flyway calls a callback; here it runs once, like any other file. Weft has conditions (when) and checks instead.`]),
  ];
}
