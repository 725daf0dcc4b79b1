-- What the files of a bundle leave in the catalog, by name: what they create, without what a later statement drops, renames or moves. A
-- baseline compares this with the catalog.
--
-- Tokens give the names to look up; the catalog decides. Temporary objects, what a DO block makes, data, rights and comments are not
-- looked up. A statement that drops or renames a part of an object (a column, a constraint, a default) leaves the object where it
-- is.

-- The contents of the parentheses after the name of a function; null if they contain anything that this cannot read.
create or replace function weft._read_arguments(p_flat text)
  returns text
  immutable strict parallel safe
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_text   text := substring(p_flat from '(?i)^create (?:or replace )?(?:function|procedure) (?:"(?:[^"]|"")*"|[^"(]+)+\((.*)$');
  v_token  text[];
  v_depth  integer := 0;
  v_read   text := '';
begin
  for v_token in select m from regexp_matches(v_text, '''[^'']*''|"[^"]*"|[()]|[^()''"]+|.', 'g') as m loop
    v_depth := v_depth + case v_token[1] when '(' then 1 when ')' then -1 else 0 end;
    if v_depth < 0 then
      return case when v_read !~ '[;$\\]' then v_read end;
    end if;
    v_read := v_read || v_token[1];
  end loop;
  return null;
end
$$;

comment on function weft._read_arguments(text) is 'Tells what arguments a statement without comments gives a function or procedure.';


create or replace function weft._name_types(p_function oid)
  returns text[]
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select array(select t.typname::text from unnest(f.proargtypes) with ordinality as a (type, place) join pg_type as t on t.oid = a.type order by a.place)
  from pg_proc as f where f.oid = p_function
$$;

comment on function weft._name_types(oid) is 'Names the types of a function''s arguments, without their schemas.';


-- The server reads the arguments: a function with them is created, looked at, and rolled back. Types may be in any schema. Null if that fails.
create or replace function weft._ask_for_types(p_routine text, p_arguments text)
  returns text[]
  volatile
  set search_path = pg_catalog, pg_temp
  set check_function_bodies = off
  set lock_timeout = 100
  language plpgsql
as $$
declare
  v_path   pg_catalog.text;
  v_form   pg_catalog.text;
  v_set    pg_catalog.text;
  v_types  pg_catalog.text[];
begin
  if p_arguments is null then
    return null;
  end if;
  select concat_ws(', ', 'pg_catalog', string_agg(quote_ident(n.nspname), ', ' order by n.nspname <> 'public', n.nspname)) into v_path
  from pg_namespace as n where n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'weft') and has_schema_privilege(n.oid, 'usage');
  -- OUT arguments already say what the function returns
  foreach v_form in array case p_routine when 'procedure' then array['procedure pg_temp.weft_asks(%s)'] else array['function pg_temp.weft_asks(%s) returns void', 'function pg_temp.weft_asks(%s)'] end loop
    begin
      v_set := pg_catalog.set_config('search_path', v_path, true);
      execute pg_catalog.concat('create ', pg_catalog.format(v_form, p_arguments), ' language sql as ''''');
      v_set := pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
      v_types := (select weft._name_types(f.oid) from pg_proc as f where f.proname = 'weft_asks' and f.pronamespace = pg_my_temp_schema());
      raise exception using errcode = 'WF003';
    exception when others then  -- nothing is left behind
      exit when v_types is not null;
    end;
  end loop;
  return v_types;
end
$$;

comment on function weft._ask_for_types(text, text) is 'Lists the types of a function''s arguments, without their schemas; null if the server cannot tell.';


-- What weft._name_added names. Each is in one catalog, most of them in a schema.
create or replace function weft._is_rarely_there(p_kind text, p_name name, p_schema text, p_table text, p_table_schema text)
  returns boolean
  stable
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan  -- a baseline calls this for each constraint, and planning takes longer than running
  language plpgsql
