-- Which columns a data file has, what matters about its target, and every statement of the load as text.

-- The server knows for its indexes whether equal values of a type are the same byte for byte (support function 4, equalimage). They are not for 1.0 and 1.00,
-- for citext, under a collation for which upper and lower case are equal, or for character, which ignores trailing blanks.
create or replace function weft._is_exact(p_type oid, p_collation oid)
  returns boolean
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select t.oid <> 'bpchar'::regtype
    and coalesce((select c.collisdeterministic from pg_collation as c where c.oid = p_collation), true)
    and exists (
      select from pg_opclass as k
      join pg_am as m on m.oid = k.opcmethod and m.amname = 'btree'
      join pg_amproc as p on p.amprocfamily = k.opcfamily and p.amproclefttype = k.opcintype and p.amprocrighttype = k.opcintype and p.amprocnum = 4
      where k.opcdefault and k.opcintype = case when t.typtype = 'e' then 'anyenum'::regtype when t.oid = 'varchar'::regtype then 'text'::regtype else t.oid end)
  from pg_type as t
  where t.oid = p_type
$$;

comment on function weft._is_exact(oid, oid) is 'Tells whether equal values of a type are always identical, under a collation.';


create or replace function weft._describe_columns(p_target regclass, p_columns text[], p_partial text[], p_key text[])
  returns table (name text, place integer, type text, equality name, is_key boolean, is_partial boolean, is_always boolean, is_required boolean, default_value text, is_constant boolean, is_exact boolean, domain text, base text)
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select
    c.name, c.place::integer,
    -- a NOT NULL domain that some objects of the file lack gets its default later: until then, it is read as its base type
    case when t.refuses_null and c.name = any (coalesce(p_partial, '{}')) and c.name <> all (p_key) then format_type(t.base, t.typmod) else format_type(a.atttypid, a.atttypmod) end || coalesce((select format(' collate %I.%I', n.nspname, l.collname) from pg_collation as l join pg_namespace as n on n.oid = l.collnamespace where l.oid = a.attcollation), ''),
    -- an extension's type has its operator in its own schema, named by an operator class, which only superusers make: nobody else's "=" is ever called
    coalesce((
      select n.nspname
      from pg_opclass as k
      join pg_am as m on m.oid = k.opcmethod and m.amname in ('btree', 'hash')
      join pg_amop as s on s.amopfamily = k.opcfamily and s.amoplefttype = t.base and s.amoprighttype = t.base and s.amopstrategy = case m.amname when 'btree' then 3 else 1 end
      join pg_operator as o on o.oid = s.amopopr and o.oprname = '='
      join pg_namespace as n on n.oid = o.oprnamespace
      where k.opcdefault and k.opcintype = t.base
      order by m.amname limit 1), 'pg_catalog'),
    c.name = any (p_key), c.name = any (coalesce(p_partial, '{}')), a.attidentity = 'a', a.attnotnull,
    coalesce(
      pg_get_expr(d.adbin, d.adrelid), t.default_value,
      (select format('pg_catalog.nextval(%L::pg_catalog.regclass)', q.objid::regclass) from pg_depend as q
       where a.attidentity <> '' and q.classid = 'pg_class'::regclass and q.refclassid = 'pg_class'::regclass and q.refobjid = a.attrelid and q.refobjsubid = a.attnum and q.deptype = 'i'),
      'null'),
    a.attidentity = '' and coalesce(d.adbin::text, t.default_tree, '{CONST') like '{CONST%',
    weft._is_exact(t.base, a.attcollation),
    case when a.atttypid <> t.base then format_type(a.atttypid, null) end,
    case when a.atttypid <> t.base then (select format('::%I.%I', n.nspname, y.typname) from pg_type as y join pg_namespace as n on n.oid = y.typnamespace where y.oid = t.base) end
  from unnest(p_columns) with ordinality as c (name, place)
  join pg_attribute as a on a.attrelid = p_target and a.attname = c.name and a.attnum > 0 and not a.attisdropped
  left join pg_attrdef as d on d.adrelid = a.attrelid and d.adnum = a.attnum
  cross join lateral (
    with recursive chain as (
      select y.oid, y.typbasetype, y.typdefaultbin, y.typnotnull, y.typtypmod, 1 as depth from pg_type as y where y.oid = a.atttypid
      union all
      select y.oid, y.typbasetype, y.typdefaultbin, y.typnotnull, y.typtypmod, h.depth + 1 from chain as h join pg_type as y on y.oid = h.typbasetype
    )
    select (array_agg(h.oid order by h.depth desc))[1] as base, bool_or(h.typnotnull) as refuses_null,
           coalesce((array_agg(h.typtypmod order by h.depth) filter (where h.typtypmod >= 0))[1], -1) as typmod,
           (array_agg(pg_get_expr(h.typdefaultbin, 0) order by h.depth) filter (where h.typdefaultbin is not null))[1] as default_value,
           (array_agg(h.typdefaultbin::text order by h.depth) filter (where h.typdefaultbin is not null))[1] as default_tree
    from chain as h
  ) as t
