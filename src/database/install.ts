/**
 * Brings the engine into a database, or up to date: one script, one transaction, one wait, and safe if twenty do it at once. What the
 * engine is, is in `sql/`; how its text gets here is for `engine_files.ts`.
 */
import { Problem } from '../domain/problem.ts';
import { type EngineFile, type EngineFiles, readEngineFiles } from './engine_files.ts';
import { ENGINE_VERSION } from './engine_version.ts';
import { keepOthersOut, noteWhatIsThere } from './install_rights.ts';
import type { Message, Session } from './session.ts';

/** An engine, and its version: what `weft.version()` answers once it is laid. */
export interface Engine extends EngineFiles {
  readonly version: number;
}

/**
 * The engine that this Weft brings.
 * @throws Problem invalid_configuration if its text cannot be read; see `readEngineFiles`
 */
export async function readEngine(): Promise<Engine> {
  return { version: ENGINE_VERSION, ...(await readEngineFiles()) };
}

/** Files below this floor are state: created once, and changed only by upgrades. From it on they are code: replaced each time. */
const first_floor_of_code = 30;

const installed_meanwhile = 'WF001';
const all_published = 'WF025';
const runner_at_work = 'WF019';

/**
 * The script that lays the engine in a database that has none, or brings it from an older version to this one. Everything in
 * it is one transaction: sent as one simple query it needs no BEGIN.
 * @param installed the version that is there; null for none
 */
export function renderInstallation(installed: number | null, engine: Engine): string {
  const isCode = (file: EngineFile) => numberOf(file) >= first_floor_of_code;
  const laid =
    installed === null
      ? engine.files
      : [...engine.upgrades.filter((file) => numberOf(file) > installed && numberOf(file) <= engine.version), ...engine.files.filter(isCode)];
  return [
    `set local search_path = pg_catalog, pg_temp;\nset local client_min_messages = error;\nset local check_function_bodies = on;\n`,
    // Ten at once would collide over the schema's name. A lock of the transaction, so that nothing is left behind.
    `select pg_advisory_xact_lock(hashtextextended('weft: installation of the engine', 0));\n`,
    installed === null ? guardOfInstallation : renderGuardOfUpgrade(installed),
    noteWhatIsThere,
    ...laid.map((file) => `\n-- ${file.name}\n\n${file.sql}`),
    keepOthersOut,
    `\nselect weft._note_parts(${engine.version});\n`,
    installed === null ? '' : `select weft._release_lease((select l.fence from weft._lease as l));\n`,
  ].join('');
}

/**
 * Sent before the engine, so that a role whose deployments would be refused for this installs nothing first. Not part of the script for psql: there,
 * an administrator may have taken the role that should own the engine.
 */
const guardOfSession = `
do $guard$
begin
  if (select a.backend_start from pg_catalog.pg_stat_get_activity(pg_catalog.pg_backend_pid()) as a) is null then
    raise exception 'The role "%" cannot see even its own session in pg_stat_activity. Nothing was changed.', session_user
      using errcode = 'WF009', hint = pg_catalog.format('The role has a setting "role" of another role. As an administrator: alter role %I reset role', session_user);
  end if;
end
$guard$;
`;

/** The same for psql: with BEGIN and COMMIT, and a first line that says what it is. */
export function renderInstallScript(engine: Engine): string {
  return `-- Weft's engine, version ${engine.version}. Everything it needs is in schema "weft"; to be rid of it: drop schema weft cascade.
-- psql --set ON_ERROR_STOP=1 --file this-file

begin;
${renderInstallation(null, engine)}
commit;
`;
}

/**
 * Installs the engine, or upgrades it. A second caller finds it done.
 * @param installed the version that is there; null for none
 * @param engine without it the one that this Weft brings, whose text is read only if it is needed
 * @returns whether this call did it
 * @throws Problem role_without_rights, read_only_server, engine_newer, interrupted (a runner is at work and cannot be upgraded under),
 * invalid_configuration (the engine's text cannot be read);
 * SqlError for anything else the server says
 */