as $$
begin
  return exists (
    select from (
      select k.connamespace as place, k.conrelid as on_relation, 0::oid as on_type from pg_constraint as k where p_kind = 'constraint' and k.conname = p_name
      union all select null, w.ev_class, 0 from pg_rewrite as w where p_kind = 'rule' and w.rulename = p_name
      union all select null, 0, e.enumtypid from pg_enum as e where p_kind = 'enum value' and e.enumlabel = p_name
      union all select o.oprnamespace, 0, 0 from pg_operator as o where p_kind = 'operator' and o.oprname = p_name
      union all select o.opcnamespace, 0, 0 from pg_opclass as o where p_kind = 'operator class' and o.opcname = p_name
      union all select o.opfnamespace, 0, 0 from pg_opfamily as o where p_kind = 'operator family' and o.opfname = p_name
      union all select c.collnamespace, 0, 0 from pg_collation as c where p_kind = 'collation' and c.collname = p_name
      union all select c.connamespace, 0, 0 from pg_conversion as c where p_kind = 'conversion' and c.conname = p_name
      union all select s.stxnamespace, 0, 0 from pg_statistic_ext as s where p_kind = 'statistics' and s.stxname = p_name
      union all select t.cfgnamespace, 0, 0 from pg_ts_config as t where p_kind = 'text search configuration' and t.cfgname = p_name
      union all select t.dictnamespace, 0, 0 from pg_ts_dict as t where p_kind = 'text search dictionary' and t.dictname = p_name
      union all select t.prsnamespace, 0, 0 from pg_ts_parser as t where p_kind = 'text search parser' and t.prsname = p_name
      union all select t.tmplnamespace, 0, 0 from pg_ts_template as t where p_kind = 'text search template' and t.tmplname = p_name
      union all select null, 0, 0 from pg_publication as b where p_kind = 'publication' and b.pubname = p_name
      union all select null, 0, 0 from pg_event_trigger as e where p_kind = 'event trigger' and e.evtname = p_name
      union all select null, 0, 0 from pg_foreign_server as f where p_kind = 'server' and f.srvname = p_name
      union all select null, 0, 0 from pg_foreign_data_wrapper as f where p_kind = 'foreign data wrapper' and f.fdwname = p_name
      union all select null, 0, 0 from pg_language as l where p_kind = 'language' and l.lanname = p_name
      union all select null, 0, 0 from pg_am as a where p_kind = 'access method' and a.amname = p_name
      union all select null, 0, 0 where p_kind = 'subscription' and exists (select from pg_stat_subscription as s where s.subname = p_name)
    ) as f
    left join pg_namespace as n on n.oid = f.place
    left join pg_class as c on c.oid = f.on_relation
    left join pg_type as t on t.oid = f.on_type
    left join pg_namespace as o on o.oid = coalesce(c.relnamespace, t.typnamespace)
    where (p_schema is null or n.nspname = p_schema)
      and (p_table is null or coalesce(c.relname, t.typname) = p_table and (p_table_schema is null or o.nspname = p_table_schema)));
end
$$;

comment on function weft._is_rarely_there(text, name, text, text, text) is 'Tells whether the catalog has a constraint, a rule, an operator, a publication or the like of that name, on that table.';


-- A name without a schema is looked up in all of them: the search_path under which it was made is not known.
create or replace function weft._is_created_there(p_object jsonb)
  returns boolean
  stable
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_parts   text[] := parse_ident(p_object ->> 'name');
  v_name    name := v_parts[cardinality(v_parts)];
  v_schema  text := case when cardinality(v_parts) > 1 then v_parts[cardinality(v_parts) - 1] end;
  v_table   text[] := parse_ident(p_object ->> 'on');
  v_types   text[] := weft._ask_for_types(p_object ->> 'routine', p_object ->> 'arguments');
