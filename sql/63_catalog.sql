-- Reads the catalog as one text. Floor 64 makes rows and a hash of it.
--
-- A definition is the server's own text, made under pinned settings, so it is the same on every server of one major version. What belongs
-- to an extension, to Weft, or to a session is left out; so is what comes and goes with rows: where a sequence stands, statistics, sizes.
-- The fingerprint begins with the version of this reading and the major version of the server: fingerprints of two readings are not
-- compared, so a better reading is no drift.
--
-- In the one text, U+001E stands between objects, U+001F between kind, identity and definition, U+001D between a relation and each of its columns.

create or replace function weft._read_catalog(p_escaped boolean default false)
  returns text
  stable
  set search_path = pg_catalog, pg_temp
  set datestyle = 'ISO, YMD'
  set intervalstyle = 'postgres'
  set timezone = 'UTC'
  set quote_all_identifiers = off
  set extra_float_digits = 1
  set bytea_output = hex
  set lc_monetary = 'C'
  set standard_conforming_strings = on
  set enable_nestloop = off  -- a catalog that was just filled has no statistics; hash joins take the same time for each row, and need no sort
  set enable_mergejoin = off
  set jit = off  -- such a plan looks expensive enough to be compiled
  set max_parallel_workers_per_gather = 0
  set plan_cache_mode = force_generic_plan  -- a deployment reads twice, and planning takes as long as reading
  language plpgsql
as $$
declare
  v_catalog  text;
  v_count    bigint;
begin
  with
  schemas as materialized (
    select n.oid, n.nspname, n.nspowner, n.nspacl from pg_namespace as n where n.nspname <> 'weft' and n.nspname <> 'information_schema' and n.nspname !~ '^pg_'
  ),
  found as materialized (select s.oids, weft._find_kinds(s.oids) as kinds from (select array_agg(s.oid) as oids from schemas as s) as s),
  objects (kind, identity, definition) as (
    select o.*
    from schemas as s
    -- by its key, because there are thousands
    left join lateral (select d.description from pg_description as d where d.objoid = s.oid and d.classoid = 'pg_namespace'::regclass offset 0) as d on true
    cross join lateral (values
      ('schema', quote_ident(s.nspname),
       concat_ws(', ',
         -- unless it is as in every new database
         case when s.nspname <> 'public' or pg_get_userbyid(s.nspowner) <> 'pg_database_owner' and s.nspowner <> 10 then 'owner ' || quote_ident(pg_get_userbyid(s.nspowner)) end,
         weft._describe_rights(s.nspacl, 'n', s.nspowner))),
      ('comment', 'schema ' || quote_ident(s.nspname), d.description)) as o (kind, identity, definition)
    where o.definition is not null and not exists (select from pg_depend as m where m.classid = 'pg_namespace'::regclass and m.objid = s.oid and m.deptype = 'e')

    union all
    select 'extension', quote_ident(e.extname), format('%s in %s', e.extversion, e.extnamespace::regnamespace) from pg_extension as e

    union all
    -- a function that is not called leaves no saved plans in the session, which every DDL statement would have to check
    select r.* from found as f cross join lateral weft._read_relations(f.oids) as r where f.kinds && array['pg_class', 'pg_type']
    union all
    select r.* from found as f cross join lateral weft._read_functions(f.oids) as r where 'pg_proc' = any (f.kinds)
    union all
    select u.* from found as f cross join lateral weft._list_uncommon_objects(f.oids, f.kinds) as u where not f.kinds <@ array['pg_class', 'pg_proc']
  )
  select string_agg(concat_ws(E'\x1f', o.kind,
           case when p_escaped then weft._escape_marks(o.identity) else o.identity end, case when p_escaped then weft._escape_marks(o.definition) else o.definition end),
           E'\x1e' order by o.identity collate "C", o.kind collate "C"), count(*)
  into v_catalog, v_count
  from objects as o;

  -- a function's body may contain any character
  if not p_escaped and (octet_length(v_catalog) - octet_length(replace(v_catalog, E'\x1e', '')) <> v_count - 1
                        or octet_length(v_catalog) - octet_length(replace(v_catalog, E'\x1f', '')) <> 2 * v_count) then
    return weft._read_catalog(true);
  end if;
  return v_catalog;
end
$$;

comment on function weft._read_catalog(boolean) is 'Reads the catalog as one text, every object with kind, identity and definition, in one order.';
