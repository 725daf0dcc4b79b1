/** Limits of the engine in the database of a test, so that what takes minutes is over at once. */
import { sql } from './sql.ts';

/** Writes the engine's limits anew. @param limits by name, as in sql/30_constants.sql */
export async function setLimits(url: string, limits: Readonly<Record<string, number>>): Promise<void> {
  const [{ text }] = await sql(url, `select pg_get_functiondef('weft._limit(text)'::regprocedure) as text`);
  let changed: string = text;
  for (const [name, value] of Object.entries(limits)) {
    const before = changed;
    changed = changed.replace(new RegExp(`(when '${name}'\\s+then )\\d+`), `$1${value}`);
    if (changed === before && !before.includes(`then ${value} `)) throw new Error(`The engine has no limit called ${name}`);
  }
  await sql(url, changed);
}
