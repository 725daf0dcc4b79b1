-- Several repeatable files may make the same object; the database then has it as the last one that ran made it. If that file is gone from the
-- bundle (because a checkout was reverted, say), the content that the bundle has was applied once, but is not what is there now.

-- Files whose content was applied, but whose objects or table were made anew by a later file that the bundle lacks.
create or replace function weft._find_superseded(p_bundle text, p_manifest jsonb, p_findings weft._finding[])
  returns setof weft._finding
  stable
  set search_path = pg_catalog, pg_temp
  set enable_nestloop = off  -- rows that were just written have no statistics
  set jit = off  -- such a plan looks expensive enough to be compiled
  language plpgsql
as $$
declare
  v_paths  text[] := weft._list_paths(p_manifest);
  v_gone   weft._history[];
begin
  v_gone := array(
    select h from weft._history as h
    where h.bundle = p_bundle and h.place is not null and (h.made is not null or h.table_name is not null) and not exists (select from unnest(v_paths) as u (path) where u.path = h.path));
  if v_gone = '{}' then
    return;
  end if;
  return query
  with files as materialized (
    select row_number() over (order by p.ordinality, s.ordinality) as ordinal, s.value ->> 'path' as path, weft._repeat_of(s.value ->> 'kind', s.value) as repeat, s.value ->> 'when' as condition
    from jsonb_array_elements(p_manifest -> 'phases') with ordinality as p
    cross join jsonb_array_elements(p.value -> 'steps') with ordinality as s
  ),
  known as materialized (
    select f.ordinal, f.path, h.path as was, h.applied_path, h.applied_at, h.made, h.table_name, h.words
    from files as f
    join jsonb_to_recordset(p_manifest -> 'artifacts') as a (path text, digest text) on a.path = f.path
    left join unnest(p_findings) as r on r.path = f.path and r.verdict = 'renamed'
    join weft._history as h on h.bundle = p_bundle and h.path = coalesce(r.data -> 'from' ->> 0, f.path)
      and (h.digest = decode(a.digest, 'hex') or exists (select from unnest(p_findings) as u where u.path = f.path and u.verdict in ('unchanged', 'renamed')))
    where f.repeat = 'on-change' and f.condition is distinct from 'false'  -- a step that never runs, and only brings its undo file
  ),
  gone as materialized (select g.path, g.applied_at, g.deployment_id, g.made, g.table_name, g.words from unnest(v_gone) as g),
  objects as materialized (
    select g.path, o.value as object from gone as g cross join jsonb_array_elements(nullif(g.made, 'null')) as o
  ),
  shared as (  -- joined by object, so that not all pairs of files have to be compared
    select k.ordinal, o.path as by, o.object
    from known as k cross join jsonb_array_elements(nullif(k.made, 'null')) as m
    join objects as o on o.object = m.value
    union
    select k.ordinal, g.path, jsonb_build_object('kind', 'relation', 'name', k.table_name)
    from known as k
    join gone as g on g.table_name = k.table_name
    where 'sync' in (k.words ->> 'mode', g.words ->> 'mode')
      -- several loads into one table do not supersede each other if they touch different rows
      or not exists (select from weft._artifacts as a where a.deployment_id = g.deployment_id and a.path in (k.was, k.applied_path))
  ),
  later as (
    select distinct on (k.ordinal) k.ordinal, k.path, g.path as by, g.deployment_id, s.objects
    from (select o.ordinal, o.by, jsonb_agg(o.object order by o.object) as objects from shared as o group by o.ordinal, o.by) as s
    join known as k on k.ordinal = s.ordinal
    join gone as g on g.path = s.by
    where g.path <> k.was and g.applied_at > k.applied_at
    order by k.ordinal, g.applied_at desc
  )
  select l.ordinal, l.path, 'superseded', jsonb_build_object('by', l.by, 'deployment', l.deployment_id, 'objects', l.objects)
  from later as l
  where not exists (select from unnest(p_findings) as f where f.verdict = 'renamed' and f.data -> 'from' ->> 0 = l.by);
end
$$;

comment on function weft._find_superseded(text, jsonb, weft._finding[]) is
  'Finds repeatable files that were applied as they are, but whose objects or table were made anew since by a file that the bundle lacks: they run again.';
