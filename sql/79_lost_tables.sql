-- The tables of loads and batches. What went into a table is gone when the table is dropped, and then the history must not say that it
-- is there: an undo removes it from the history, and a load that brings a table in line runs again if a migration makes its table anew.
--
-- A table is known by its name. Its oid, noted when a deployment begins, tells whether it is still the same one, even if it has another
-- name when the deployment ends. In a database that was dumped and restored all oids differ, but nothing is lost: the tables are looked up
-- again by name.

-- Called before a runner reads any oid. A copy that the server makes of its files (a branch, a template) keeps the oids, and they stay valid. So this does not
-- check in which database the rows were written, but whether this very catalog has assigned the oids.
create or replace function weft._number_anew()
  returns void
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
begin
  if exists (select from weft._lease as l where l.numbered_as is distinct from l.tableoid) then
    -- a table that was gone, or missing, when the rows were dumped has not come back with them
    update weft._history as h set table_oid = weft._find_table(h.table_name) where h.table_oid <> 0;
    update weft._steps as s set replaced = s.replaced || jsonb_build_object('table_oid', weft._find_table(s.replaced ->> 'table_name')) where s.replaced ->> 'table_oid' <> '0';
    -- whoever continues these statements looks up their objects again, by the names that their files' sessions resolve
    update weft._statements as t set judge = t.judge - '{table,index,partition,tables,indexes}'::text[] || '{"is_numbered_elsewhere": true}'
    where t.state <> 'done' and t.judge ?| '{table,index,partition,tables,indexes}';
    update weft._lease as l set numbered_as = l.tableoid;
  end if;
end
$$;

comment on function weft._number_anew() is
  'If the database was dumped and restored: looks up again by name the tables of loads and batches, and forgets the oids of objects of statements outside of transactions.';


-- Called before a deployment does anything. If it continues where another one stopped, the tables before that one count. This holds for an undo, and for a
-- deployment after one that committed something without success: that one may have made a table anew, and not come to its data.
create or replace function weft._note_tables(p_deployment uuid)
  returns void
  volatile
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  update weft._history as h set table_oid = t.oid
  from weft._deployments as d, weft._history as k
  cross join lateral (select coalesce(weft._find_table(k.table_name), (select c.oid from pg_class as c where c.oid = k.table_oid)) as oid offset 0) as t
  where d.id = p_deployment and h.bundle = d.bundle and h.table_name is not null and k.bundle = h.bundle and k.path = h.path and h.table_oid is distinct from t.oid
    and case when d.undoes is null then exists (select from weft._steps as s where s.deployment_id = d.id and s.kind in ('load', 'batch'))
        and coalesce((
          select o.state = 'succeeded' from weft._deployments as o
          where o.place < d.place and o.bundle || '' = d.bundle and o.mode = 'apply' and o.undoes is null and o.has_committed
          order by o.place desc limit 1), true)
      else not exists (select from weft._deployments as o where o.undoes = d.undoes and o.id <> d.id and o.mode = 'apply' and o.started_at is not null) end
$$;

comment on function weft._note_tables(uuid) is 'Notes the oids of the tables that loads and batches of the bundle wrote to, so that it shows when they are dropped.';


-- Called when a deployment is over, however it ended.
create or replace function weft._follow_tables(p_deployment uuid)
  returns void
  volatile
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  update weft._history as h set table_name = weft._qualify_table(h.table_oid)
  from weft._deployments as d
  where d.id = p_deployment and h.bundle = d.bundle and h.table_name <> weft._qualify_table(h.table_oid)
    and (d.undoes is not null or exists (select from weft._steps as s where s.deployment_id = d.id and s.kind in ('load', 'batch')));
  -- that the table is gone must be known even if nobody can say any more which one it was
  update weft._history as h set table_oid = 0
  from weft._deployments as d
  where d.id = p_deployment and h.bundle = d.bundle and h.table_oid <> 0 and not exists (select from pg_class as c where c.oid = h.table_oid)
$$;

comment on function weft._follow_tables(uuid) is 'Takes over new names of the tables that loads and batches of the bundle wrote to, and notes which of them are gone.';


-- Called at the end of an undo, for tables that are gone: loads and batches of the deployment that was undone, and loads with upsert or sync of others.
create or replace function weft._forget_gone(p_deployment uuid)
  returns void
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_gone  weft._history;
begin
  for v_gone in
    select h.*
    from weft._deployments as d
    join weft._history as h on h.bundle = d.bundle and h.table_oid is not null
    where d.id = p_deployment and d.undoes is not null and d.mode = 'apply'
      and not exists (select from pg_class as c where c.oid = h.table_oid)
      and (h.deployment_id = d.undoes or h.place is not null and weft._find_table(h.table_name) is not null)
    order by h.path
  loop
    delete from weft._history as h where h.bundle = v_gone.bundle and h.path = v_gone.path;
    delete from weft._batches as b using weft._steps as s  -- the batch begins anew
    where s.deployment_id = v_gone.deployment_id and s.path = v_gone.applied_path and b.deployment_id = s.deployment_id and b.step = s.ordinal;
    perform weft._tell(p_deployment, 'went_with_table', p_path => v_gone.path, p_data => jsonb_build_object('kind', v_gone.words ->> 'kind', 'table', v_gone.table_name, 'deployment', v_gone.deployment_id));
  end loop;
end
$$;

comment on function weft._forget_gone(uuid) is 'Removes from the history, at the end of an undo, loads and batches whose table the undo dropped, so that the next deployment runs them again.';


-- Loads that do not run because they have not changed, but whose table this deployment has made anew. In an undo: data that it has brought back, and then
-- lost again with a table that it makes anew after that.
create or replace function weft._find_emptied(p_phase weft._phases)
  returns table (ordinal integer, path text, missing jsonb)
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select s.ordinal, s.path, jsonb_build_array(jsonb_build_object('kind', 'relation', 'name', h.table_name))
  from weft._deployments as d
  join weft._steps as s on s.deployment_id = d.id
  join weft._history as h on h.bundle = d.bundle and h.path = s.path and h.table_name is not null and h.place is not null
  cross join lateral (select weft._find_table(h.table_name) as oid offset 0) as t
  where d.id = p_phase.deployment_id and d.undoes is null and s.phase = p_phase.ordinal and s.kind = 'load' and s.state = 'skipped' and s.is_wanted is distinct from false
    and weft._repeat_of(s.kind, s.options) = 'on-change' and t.oid <> coalesce(h.table_oid, 0)
    and not exists (select from weft._phases as p where p.deployment_id = p_phase.deployment_id and p.ordinal = p_phase.ordinal and p.is_wanted = false)
  union all
  select s.ordinal, s.path, jsonb_build_array(jsonb_build_object('kind', 'relation', 'name', h.table_name))
  from weft._deployments as d
  join weft._steps as s on s.deployment_id = d.id
  join weft._history as h on h.bundle = d.bundle and h.path = s.path and h.table_name is not null
  cross join lateral (select weft._find_table(h.table_name) as oid offset 0) as t
  where d.id = p_phase.deployment_id and d.undoes is not null and s.phase = p_phase.ordinal and s.kind = 'load' and s.state = 'skipped' and s.options ? 'keeps' and t.oid <> coalesce(h.table_oid, 0)
    and exists (select from weft._steps as o where o.deployment_id = d.id and o.path = s.path and o.ordinal < s.ordinal and o.state = 'succeeded')
$$;

comment on function weft._find_emptied(weft._phases) is 'Finds loads of a phase that were skipped because they have not changed, but whose table was made anew since the deployment began.';
