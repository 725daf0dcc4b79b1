/** The engine as it might be next, so that an upgrade can be tried before there is one. */
import { type Engine, readEngine } from '../../src/database/install.ts';

const ENGINE = await readEngine();

/**
 * A table with a column more, a function gone, one that is new, one that says something else.
 * @param more what its upgrade does on top
 */
export function nextEngine(more = ''): Engine {
  const changed = (name: string, sql: string) =>
    sql
      .replace('as $$ select 1 $$', () => 'as $$ select 2 $$')
      .replace(/\n(\n {2}constraint an_artifact_is_applied_once)/, '\n  note           text,\n$1')
      .replace(/create or replace function weft\.list_history\(p_bundle[\s\S]*?comment on function weft\.list_history\(text\)[^;]*;\n/, '')
      .concat(
        name === '95_api.sql'
          ? `\ncreate or replace function weft.greet() returns text language sql as $$ select 'hello' $$;\ncomment on function weft.greet() is 'Greets.';\n`
          : '',
      );
  return {
    version: 2,
    files: ENGINE.files.map((file) => ({ name: file.name, sql: changed(file.name, file.sql) })),
    upgrades: [{ name: '2_notes.sql', sql: `alter table weft._history add column note text;\ndrop function weft.list_history(text);\n${more}` }],
  };
}
