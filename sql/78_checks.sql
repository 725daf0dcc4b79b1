-- Checks: a query that returns the rows which break a rule. It runs inside the transaction, before the commit, so it can veto it.
--
-- A check is a file of the bundle, which runs in the session of the phase's files; or a rule that comes with Weft, which queries the catalog.

-- The rules that come with Weft. Each query returns one row for each object that breaks it, named as people name it; $1 is an array of schemas,
-- or null for all of the user's; $2 the role that should own everything.
create or replace function weft._find_rule(p_name text)
  returns text
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select case p_name
    when 'primary-keys' then $rule$
      select c.oid::regclass::text as "table"
      from weft._list_user_objects('pg_class') as u
      join pg_class as c on c.oid = u.oid
      where c.relkind in ('r', 'p') and not c.relispartition and u.schema = any (coalesce($1, array[u.schema]))
        and not exists (select from pg_constraint as k where k.conrelid = c.oid and k.contype = 'p')
      order by 1 $rule$
    when 'indexed-foreign-keys' then $rule$
      select k.conrelid::regclass::text as "table", k.conname as "foreign key",
             (select string_agg(quote_ident(a.attname), ', ' order by n.place) from unnest(k.conkey) with ordinality as n (attnum, place) join pg_attribute as a on a.attrelid = k.conrelid and a.attnum = n.attnum) as columns
      from weft._list_user_objects('pg_class') as u
      join pg_constraint as k on k.conrelid = u.oid
      where k.contype = 'f' and k.conparentid = 0 and coalesce((to_jsonb(k) ->> 'conenforced')::boolean, true) and u.schema = any (coalesce($1, array[u.schema]))
        and not exists (  -- an index on all rows that begins with the columns of the key, in any order
          select from pg_index as i
          join pg_class as c on c.oid = i.indexrelid
          join pg_am as m on m.oid = c.relam and m.amname in ('btree', 'hash', 'gist', 'spgist')  -- other access methods cannot look up a single key
          where i.indrelid = k.conrelid and i.indisvalid and i.indpred is null
            and (i.indkey::smallint[])[0:cardinality(k.conkey) - 1] @> k.conkey and i.indnkeyatts >= cardinality(k.conkey))
      order by 1, 2 $rule$
    when 'valid-indexes' then $rule$
      select i.indexrelid::regclass::text as index, i.indrelid::regclass::text as "table"
      from weft._list_user_objects('pg_class') as u
      join pg_index as i on i.indrelid = u.oid
      where not (i.indisvalid and i.indisready) and u.schema = any (coalesce($1, array[u.schema]))
      order by 1 $rule$
    when 'valid-constraints' then $rule$
      select coalesce(nullif(k.conrelid, 0)::regclass::text, k.contypid::regtype::text) as "table", k.conname as "constraint", pg_get_constraintdef(k.oid) as definition
      from pg_constraint as k
      join (select o.oid, o.schema from weft._list_user_objects('pg_class') as o union all select o.oid, o.schema from weft._list_user_objects('pg_type') as o) as u
        on u.oid = coalesce(nullif(k.conrelid, 0), k.contypid)
      where not k.convalidated and coalesce((to_jsonb(k) ->> 'conenforced')::boolean, true) and u.schema = any (coalesce($1, array[u.schema]))
      order by 1, 2 $rule$
    when 'sequences-with-room' then $rule$
      select format('%I.%I', s.schemaname, s.sequencename) as sequence, coalesce(to_jsonb(s.last_value), '"not for this role to read"') as last_value, m.max_value, round(r.used * 100, 1) as percent
      from weft._list_user_objects('pg_class') as u
      join pg_class as c on c.oid = u.oid and c.relkind = 'S'
      join pg_sequences as s on s.schemaname = u.schema and s.sequencename = c.relname
      cross join lateral (  -- a column that takes its numbers may hold less than the sequence
        select min(case a.atttypid when 'int2'::regtype then 32767 when 'int4'::regtype then 2147483647 else 9223372036854775807 end) as of_columns
        from (
          select d.refobjid as oid, d.refobjsubid as attnum from pg_depend as d
          where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.refclassid = 'pg_class'::regclass and d.deptype in ('a', 'i')
          union all
          select f.adrelid, f.adnum from pg_depend as d join pg_attrdef as f on f.oid = d.objid
          where d.classid = 'pg_attrdef'::regclass and d.refclassid = 'pg_class'::regclass and d.refobjid = c.oid
        ) as t
        join pg_attribute as a on a.attrelid = t.oid and a.attnum = t.attnum
      ) as h
      cross join lateral (
        select least(s.max_value, h.of_columns) as max_value, greatest(s.min_value, case h.of_columns when 32767 then -32768 when 2147483647 then -2147483648 end) as min_value
      ) as m
      cross join lateral (
        select case when s.increment_by > 0 then (s.last_value::numeric - m.min_value) / nullif(m.max_value::numeric - m.min_value, 0)
                 else (m.max_value::numeric - s.last_value) / nullif(m.max_value::numeric - m.min_value, 0) end as used
      ) as r
      where not s.cycle and u.schema = any (coalesce($1, array[u.schema]))
        and (r.used * 100 > weft._limit('sequence_percent_max') or not has_sequence_privilege(c.oid, 'select, usage'))  -- a sequence that may not be read is reported, because nobody can tell where it is
      order by 1 $rule$
    when 'owners' then $rule$
      select pg_describe_object(u.classid, u.oid, 0) as object, pg_get_userbyid(u.owner) as owner
      from (
        select 'pg_class'::regclass as classid, o.oid, o.schema, c.relowner as owner from weft._list_user_objects('pg_class') as o join pg_class as c on c.oid = o.oid where c.relkind not in ('i', 'I', 't', 'c')
        union all
        select 'pg_proc'::regclass, o.oid, o.schema, f.proowner from weft._list_user_objects('pg_proc') as o join pg_proc as f on f.oid = o.oid
        union all
        select 'pg_type'::regclass, o.oid, o.schema, t.typowner from weft._list_user_objects('pg_type') as o join pg_type as t on t.oid = o.oid where t.typtype in ('e', 'd', 'r') or t.typtype = 'c' and exists (select from pg_class as c where c.oid = t.typrelid and c.relkind = 'c')
        union all
        select 'pg_namespace'::regclass, n.oid, n.nspname::text, n.nspowner from pg_namespace as n where n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'weft', 'public')
        union all
        select r.classid, r.oid, n.nspname::text, r.owner
        from (
          select o.tableoid::regclass, o.oid, o.stxnamespace, o.stxowner from pg_statistic_ext as o
          union all select o.tableoid, o.oid, o.cfgnamespace, o.cfgowner from pg_ts_config as o
          union all select o.tableoid, o.oid, o.dictnamespace, o.dictowner from pg_ts_dict as o
          union all select o.tableoid, o.oid, o.oprnamespace, o.oprowner from pg_operator as o
          union all select o.tableoid, o.oid, o.opcnamespace, o.opcowner from pg_opclass as o
          union all select o.tableoid, o.oid, o.opfnamespace, o.opfowner from pg_opfamily as o
          union all select o.tableoid, o.oid, o.collnamespace, o.collowner from pg_collation as o
          union all select o.tableoid, o.oid, o.connamespace, o.conowner from pg_conversion as o
          union all select o.tableoid, o.oid, null, o.srvowner from pg_foreign_server as o
          union all select o.tableoid, o.oid, null, o.fdwowner from pg_foreign_data_wrapper as o
          union all select o.tableoid, o.oid, null, o.pubowner from pg_publication as o
          union all select o.tableoid, o.oid, null, o.evtowner from pg_event_trigger as o
          union all select o.tableoid, o.oid, null, o.lanowner from pg_language as o
        ) as r (classid, oid, namespace, owner)
        left join pg_namespace as n on n.oid = r.namespace
        where r.oid >= 16384 and coalesce(n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'weft'), true)
          and not exists (select from pg_depend as d where d.classid = r.classid and d.objid = r.oid and d.deptype = 'e')
      ) as u
      where pg_get_userbyid(u.owner) <> $2 and ($1 is null or u.schema = any ($1))
      order by 1 $rule$
  end
