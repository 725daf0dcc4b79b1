-- The judges: what became of a statement that PostgreSQL runs in no transaction, the catalog says, and nobody's memory.
--
-- Patterns here only name the object to be looked at. A judge is asked before the statement goes out, after it came back, and after
-- anything that was cut in between, and it always answers from what is there now: done, send (this statement), wait, or failed.

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
  return null;  -- no name at all
end
$$;

comment on function weft._find_relation(text, jsonb) is 'Finds the relation that a file means by a name; null when there is none.';


-- Everything between the name of the table and the end: the server's own text, so that spelling makes no difference.
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


-- What the index would be: built on an empty temporary table of the same shape, and thrown away with it.
create or replace function weft._expect_definition(p_table oid, p_unique boolean, p_rest text, p_before jsonb, out name text, out definition text)
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_relation  name := (select c.relname from pg_class as c where c.oid = p_table);
  v_path      text := p_before ->> 'search_path';
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
    v_set := pg_catalog.set_config('search_path', v_path, true);
    execute v_index;
    v_set := pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
    reset session authorization;
    reset role;
    select c.relname, weft._read_definition(i.indexrelid) into name, definition
    from pg_index as i
    join pg_class as c on c.oid = i.indexrelid
    where i.indrelid = format('pg_temp.%I', v_relation)::regclass;
    raise exception using errcode = 'WF000';
  exception
    when sqlstate 'WF000' then
      if p_rest ~ '\$\w*\$' then  -- white space in there is not what it was
        definition := null;
      end if;
    when lock_not_available or deadlock_detected then raise;  -- to be tried again
    when others then name := null; definition := null;  -- the server will say it of the statement itself
  end;
end
$$;

comment on function weft._expect_definition(oid, boolean, text, jsonb) is
  'Tells the definition that an index would have, and the name that PostgreSQL would give it, without touching its table.';


