-- The object of a statement that PostgreSQL runs in no transaction, what the catalog says about it, and who is working on it.
--
-- Patterns here only name the object to be looked at.

create or replace function weft._restore_role(p_session jsonb)
  returns void
  volatile
  language plpgsql
as $$
declare
  v_set  pg_catalog.text;
begin
  if p_session operator(pg_catalog.->>) 'authorization' operator(pg_catalog.<>) session_user then
    v_set := pg_catalog.set_config('session_authorization', p_session operator(pg_catalog.->>) 'authorization', false);
  end if;
  if p_session operator(pg_catalog.->>) 'role' operator(pg_catalog.<>) pg_catalog.current_setting('role') then
    v_set := pg_catalog.set_config('role', p_session operator(pg_catalog.->>) 'role', false);
  end if;
end
$$;

comment on function weft._restore_role(jsonb) is 'Makes a session the role that a file had become.';


-- Under the role and the search_path of the file: what a name means depends on both.
create or replace function weft._find_relation(p_name text, p_before jsonb)
  returns oid
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_oid   oid;
  v_path  text := p_before ->> 'search_path';
  v_set   text;
begin
  perform weft._restore_role(p_before);
  v_set := pg_catalog.set_config('search_path', v_path, true);
  v_oid := pg_catalog.to_regclass(p_name);
  v_set := pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
  reset session authorization;
  reset role;
  return v_oid;
exception when others then
  return null;  -- not a valid name
end
$$;

comment on function weft._find_relation(text, jsonb) is 'Finds the relation that a file means by a name; null if there is none.';


-- Everything after the name of the table, in the server's own notation, so that spelling makes no difference.
create or replace function weft._read_definition(p_index oid)
  returns text
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select case when i.indisunique then 'UNIQUE ' else '' end
         || regexp_replace(pg_get_indexdef(p_index), '^CREATE (?:UNIQUE )?INDEX (?:"(?:[^"]|"")*"|[^\s"]+) ON (?:ONLY )?(?:"(?:[^"]|"")*"|[^\s".]+)(?:\.(?:"(?:[^"]|"")*"|[^\s"]+))? ', '')
  from pg_index as i
  where i.indexrelid = p_index
$$;

comment on function weft._read_definition(oid) is 'Writes the definition of an index without its name and its table.';


-- What the index would be: it is built on an empty temporary table of the same shape, and dropped with it.
create or replace function weft._expect_definition(p_table oid, p_unique boolean, p_rest text, p_before jsonb, out name text, out definition text)
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_relation  name := (select c.relname from pg_class as c where c.oid = p_table);
  v_path      text := p_before ->> 'search_path';
  v_strings   text := coalesce(p_before ->> 'conforming', 'on');
  v_index     text;
  v_set       text;
begin
  if v_relation is null then
    return;
  end if;
  v_index := format('create %s index on pg_temp.%I %s', case when p_unique then 'unique' end, v_relation, p_rest);
  begin
    perform weft._restore_role(p_before);
    execute format('drop table if exists pg_temp.%I', v_relation);
    execute format('create temporary table %I (like %s)', v_relation, p_table::regclass);
    v_set := pg_catalog.set_config('standard_conforming_strings', v_strings, true);  -- this decides what a backslash in the predicate means
    v_set := pg_catalog.set_config('search_path', v_path, true);
    execute v_index;
    v_set := pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
    v_set := pg_catalog.set_config('standard_conforming_strings', 'on', true);
    reset session authorization;
    reset role;
    select c.relname, weft._read_definition(i.indexrelid) into name, definition
    from pg_index as i
    join pg_class as c on c.oid = i.indexrelid
    where i.indrelid = format('pg_temp.%I', v_relation)::regclass;
    raise exception using errcode = 'WF000';
  exception
    when sqlstate 'WF000' then
      if p_rest ~ '\$\w*\$' then  -- white space in a dollar quote was changed
        definition := null;
      end if;
    when lock_not_available or deadlock_detected then raise;  -- to be tried again
    when others then name := null; definition := null;  -- the server will report it for the statement itself
  end;
end
$$;