$$;

comment on function weft._find_rule(text) is 'Tells the query of a rule that comes with Weft; null for an unknown name.';


create or replace function weft._list_user_objects(p_catalog regclass)
  returns table (oid oid, schema text)
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select o.oid, n.nspname::text
  from (
    select c.oid, c.relnamespace as namespace from pg_class as c where p_catalog = 'pg_class'::regclass
    union all
    select f.oid, f.pronamespace from pg_proc as f where p_catalog = 'pg_proc'::regclass
    union all
    select t.oid, t.typnamespace from pg_type as t where p_catalog = 'pg_type'::regclass
  ) as o
  join pg_namespace as n on n.oid = o.namespace
  where n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'weft')
    and not exists (select from pg_depend as d where d.classid = p_catalog and d.objid = o.oid and d.deptype = 'e')
$$;

comment on function weft._list_user_objects(regclass) is 'Lists the user''s objects in pg_class, pg_proc or pg_type, without those of the server, of extensions, and of Weft.';


-- to_json uses casts to json for enums, rows and other types that somebody has made: that is foreign code. Casts of extensions are accepted.
create or replace function weft._has_casts_to_json()
  returns boolean
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select exists (
    select from pg_cast as c
    where c.casttarget = 'json'::regtype and c.castmethod = 'f' and c.oid >= 16384
      and not exists (select from pg_depend as d where d.classid = 'pg_cast'::regclass and d.objid = c.oid and d.deptype = 'e'))
