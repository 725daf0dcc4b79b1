-- The tables of loads and batches. What went into a table is gone when the table is dropped, and then the history must not say that it
-- is there: an undo removes it from the history, and a load that brings a table in line runs again if a migration makes its table anew.
--
-- A table is known by its name. Its number, noted when a deployment begins, tells whether it is still the same one, even if it has
-- another name when the deployment ends. In a database that was dumped and restored all numbers differ, but nothing is lost: the tables
-- are looked up again by name.

-- Before a runner reads any number. A copy that the server makes of its files (a branch, a template) keeps the numbers, and what they tell; so it is not
-- asked where the rows were written, but whether this very catalog has numbered them.
create or replace function weft._number_anew()
  returns void
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
begin
  if exists (select from weft._lease as l where l.numbered_as is distinct from l.tableoid) then
    -- what was gone, or not there, when the rows were dumped has not come back with them
    update weft._history as h set table_oid = weft._find_table(h.table_name) where h.table_oid <> 0;
    update weft._steps as s set replaced = s.replaced || jsonb_build_object('table_oid', weft._find_table(s.replaced ->> 'table_name')) where s.replaced ->> 'table_oid' <> '0';
    -- what these are about is looked for anew by who goes on with them: under which names, their files' sessions say
    update weft._statements as t set judge = t.judge - '{table,index,partition,tables,indexes}'::text[] || '{"is_numbered_elsewhere": true}'
    where t.state <> 'done' and t.judge ?| '{table,index,partition,tables,indexes}';
    update weft._lease as l set numbered_as = l.tableoid;
  end if;
end
$$;

comment on function weft._number_anew() is
  'Looks up by their names the tables into which data and batches went, where the database was dumped and restored since they were noted, and forgets the numbers of what statements outside of transactions are about.';


-- Before a deployment does anything. Of one that goes on where another one stopped, what was there before that one counts: an undo, and a deployment
-- behind one that has committed something and did not succeed, which may have made a table anew and not come to its data.
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

comment on function weft._note_tables(uuid) is 'Notes which tables those are that data and batches of the bundle went into, so that it shows when they are dropped.';


-- When it is over, whatever it came to.
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
  -- that it is gone is to be known also where nobody can say any more which one it was
  update weft._history as h set table_oid = 0
  from weft._deployments as d
  where d.id = p_deployment and h.bundle = d.bundle and h.table_oid <> 0 and not exists (select from pg_class as c where c.oid = h.table_oid)
$$;

comment on function weft._follow_tables(uuid) is 'Takes over the names that tables have been given into which data and batches of the bundle went, and notes which of them are gone.';


-- At the end of an undo. Of the deployment that was undone whatever went into a table that is gone; of others data that a table is brought in line with.
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
    delete from weft._batches as b using weft._steps as s  -- which begins anew
    where s.deployment_id = v_gone.deployment_id and s.path = v_gone.applied_path and b.deployment_id = s.deployment_id and b.step = s.ordinal;
    perform weft._tell(p_deployment, 'went_with_table', p_path => v_gone.path, p_data => jsonb_build_object('kind', v_gone.words ->> 'kind', 'table', v_gone.table_name, 'deployment', v_gone.deployment_id));
  end loop;
end
$$;

comment on function weft._forget_gone(uuid) is 'Takes out of the history, at the end of an undo, data and batches whose table was dropped by it, so that the next deployment runs them again.';


-- Data that has not changed, so that it is not loaded, and whose table this deployment has made anew. In an undo, what it has brought back, and has lost again
-- with a table that it makes anew behind that.
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

comment on function weft._find_emptied(weft._phases) is 'Finds data of a phase that was left out because it has not changed, and whose table was made anew since the deployment began.';
