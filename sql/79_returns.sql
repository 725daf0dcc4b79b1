-- Going back over files that run again and again. What such a file has made may stand in the way of its older content: a view that has gained
-- a column is not replaced by one that lacks it. Then it is dropped first, with what depends on it and is made by such files too, and all of
-- that is made again in the same transaction. Never with CASCADE: what nobody would make again keeps the server from dropping anything.
--
-- Only what holds no data of its own is dropped: views, materialized views, functions, triggers, policies.

-- What a file makes is known by its name, and found by its number.
create or replace function weft._find_objects(p_made jsonb)
  returns table (classid oid, objid oid, statement text)
  stable
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_object  jsonb;
begin
  for v_object in select distinct o.value from jsonb_array_elements(p_made) as o where weft._is_object_there(o.value) loop
    case v_object ->> 'kind'
      when 'relation' then
        return query
        select 'pg_class'::regclass::oid, c.oid, format('drop %s %s', case c.relkind when 'v' then 'view' else 'materialized view' end, v_object ->> 'name')
        from pg_class as c where c.oid = to_regclass(v_object ->> 'name') and c.relkind in ('v', 'm');
      when 'function' then
        return query select 'pg_proc'::regclass::oid, to_regprocedure(v_object ->> 'name')::oid, format('drop routine %s', v_object ->> 'name');
      when 'trigger' then
        return query
        select 'pg_trigger'::regclass::oid, t.oid, format('drop trigger %I on %s', v_object ->> 'name', v_object ->> 'on')
        from pg_trigger as t where t.tgrelid = to_regclass(v_object ->> 'on') and t.tgname = v_object ->> 'name';
      when 'policy' then
        return query
        select 'pg_policy'::regclass::oid, p.oid, format('drop policy %I on %s', v_object ->> 'name', v_object ->> 'on')
        from pg_policy as p where p.polrelid = to_regclass(v_object ->> 'on') and p.polname = v_object ->> 'name';
    end case;
  end loop;
end
$$;

comment on function weft._find_objects(jsonb) is 'Finds those objects of repeatable files that hold no data of their own, with the statement that drops each.';


-- Who depends on whom, the server knows: a view through its rule, a row type through its relation.
create or replace function weft._list_drops(p_roots jsonb, p_known jsonb)
  returns table (classid oid, objid oid, statement text)
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  with recursive reached as (
    select f.classid, f.objid, 0 as depth from weft._find_objects(p_roots) as f
    union
    select k.classid, k.objid, r.depth + 1
    from reached as r
    join pg_depend as d on d.refclassid = r.classid and d.refobjid = r.objid and d.deptype in ('n', 'a', 'i')
    left join pg_rewrite as w on d.classid = 'pg_rewrite'::regclass and w.oid = d.objid
    cross join lateral (select case when w.oid is null then d.classid else 'pg_class'::regclass::oid end as classid, coalesce(w.ev_class, d.objid) as objid) as k
    where (k.classid, k.objid) <> (r.classid, r.objid) and r.depth < weft._limit('dependents_depth_max')
  )
  select f.classid, f.objid, f.statement
  from weft._find_objects(coalesce(p_roots, '[]') || coalesce(p_known, '[]')) as f
  join reached as r on r.classid = f.classid and r.objid = f.objid
  group by f.classid, f.objid, f.statement
  order by max(r.depth) desc, f.statement
$$;

comment on function weft._list_drops(jsonb, jsonb) is
  'Lists what has to be dropped so that objects can be, in this order: what depends on them, as far as it is among the known ones, and they themselves.';