begin
  return case p_object ->> 'kind'
    when 'schema' then exists (select from pg_namespace as n where n.nspname = v_name)
    when 'extension' then exists (select from pg_extension as e where e.extname = v_name)
    when 'trigger' then exists (
      select from pg_trigger as t join pg_class as c on c.oid = t.tgrelid join pg_namespace as n on n.oid = c.relnamespace
      where t.tgname = v_name and (v_table is null or c.relname = v_table[cardinality(v_table)] and n.nspname = case when cardinality(v_table) > 1 then v_table[cardinality(v_table) - 1] else n.nspname end))
    when 'policy' then exists (
      select from pg_policy as p join pg_class as c on c.oid = p.polrelid join pg_namespace as n on n.oid = c.relnamespace
      where p.polname = v_name and (v_table is null or c.relname = v_table[cardinality(v_table)] and n.nspname = case when cardinality(v_table) > 1 then v_table[cardinality(v_table) - 1] else n.nspname end))
    when 'relation' then exists (select from pg_class as c join pg_namespace as n on n.oid = c.relnamespace where c.relname = v_name and n.nspname = coalesce(v_schema, n.nspname) and n.nspname !~ '^pg_' and n.nspname <> 'information_schema')
    when 'function' then exists (
      select from pg_proc as f join pg_namespace as n on n.oid = f.pronamespace
      where f.proname = v_name and n.nspname = coalesce(v_schema, n.nspname) and n.nspname !~ '^pg_' and (v_types is null or weft._name_types(f.oid) = v_types))
    when 'type' then exists (select from pg_type as t join pg_namespace as n on n.oid = t.typnamespace where t.typname = v_name and n.nspname = coalesce(v_schema, n.nspname) and n.nspname !~ '^pg_')
    when 'column' then exists (
      select from pg_attribute as a join pg_class as c on c.oid = a.attrelid join pg_namespace as n on n.oid = c.relnamespace
      where a.attname = v_name and not a.attisdropped and c.relname = v_table[cardinality(v_table)] and n.nspname = case when cardinality(v_table) > 1 then v_table[cardinality(v_table) - 1] else n.nspname end)
    else weft._is_rarely_there(p_object ->> 'kind', v_name, v_schema, v_table[cardinality(v_table)], case when cardinality(v_table) > 1 then v_table[cardinality(v_table) - 1] end)
  end;
exception when invalid_parameter_value or syntax_error then  -- not a valid name, so it is not looked up
  return true;
end
$$;

comment on function weft._is_created_there(jsonb) is 'Tells whether the catalog has an object of that kind and name.';


create or replace function weft._is_same_name(p_one text, p_other text)
  returns boolean
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select coalesce(o.one[cardinality(o.one)] = o.other[cardinality(o.other)]
    and (cardinality(o.one) < 2 or cardinality(o.other) < 2 or o.one[cardinality(o.one) - 1] = o.other[cardinality(o.other) - 1]), false)
  from (select weft._fold_name(p_one) as one, weft._fold_name(p_other) as other) as o
$$;

comment on function weft._is_same_name(text, text) is 'Tells whether two names may mean the same object: one without a schema may be in any.';


-- What a statement drops, renames or moves, and its name afterwards. Kinds are those of weft._name_created; null is any. Columns, triggers and policies have
-- their table ("on"). The name afterwards ("now") is null if the object is gone.
create or replace function weft._name_taken_away(p_flat text)
  returns table (kind text, name text, "on" text, now text)
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  c_ident  constant text := weft._ident_pattern();
  c_name   constant text := weft._name_pattern();
  c_kinds  constant jsonb := '{"table": "relation", "view": "relation", "sequence": "relation", "index": "relation", "function": "function", "procedure": "function", "routine": "function",
    "aggregate": "function", "schema": "schema", "type": "type", "domain": "type", "extension": "extension", "trigger": "trigger", "policy": "policy"}';
  c_others constant text := 'rule|collation|publication|subscription|statistics|event trigger|text search (?:configuration|dictionary|parser|template)|server|foreign data wrapper|language|conversion|access method|operator class|operator family';
  c_start  constant text := '(?:foreign (?!data)|materialized |procedural )?(table|view|sequence|index|function|procedure|routine|aggregate|schema|type|domain|extension|trigger|policy|' || c_others || ') (?:concurrently )?(?:if exists )?(?:only )?';
  v_match  text[];
  v_kind   text;
  v_rest   text;