-- Which objects a statement is about, and how they are now. Null: no catalog tells when it is done.
create or replace function weft._find_judge(p_statement text, p_before jsonb)
  returns jsonb
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  c_ident  constant text := '(?:"(?:[^"]|"")*"|[^][\s"''(),;.]+)';
  c_name   constant text := c_ident || '(?: ?\. ?' || c_ident || ')*';
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
      return '{"kind": "repeat"}';  -- the same again does no harm
    end if;
    v_other := case when lower(v_match[2]) in ('index', 'table') then weft._find_relation(v_match[4], p_before) end;
    return (
      with tables as (
        select t.oid
        from pg_class as t
        join pg_namespace as n on n.oid = t.relnamespace
        where t.relkind in ('r', 'm') and t.relpersistence <> 't' and case lower(v_match[2])
          when 'index' then t.oid in (select i.indrelid from pg_index as i where i.indexrelid = v_other or i.indexrelid in (select p.relid from pg_partition_tree(v_other) as p))
          when 'table' then t.oid = v_other or t.oid in (select p.relid from pg_partition_tree(v_other) as p)
          when 'schema' then n.nspname = (parse_ident(v_match[4]))[1]::name
          else n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
        end
      )
      select jsonb_build_object('kind', 'reindex', 'tables', coalesce(jsonb_agg(t.oid::bigint), '[]'), 'indexes', (
        select coalesce(jsonb_agg(i.indexrelid::bigint), '[]')
        from pg_index as i
        where i.indrelid in (select x.oid from tables as x) and not i.indisexclusion and (i.indisvalid or lower(v_match[2]) = 'index')
          and (lower(v_match[2]) <> 'index' or i.indexrelid = v_other or i.indexrelid in (select p.relid from pg_partition_tree(v_other) as p where p.isleaf))))
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
    return jsonb_build_object('kind', lower(v_match[2]), 'name', (parse_ident(v_match[4]))[1]::name, 'wanted', lower(v_match[1]) = 'create',
      'may_be_absent', v_match[3] is not null, 'was', weft._is_there(lower(v_match[2]), (parse_ident(v_match[4]))[1]::name));
  end if;

  v_match := regexp_match(v_flat, '^vacuum ((?:\([^)]*\) ?)?(?:(?:full|freeze|verbose|analyze|analyse)\M ?)*)(' || c_name || ')(?: ?\([^)]*\))?$', 'i');
  if v_match is not null and v_match[1] !~* '\mfull\M' then  -- VACUUM FULL is counted nowhere
    return jsonb_build_object('kind', 'vacuum', 'analyzes', v_match[1] ~* '\manaly[sz]e\M', 'table', (
      select c.oid::bigint from pg_class as c where c.oid = weft._find_relation(v_match[2], p_before) and c.relkind in ('r', 'm')));
  elsif v_flat ~* '^(vacuum\M|cluster\M|alter system (set|reset)\M|alter subscription .* (refresh publication|set publication)\M)' then
    return '{"kind": "repeat"}';
  end if;
  return null;
end
$$;

comment on function weft._find_judge(text, jsonb) is
  'Names the objects that a statement is about, under the role and the search_path of its file, and how they are before it; null for a statement of which no catalog tells when it is done.';


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

comment on function weft._is_worked_on(oid) is 'Tells whether somebody else is at work on a table in a way that only one may be.';


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

comment on function weft._list_workers(oid) is 'Lists the sessions that work on a table in a way that only one may.';


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


-- What an interrupted REINDEX CONCURRENTLY leaves, also of a TOAST table's index; there only superusers may drop it. A long name was cut
-- to make room for what stands behind it.
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


-- What DROP INDEX CONCURRENTLY waits for: whoever has used the table and has not ended, a reader too.
create or replace function weft._list_users(p_table oid)
  returns jsonb
  volatile
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select weft._describe_sessions(array(
    select l.pid
    from pg_locks as l
    left join pg_stat_activity as a on a.pid = l.pid
    where l.locktype = 'relation' and l.relation = p_table and l.granted and l.pid <> pg_backend_pid()
      and l.database = (select d.oid from pg_database as d where d.datname = current_database())
    group by l.pid, a.xact_start
    order by a.xact_start, l.pid))
$$;

comment on function weft._list_users(oid) is 'Lists the sessions that hold a lock of any kind on a table, as far as this role may see them.';


-- p_is_reported: the server has said, in this very session, that the statement itself is done.
create or replace function weft._judge(p_judge jsonb, p_statement text, p_is_reported boolean, p_sent_at timestamptz, p_before jsonb, out verdict text, out statement text, out error jsonb, out about oid)
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_is_admitted boolean;
  v_table     oid := (p_judge ->> 'table')::oid;
  v_index     record;
  v_leftover  oid;
  v_pending   boolean;
  v_is_there  boolean;
  v_question  text;
  v_path      text;
  v_set       text;
begin
  about := v_table;
  statement := p_statement;
  verdict := case when p_is_reported then 'done' else 'send' end;

  case p_judge ->> 'kind'
    when 'index' then
      if p_judge ->> 'name' is null then
        verdict := 'failed';
        error := jsonb_build_object('sqlstate', 'WF020', 'message', 'A concurrent index without a name would be built twice if its end went unheard.',
          'hint', format('Name it: create index concurrently %s on ...', coalesce(quote_ident(p_judge ->> 'suggestion'), 'name')));
        return;
      elsif v_table is null then  -- the server will say it
        if p_is_reported then
          verdict := 'failed';
          error := jsonb_build_object('sqlstate', 'WF020', 'message', 'The server has run the statement, and its table cannot be found, so that nobody can tell whether the index is valid.',
            'hint', 'Write the table with its schema. The index may be in the database: look at it in pg_index before you deploy again.');
        end if;
        return;
      end if;
      v_leftover := weft._find_leftover(array[v_table], p_judge ->> 'name');
      select c.oid, i.indrelid, i.indisvalid and i.indisready and i.indislive as is_whole, weft._read_definition(c.oid) as definition into v_index
      from pg_class as c
      join pg_class as t on t.relnamespace = c.relnamespace
      left join pg_index as i on i.indexrelid = c.oid
      where t.oid = v_table and c.relname = p_judge ->> 'name';
      if v_index.oid is not null and v_index.indrelid is distinct from v_table then
        verdict := 'failed';
        error := jsonb_build_object('sqlstate', '42P07', 'message', format('The name %I belongs to something else: %s.', p_judge ->> 'name', pg_describe_object('pg_class'::regclass, v_index.oid, 0)),
          'hint', 'Give the index another name.');
      elsif v_leftover is not null then
        verdict := case when weft._is_worked_on(v_table) then 'wait' else 'send' end;
        statement := format('drop index concurrently %s', v_leftover::regclass);
      elsif v_index.oid is null then
        verdict := 'send';
      elsif not v_index.is_whole then
        if weft._is_worked_on(v_table) then
          verdict := 'wait';
        else  -- nobody builds it: an orphan
          verdict := 'send';
          statement := format(case when v_index.definition = p_judge ->> 'definition' then 'reindex index concurrently %s' else 'drop index concurrently %s' end, v_index.oid::regclass);
        end if;
      elsif v_index.definition = p_judge ->> 'definition' or (p_judge ->> 'definition' is null and not (p_judge ->> 'was')::boolean) then
        verdict := 'done';
      else
        verdict := 'failed';
        error := jsonb_build_object('sqlstate', '42P07', 'message', format('There is an index %s already, and it has another definition.', v_index.oid::regclass),
          'detail', format('There: %s. Wanted: %s.', v_index.definition, coalesce(p_judge ->> 'definition', 'what the file says')),
          'hint', 'Give the new one another name, or drop the old one first.');
      end if;

    when 'drop index' then
      if p_judge ->> 'index' is null then
        null;  -- there is none of that name, as far as the file's role may see: the server knows
      elsif not exists (select from pg_class as c where c.oid = (p_judge ->> 'index')::oid) then
        verdict := 'done';
      else
        verdict := case when weft._is_worked_on(v_table) then 'wait' else 'send' end;
      end if;

    when 'reindex' then
      v_leftover := weft._find_leftover(array(select t.value::oid from jsonb_array_elements_text(p_judge -> 'tables') as t));
      if v_leftover is not null then
        about := (select coalesce(t.oid, i.indrelid) from pg_index as i left join pg_class as t on t.reltoastrelid = i.indrelid where i.indexrelid = v_leftover);
        verdict := case when weft._is_worked_on(about) then 'wait' else 'send' end;
        statement := format('drop index concurrently %s', v_leftover::regclass);
      elsif p_judge -> 'indexes' <> '[]' and not exists (select from pg_class as c join jsonb_array_elements_text(p_judge -> 'indexes') as i on i.value::oid = c.oid) then
        verdict := 'done';  -- every one of them has been replaced
      end if;

    when 'detach' then
      select i.inhdetachpending into v_pending
      from pg_inherits as i where i.inhparent = v_table and i.inhrelid = (p_judge ->> 'partition')::oid;
      if v_pending is null then
        verdict := case when p_is_reported or (p_judge ->> 'was')::boolean then 'done' else 'send' end;
      elsif weft._is_worked_on(v_table) then
        verdict := 'wait';
      else
        verdict := 'send';
        if v_pending then
          statement := format('alter table %s detach partition %s finalize', v_table::regclass, (p_judge ->> 'partition')::oid::regclass);
        end if;
      end if;

    when 'vacuum' then
      if pg_stat_get_last_vacuum_time(v_table) >= p_sent_at and (not (p_judge ->> 'analyzes')::boolean or pg_stat_get_last_analyze_time(v_table) >= p_sent_at) then
        verdict := 'done';
      elsif p_sent_at is not null and not p_is_reported and v_table is not null and weft._is_worked_on(v_table) then
        verdict := 'wait';  -- it may be ours, of a session that is lost
      end if;

    when 'expression' then
      v_question := concat('select (', p_judge ->> 'expression', E'\n)::pg_catalog.bool');
      v_path := p_before ->> 'search_path';
      begin
        v_is_admitted := current_setting('weft.values', true) <> '' and weft._admit_role(p_before ->> 'role');
        perform weft._restore_role(p_before);
        v_set := pg_catalog.set_config('search_path', v_path, true);
        execute v_question into strict v_is_there;
        v_set := pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
        reset session authorization;
        reset role;
        if v_is_admitted then
          perform weft._dismiss_role(p_before ->> 'role');
        end if;
        if v_is_there then
          verdict := 'done';
        elsif p_is_reported then
          verdict := 'failed';
          error := jsonb_build_object('sqlstate', 'WF020', 'message', format('The server has run the statement, and its done_when is %s still: %s', coalesce(v_is_there::text, 'null'), p_judge ->> 'expression'));
        end if;
      exception when others or query_canceled or assert_failure then
        verdict := case sqlstate when '57014' then 'interrupted' when '55P03' then 'wait' when '40P01' then 'wait' else 'failed' end;
        error := jsonb_build_object('sqlstate', sqlstate, 'message', format('done_when cannot be evaluated: %s', sqlerrm), 'detail', p_judge ->> 'expression');
      end;

    when 'repeat' then
      null;  -- the same again does no harm

    else  -- database, tablespace, subscription
      v_is_there := weft._is_there(p_judge ->> 'kind', p_judge ->> 'name');
      if (p_judge ->> 'was')::boolean <> (p_judge ->> 'wanted')::boolean then
        verdict := case when v_is_there = (p_judge ->> 'wanted')::boolean then 'done' else 'send' end;
      elsif (p_judge ->> 'may_be_absent')::boolean then
        verdict := 'done';
      end if;
  end case;
end
$$;

comment on function weft._judge(jsonb, text, boolean, timestamptz, jsonb) is
  'Says what is to be done about a statement that runs in no transaction: nothing (done), this statement (send), wait for whoever is at work on about, that it has failed, or that looking was interrupted.';


-- What a statement that failed has left half-made, and how to take it away; null when there is nothing.
create or replace function weft._find_remains(p_judge jsonb, out statement text, out about oid)
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_remains  oid;
begin
  if p_judge ->> 'kind' = 'index' then
    about := (p_judge ->> 'table')::oid;
    v_remains := weft._find_leftover(array[about], p_judge ->> 'name');
    if v_remains is null and not (p_judge ->> 'was')::boolean then
      select c.oid into v_remains
      from pg_class as c
      join pg_class as t on t.relnamespace = c.relnamespace
      join pg_index as i on i.indexrelid = c.oid
      where t.oid = about and c.relname = p_judge ->> 'name' and i.indrelid = t.oid and not i.indisvalid;
    end if;
  elsif p_judge ->> 'kind' = 'reindex' then
    v_remains := weft._find_leftover(array(select t.value::oid from jsonb_array_elements_text(p_judge -> 'tables') as t));
    about := (select i.indrelid from pg_index as i where i.indexrelid = v_remains);
  elsif p_judge ->> 'kind' = 'drop index' then  -- there is no way back
    about := (p_judge ->> 'table')::oid;
    select i.indexrelid into v_remains from pg_index as i where i.indexrelid = (p_judge ->> 'index')::oid and not i.indisvalid;
  elsif p_judge ->> 'kind' = 'detach' then  -- nor here
    select i.inhparent, format('alter table %s detach partition %s finalize', i.inhparent::regclass, i.inhrelid::regclass) into about, statement
    from pg_inherits as i
    where i.inhparent = (p_judge ->> 'table')::oid and i.inhrelid = (p_judge ->> 'partition')::oid and i.inhdetachpending;
  end if;
  if v_remains is not null then
    statement := format('drop index concurrently %s', v_remains::regclass);
  end if;
end
$$;

comment on function weft._find_remains(jsonb) is 'Finds what a failed statement has left half-made, and says how to take it away; or to its end, where there is no way back.';


-- The same for whoever reads it when all is over: everything, also what stood there before, and what this role may not drop.
create or replace function weft._list_remains(p_judge jsonb)
  returns table (object text, statement text, is_out_of_reach boolean)
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select i.indexrelid::regclass::text, format('drop index concurrently %s', i.indexrelid::regclass), i.indrelid <> t.oid and not has_schema_privilege('pg_toast', 'usage')
  from pg_index as i
  join pg_class as c on c.oid = i.indexrelid
  join pg_class as t on i.indrelid in (t.oid, t.reltoastrelid)
  cross join lateral regexp_replace(c.relname, '_cc(new|old)\d*$', '') as b (name)
  where not i.indisvalid and case p_judge ->> 'kind'
    when 'index' then t.oid = (p_judge ->> 'table')::oid
      and (c.relname = p_judge ->> 'name' or b.name <> c.relname and (b.name = p_judge ->> 'name' or octet_length(c.relname) > 58 and starts_with(p_judge ->> 'name', b.name)))
    when 'reindex' then t.oid in (select x.value::oid from jsonb_array_elements_text(p_judge -> 'tables') as x) and b.name <> c.relname
    when 'drop index' then i.indexrelid = (p_judge ->> 'index')::oid
    else false
  end
  union
  select i.inhrelid::regclass::text, format('alter table %s detach partition %s finalize', i.inhparent::regclass, i.inhrelid::regclass), false
  from pg_inherits as i
  where p_judge ->> 'kind' = 'detach' and i.inhparent = (p_judge ->> 'table')::oid and i.inhrelid = (p_judge ->> 'partition')::oid and i.inhdetachpending
$$;

comment on function weft._list_remains(jsonb) is 'Lists what is half-made of the objects that a statement is about, each with the statement that takes it away, or to its end, and whether only a superuser may run that.';
