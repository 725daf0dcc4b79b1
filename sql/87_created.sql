-- What the files of a bundle leave in the catalog, by its name: what they create, without what a later statement drops, renames or moves.
-- By that a baseline is held against the catalog.
--
-- Tokens name what is looked for, and the catalog answers. What is temporary is not looked for, nor what a DO block makes, nor what is data, a right or a
-- comment. A statement that drops or renames something of an object (a column, a constraint, a default) leaves the object where it is.

-- What stands in the parentheses behind the name of a function; null where there is anything in it that this does not read.
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

comment on function weft._name_types(oid) is 'Names the types of what a function is called with, without their schemas.';


-- The server reads them: a function with them is made, looked at, and taken back. Types are those of any schema. Null where it makes none.
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
  -- one that has OUT says by them what it returns
  foreach v_form in array case p_routine when 'procedure' then array['procedure pg_temp.weft_asks(%s)'] else array['function pg_temp.weft_asks(%s) returns void', 'function pg_temp.weft_asks(%s)'] end loop
    begin
      v_set := pg_catalog.set_config('search_path', v_path, true);
      execute pg_catalog.concat('create ', pg_catalog.format(v_form, p_arguments), ' language sql as ''''');
      v_set := pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
      v_types := (select weft._name_types(f.oid) from pg_proc as f where f.proname = 'weft_asks' and f.pronamespace = pg_my_temp_schema());
      raise exception using errcode = 'WF003';
    exception when others then  -- which leaves nothing behind
      exit when v_types is not null;
    end;
  end loop;
  return v_types;
end
$$;

comment on function weft._ask_for_types(text, text) is 'Lists the types of what a function is called with, by their names without schema; null where the server cannot tell.';


-- A name without a schema is looked for in all of them: which search_path it was made under is not known.
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
  end;
exception when invalid_parameter_value or syntax_error then  -- no name: then it is not looked for
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


-- What a statement takes away, and by which name it is there afterwards. Kinds are those of weft._name_created; null is any. A column has its table ("on"), a
-- trigger and a policy too, and the other name ("now") is without a value where the object is gone.
create or replace function weft._name_taken_away(p_flat text)
  returns table (kind text, name text, "on" text, now text)
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  c_ident  constant text := '(?:"(?:[^"]|"")*"|[^][\s"''(),;.]+)';
  c_name   constant text := c_ident || '(?: ?\. ?' || c_ident || ')*';
  c_kinds  constant jsonb := '{"table": "relation", "view": "relation", "sequence": "relation", "index": "relation", "function": "function", "procedure": "function", "routine": "function",
    "aggregate": "function", "schema": "schema", "type": "type", "domain": "type", "extension": "extension", "trigger": "trigger", "policy": "policy"}';
  c_start  constant text := '(?:foreign |materialized )?(table|view|sequence|index|function|procedure|routine|aggregate|schema|type|domain|extension|trigger|policy) (?:concurrently )?(?:if exists )?(?:only )?';
  v_match  text[];
  v_kind   text;
  v_rest   text;
begin
  if p_flat ~* '^do\M' then  -- what it runs is not known; what it names may be gone, if it is that kind of block
    if p_flat ~* '\m(drop|rename|execute)\M|\mset schema\M' then
      return query select distinct null::text, m[1], null::text, null::text from regexp_matches(p_flat, '("(?:[^"]|"")*"|[^][\s"''(),;.]+)', 'g') as m;
    end if;
    return;
  end if;
  v_match := regexp_match(p_flat, '^drop ' || c_start || '(.*)$', 'i');
  if v_match is not null then
    v_kind := c_kinds ->> lower(v_match[1] collate "C");
    if v_kind in ('trigger', 'policy') then
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
  v_kind := c_kinds ->> lower(v_match[1] collate "C");
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
  elsif v_kind = 'relation' then
    return query select distinct 'column'::text, coalesce(m[1], m[2]), v_match[2], null::text
      from regexp_matches(v_rest, '(?:^|,) ?drop (?:column (?:if exists )?(' || c_ident || ')|(?:if exists )?(?!(?:constraint|column|not|default|identity|expression|if)\M)(' || c_ident || '))', 'gi') as m;
  end if;
end
$$;

comment on function weft._name_taken_away(text) is 'Names what a statement without comments drops, renames or moves, and what that is called afterwards.';


-- Files that cannot be read here have none. What is made on a table goes with it, and what is in a schema with that.
create or replace function weft._look_for_created(p_deployment uuid)
  returns table (path text, line integer, object jsonb, is_gone boolean, is_there boolean)
  stable
  set search_path = pg_catalog, pg_temp
  set jit = off
  language sql
as $$
  with statements as materialized (
    select row_number() over (order by s.ordinal, u.number) as place, s.path, weft._first_line(u.statement, u.line) as line, weft._flatten(weft._skip_comments(u.statement)) as flat
    from weft._steps as s
    join weft._artifacts as a on a.deployment_id = s.deployment_id and a.path = s.path
    cross join lateral weft._split(weft._new_scanner(), weft._kept_text(s.deployment_id, s.path, a.digest), true) as x
    cross join unnest(x.statements, x.lines) with ordinality as u (statement, line, number)
    where s.deployment_id = p_deployment and s.kind = 'run' and octet_length(u.statement) <= 65536 and weft._kept_text(s.deployment_id, s.path, a.digest) is not null
  ),
  taken as materialized (
    select t.place, t.path, t.line, n.kind, n.name, n."on", n.now, weft._last_of_name(n.name) as last
    from statements as t cross join lateral weft._name_taken_away(t.flat) as n
    where t.flat ~* '^(drop|alter|do)\M'
  ),
  created as materialized (
    select t.place, t.path, t.line, o.object, coalesce(o.object ->> 'on', substring(t.flat from '(?i)^create .*? on (?:only )?((?:"(?:[^"]|"")*"|[^][\s"''(),;.]+)(?: ?\. ?(?:"(?:[^"]|"")*"|[^][\s"''(),;.]+))*)(?=$| [^.]|\()')) as "on",
      case when o.object ->> 'kind' = 'function' then jsonb_build_object('routine', case when t.flat ~* '^create (or replace )?procedure\M' then 'procedure' else 'function' end, 'arguments', weft._read_arguments(t.flat)) end as more
    from statements as t cross join lateral weft._name_created(t.flat) as o (object)
    where o.object is not null
    union all
    select t.place, t.path, t.line, jsonb_strip_nulls(jsonb_build_object('kind', t.kind, 'name', t.now, 'on', case when t.kind = 'column' then t."on" end)), t."on", null
    from taken as t
    where t.now is not null
  ),
  named as materialized (
    select c.*, weft._last_of_name(c.object ->> 'name') as last, weft._last_of_name(c."on") as last_on from created as c
  ),
  judged as (
    select c.*, exists (
        select from taken as t
        where t.place > c.place and case when t.last = c.last or t.last = c.last_on or t.kind = 'schema' then  -- most are others, and cost little so
          t.kind is null and (weft._is_same_name(t.name, c.object ->> 'name') or weft._is_same_name(t.name, c.object ->> 'on'))
          or t.kind = c.object ->> 'kind' and weft._is_same_name(t.name, c.object ->> 'name') and (t."on" is null or weft._is_same_name(t."on", c."on"))
          or t.kind = 'relation' and weft._is_same_name(t.name, c."on") and (t.now is null or c.object ->> 'kind' in ('column', 'trigger', 'policy'))
          or t.kind = 'schema' and cardinality(weft._fold_name(coalesce(c.object ->> 'on', c.object ->> 'name'))) > 1 and (weft._fold_name(coalesce(c.object ->> 'on', c.object ->> 'name')))[1] = (weft._fold_name(t.name))[1]
        else false end) as is_gone
    from named as c
  )
  select j.path, j.line, o.object, j.is_gone, j.is_gone or weft._is_created_there(o.object || coalesce(j.more, '{}'))
  from judged as j
  cross join lateral (select j.object || case when j.object ->> 'kind' in ('trigger', 'policy') and j."on" is not null then jsonb_build_object('on', j."on") else '{}' end as object) as o
  order by j.place
$$;

comment on function weft._look_for_created(uuid) is 'Lists what the files of a deployment create, whether a later statement of them takes it away again, and whether the catalog has it.';