export async function installEngine(session: Session, installed: number | null, engine?: Engine): Promise<boolean> {
  const version = engine?.version ?? ENGINE_VERSION;
  if (installed !== null && installed > version) throw engineNewer(installed, version);
  if (installed === version) return false;
  const script: Message = { kind: 'simple', text: guardOfSession + renderInstallation(installed, engine ?? (await readEngine())) };
  // Where there was none, whoever asked has left a failed transaction behind.
  const reply = (await session.pipeline(installed === null ? [{ kind: 'simple', text: 'rollback' }, script] : [script])).at(-1);
  if (reply?.kind !== 'error') return true;
  const { error } = reply;
  if (error.sqlstate === installed_meanwhile) return false;
  if (error.sqlstate === runner_at_work) {
    throw new Problem('interrupted', `The engine was not upgraded: ${error.message} The database is as it was. Try again when that deployment is over.`);
  }
  if (error.sqlstate === all_published) {
    throw new Problem('all_tables_published', [error.message, error.detail, error.hint].filter(Boolean).join(' '), { sqlstate: error.sqlstate });
  }
  if (error.sqlstate === '42P06') {
    throw new Problem(
      'role_without_rights',
      'The database has a schema named "weft" that is not Weft\'s engine. Nothing was changed. Rename that schema, or deploy to another database.',
      { sqlstate: error.sqlstate },
    );
  }
  if (error.sqlstate === '42501') {
    throw new Problem(
      'role_without_rights',
      installed === null
        ? `The engine could not be installed: ${error.message}. Nothing was changed. Grant the role CREATE on the database, or have its owner run \`weft install\`.`
        : `The engine could not be upgraded: ${error.message}. Nothing was changed. Whoever owns schema weft upgrades it, or a member of that role: have one of them run \`weft install\`.`,
      { sqlstate: error.sqlstate },
    );
  }
  if (isJudgedAbove(error.sqlstate)) throw error;
  // Its words are about what refused the script, an event trigger say, and not about what is there.
  const { sqlstate, message, detail, hint, context } = error;
  const more = [detail && `Detail: ${detail}.`, hint && `Hint: ${hint.replace(/\.$/, '')}.`, context && `Where: ${context.split('\n')[0]}.`]
    .map((one) => (one ? `${one} ` : ''))
    .join('');
  const whatToDo = sqlstate.startsWith('53')
    ? 'The script is one transaction: it takes some 1100 places in the lock table (max_locks_per_transaction times max_connections), and some 4 MB of disk.'
    : 'Where an event trigger of the database did that, let it pass over schema weft.';
  throw new Problem(
    'statement_failed',
    `The engine was not ${installed === null ? 'installed' : 'upgraded'}: the database refused its script with ${sqlstate}: ${message}. ${more}Nothing was changed. ${whatToDo}`,
    { sqlstate },
    error,
  );
}

/** Connection trouble, a lock or a deadlock, somebody who ended it, a read-only server, and the engine's own words. */
function isJudgedAbove(sqlstate: string): boolean {
  return /^(?:08|25|28|40|55|57|WF)/.test(sqlstate);
}

export function engineNewer(installed: number, ours: number): Problem {
  return new Problem(
    'engine_newer',
    `The engine in the database has version ${installed}, and this Weft brings version ${ours}. Nothing was changed. Update Weft: an engine is never taken back.`,
    { installed, ours },
  );
}

/**
 * A subscriber that lacks a table of the publisher's stops at that table's first row, and then replicates no table any more; and staged bytes would go out
 * to all subscribers. Users know about their own tables, but not about the engine's. The setting `weft.published` says that this is intended.
 */
const refusal_of_publication = `  if coalesce(current_setting('weft.published', true), '') <> 'yes' and exists (select from pg_publication as p where p.puballtables) then
    raise exception 'The publication % publishes all tables of this database, and so those of the engine: a subscriber that has no such tables would stop, for all its tables.',
        (select string_agg(quote_ident(p.pubname), ', ' order by p.pubname) from pg_publication as p where p.puballtables)
      using errcode = '${all_published}', detail = 'Nothing was changed.',
        hint = 'Publish schemas or tables by their names instead; or make the tables at each subscriber first (weft install --print). Then, or where nobody subscribes who needs them: weft install --published.';
  end if;
`;

const guardOfInstallation = `
do $guard$
begin
  if to_regprocedure('weft.version()') is not null then
    raise exception 'The engine is installed already.' using errcode = '${installed_meanwhile}', hint = 'weft install';
  end if;
${refusal_of_publication}end
$guard$;
`;

/** An upgrade is a runner like any other: it takes the lease, so that no other one is running, and raises the fence. */
function renderGuardOfUpgrade(installed: number): string {
  return `
set local lock_timeout = '5s';
do $guard$
declare
  v_fence bigint;
begin
  if weft.version() <> ${installed} then
    raise exception 'The engine was upgraded meanwhile.' using errcode = '${installed_meanwhile}';
  end if;
  select t.fence into v_fence from weft._take_lease(null) as t;
  if v_fence is null then
    raise exception 'A deployment is running in this database.' using errcode = '${runner_at_work}';
  end if;
end
$guard$;
`;
}

function numberOf(file: EngineFile): number {
  return Number.parseInt(file.name, 10);
}