$$;

comment on function weft._describe_columns(regclass, text[], text[], text[]) is 'Tells what the catalog says about each column that a file has.';


create or replace function weft._check_target(p_target regclass, p_mode text, p_key text[], p_columns text[])
  returns void
  stable
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_names  text := (select string_agg(quote_ident(a.attname), ', ' order by a.attnum) from pg_attribute as a
                    where a.attrelid = p_target and a.attnum > 0 and not a.attisdropped and a.attgenerated = '');
  v_kind   "char" := (select c.relkind from pg_class as c where c.oid = p_target);
  v_wrong  text;
begin
  if v_kind not in ('r', 'p') and (p_mode <> 'insert' or v_kind not in ('v', 'f')) then
    raise exception '% is no table (into).', p_target
      using errcode = 'WF034', hint = 'A load goes into a table; with "mode: insert" into a view or a foreign table too.';
  elsif exists (select from pg_class as c where c.oid = p_target and c.relnamespace in ('weft'::regnamespace, 'pg_catalog'::regnamespace)) then
    raise exception '% is none of your tables (into).', p_target using errcode = 'WF034', hint = 'Schema weft and the catalog are not loaded into.';
  end if;
  select string_agg(quote_ident(c.name), ', ') into v_wrong
  from unnest(p_columns) as c (name)
  where not exists (select from pg_attribute as a where a.attrelid = p_target and a.attname = c.name and a.attnum > 0 and not a.attisdropped);
  if v_wrong is not null then
    raise exception '% has no column %.', p_target, v_wrong
      using errcode = 'WF032', table = p_target::text, hint = format('Its columns: %s. They are called in the file just as in the table, in upper and lower case too.', v_names);
  end if;

  select string_agg(quote_ident(c.name), ', ') into v_wrong from (select u.name from unnest(p_columns) as u (name) group by u.name having count(*) > 1) as c;
  if v_wrong is not null then
    raise exception 'The file gives % more than once.', v_wrong using errcode = 'WF032', hint = 'Every column stands there once.';
  end if;

  select string_agg(quote_ident(a.attname), ', ' order by a.attnum) into v_wrong
  from pg_attribute as a where a.attrelid = p_target and a.attname = any (p_columns) and a.attgenerated <> '';
  if v_wrong is not null then
    raise exception '% is generated, and the file gives values for it.', v_wrong
      using errcode = 'WF032', table = p_target::text, hint = 'Leave the column out of the file; the server computes it.';
  end if;

  if p_mode = 'insert' then
    return;
  elsif cardinality(p_key) = 0 then
    raise exception 'The load has the mode %, and no key.', p_mode using errcode = 'WF032', hint = 'Say which columns make rows the same: "key: [code]".';
  end if;
  select string_agg(quote_ident(k.name), ', ') into v_wrong from unnest(p_key) as k (name) where k.name <> all (p_columns);
  if v_wrong is not null then
    raise exception 'The file does not give %, and the rows are told apart by it (key).', v_wrong
      using errcode = 'WF032', hint = format('It gives %s.', (select string_agg(quote_ident(c.name), ', ') from unnest(p_columns) as c (name)));
  end if;
  select string_agg(quote_ident(a.attname), ', ' order by a.attnum) into v_wrong
  from pg_attribute as a where a.attrelid = p_target and a.attname = any (p_columns) and a.attname <> all (p_key) and a.attidentity = 'a';
  if v_wrong is not null then
    raise exception '% is always generated as identity, so that no update can set it.', v_wrong
      using errcode = 'WF032', table = p_target::text, hint = 'Make it the key, or leave it out of the file.';
  end if;
