/**
 * Whose schema `weft` is, before anything in it is called. Whoever may create a schema in a database that has none of this name can make one, with
 * functions of their own under the engine's names, which would then run with the rights of whoever deploys. So the schema, and all that is in it, must
 * belong to somebody who can do as much anyway. What asks is in pg_catalog alone, and stands before any statement that names the schema: the server
 * looks names up when it reads a statement, and of a transaction that has failed it reads none.
 */
import { type Message, type Row, type Session, SqlError, type Value } from './session.ts';

/** Nothing below belongs to users: roles that come with PostgreSQL are given to many. */
const first_role_of_users = 16384;

/** Roles that come with PostgreSQL aside, a member by `set` or `inherit` of a role can do what that one can; before 16 every member. */
const question = `do $guard$
declare
  v_path      pg_catalog.text := pg_catalog.current_setting('search_path');
  v_schema    pg_catalog.oid;
  v_database  pg_catalog.oid;
  v_mine      pg_catalog.oid[];
  v_what      pg_catalog.text;
  v_owner     pg_catalog.text;
begin
  perform pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
  select n.oid into v_schema from pg_namespace as n where n.nspname = 'weft';
  if v_schema is null then
    raise exception 'schema "weft" does not exist' using errcode = '3F000';
  end if;
  select d.oid into v_database from pg_database as d where d.datname = current_database();
  with recursive mine (id) as (
    select r.oid from pg_roles as r where r.rolname in (session_user, current_user)
    union
    select m.roleid
    from mine
    join pg_auth_members as m on m.member = mine.id
    where m.roleid >= ${first_role_of_users}
      and (coalesce((to_jsonb(m) ->> 'set_option')::boolean, true) or coalesce((to_jsonb(m) ->> 'inherit_option')::boolean, true))
  )
  select array_agg(t.id) into v_mine
  from (
    select mine.id from mine
    union all
    select r.oid from pg_roles as r where r.rolsuper or r.rolname = 'pg_database_owner'
    union all
    select d.datdba from pg_database as d where d.oid = v_database
  ) as t;
  select o.what, pg_get_userbyid(o.owner) into v_what, v_owner
  from (
    select 'schema weft' as what, n.nspowner as owner from pg_namespace as n where n.oid = v_schema and n.nspowner <> all (v_mine)
    union all
    select pg_describe_object(d.classid, d.objid, 0), d.owner
    from (
      -- each by its whole key: joined, and without statistics, the server reads all of them for each
      select d.classid, d.objid,
             (select s.refobjid from pg_shdepend as s
              where s.dbid = v_database and s.classid = d.classid and s.objid = d.objid and s.objsubid = 0 and s.deptype = 'o') as owner
      from pg_depend as d
      where d.refclassid = 'pg_namespace'::regclass and d.refobjid = v_schema
      offset 0
    ) as d
    where d.owner <> all (v_mine)
    limit 1
  ) as o;
  if v_what is not null then
    raise exception 'In this database % belongs to the role "%", which is neither a superuser, nor the owner of the database, nor "%", nor a role that this one is a member of. Nothing in schema weft was called, and nothing was changed.',
        v_what, v_owner, session_user
      using errcode = 'WF024',
            hint = format('Find out who made it. If it is the engine: deploy as the role that owns it, or: grant %I to %I. If it is not: as an administrator, drop schema weft cascade', v_owner, session_user);
  end if;
  perform set_config('search_path', v_path, true);
end
$guard$`;

/** Fails where the schema is missing (3F000), or is not to be trusted (WF024); and with it the transaction that it stands in. */
const GUARD: Message = { kind: 'statement', text: question, values: [] };

/**
 * The guard before messages with transactions of their own, a CALL say. Where it fails, the session is left in the failed transaction: whatever
 * comes behind is refused unread (25P02), until a ROLLBACK. A pooler keeps such a session at its backend, too.
 * @returns three statements, and their sync
 */
export function guardMessages(): Message[] {
  return [{ kind: 'statement', text: 'begin', values: [] }, GUARD, { kind: 'statement', text: 'commit', values: [] }, { kind: 'sync' }];
}

/**
 * One statement that calls the engine, in one transaction with the guard. One wait.
 * @throws SqlError what the server or the guard refuses; Problem session_lost
 */
export async function queryEngine(session: Session, text: string, values: readonly Value[] = []): Promise<readonly Row[]> {
  const [guarded, reply] = await session.pipeline([GUARD, { kind: 'statement', text, values }]);
  if (guarded?.kind === 'error') throw guarded.error;
  if (reply?.kind === 'rows') return reply.rows;
  throw reply?.kind === 'error' ? reply.error : new SqlError({ sqlstate: 'XX000', message: 'The server gave no answer.' });
}