begin
  if p_flat ~* '^do\M' then  -- what a DO block runs is not known; if it may drop something, what it names may be gone
    if p_flat ~* '\m(drop|rename|execute)\M|\mset schema\M' then
      return query select distinct null::text, m[1], null::text, null::text from regexp_matches(p_flat, '("(?:[^"]|"")*"|[^][\s"''(),;.]+)', 'g') as m;
    end if;
    return;
  end if;
  if p_flat ~* '^(drop|alter) operator (?!class|family)' then
    return query select 'operator'::text, format('%s"%s"', m[1], m[2]), null::text, null::text
      from regexp_matches(p_flat, '((?:' || c_ident || ' ?\. ?)*)([-+*/<>=~!@#%^&|`?]+) ?\(', 'g') as m where p_flat ~* '^drop|\mset schema\M';
    return;
  end if;
  v_match := regexp_match(p_flat, '^drop ' || c_start || '(.*)$', 'i');
  if v_match is not null then
    v_kind := coalesce(c_kinds ->> lower(v_match[1] collate "C"), lower(v_match[1] collate "C"));
    if v_kind in ('trigger', 'policy', 'rule') then
      return query select v_kind, m[1], m[2], null::text from regexp_matches(v_match[2], '^(' || c_ident || ') on (' || c_name || ')', 'i') as m;
    else
      v_rest := regexp_replace(regexp_replace(v_match[2], ' ?\m(cascade|restrict) ?$', '', 'i'), '\([^()]*\)', '', 'g');
      return query select v_kind, m[1], null::text, null::text from regexp_matches(v_rest, '(?:^|,) ?(' || c_name || ')', 'g') as m;
    end if;
    return;
  end if;
  v_match := regexp_match(p_flat, '^alter ' || c_start || '(' || c_name || ')(?: ?\*)?(?: ?\([^()]*\))? ?(?:on (' || c_name || ') )?(.*)$', 'i');
  if v_match is null then
    return;
  end if;
  v_kind := coalesce(c_kinds ->> lower(v_match[1] collate "C"), lower(v_match[1] collate "C"));
  v_rest := v_match[4];
  if v_rest ~* '^rename to\M' then
    name := v_match[2];
    kind := v_kind;
    "on" := v_match[3];
    now := coalesce(substring(v_match[2] from '^(.*\. ?)' || c_ident || '$'), '') || substring(v_rest from '^\S+ \S+ (' || c_ident || ')');
    return next;
  elsif v_rest ~* '^set schema\M' and v_kind <> 'extension' then
    return query select v_kind, v_match[2], null::text, substring(v_rest from '^\S+ \S+ (' || c_ident || ')') || '.' || substring(v_match[2] from c_ident || '$');
  elsif v_kind = 'relation' and v_rest ~* '^rename (column )?(?!constraint\M)' then
    return query select 'column'::text, m[1], v_match[2], m[2] from regexp_matches(v_rest, '^rename (?:column )?(' || c_ident || ') to (' || c_ident || ')', 'i') as m;
  elsif v_kind = 'type' and v_rest ~* '^rename value\M' then
    return query select 'enum value'::text, format('"%s"', replace(m[1], '''''', '''')), v_match[2], format('"%s"', replace(m[2], '''''', ''''))
      from regexp_matches(v_rest, '^rename value ''((?:[^'']|'''')*)'' to ''((?:[^'']|'''')*)''', 'i') as m;
  elsif v_kind = 'relation' and v_rest ~* '^rename constraint\M' then
    return query select 'constraint'::text, m[1], v_match[2], m[2] from regexp_matches(v_rest, '^rename constraint (' || c_ident || ') to (' || c_ident || ')', 'i') as m;
  elsif v_kind = 'relation' then
    -- from then on, the index has the name of the constraint, which is looked up
    return query select distinct 'relation'::text, m[1], null::text, null::text from regexp_matches(v_rest, '\madd constraint ' || c_ident || ' (?:unique|primary key) using index (' || c_ident || ')', 'gi') as m;
    return query select distinct 'constraint'::text, m[1], v_match[2], null::text from regexp_matches(v_rest, '(?:^|,) ?drop constraint (?:if exists )?(' || c_ident || ')', 'gi') as m;
    return query select distinct 'column'::text, coalesce(m[1], m[2]), v_match[2], null::text
      from regexp_matches(v_rest, '(?:^|,) ?drop (?:column (?:if exists )?(' || c_ident || ')|(?:if exists )?(?!(?:constraint|column|not|default|identity|expression|if)\M)(' || c_ident || '))', 'gi') as m;
  end if;
end
$$;

comment on function weft._name_taken_away(text) is 'Names what a statement without comments drops, renames or moves, and what that is called afterwards.';


-- Files that cannot be read here create nothing. Objects on a table disappear with it, and objects in a schema with that.
create or replace function weft._look_for_created(p_deployment uuid)
  returns table (path text, line integer, object jsonb, is_gone boolean, is_there boolean)
  stable
  set search_path = pg_catalog, pg_temp
  set enable_nestloop = off  -- rows that were just read have no statistics, and each would be compared with each
  set jit = off
  language sql
as $$
  with recursive statements as materialized (
    select row_number() over (order by s.ordinal, u.number) as place, s.path, weft._first_line(u.statement, u.line) as line, weft._flatten(weft._skip_comments(u.statement)) as flat
    from weft._steps as s
    join weft._artifacts as a on a.deployment_id = s.deployment_id and a.path = s.path
    cross join lateral weft._list_statements(weft._kept_text(s.deployment_id, s.path, a.digest)) as x
    cross join unnest(x.statements, x.lines) with ordinality as u (statement, line, number)
    where s.deployment_id = p_deployment and s.kind = 'run' and octet_length(u.statement) <= 65536 and weft._kept_text(s.deployment_id, s.path, a.digest) is not null
  ),
  taken as materialized (
    select t.place, t.path, t.line, n.kind, n.name, n."on", n.now, weft._last_of_name(n.name) as last, t.flat ~* '\mcascade\M' as is_wide, t.flat ~* '^alter (index|sequence|trigger)\M' as is_part
    from statements as t cross join lateral weft._name_taken_away(t.flat) as n
    where t.flat ~* '^(drop|alter|do)\M'
  ),
  temporaries as materialized (
    select e.place, e.path, e.name, e.last, min(t.place) as until
    from (
      select t.place, t.path, n.name[1] as name, weft._last_of_name(n.name[1]) as last
      from statements as t
      cross join lateral regexp_match(t.flat, '^create (?:(?:global |local )?temp(?:orary)? )table (?:if not exists )?(' || weft._name_pattern() || ')', 'i') as n (name)
      where t.flat ~* '^create ((global|local) )?temp' and n.name is not null) as e
    left join taken as t on t.path = e.path and t.last = e.last and t.kind = 'relation' and t.place > e.place and weft._is_same_name(t.name, e.name)
    group by e.place, e.path, e.name, e.last
  ),
  created as materialized (
    select t.place, t.path, t.line, o.object, coalesce(o.object ->> 'on', substring(t.flat from '(?i)^create .*? on (?:only )?(' || weft._name_pattern() || ')(?=$| [^.]|\()')) as "on",
      case when o.object ->> 'kind' = 'trigger' then substring(t.flat from '(?i) execute (?:function|procedure) (' || weft._name_pattern() || ')') end as calls,
      case when t.flat ~* '^create (unique )?index\M' then lower(t.flat collate "C") end as index,
      case when o.object ->> 'kind' = 'function' then jsonb_build_object('routine', case when t.flat ~* '^create (or replace )?procedure\M' then 'procedure' else 'function' end, 'arguments', weft._read_arguments(t.flat)) end as more
    from statements as t cross join lateral weft._name_created(t.flat) as o (object)
    where o.object is not null
    union
    select t.place, t.path, t.line, o.object, case o.object ->> 'kind' when 'statistics' then substring(t.flat from '(?i) from (' || weft._name_pattern() || ') ?$') else o.object ->> 'on' end, null, null, null
    from statements as t cross join lateral weft._name_added(t.flat) as o (object)
    union all
    select t.place, t.path, t.line, jsonb_strip_nulls(jsonb_build_object('kind', t.kind, 'name', t.now, 'on', case when t.kind in ('column', 'constraint', 'enum value') then t."on" end)), t."on", null, null, case when t.is_part then '{"part": true}'::jsonb end
    from taken as t
    where t.now is not null
  ),
  named as materialized (
    select c.*, row_number() over (order by c.place) as number, c.object ->> 'kind' as kind, c.object ->> 'name' as name
    from (select c.*, weft._last_of_name(c.object ->> 'name') as last, weft._last_of_name(c."on") as last_on, weft._fold_name(coalesce(c.object ->> 'on', c.object ->> 'name')) as parts from created as c) as c
    where c.object ->> 'name' !~* '^"?pg_temp"? ?\.' and coalesce(c."on", '') !~* '^"?pg_temp"? ?\.'
      -- a file's temporary table is not visible to other files
      and not exists (
        select from temporaries as e
        where e.path = c.path and e.last = c.last_on and e.place < c.place and coalesce(e.until >= c.place, true) and weft._is_same_name(e.name, c."on"))
  ),
  -- Created and removed objects are joined by key, because comparing each with each would be quadratic. If several statements remove the same object, the last counts.
  -- What a table loses under a new name, it had under the old one, if that was made before the table was renamed.
  lost as materialized (
    select t.kind, t.name, t."on", t.last, t.now, t.place, null::bigint as before from taken as t
    union all
    select t.kind, case t.kind when 'relation' then r.name else t.name end, case t.kind when 'column' then r.name end, case t.kind when 'relation' then r.last else t.last end, null, t.place, r.place
    from taken as r
    join taken as t on coalesce(t."on", t.name) is not null and weft._last_of_name(coalesce(t."on", t.name)) = weft._last_of_name(r.now) and t.place > r.place
    where r.kind = 'relation' and r.now is not null and t.now is null and t.kind in ('relation', 'column') and weft._is_same_name(case t.kind when 'relation' then t.name else t."on" end, r.now)
    union all  -- and a column
    select 'column', r.name, t."on", r.last, null, t.place, r.place from taken as r join taken as t on t.kind = 'column' and t.last = weft._last_of_name(r.now) and t.place > r.place and t.now is null and weft._is_same_name(t."on", r."on") where r.kind = 'column'
  ),
  links as materialized (
    select s.place, weft._last_of_name(n.parent) as parent, n.heir, n.is_over, weft._last_of_name(n.owner) as owner, weft._last_of_name(n.heir) as last
    from statements as s cross join lateral weft._name_heirs(s.flat) as n
    where s.flat ~* '\m(partition|inherits?|owned by)\M'
  ),
  followed as (
    select l.kind, l.name, l."on", l.last, l.now, l.place, l.before from lost as l
    union  -- and the same in what is a partition or an heir by then
    select e.kind, case e.kind when 'relation' then h.heir else f.name end, case when e.kind <> 'relation' then h.heir end, case e.kind when 'relation' then h.last else f.last end, f.now, f.place, null
    from followed as f
    join links as h on h.parent = weft._last_of_name(coalesce(f."on", f.name)) and not h.is_over and h.place < coalesce(f.before, f.place)
    cross join lateral (select case when f.kind = 'column' and h.owner is not null then 'relation' else f.kind end as kind) as e
    where (f.kind in ('column', 'constraint') or f.kind = 'relation' and f.now is null) and (f.kind = 'relation' or h.owner is null or f.kind = 'column' and h.owner = f.last and f.now is null)
      and not exists (select from links as o where o.is_over and o.parent = h.parent and o.last = h.last and o.place > h.place and o.place < f.place)
  ),
  takers as materialized (
    select k.key, t.name, t."on", t.now is null as is_gone, t.before, max(t.place) as place
    from followed as t
    cross join lateral (
      select array['any', t.last] where t.kind is null
      union all select array['same', t.kind, t.last] where t."on" is null and t.before is null
      union all select array['same on', t.kind, t.last, weft._last_of_name(t."on")] where t."on" is not null and t.before is null
      union all select array['index', t.last] where t.kind = 'relation' and t.before is null
      union all select array['calls', t.last] where t.kind = 'function' and t.now is null
      union all select array['on', t.kind, t.last] where t.kind in ('relation', 'type')
      union all select array['in', (weft._fold_name(t.name))[1]] where t.kind = 'schema'
      union all select array['column', weft._last_of_name(t."on")] where t.kind = 'column' and t.now is null) as k (key)
    group by k.key, t.name, t."on", t.now is null, t.before
  ),
  sought as materialized (
    select k.key, c.number, c.place, c.kind, c.name, c."on", c.calls, c.index, c.object ->> 'on' as its_on
    from named as c
    cross join lateral (
      select array['any', c.last]
      union select array['any', c.last_on] where c.last_on is not null
      union all select array['same', c.kind, c.last]
      union all select array['same on', c.kind, c.last, c.last_on] where c.last_on is not null
      union all select array['index', c.last] where c.kind = 'constraint'
      union all select array['on', 'relation', c.last_on] where c.last_on is not null
      union all select array['on', 'type', c.last_on] where c.last_on is not null and c.kind = 'enum value'
      union all select array['in', c.parts[1]] where cardinality(c.parts) > 1
      union all select array['column', c.last_on] where c.last_on is not null and (c.index is not null or c.kind in ('constraint', 'statistics'))
      union all select array['calls', weft._last_of_name(c.calls)] where c.calls is not null) as k (key)
  ),
  gone as materialized (
    select distinct c.number
    from sought as c
    join takers as t on t.key = c.key
    where t.place > c.place and (t.before is null or c.place < t.before) and case t.key[1]
      when 'any' then weft._is_same_name(t.name, c.name) or weft._is_same_name(t.name, c.its_on)
      when 'same on' then weft._is_same_name(t.name, c.name) and weft._is_same_name(t."on", c."on")
      when 'on' then weft._is_same_name(t.name, c."on") and (t.key[2] = 'type' or t.is_gone or c.kind in ('column', 'trigger', 'policy', 'constraint', 'rule', 'statistics'))
      when 'in' then true
      when 'column' then weft._is_same_name(t."on", c."on") and coalesce(c.index ~ concat('\m', regexp_replace(lower(weft._last_of_name(t.name) collate "C"), '(\W)', '\\\1', 'g'), '\M'), true)
      when 'calls' then weft._is_same_name(t.name, c.calls)
      else weft._is_same_name(t.name, c.name) end
  ),
  judged as (
    select c.*, c.number in (select g.number from gone as g)
      -- on what a part stands that was only renamed is not known, nor what took it along
      or coalesce(c.more ? 'part' and c.place < (select max(t.place) from taken as t where t.now is null), false)
      -- what CASCADE drops is not named there
      or c.kind <> all (array['relation', 'function', 'schema', 'type', 'extension', 'trigger', 'policy', 'column', 'enum value']) and coalesce(c.place < (select max(t.place) from taken as t where t.is_wide), false) as is_gone
    from named as c
  )
  select j.path, j.line, o.object, j.is_gone, j.is_gone or weft._is_created_there(o.object || coalesce(j.more, '{}'))
  from judged as j
  cross join lateral (select j.object || case when j.object ->> 'kind' in ('trigger', 'policy', 'rule') and j."on" is not null then jsonb_build_object('on', j."on") else '{}' end as object) as o
  order by j.place, o.object
$$;

comment on function weft._look_for_created(uuid) is 'Lists what the files of a deployment create, whether a later statement of theirs removes it again, and whether the catalog has it.';