comment on function weft._expect_definition(oid, boolean, text, jsonb) is
  'Tells the definition that an index would have, and the name that PostgreSQL would give it, without touching its table.';


-- Which objects a statement is about, and their present state. Null: no catalog tells when it is done.
create or replace function weft._find_judge(p_statement text, p_before jsonb)
  returns jsonb
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  c_ident  constant text := weft._ident_pattern();
  c_name   constant text := weft._name_pattern();
  v_flat   text := weft._flatten(p_statement);
  v_match  text[];
  v_table  oid;
  v_other  oid;
  v_wanted record;
begin
  v_match := regexp_match(v_flat, '^create (unique )?index concurrently (if not exists )?(?:(' || c_ident || ') )?on (?:only )?(' || c_name || ') ?(.*)$', 'i');
  if v_match is not null then
    v_table := weft._find_relation(v_match[4], p_before);
    select e.name, e.definition into v_wanted from weft._expect_definition(v_table, v_match[1] is not null, v_match[5], p_before) as e;
    return jsonb_build_object(
      'kind', 'index', 'table', v_table::bigint, 'name', (parse_ident(v_match[3]))[1]::name, 'suggestion', v_wanted.name, 'definition', v_wanted.definition,
      'was', exists (select from pg_class as c join pg_class as t on t.relnamespace = c.relnamespace where t.oid = v_table and c.relname = (parse_ident(v_match[3]))[1]::name));
  end if;

  v_match := regexp_match(v_flat, '^drop index concurrently (if exists )?(' || c_name || ')', 'i');
  if v_match is not null then
    v_other := weft._find_relation(v_match[2], p_before);
    return jsonb_build_object('kind', 'drop index', 'index', v_other::bigint, 'may_be_absent', v_match[1] is not null,
      'table', (select i.indrelid::bigint from pg_index as i where i.indexrelid = v_other));
  end if;

  v_match := regexp_match(v_flat, '^reindex (\([^)]*\) ?)?(index|table|schema|database|system) (concurrently )?(' || c_name || ')?', 'i');
  if v_match is not null then
    if v_match[3] is null and coalesce(v_match[1], '') !~* 'concurrently' then
      return '{"kind": "repeat"}';  -- repeating it does no harm
    end if;
    v_other := case when lower(v_match[2] collate "C") in ('index', 'table') then weft._find_relation(v_match[4], p_before) end;
    return (
      with tables as (
        select t.oid
        from pg_class as t
        join pg_namespace as n on n.oid = t.relnamespace
        where t.relkind in ('r', 'm') and t.relpersistence <> 't' and case lower(v_match[2] collate "C")
          when 'index' then t.oid in (select i.indrelid from pg_index as i where i.indexrelid = v_other or i.indexrelid in (select p.relid from pg_partition_tree(v_other) as p))
          when 'table' then t.oid = v_other or t.oid in (select p.relid from pg_partition_tree(v_other) as p)
          when 'schema' then n.nspname = (parse_ident(v_match[4]))[1]::name
          else n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
        end
      )
      select jsonb_build_object('kind', 'reindex', 'tables', coalesce(jsonb_agg(t.oid::bigint), '[]'), 'indexes', (
        select coalesce(jsonb_agg(i.indexrelid::bigint), '[]')
        from pg_index as i
        where i.indrelid in (select x.oid from tables as x) and not i.indisexclusion and (i.indisvalid or lower(v_match[2] collate "C") = 'index')
          and (lower(v_match[2] collate "C") <> 'index' or i.indexrelid = v_other or i.indexrelid in (select p.relid from pg_partition_tree(v_other) as p where p.isleaf))))
      from tables as t);
  end if;

  v_match := regexp_match(v_flat, '^alter table (?:if exists )?(?:only )?(' || c_name || ') detach partition (' || c_name || ') (?:concurrently|finalize)$', 'i');
  if v_match is not null then
    v_table := weft._find_relation(v_match[1], p_before);
    v_other := weft._find_relation(v_match[2], p_before);
    return jsonb_build_object('kind', 'detach', 'table', v_table::bigint, 'partition', v_other::bigint,
      'was', exists (select from pg_inherits as i where i.inhparent = v_table and i.inhrelid = v_other));
  end if;

  v_match := regexp_match(v_flat, '^(create|drop) (database|tablespace|subscription) (if exists )?(' || c_ident || ')', 'i');
  if v_match is not null then
    return jsonb_build_object('kind', lower(v_match[2] collate "C"), 'name', (parse_ident(v_match[4]))[1]::name, 'wanted', lower(v_match[1] collate "C") = 'create',
      'may_be_absent', v_match[3] is not null, 'was', weft._is_there(lower(v_match[2] collate "C"), (parse_ident(v_match[4]))[1]::name));
  end if;

  v_match := regexp_match(v_flat, '^vacuum ((?:\([^)]*\) ?)?(?:(?:full|freeze|verbose|analyze|analyse)\M ?)*)(' || c_name || ')(?: ?\([^)]*\))?$', 'i');
  v_table := case when v_match is not null then weft._find_relation(v_match[2], p_before) end;
  if v_match is not null and v_match[1] !~* '\mfull\M' then  -- no statistics count VACUUM FULL
    return jsonb_build_object('kind', 'vacuum', 'analyzes', v_match[1] ~* '\manaly[sz]e\M', 'vacuumed', v_table::bigint, 'table', (
      select c.oid::bigint from pg_class as c where c.oid = v_table and c.relkind in ('r', 'm')));
  elsif v_match is not null then
    return jsonb_build_object('kind', 'repeat', 'analyzes', v_match[1] ~* '\manaly[sz]e\M', 'vacuumed', v_table::bigint);
  elsif v_flat ~* '^(vacuum\M|cluster\M|alter system (set|reset)\M|alter subscription .* (refresh publication|set publication)\M)' then
    return '{"kind": "repeat"}';
  end if;
  return null;