end
$$;

comment on function weft._check_target(regclass, text, text[], text[]) is 'Refuses a target that is no table, and by name columns of a file that it lacks, or that nothing can be loaded into.';


create or replace function weft._is_own_parent(p_target regclass)
  returns boolean
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select exists (select from pg_constraint as k where k.conrelid = p_target and k.confrelid = p_target and k.contype = 'f')
$$;

comment on function weft._is_own_parent(regclass) is 'Tells whether rows of a table reference others of the same table.';


-- Loading part by part instead of in one statement is allowed only if no trigger, no rule and no row of the same load could see the difference.
-- For upsert and sync, it also takes an empty table with a unique index on the key.
create or replace function weft._can_go_straight(p_target regclass, p_mode text, p_key text[])
  returns boolean
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select c.relkind = 'r' and not c.relhasrules and not weft._is_own_parent(p_target)
    and not exists (select from pg_trigger as g where g.tgrelid = c.oid and not g.tgisinternal)
    and (p_mode = 'insert' or exists (
      select from pg_index as i
      where i.indrelid = c.oid and i.indisunique and i.indisvalid and i.indimmediate and i.indpred is null and i.indexprs is null
        and array(select a.attname::text from unnest(i.indkey[:i.indnkeyatts - 1]) as k (number) join pg_attribute as a on a.attrelid = c.oid and a.attnum = k.number and a.attnotnull order by 1)
          = array(select k.name from unnest(p_key) as k (name) order by 1)))
  from pg_class as c
  where c.oid = p_target
$$;

comment on function weft._can_go_straight(regclass, text, text[]) is 'Tells whether rows may go into a table part by part.';


-- A unique index on the key, or on a part of it, means that no two rows share a key, and nobody has to look.
create or replace function weft._keeps_apart(p_target regclass, p_key text[])
  returns boolean
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select exists (
    select from pg_index as i
    where i.indrelid = p_target and i.indisunique and i.indisvalid and i.indimmediate and i.indpred is null and i.indexprs is null
      and p_key @> array(select a.attname::text from unnest(i.indkey[:i.indnkeyatts - 1]) as k (number) join pg_attribute as a on a.attrelid = p_target and a.attnum = k.number))
$$;

comment on function weft._keeps_apart(regclass, text[]) is 'Tells whether an index of a table prevents two rows with one key.';


-- Before triggers, rules and row security may silently suppress rows, on the table or on one that inherits from it.
create or replace function weft._may_leave_rows(p_target regclass)
  returns boolean
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  with recursive tree as (
    select c.oid from pg_class as c where c.oid = p_target
    union
    select i.inhrelid from tree as t join pg_inherits as i on i.inhparent = t.oid
  )
  select exists (
    select from tree as t join pg_class as c on c.oid = t.oid
    where c.relrowsecurity or c.relhasrules or c.relkind = 'f'
       or exists (select from pg_trigger as g where g.tgrelid = c.oid and not g.tgisinternal and g.tgenabled <> 'D' and g.tgtype & 1 = 1 and g.tgtype & 2 = 2))
$$;

comment on function weft._may_leave_rows(regclass) is 'Tells whether a statement may silently skip rows that it should insert, update or delete.';