-- Whom a relation or a function was granted to: what is dropped forgets that.
create or replace function weft._list_grants(p_classid oid, p_objid oid)
  returns jsonb
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  with object as (
    select 'relation' as kind, format('%I.%I', n.nspname, c.relname) as name, null::name as column_name, c.relacl as acl, c.relowner as owner
    from pg_class as c join pg_namespace as n on n.oid = c.relnamespace where p_classid = 'pg_class'::regclass and c.oid = p_objid
    union all
    select 'relation', format('%I.%I', n.nspname, c.relname), a.attname, a.attacl, c.relowner
    from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
    join pg_attribute as a on a.attrelid = c.oid and a.attacl is not null and not a.attisdropped
    where p_classid = 'pg_class'::regclass and c.oid = p_objid
    union all
    select 'function', f.oid::regprocedure::text, null, f.proacl, f.proowner from pg_proc as f where p_classid = 'pg_proc'::regclass and f.oid = p_objid
  )
  select coalesce(jsonb_agg(jsonb_strip_nulls(jsonb_build_object('kind', o.kind, 'name', o.name, 'column', o.column_name, 'statement', format('grant %s%s on %s %s to %s%s',
           x.privilege_type, case when o.column_name is not null then format(' (%I)', o.column_name) end, case o.kind when 'function' then 'routine' else 'table' end, o.name,
           case x.grantee when 0 then 'public' else quote_ident(pg_get_userbyid(x.grantee)) end, case when x.is_grantable then ' with grant option' end)))), '[]')
    -- PUBLIC may run any function until somebody takes that away
    || coalesce((select jsonb_agg(jsonb_build_object('kind', o.kind, 'name', o.name, 'statement', format('revoke all on routine %s from public', o.name))) from object as o
        where o.kind = 'function' and o.acl is not null and not exists (select from aclexplode(o.acl) as p where p.grantee = 0)), '[]')
  from object as o
  cross join lateral aclexplode(o.acl) as x
  where x.grantee <> o.owner
$$;

comment on function weft._list_grants(oid, oid) is 'Lists the statements that give an object the rights that others have on it now.';


-- Everything that repeatable files of a bundle have made; of an undo also what it has put off, and what it is about to replace.
create or replace function weft._list_known(p_deployment uuid)
  returns jsonb
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select coalesce(jsonb_agg(o.value), '[]')
  from weft._deployments as d
  join weft._history as h on h.bundle = d.bundle and h.made is not null
  cross join jsonb_array_elements(h.made) as o
  where d.id = p_deployment
$$;

comment on function weft._list_known(uuid) is 'Lists the objects that repeatable files of a deployment''s bundle have made.';


create or replace function weft._list_in_the_way(p_deployment uuid, p_step integer)
  returns jsonb
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select coalesce(jsonb_agg(o.value), '[]')
  from weft._steps as s
  join weft._deployments as d on d.id = s.deployment_id
  -- a file that comes back is in its own way; an undo file finds in its way what was put off
  join weft._steps as w on w.deployment_id = s.deployment_id and w.options ? 'repeat'
    and case when s.path = s.undoes or s.undoes is null then w.ordinal = s.ordinal else w.options ? 'keeps' and w.undoes is not null and w.state = 'pending' end
  join weft._history as h on h.bundle = d.bundle and h.path = w.path
  cross join jsonb_array_elements(h.made) as o
  where s.deployment_id = p_deployment and s.ordinal = p_step
$$;

comment on function weft._list_in_the_way(uuid, integer) is 'Lists the objects that a step of an undo may have to have out of its way.';


-- In the block of the step, right before it. The lock budget is that of the step.
create or replace function weft._make_room(p_deployment uuid, p_step integer, p_role text)
  returns void
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_drops   text[];
  v_grants  jsonb;
  v_path    text;
  v_drop    text;
  v_detail  text;
begin
  select array_agg(l.statement), jsonb_path_query_array(jsonb_agg(weft._list_grants(l.classid, l.objid)), '$[*][*]') into v_drops, v_grants
  from weft._list_drops(weft._list_in_the_way(p_deployment, p_step), weft._list_known(p_deployment)) as l;
  if v_drops is null then
    return;
  end if;
  update weft._steps as s set result = coalesce(s.result, '{}') || jsonb_build_object('dropped', to_jsonb(v_drops), 'grants', v_grants)
  where s.deployment_id = p_deployment and s.ordinal = p_step
  returning s.path into v_path;
  if p_role is not null then
    perform set_config('role', p_role, true);
  end if;
  foreach v_drop in array v_drops loop
    execute v_drop;
  end loop;
  reset role;
