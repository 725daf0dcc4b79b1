/**
 * Whom the schema `weft` belongs to, asked before anything in it is called. Whoever may create a schema in a database that has none of
 * this name can create one with functions of their own under the engine's names, which would then run with the rights of whoever
 * deploys. So the schema, and everything in it, must belong to somebody who can do as much anyway. The query only uses pg_catalog, and
 * comes before any statement that names the schema: the server looks names up when it parses a statement, and in a failed transaction
 * it parses none.
 */
import { type Message, type Row, type Session, SqlError, type Value } from './session.ts';

/** Nothing below belongs to users: roles that come with PostgreSQL are given to many. */
const first_role_of_users = 16384;

/**
 * The engine came in one go, so that its objects have numbers close to each other: who owns them is read from the first to the last of each kind, which
 * takes a fraction of looking each of them up. What does not belong to the schema is told from it where somebody else owns it.
 * Roles that come with PostgreSQL aside, a member by `set` or `inherit` of a role can do what that one can; before 16 every member.
 */
const question = `do $guard$
declare
  v_path     pg_catalog.text := pg_catalog.current_setting('search_path');
  v_schema   pg_catalog.oid := pg_catalog.to_regnamespace('weft');
  v_self     pg_catalog.oid[];
  v_trusted  pg_catalog.oid[];  -- known once something is another role's
  v_of_other pg_catalog.record;
  v_owner    pg_catalog.name;
begin
  perform pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
  if current_setting('transaction_timeout', true) is not null then  -- from 17 on; no startup parameter, which servers before it would refuse
    perform set_config('transaction_timeout', '0', true);
  end if;
  if v_schema is null then
    raise exception 'schema "weft" does not exist' using errcode = '3F000';
  end if;
  v_self := array[quote_ident(session_user)::regrole, quote_ident(current_user)::regrole];
  for v_of_other in
    with held as materialized (
      select d.classid, d.objid from pg_depend as d where d.refclassid = 'pg_namespace'::regclass and d.refobjid = v_schema
    )
    select 'pg_namespace'::regclass as classid, n.oid as objid, n.nspowner as owner from pg_namespace as n where n.oid = v_schema and n.nspowner <> all (v_self)
    union all
    select s.*
    from (
      select h.classid, min(h.objid) as first, max(h.objid) as last from held as h group by h.classid
    ) as k
    cross join lateral (
      select s.classid, s.objid, s.refobjid
      from pg_shdepend as s
      where s.dbid = (select d.oid from pg_database as d where d.datname = current_database())
        and s.classid = k.classid and s.objid between k.first and k.last and s.objsubid = 0 and s.deptype = 'o' and s.refobjid <> all (v_self)
      offset 0
    ) as s
    -- what others have made in between may be very much: so it is held against a hash of all of them, and no join
    where ((s.classid, s.objid) in (select h.classid, h.objid from held as h)) is true
  loop
    continue when v_of_other.owner = any (v_trusted);
    with recursive mine (id) as (
      select unnest(v_self)
      union
      select m.roleid
      from mine
      join pg_auth_members as m on m.member = mine.id
      where m.roleid >= ${first_role_of_users}
        and (coalesce((to_jsonb(m) ->> 'set_option')::boolean, true) or coalesce((to_jsonb(m) ->> 'inherit_option')::boolean, true))
    )
    select array_agg(t.id) into v_trusted
    from (
      select mine.id from mine
      union all
      select r.oid from pg_roles as r where r.rolsuper or r.rolname = 'pg_database_owner'
      union all
      select d.datdba from pg_database as d where d.datname = current_database()
    ) as t;
    if v_of_other.owner <> all (v_trusted) then
      raise exception 'In this database % belongs to the role "%", which is neither a superuser, nor the owner of the database, nor "%", nor a role that this one is a member of. Nothing in schema weft was called, and nothing was changed.',
          pg_describe_object(v_of_other.classid, v_of_other.objid, 0), pg_get_userbyid(v_of_other.owner), session_user
        using errcode = 'WF024',
              hint = format('Find out who made it. If it is the engine: deploy as the role that owns it, or: grant %I to %I. If it is not: as an administrator, drop schema weft cascade',
                            pg_get_userbyid(v_of_other.owner), session_user);
    end if;
  end loop;
  if not has_schema_privilege(v_schema, 'usage') then
    select pg_get_userbyid(n.nspowner) into v_owner from pg_namespace as n where n.oid = v_schema;
    raise exception 'The role "%" may not use schema weft, which belongs to "%". Nothing was changed.', current_user, v_owner
      using errcode = '42501', hint = case
        when current_user <> session_user then
          format('The session acts as %1$I by a setting "role" of %2$I. As an administrator: alter role %2$I reset role', current_user, session_user)
        when pg_has_role(session_user, v_owner, 'member') then
          format('It is a member of %1$I that inherits none of its rights. Deploy as %1$I, or let it inherit: grant %1$I to %2$I with inherit true, or before PostgreSQL 16: alter role %2$I inherit', v_owner, session_user)
        else format('Deploy as %1$I, or as a member of it: grant %1$I to %2$I', v_owner, session_user) end;
  end if;
  perform set_config('search_path', v_path, true);
end
$guard$`;

/** Fails where the schema is missing (3F000), may not be used (42501), or is not to be trusted (WF024); and with it the transaction that it stands in. */
const GUARD: Message = { kind: 'statement', text: question, values: [] };

/**
 * The guard before messages with transactions of their own, a CALL say. If it fails, the session stays in the failed transaction: everything
 * after it is refused unread (25P02), until a ROLLBACK. A pooler keeps such a session at its backend, too.
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