-- The rows of a part: each as it was read (r), its number (n), its text, and its JSON object (o).
create or replace function weft._rows_of_part(p_format text, p_null text, p_columns integer)
  returns text
  immutable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select case p_format when 'csv' then
      'select (''('' operator(pg_catalog.||) l.text operator(pg_catalog.||) '')'')::pg_temp._weft_row as r, l.n, l.text, null::pg_catalog.json as o from '
      || case when p_columns = 1 and p_null <> '' then  -- a single NULL would be an empty text, in which no row is found
           '(select t.text, t.n from pg_catalog.string_to_table($1, $2) with ordinality as t (text, n) union all select '''', 1 where $1 operator(pg_catalog.=) '''') as l (text, n)'
         else 'pg_catalog.string_to_table($1, $2) with ordinality as l (text, n)' end
    when 'ndjson' then
      'select pg_catalog.json_populate_record(null::pg_temp._weft_row, l.text::pg_catalog.json) as r, l.n, l.text, l.text::pg_catalog.json as o from pg_catalog.string_to_table($1, $2) with ordinality as l (text, n)'
    else
      'select pg_catalog.json_populate_record(null::pg_temp._weft_row, l.object) as r, l.n, null::pg_catalog.text as text, l.object as o from pg_catalog.json_array_elements($1::pg_catalog.json) with ordinality as l (object, n)'
    end
    || ' where l.n operator(pg_catalog.>=) $3 and l.n operator(pg_catalog.<=) $4'
    || case when p_format = 'ndjson' then $sql$ and l.text operator(pg_catalog.!~) '^\s*$'$sql$
         -- an empty line is no record, unless there is one field and NULL is not written as empty: then it is an empty text
         when p_format = 'csv' and (p_columns > 1 or p_null = '') then format(' and l.text operator(pg_catalog.<>) %L', case p_null when '' then '' else '""' end)
         else '' end
$$;

comment on function weft._rows_of_part(text, text, integer) is 'Writes the query that reads the rows of a part of a file.';


-- The statements run under the path and the role of the file, so everything in them is qualified, operators too. In each, $1 is the text of
-- the rows, $2 what separates them, $3 and $4 the first and the last one, $5 the number of the line, or of the object, before them.
create or replace function weft._plan_load(
    p_target regclass, p_options jsonb, p_format text, p_columns text[], p_partial text[],
    out set_up text, out cast_sql text, out direct_sql text, out stage_sql text, out stage_long_sql text, out apply_sql text, out probe_sql text,
    out nulls_sql text, out twice_sql text, out shared_sql text, out lock_sql text, out empty_sql text)
  stable
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_mode     text := coalesce(p_options ->> 'mode', 'insert');
  v_key      text[] := array(select jsonb_array_elements_text(p_options -> 'key'));
  v_rows     text := weft._rows_of_part(p_format, coalesce(p_options ->> 'null_as', ''), cardinality(p_columns));
  v_target   text;
  v_only     text;      -- the target without tables that inherit from it, about which a file says nothing
  v_us       text;
  v_columns  record;
  v_insert   text;
  v_changed  text;
  v_new      text;
  v_bounds   text;
  v_is_new   text;      -- condition on a row of the file
  v_is_changed text;    -- condition on a row of the table and its row of the file
  v_is_gone  text;      -- condition on a row of the table