$$;

comment on function weft._has_casts_to_json() is 'Tells whether anybody has made a cast to json.';


-- This does not run the query: every column of a missing row is null, and no cast is called for null.
create or replace function weft._name_columns(p_phase weft._phases, p_path text, p_query text)
  returns text[]
  volatile
  language plpgsql
as $$
declare
  v_path   pg_catalog.text := weft._enter_file(p_phase, p_path);
  v_set    pg_catalog.text;
  v_none   pg_catalog.record;
  v_names  pg_catalog.text[];
begin
  v_set := pg_catalog.set_config('search_path', v_path, false);
  execute pg_catalog.concat('select x.* from (values (1)) as one (n) left join (', p_query, E'\n) as x on false') into v_none;
  v_names := array(select k.name from pg_catalog.json_object_keys(pg_catalog.to_json(v_none)) as k (name));
  v_set := pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', false);
  reset session authorization;
  reset role;
  return v_names;
end
$$;

comment on function weft._name_columns(weft._phases, text, text) is 'Names the columns that a query has in the session of a phase.';


-- Whether only the server's own functions are called to make JSON of a value: its type is the server's, and so is everything in it. Rows may contain
-- anything, even those of the server's views, and so may pseudo-types. Returned as text, because the role of a phase may call nothing of ours.
create or replace function weft._write_is_plain(p_value text)
  returns text
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select format('(select t.oid operator(pg_catalog.<) 16384::pg_catalog.oid and t.typtype operator(pg_catalog.<>) all (array[''c'', ''p'']::pg_catalog."char"[])'
    || ' and (e.oid is null or e.typtype operator(pg_catalog.<>) all (array[''c'', ''p'']::pg_catalog."char"[]))'
    || ' from pg_catalog.pg_type as t left join pg_catalog.pg_type as e on e.oid operator(pg_catalog.=) t.typelem'
    || ' where t.oid operator(pg_catalog.=) pg_catalog.pg_typeof(%s)::pg_catalog.oid)', p_value)
$$;

comment on function weft._write_is_plain(text) is 'Writes the condition under which the server alone makes JSON of a value, whatever it contains.';


