/**
 * One question to the engine, and its answer as a document. An engine of another version may not know the question, or answer it
 * differently: then the error says that, and what to do, instead of what did not fit.
 */
import * as z from 'zod';
import { Problem } from '../domain/problem.ts';
import { asking } from './engine_problems.ts';
import { ENGINE_VERSION } from './engine_version.ts';
import { queryEngine } from './guard.ts';
import { engineNewer } from './install.ts';
import { type Session, SqlError, type Value } from './session.ts';

/** No such schema, function, table or column. */
const unknown_names = ['3F000', '42883', '42P01', '42703'];

/**
 * @param text asks for one column, `document`
 * @param schema what the answer is; null when it is a text
 * @throws Problem engine_newer, engine_older, engine_missing, and what the engine refuses; ZodError when an engine of our version answers otherwise
 */
export async function readDocument<T>(session: Session, text: string, values: readonly Value[], schema: z.ZodType<T>): Promise<T> {
  try {
    return schema.parse(JSON.parse((await queryEngine(session, text, values))[0]?.document ?? 'null'));
  } catch (error) {
    return asking(async () => {
      throw await explain(session, error);
    });
  }
}

/** The same of a document that is a text. @returns null when there is none */
export async function readText(session: Session, text: string, values: readonly Value[]): Promise<string | null> {
  try {
    return (await queryEngine(session, text, values))[0]?.document ?? null;
  } catch (error) {
    return asking(async () => {
      throw await explain(session, error);
    });
  }
}

async function explain(session: Session, error: unknown): Promise<unknown> {
  const isOfAnother = error instanceof z.ZodError || (error instanceof SqlError && unknown_names.includes(error.sqlstate));
  if (!isOfAnother) return error;
  const engine = await queryEngine(session, 'select weft.version() as engine').then(
    (rows) => Number(rows[0]?.engine ?? ENGINE_VERSION),
    () => ENGINE_VERSION, // there is none, or the session is gone: the first error says it
  );
  if (engine > ENGINE_VERSION) return engineNewer(engine, ENGINE_VERSION);
  if (engine < ENGINE_VERSION) return engineOlder(engine, ENGINE_VERSION);
  return error;
}

function engineOlder(installed: number, ours: number): Problem {
  return new Problem(
    'engine_older',
    `The engine in the database has version ${installed}, and this Weft asks it for what only version ${ours} has. Nothing was changed. \`weft install\` upgrades it, and so does the next deployment, or \`weft resume\`.`,
    { installed, ours },
  );
}