end
$$;

comment on function weft._find_judge(text, jsonb) is
  'Names the objects that a statement is about, under the role and the search_path of its file, and their state before it; null for a statement of which no catalog tells when it is done.';


-- For a statement that was handed out in the database of which this one is a dump: its objects have other oids here. Their state before it is known; and
-- an index that was to be dropped, and that does not exist here, is gone.
create or replace function weft._find_judge_anew(p_judge jsonb, p_statement text, p_before jsonb)
  returns jsonb
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_found  jsonb := weft._find_judge(p_statement, p_before);
begin
  return v_found
    || case when p_judge ? 'was' then jsonb_build_object('was', p_judge -> 'was') else '{}' end
    || case when v_found ->> 'kind' = 'drop index' and v_found ->> 'index' is null then '{"index": 0}' else '{}' end::jsonb;
end
$$;

comment on function weft._find_judge_anew(jsonb, text, jsonb) is
  'Names the objects that a statement is about by their names, if their oids are those of another catalog; their state before it is taken over.';


-- By the rules of vacuum_is_permitted_for_relation (before 16: vacuum_is_relation_owner) in the server. Each partition of a partitioned table is checked by itself,
-- and the table only if it is analyzed: it has no rows of its own.
create or replace function weft._list_skipped(p_relation oid, p_role name, p_analyzes boolean)
  returns setof regclass
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select c.oid::regclass
  from (select p_relation as oid union select t.relid from pg_partition_tree(p_relation) as t) as r
  join pg_class as c on c.oid = r.oid
  where (c.relkind in ('r', 'm', 't') or c.relkind = 'p' and p_analyzes)
    and not case when current_setting('server_version_num')::integer >= 170000 then has_table_privilege(p_role, c.oid, 'MAINTAIN') else pg_has_role(p_role, c.relowner, 'USAGE') end
    and (c.relisshared or not pg_has_role(p_role, (select d.datdba from pg_database as d where d.datname = current_database()), 'USAGE'))
  order by c.oid::regclass::text collate "C"
$$;

comment on function weft._list_skipped(oid, name, boolean) is 'Lists tables that VACUUM of a relation skips with only a warning, because the role may not vacuum them.';