-- Values of the server's own types become JSON as usual, all others the text that their type writes.
create or replace function weft._write_row_as_json(p_names text[])
  returns text
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select case when count(*) = 0 then '''{}''::pg_catalog.json'
    when count(*) = count(distinct n.name) then format('(select pg_catalog.json_object_agg(k.name, k.value order by k.place) from (values %s) as k (place, name, value))', string_agg(format(
      '(%s, %L, case when _weft_row.%I is null then null when %s then pg_catalog.to_json(_weft_row.%3$I) else pg_catalog.to_json(pg_catalog.concat(_weft_row.%3$I)) end)',
      n.place, n.name, n.name, weft._write_is_plain(format('_weft_row.%I', n.name))), ', ' order by n.place))
    else 'pg_catalog.to_json(_weft_row::pg_catalog.text)' end
  from unnest(p_names) with ordinality as n (name, place)
$$;

comment on function weft._write_row_as_json(text[]) is 'Writes the expression that makes JSON of a row with these columns, without calling any user''s cast.';


-- No SET clause: a file's query runs under the path of the file.
create or replace function weft._check(p_deployment uuid, p_step integer, p_phase weft._phases, p_path text)
  returns jsonb
  volatile
  language plpgsql
as $$
declare
  v_step       weft._steps;
  v_rule       pg_catalog.text;
  v_query      pg_catalog.text;
  v_as_json    pg_catalog.text := 'pg_catalog.to_json(_weft_row)';
  v_their_path pg_catalog.text;
  v_set        pg_catalog.text;
  v_shown      pg_catalog.int4 := weft._limit('offenders_count');
  v_length     pg_catalog.int4 := weft._limit('offender_characters');
  v_count      pg_catalog.int8;
  v_rows       pg_catalog.json;
  v_columns    pg_catalog.jsonb;
  v_offenders  pg_catalog.jsonb;
  v_result     pg_catalog.jsonb;
begin
  select s.* into strict v_step from weft._steps as s where s.deployment_id = p_deployment and s.ordinal = p_step;
  v_rule := v_step.options ->> 'rule';
  if v_rule is not null then
    v_query := weft._find_rule(v_rule);
    if v_query is null then
      raise exception 'Weft has no rule called "%".', v_rule using errcode = 'WF023', hint = 'docs/BUNDLES.md lists them; a newer version may have it.';
    end if;
  else
    v_query := weft._interpolate(weft._read_query(p_deployment, v_step.path), p_phase.parameters, weft._mark(p_phase.parameters));
    if weft._has_casts_to_json() then
      v_as_json := weft._write_row_as_json(weft._name_columns(p_phase, p_path, v_query));
    end if;
  end if;
  -- so that only a query can be read: the server refuses anything else
  v_query := concat(
    'select pg_catalog.count(*), pg_catalog.json_agg(case when pg_catalog.length(x.j::pg_catalog.text) operator(pg_catalog.<=) ', v_length,
    ' and pg_catalog.strpos(x.j::pg_catalog.text, E''\\u0000'') operator(pg_catalog.=) 0',  -- which jsonb cannot hold
    ' then x.j else pg_catalog.to_json(pg_catalog.left(x.j::pg_catalog.text, ', v_length, ')) end) filter (where x.n operator(pg_catalog.<=) ', v_shown,
    ') from (select ', v_as_json, ' as j, pg_catalog.row_number() over () as n from (', v_query, E'\n) as _weft_row) as x');
  if v_rule is null then
    v_their_path := weft._enter_file(p_phase, p_path);
    v_set := pg_catalog.set_config('search_path', v_their_path, false);
    execute v_query into v_count, v_rows;
    v_set := pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', false);
    reset session authorization;  -- the role of the phase may not call what follows
    reset role;
  else
    execute v_query into v_count, v_rows
    using (select array_agg(s.value) from jsonb_array_elements_text(v_step.options -> 'schemas') as s), coalesce(v_step.options ->> 'owner', p_phase.role, current_user);
    if v_count = 0 then  -- a check that looks at nothing must not look like one that holds
      select count(*), json_agg(json_build_object('schema', s.value, 'is', 'not there') order by s.value) into v_count, v_rows
      from jsonb_array_elements_text(v_step.options -> 'schemas') as s
      where not exists (select from pg_namespace as n where n.nspname = s.value);
    end if;
  end if;
  perform weft._reset_session();
  v_columns := (select jsonb_agg(k.key) from json_object_keys(case when json_typeof(v_rows -> 0) = 'object' then v_rows -> 0 end) as k (key));
  select s.p_columns, s.p_rows into v_columns, v_offenders from weft._scrub_rows(v_columns, coalesce(v_rows, '[]')::jsonb, p_phase.secrets) as s;
  v_result := jsonb_strip_nulls(jsonb_build_object(
    'severity', coalesce(v_step.options ->> 'severity', 'error'), 'offenders_count', v_count, 'columns', v_columns, 'offenders', v_offenders));
  if v_count > 0 and coalesce(v_step.options ->> 'severity', 'error') = 'error' then
    raise exception '% % the rule%.', case v_count when 1 then '1 row' else v_count::text || ' rows' end, case v_count when 1 then 'breaks' else 'break' end,
        case when v_rule is null then '' else format(' "%s"', v_rule) end
      using errcode = 'WF022', detail = v_result::text;
  end if;
  return v_result;
end
$$;

comment on function weft._check(uuid, integer, weft._phases, text) is
  'Runs a check for the rows that break its rule: returns the first of them, and how many there are. A veto is an error (WF022) with the same as its detail.';
