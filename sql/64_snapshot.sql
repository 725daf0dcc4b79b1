-- The catalog as rows, and as one hash; what one catalog has that another has not.

create or replace function weft._expand_catalog(p_catalog text)
  returns table (kind text, identity text, definition text, columns text[])
  immutable parallel safe
  rows 5000
  set search_path = pg_catalog, pg_temp
  set jit = off
  language sql
as $$
  with objects as materialized (
    select o.number, split_part(o.object, E'\x1f', 1) as kind, split_part(o.object, E'\x1f', 2) as identity, split_part(o.object, E'\x1f', 3) as definition
    from string_to_table(p_catalog, E'\x1e') with ordinality as o (object, number)
  ),
  parts as materialized (
    select o.number, o.kind like '%view' as is_view, o.identity, p.place, count(*) over (partition by o.number) as places, p.part,
           case when p.part like '"%' then substring(p.part from '^"(?:[^"]|"")*"') else split_part(p.part, ' ', 1) end as name
    from objects as o
    cross join lateral string_to_table(o.definition, E'\x1d') with ordinality as p (part, place)
    where o.definition like E'%\x1d%'
  ),
  relations as materialized (
    select p.number, max(p.part) filter (where p.place = 1) as definition,
           max(p.part) filter (where p.is_view and p.place = p.places) as text,
           array_agg(p.name order by p.place) filter (where p.place > 1 and not p.is_view) as columns
    from parts as p
    group by p.number
  )
  select o.kind, o.identity, case when r.number is null then o.definition else concat_ws(E'\n', r.definition, r.text) end, r.columns
  from objects as o
  left join relations as r on r.number = o.number
  union all
  select 'column', p.identity || '.' || p.name, substr(p.part, length(p.name) + 2), null
  from parts as p
  where p.place > 1 and (p.place < p.places or not p.is_view)
$$;

comment on function weft._expand_catalog(text) is 'Takes a catalog that was read as one text apart into objects, columns too.';


create or replace function weft.snapshot()
  returns table (kind text, identity text, definition text)
  stable
  rows 5000
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select e.kind, e.identity, concat_ws(E'\n', e.definition, 'columns ' || array_to_string(e.columns, ', ')) from weft._expand_catalog(weft._read_catalog()) as e
$$;

comment on function weft.snapshot() is 'Shows the catalog as rows: kind, identity and definition of each object that is neither Weft''s nor an extension''s.';


create or replace function weft._hash_catalog(p_catalog text)
  returns text
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select concat_ws(':', '1', current_setting('server_version_num')::integer / 10000, encode(sha256(weft._to_bytes(coalesce(p_catalog, ''))), 'hex'))
$$;

comment on function weft._hash_catalog(text) is 'Hashes a catalog that was read: version of the reading, major version of the server, SHA-256.';


create or replace function weft.fingerprint()
  returns text
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select weft._hash_catalog(weft._read_catalog())
$$;

comment on function weft.fingerprint() is
  'Hashes the snapshot: version of the reading, major version of the server, SHA-256. Equal fingerprints of one version mean equal snapshots.';


-- Only texts that differ are taken apart.
create or replace function weft._pair_differing(p_before text, p_after text)
  returns table (kind text, identity text, before text, after text)
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  set enable_nestloop = off
  set jit = off
  language sql
as $$
  with
  befores as materialized (select o.object from string_to_table(p_before, E'\x1e') as o (object)),
  afters as materialized (select o.object from string_to_table(p_after, E'\x1e') as o (object))
  select coalesce(b.kind, a.kind), coalesce(b.identity, a.identity), b.object, a.object
  from (
    select split_part(o.object, E'\x1f', 1) as kind, split_part(o.object, E'\x1f', 2) as identity, o.object
    from (select * from befores except all select * from afters) as o
  ) as b
  full join (
    select split_part(o.object, E'\x1f', 1) as kind, split_part(o.object, E'\x1f', 2) as identity, o.object
    from (select * from afters except all select * from befores) as o
  ) as a on a.kind = b.kind and a.identity = b.identity
$$;