create or replace function weft._is_there(p_kind text, p_name text)
  returns boolean
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select case p_kind
    when 'database' then exists (select from pg_database as d where d.datname = p_name)
    when 'tablespace' then exists (select from pg_tablespace as t where t.spcname = p_name)
    when 'subscription' then exists (
      select from pg_subscription as s join pg_database as d on d.oid = s.subdbid where s.subname = p_name and d.datname = current_database())
  end
$$;

comment on function weft._is_there(text, text) is 'Tells whether a database, tablespace or subscription of that name exists.';


-- Whoever builds, drops or reindexes concurrently holds a lock of this kind on the table from beginning to end. So does VACUUM.
create or replace function weft._is_worked_on(p_table oid)
  returns boolean
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
begin
  if not exists (select from pg_class as c where c.oid = p_table) then
    return false;
  end if;
  execute format('lock table %s in share update exclusive mode nowait', p_table::regclass);
  return false;
exception
  when lock_not_available then
    return true;
  when insufficient_privilege or wrong_object_type or undefined_table then
    return exists (select from weft._list_workers(p_table));
end
$$;

comment on function weft._is_worked_on(oid) is 'Tells whether somebody else works on a table in a way that only one session can at a time.';


create or replace function weft._list_workers(p_table oid)
  returns table (pid integer)
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select distinct l.pid
  from pg_locks as l
  where l.locktype = 'relation' and l.relation = p_table and l.granted and l.pid <> pg_backend_pid()
    and l.database = (select d.oid from pg_database as d where d.datname = current_database())
    and l.mode in ('ShareUpdateExclusiveLock', 'ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
$$;

comment on function weft._list_workers(oid) is 'Lists the sessions that work on a table in a way that only one can at a time.';


-- What a concurrent build waits for before it ends: transactions with a snapshot older than its own, anywhere in this database.
create or replace function weft._list_old_snapshots()
  returns jsonb
  volatile
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select weft._describe_sessions(array(
    select a.pid from pg_stat_activity as a
    where a.datname = current_database() and a.pid <> pg_backend_pid() and a.backend_xmin is not null and a.backend_type = 'client backend'
    order by a.xact_start))
$$;

comment on function weft._list_old_snapshots() is 'Lists the sessions whose snapshots a concurrent build that begins now would wait for, as far as this role may see them.';


-- What an interrupted REINDEX CONCURRENTLY leaves, even on a TOAST table, where only superusers may drop it. A long name was cut to make
-- room for its suffix.
create or replace function weft._find_leftover(p_tables oid[], p_index text default null)
  returns oid
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select c.oid
  from pg_class as t
  join pg_index as i on i.indrelid in (t.oid, t.reltoastrelid)
  join pg_class as c on c.oid = i.indexrelid
  cross join lateral regexp_replace(c.relname, '_cc(new|old)\d*$', '') as b (name)
  where t.oid = any (p_tables) and not i.indisvalid and b.name <> c.relname
    and (p_index is null or b.name = p_index or octet_length(c.relname) > 58 and starts_with(p_index, b.name))
    and (i.indrelid = t.oid or has_schema_privilege('pg_toast', 'usage'))
  order by c.relname
  limit 1
$$;

comment on function weft._find_leftover(oid[], text) is 'Finds an invalid index that an interrupted REINDEX CONCURRENTLY has left on one of these tables and that this role may drop.';


-- What DROP INDEX CONCURRENTLY waits for: every open transaction that has used the table, readers included.
create or replace function weft._list_users(p_table oid)
  returns jsonb
  volatile
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  with users as materialized (
    select l.pid, l.virtualtransaction
    from pg_locks as l
    where l.locktype = 'relation' and l.relation = p_table and l.granted and l.pid is distinct from pg_backend_pid()
      and l.database = (select d.oid from pg_database as d where d.datname = current_database())
  )
  select weft._describe_sessions(array(
      select u.pid from users as u left join pg_stat_activity as a on a.pid = u.pid where u.pid is not null group by u.pid, a.xact_start order by a.xact_start, u.pid))
    || weft._describe_prepared(array(select u.virtualtransaction from users as u where u.pid is null))
$$;

comment on function weft._list_users(oid) is 'Lists the sessions, and prepared transactions, that hold a lock of any kind on a table, as far as this role may see them.';