begin
  select format('%I.%I', n.nspname, c.relname), format('%s%I.%I', case c.relkind when 'r' then 'only ' else '' end, n.nspname, c.relname), quote_ident(c.relname) into strict v_target, v_only, v_us
  from pg_class as c join pg_namespace as n on n.oid = c.relnamespace where c.oid = p_target;

  select
    string_agg(format('%I %s', c.name, c.type), ', ' order by c.place) as definitions,
    string_agg(quote_ident(c.name), ', ' order by c.place) as names,
    string_agg(format('(x.r).%I', c.name), ', ' order by c.place) as fields,
    string_agg(format(', _weft_has_%s pg_catalog.bool', c.place), '' order by c.place) filter (where c.is_partial) as flags,
    string_agg(format(', (x.o operator(pg_catalog.->) %L) is not null', c.name), '' order by c.place) filter (where c.is_partial) as has,
    string_agg(case when c.is_partial then format('(case when _weft_file._weft_has_%s then _weft_file.%I else %s end)%s', c.place, c.name, c.default_value, '::' || c.domain)
      else format('_weft_file.%I', c.name) end, ', ' order by c.place) as made,
    -- a domain is compared as its base type: otherwise, the server would prefer an operator that somebody made for the domain
    string_agg(format('%s.%I%s operator(%I.=) _weft_file.%I%s', v_us, c.name, c.base, c.equality, c.name, c.base), ' and ' order by c.place) filter (where c.is_key) as is_same,
    string_agg(format('_weft_file.%I', c.name), ', ' order by c.place) filter (where c.is_key) as key,
    string_agg(format('_weft_file.%I is null', c.name), ' or ' order by c.place) filter (where c.is_key) as has_no_key,
    string_agg(format('%s.%I', v_us, c.name), ', ' order by c.place) filter (where c.is_set) as there,
    string_agg(c.wanted, ', ' order by c.place) filter (where c.is_set) as wanted,
    string_agg(format('%I = %s', c.name, c.wanted), ', ' order by c.place) filter (where c.is_set) as sets,
    bool_or(c.is_always) as is_overriding
  into strict v_columns
  from (
    select d.*,
      -- an equal key may still differ from the file's
      not d.is_key or not d.is_exact and not d.is_always as is_set,
      -- members that only some objects have get the column's default in the others; in existing rows, only if it is constant
      case when not d.is_partial or d.is_key then format('_weft_file.%I', d.name)
        -- without the cast, the domain would become its base type
        else format('(case when _weft_file._weft_has_%s then _weft_file.%I else %s end)%s', d.place, d.name, case when d.is_constant then d.default_value else format('%s.%I', v_us, d.name) end, '::' || d.domain)
      end as wanted
    from weft._describe_columns(p_target, p_columns, p_partial, v_key) as d
  ) as c;

  set_up := format('create type pg_temp._weft_row as (%s); create temporary table _weft_load (_weft_line pg_catalog.int8, %s%s)', v_columns.definitions, v_columns.definitions, v_columns.flags);
  cast_sql := format('select pg_catalog.count(x.r) from (%s) as x', v_rows);
  v_insert := format('insert into %s (%s)%s', v_target, v_columns.names, case when v_columns.is_overriding then ' overriding system value' end);
  direct_sql := format('%s select %s from (%s offset 0) as x', v_insert, v_columns.fields, v_rows);
  stage_sql := format('insert into pg_temp._weft_load select $5 operator(pg_catalog.+) x.n, %s%s from (%s offset 0) as x', v_columns.fields, v_columns.has, v_rows);
  -- for records that contain line ends
  stage_long_sql := format('insert into pg_temp._weft_load select $5 operator(pg_catalog.+) x.n operator(pg_catalog.+) x.held, %s%s from ('
    || 'select y.*, coalesce(pg_catalog.sum(pg_catalog.octet_length(y.text) operator(pg_catalog.-) pg_catalog.octet_length(pg_catalog.replace(y.text, E''\n'', '''')))'
    || ' over (order by y.n rows between unbounded preceding and 1 preceding), 0)::pg_catalog.int8 as held from (%s) as y offset 0) as x', v_columns.fields, v_columns.has, v_rows);

  v_bounds := '_weft_file._weft_line operator(pg_catalog.>=) $3 and _weft_file._weft_line operator(pg_catalog.<=) $4';
  v_new := format('%s select %s from pg_temp._weft_load as _weft_file where %s', v_insert, v_columns.made, v_bounds);
  if v_mode = 'insert' then
    apply_sql := v_new;
    probe_sql := v_new;
    return;
  end if;

  -- One statement, so that foreign keys are checked when all of it is done; its parts run one after the other, so that deleted rows are not in
  -- the way of new ones. Rows are compared as they are stored: values that are equal only for an operator are not what the file says.
  v_is_new := format('not exists (select from %s as %s where %s)', v_only, v_us, v_columns.is_same);
  v_is_changed := format('%s and row(%s)::pg_catalog.record operator(pg_catalog.*<>) row(%s)::pg_catalog.record and %s', v_columns.is_same, v_columns.there, v_columns.wanted, v_bounds);
  v_is_gone := format('%s not exists (select from pg_temp._weft_load as _weft_file where %s)',
    case when p_options ? 'where' then format('(%s%s) and', p_options ->> 'where', E'\n') end, v_columns.is_same);
  v_new := v_new || ' and ' || v_is_new;
  v_changed := format('update %s as %s set %s from pg_temp._weft_load as _weft_file where %s', v_only, v_us, v_columns.sets, v_is_changed);
  if v_columns.sets is null then
    v_changed := 'select where false';
  end if;
  probe_sql := format('with changed as (%s) %s', v_changed || case when v_columns.sets is not null then ' returning 1' else '' end, v_new);
  apply_sql := format('with gone as (%s), changed as (%s), made as (%s)'
    || ' select (select pg_catalog.count(*) from made), (select pg_catalog.count(*) from changed), (select pg_catalog.count(*) from gone), %s',
    case v_mode when 'sync' then format('delete from %s as %s where %s returning 1', v_only, v_us, v_is_gone) else 'select where false' end,
    v_changed || case when v_columns.sets is not null then ' and (select pg_catalog.count(*) from gone) operator(pg_catalog.>=) 0 returning 1' else '' end,
    v_new || ' and (select pg_catalog.count(*) from changed) operator(pg_catalog.>=) 0 and (select pg_catalog.count(*) from gone) operator(pg_catalog.>=) 0 returning 1',
    case when weft._may_leave_rows(p_target) then
      format('array[(select pg_catalog.count(*) from pg_temp._weft_load as _weft_file where %s and %s), ', v_bounds, v_is_new)
        || case when v_columns.sets is null then '0, ' else format('(select pg_catalog.count(*) from %s as %s, pg_temp._weft_load as _weft_file where %s), ', v_only, v_us, v_is_changed) end
        || case v_mode when 'sync' then format('(select pg_catalog.count(*) from %s as %s where %s)', v_only, v_us, v_is_gone) else '0' end || ']'
      else 'null::pg_catalog.int8[]' end);
  nulls_sql := format('select pg_catalog.min(_weft_file._weft_line) from pg_temp._weft_load as _weft_file where %s', v_columns.has_no_key);
  twice_sql := format('select pg_catalog.min(_weft_file._weft_line), pg_catalog.max(_weft_file._weft_line), pg_catalog.count(*), pg_catalog.concat_ws('', '', %s)'
    || ' from pg_temp._weft_load as _weft_file group by %s having pg_catalog.count(*) operator(pg_catalog.>) 1 order by 1 limit 1', v_columns.key, v_columns.key);
  if not weft._keeps_apart(p_target, v_key) then
    shared_sql := format('select _weft_file._weft_line, pg_catalog.count(*), pg_catalog.concat_ws('', '', %s) from %s as %s, pg_temp._weft_load as _weft_file where %s'
      || ' group by _weft_file._weft_line, %s having pg_catalog.count(*) operator(pg_catalog.>) 1 order by 1 limit 1', v_columns.key, v_only, v_us, v_columns.is_same, v_columns.key);
  end if;
  lock_sql := format('lock table %s in share row exclusive mode', v_only);
  empty_sql := format('select not exists (select from %s)', v_only);
end
$$;

comment on function weft._plan_load(regclass, jsonb, text, text[], text[]) is 'Writes the statements of a load.';