comment on function weft._pair_differing(text, text) is 'Pairs the objects that differ between two catalogs, each as its catalog has it; null on the side that lacks it.';


create or replace function weft._compare_catalogs(p_before text, p_after text)
  returns table (change text, kind text, identity text, before text, after text)
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  set enable_nestloop = off
  set jit = off
  language plpgsql
as $$
begin
  return query
  with
  pairs as materialized (select p.kind, p.identity, p.before, p.after from weft._pair_differing(p_before, p_after) as p),
  -- relations that are on both sides are compared with each of their columns
  details as (
    select coalesce(b.kind, a.kind) as kind, coalesce(b.identity, a.identity) as identity, b.definition as before, a.definition as after, b.columns as columns_before, a.columns as columns_after,
           -- columns that are on both sides have another order
           array(select c from unnest(b.columns) as c where c = any (a.columns)) is distinct from array(select c from unnest(a.columns) as c where c = any (b.columns)) as is_reordered
    from weft._expand_catalog((select string_agg(p.before, E'\x1e') from pairs as p where p.after is not null)) as b
    full join weft._expand_catalog((select string_agg(p.after, E'\x1e') from pairs as p where p.before is not null)) as a on a.kind = b.kind and a.identity = b.identity
  )
  select case when p.before is null then 'added' else 'removed' end, p.kind, p.identity,
         replace(split_part(p.before, E'\x1f', 3), E'\x1d', E'\n'), replace(split_part(p.after, E'\x1f', 3), E'\x1d', E'\n')
  from pairs as p
  where p.before is null or p.after is null
  union all
  select case when d.before is null then 'added' when d.after is null then 'removed' else 'changed' end, d.kind, d.identity,
         case when d.before is not null then concat_ws(E'\n', d.before, case when d.is_reordered then 'columns ' || array_to_string(d.columns_before, ', ') end) end,
         case when d.after is not null then concat_ws(E'\n', d.after, case when d.is_reordered then 'columns ' || array_to_string(d.columns_after, ', ') end) end
  from details as d
  where d.before is distinct from d.after or d.is_reordered
  order by 3, 2;
end
$$;

comment on function weft._compare_catalogs(text, text) is 'Names what differs between two catalogs that were read: added, removed or changed, with both definitions.';


create or replace function weft._list_differences(p_before text, p_after text, p_limit integer default null, p_removed text default 'removed', out count bigint, out objects jsonb)
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select count(*),
         weft._as_utf8(coalesce(json_agg(json_build_object('change', case c.change when 'removed' then p_removed else c.change end, 'kind', c.kind, 'identity', c.identity, 'before', c.before, 'after', c.after) order by c.ordinality)
           filter (where c.ordinality <= coalesce(p_limit, c.ordinality)), '[]')::text)::jsonb
  from weft._compare_catalogs(p_before, p_after) with ordinality as c
$$;

comment on function weft._list_differences(text, text, integer, text) is 'Lists what differs between two catalogs as documents, up to a limit, and counts all of it.';


-- Only for objects without data: nobody should be advised to drop rows.
create or replace function weft._name_drop(p_kind text, p_identity text)
  returns text
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select case
    when p_kind in ('view', 'function', 'procedure') then format('drop %s %s', p_kind, p_identity)
    when p_kind = 'trigger' then (
      select format('drop trigger %I on %s', t.tgname, t.tgrelid::regclass)
      from pg_trigger as t join pg_class as c on c.oid = t.tgrelid
      where not t.tgisinternal and t.tgparentid = 0 and format('%s.%I.%I', c.relnamespace::regnamespace, c.relname, t.tgname) = p_identity)
    when p_kind = 'policy' then (
      select format('drop policy %I on %s', p.polname, p.polrelid::regclass)
      from pg_policy as p join pg_class as c on c.oid = p.polrelid
      where format('%s.%I.%I', c.relnamespace::regnamespace, c.relname, p.polname) = p_identity)
  end
$$;

comment on function weft._name_drop(text, text) is 'Writes the statement that drops a view, function, trigger or policy of the catalog; null for anything else.';
