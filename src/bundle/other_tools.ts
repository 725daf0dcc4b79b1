/**
 * Folders that were written for another tool: what the names of files mean there, and would not mean here. If there is a weft.yaml, it
 * is taken at its word, and only a warning is given. What is inside a file is for `two_ways.ts`.
 */
import { Problem } from '../domain/problem.ts';

const nameOf = (path: string): string => path.slice(path.lastIndexOf('/') + 1);

const SQITCH_LINES = '{ run: deploy/NAME.sql, undo: revert/NAME.sql }, a line for each change of sqitch.plan in its order';

/** How a file is called that takes its twin back, what the twin is called, and the step that names both. */
const PAIRS: readonly (readonly [back: RegExp, twin: string, step: string])[] = [
  [/^(|.*\/)down\.sql$/, '$1up.sql', '{ run: "**/up.sql", undo: "**/down.sql" }'],
  [/^(.+)\.down\.sql$/, '$1.up.sql', '{ run: "**/*.up.sql", undo: "**/*.down.sql" }'],
  // Without a number, "scale_up" and "scale_down" are two things that somebody makes.
  [/^((?:.*\/)?\d[^/]*)-down\.sql$/, '$1-up.sql', '{ run: "**/*-up.sql", undo: "**/*-down.sql" }'],
  [/^((?:.*\/)?\d[^/]*)_down\.sql$/, '$1_up.sql', '{ run: "**/*_up.sql", undo: "**/*_down.sql" }'],
  [/^(|.*\/)down\/(.+\.sql)$/, '$1up/$2', '{ run: "**/up/*.sql", undo: "**/down/*.sql" }'],
  [/^(|.*\/)revert\/(.+\.sql)$/, '$1deploy/$2', SQITCH_LINES],
  [/^((?:.*\/)?\d+)\.undo\.(.*\.)?sql$/, '$1.do.$2sql', '{ run: "**/*.do.*sql", undo: "**/*.undo.*sql" }'],
  [
    /^(.+)\.(?:down|undo|revert|rollback)\.sql$/,
    '$1.sql',
    '{ run: "up/*.sql", undo: "down/*.sql" }, with the two kinds in folders of their own, and each under the name of its twin',
  ],
];

interface WayBack {
  readonly path: string;
  readonly twin: string;
  readonly step: string;
}

/** The first file, if there is one, that by its name takes another one back which is there too. */
function findWayBack(chosen: readonly string[]): WayBack | null {
  const known = new Set(chosen);
  for (const path of chosen) {
    for (const [back, twin, step] of PAIRS) {
      if (!back.test(path)) continue;
      const other = path.replace(back, twin);
      if (known.has(other)) return { path, twin: other, step };
    }
  }
  return null;
}

/**
 * A file that takes another one back is none to be run behind it, or in front.
 * @param chosen the files that would run
 * @param paths all of the folder
 * @throws Problem invalid_bundle with what to write
 */
export function refuseUndoFiles(chosen: readonly string[], paths: readonly string[]): void {
  const back = findWayBack(chosen);
  if (back !== null) throw refusal(back.path, `the way to take "${back.twin}" back`, back.step);
  const flyway = chosen.find((path) => /^U\d[\d._]*__/.test(nameOf(path)));
  if (flyway !== undefined) throw refusal(flyway, "Flyway's way to take a file back", '{ run: "**/V*.sql", undo: "**/U*.sql" }');
  if (!paths.some((path) => nameOf(path) === 'sqitch.plan')) return;
  const sqitch = chosen.find((path) => /(?:^|\/)revert\//.test(path));
  if (sqitch !== undefined) throw refusal(sqitch, "Sqitch's way to take a file back", SQITCH_LINES);
}

function refusal(path: string, what: string, step: string): Problem {
  const detail = `"${path}" is ${what}, and without a weft.yaml it would be run like any other. Write a weft.yaml ("weft init" begins one) with the step ${step}.`;
  return new Problem('invalid_bundle', detail, { path });
}

/** What weft.yaml has run like any other file, although its name says that it takes another one back which is run too. */
export function warnOfWayBack(run: readonly string[]): string[] {
  const back = findWayBack(run);
  if (back === null) return [];
  return [
    `"${back.path}" is run like any other file; by its name it takes "${back.twin}" back, which is run too. If that is not meant, the step is ${back.step}.`,
  ];
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
