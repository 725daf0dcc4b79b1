-- Steps that ran once for a table that was made anew. They do not run again: their rows may have been moved, or may be meant to be gone.
-- But they are reported, because in a new database they would run after the table is made as it is now.

-- Loads with insert, and batches, that the history has as applied, but whose table is a different one of the same name since the deployment began.
-- If nothing has run before them, the file that made the table anew stands after them: in a new database their rows would be gone, too.
create or replace function weft._list_made_anew(p_deployment uuid)
  returns table (path text, kind text, table_name text)
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select h.path, h.words ->> 'kind', h.table_name
  from weft._deployments as d
  join weft._history as h on h.bundle = d.bundle and h.table_oid is not null and h.place is null and h.words is not null and h.deployment_id <> coalesce(d.undoes, d.id)
  where d.id = p_deployment and d.mode = 'apply'
    and weft._find_table(h.table_name) <> h.table_oid  -- the old table is gone, or has another name, because it was partitioned, say
    and (d.undoes is not null or exists (
      select from weft._steps as s join weft._steps as o on o.deployment_id = s.deployment_id and o.ordinal < s.ordinal and o.state = 'succeeded' and o.kind = 'run'
      where s.deployment_id = d.id and s.path = h.path and s.state = 'skipped'))
  order by h.table_name collate "C", h.path collate "C"
$$;

comment on function weft._list_made_anew(uuid) is 'Lists loads with insert, and batches, that have not run again although a deployment has made their table anew.';


create or replace function weft._tell_made_anew(p_deployment uuid)
  returns void
  volatile
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select weft._tell(p_deployment, 'table_made_anew', p_path => a.path, p_data => jsonb_build_object('kind', a.kind, 'table', a.table_name)) from weft._list_made_anew(p_deployment) as a
$$;

comment on function weft._tell_made_anew(uuid) is 'Writes into the journal of a deployment that has ended which steps had run once for a table that it has made anew.';