exception when dependent_objects_still_exist then
  get stacked diagnostics v_detail = pg_exception_detail;
  raise exception '%: what is in the way has to be dropped first, and something depends on it that no repeatable file of the bundle has made: %', coalesce(v_path, v_drop), sqlerrm
    using errcode = '2BP01', detail = v_detail, hint = 'Drop what the detail names, or change it so that it does not depend on that any more; make it again behind the undo.';
end
$$;

comment on function weft._make_room(uuid, integer, text) is 'Drops what is in the way of a step of an undo, with what depends on it and will be made again; never with CASCADE.';


-- What a file that has run again has made by now: what came into being with it, and what it had made before and is there still.
create or replace function weft._note_made(p_deployment uuid, p_step integer, p_mark oid[])
  returns jsonb
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select weft._merge_made(case when u.ordinal is null then h.made else nullif(u.replaced -> 'made', 'null') end, weft._list_made(p_mark))
  from weft._steps as s
  join weft._deployments as d on d.id = s.deployment_id
  left join weft._history as h on h.bundle = d.bundle and h.path = s.path
  left join weft._steps as u on u.deployment_id = d.undoes and u.path = s.undoes and s.path = s.undoes and u.kind = s.kind
  where s.deployment_id = p_deployment and s.ordinal = p_step
$$;

comment on function weft._note_made(uuid, integer, oid[]) is 'Lists the objects of a repeatable file that has just run; of one that has come back, those of its older content.';


-- Of a deployment that undoes another one.
create or replace function weft._take_back_history(p_deployment uuid, p_records weft._step_record[])
  returns void
  volatile
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  -- what runs again and again has become what it was before, by its own bytes
  update weft._history as h
  set path = u.path, digest = decode(u.replaced ->> 'digest', 'hex'), deployment_id = (u.replaced ->> 'deployment_id')::uuid, applied_at = (u.replaced ->> 'applied_at')::timestamptz,
      bytes_in = (u.replaced ->> 'bytes_in')::uuid, applied_path = u.replaced ->> 'applied_path', place = (u.replaced ->> 'place')::integer,
      made = coalesce(r.result -> 'made', nullif(u.replaced -> 'made', 'null'))
  from weft._deployments as d
  join weft._steps as s on s.deployment_id = d.id
  join unnest(p_records) as r on r.ordinal = s.ordinal and r.is_wanted
  join weft._steps as u on u.deployment_id = d.undoes and u.path = s.undoes
  where d.id = p_deployment and s.path = s.undoes and h.bundle = d.bundle and h.applied_path = s.undoes and h.deployment_id = d.undoes;
  -- what was called back has made its objects anew
  update weft._history as h set made = weft._merge_made(h.made, r.result -> 'made')
  from weft._deployments as d
  join weft._steps as s on s.deployment_id = d.id and s.options ? 'keeps'
  join unnest(p_records) as r on r.ordinal = s.ordinal and r.is_wanted
  where d.id = p_deployment and h.bundle = d.bundle and h.path = s.path;
  delete from weft._history as h
  using weft._deployments as d
  join weft._steps as s on s.deployment_id = d.id
  join unnest(p_records) as r on r.ordinal = s.ordinal and r.is_wanted
  where d.id = p_deployment and s.path <> s.undoes and h.bundle = d.bundle and h.applied_path = s.undoes and h.deployment_id = d.undoes;
  -- a file that ran only half-way begins anew
  delete from weft._statements as t
  using weft._deployments as d
  join weft._steps as s on s.deployment_id = d.id
  join unnest(p_records) as r on r.ordinal = s.ordinal and r.is_wanted
  join weft._steps as u on u.deployment_id = d.undoes and u.path = s.undoes
  where d.id = p_deployment and t.deployment_id = d.undoes and t.step = u.ordinal;
  -- and a batch from its beginning
  delete from weft._batches as b
  using weft._deployments as d
  join weft._steps as s on s.deployment_id = d.id
  join unnest(p_records) as r on r.ordinal = s.ordinal and r.is_wanted
  join weft._steps as u on u.deployment_id = d.undoes and u.path = s.undoes
  where d.id = p_deployment and b.deployment_id = d.undoes and b.step = u.ordinal
$$;

comment on function weft._take_back_history(uuid, weft._step_record[]) is
  'Takes what steps have undone out of the history, in the transaction of their effects: the next deployment runs it again.';
