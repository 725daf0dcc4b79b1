/** The bundle file that `weft init` writes: the smallest one that works, with what there is to choose beside it. */

/**
 * A commented weft.yaml.
 * @param name of the bundle; must satisfy `nameSchema`
 * @param isNew whether it has no SQL file yet, so that each kind can get a folder of its own
 */
export function renderBundleFile(name: string, isNew: boolean): string {
  return `# A bundle: SQL files, in the order in which PostgreSQL is to run them.
#
#   weft check .     validates this file and the folder, without a database
#   weft plan .      shows exactly what a deployment would run
#   weft deploy .    runs it

# The history of a database knows each file as this name and the file's path: keep both once it is deployed.
name: ${JSON.stringify(name)}

phases:
  - name: schema
    # Which steps share a transaction:
    #   single     all of the phase or nothing of it
    #   per-step   each file on its own; what has run stays, and the next deployment goes on after it
    #   auto       the same, and the server decides what it runs in a transaction (the default)
    transaction: single
    # How long a statement may wait for a lock: 500ms, 2s, 1min. Whoever waits for a lock makes others wait behind it.
    lock_timeout: 2s
    steps:
      # A path or a glob (*, **, ?, {a,b}). Each file runs once, in the order of the bytes of the paths: number them 001, 002, ….
${
  isNew
    ? `      - run: schema/*.sql
        # "weft undo" runs these to take a deployment back: undo/001_first.sql for schema/001_first.sql. Not every file needs one.
        undo: undo/*.sql
`
    : '      - run: "**/*.sql"\n'
}`;
}
