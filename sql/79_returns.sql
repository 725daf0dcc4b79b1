-- Going back over repeatable files. What such a file has made may be in the way of its older content: a view that has gained a column
-- cannot be replaced by one without it. Then it is dropped first, together with what depends on it and is made by such files too, and
-- all of that is made again. Never with CASCADE, and only if nothing is lost by it: what belongs to an object must be there again, with
-- the same owner and the same rights. That is checked in the transaction of the drop (floor 80), which fails otherwise.
--
-- Only views and functions are dropped, and only those that a file of the undo will make again.

-- What CREATE EXTENSION made is only dropped with the extension.
create or replace function weft._is_of_extension(p_classid oid, p_objid oid)
  returns boolean
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select exists (select from pg_depend as d where d.classid = p_classid and d.objid = p_objid and d.deptype = 'e')
$$;

comment on function weft._is_of_extension(oid, oid) is 'Tells whether an object belongs to an extension.';


-- What a file makes is known by name; this finds its oid.
create or replace function weft._find_objects(p_made jsonb)
  returns table (classid oid, objid oid, object jsonb, statement text)
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
        select 'pg_class'::regclass::oid, c.oid, v_object, format('drop view %s', v_object ->> 'name')
        from pg_class as c where c.oid = to_regclass(v_object ->> 'name') and c.relkind = 'v' and not weft._is_of_extension('pg_class'::regclass, c.oid);
      when 'function' then
        return query
        select 'pg_proc'::regclass::oid, f.oid, v_object, format('drop routine %s', v_object ->> 'name')
        from pg_proc as f where f.oid = to_regprocedure(v_object ->> 'name')::oid and f.prokind in ('f', 'p') and not weft._is_of_extension('pg_proc'::regclass, f.oid);
      else
        null;  -- never dropped
    end case;
  end loop;
end
$$;

comment on function weft._find_objects(jsonb) is 'Finds those objects of repeatable files that an undo may drop to make them again, with the statement that drops each.';


-- A file that an undo brings back makes what its older content made; one that only may be called back makes what it has made.
create or replace function weft._list_makers(p_deployment uuid)
  returns table (ordinal integer, path text, role text, is_put_off boolean, made jsonb)
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select s.ordinal, s.path, p.role, s.undoes is not null and s.options ? 'keeps' and s.state = 'pending', m.made
  from weft._deployments as d
  join weft._steps as s on s.deployment_id = d.id
  join weft._phases as p on p.deployment_id = s.deployment_id and p.ordinal = s.phase
  left join weft._steps as u on u.deployment_id = d.undoes and u.path = s.undoes and u.kind = s.kind
  left join weft._history as h on h.bundle = d.bundle and h.path = s.path
  cross join lateral (select coalesce(nullif(case when s.undoes is null then h.made else u.replaced -> 'made' end, 'null'), '[]') as made) as m
  where d.id = p_deployment and s.kind = 'run' and s.options ? 'repeat' and (s.path = s.undoes or s.undoes is null and s.options ? 'keeps') and p.transaction <> 'none' and not s.is_apart
    and (s.state = 'pending' or s.state = 'skipped' and s.options ? 'keeps')
$$;

comment on function weft._list_makers(uuid) is 'Lists the repeatable files that an undo has yet to run, or can call back, and what each of them makes.';


-- The server knows what depends on what: a view depends on things through its rule, a row type belongs to its relation.
create or replace function weft._list_drops(p_deployment uuid, p_step integer)
  returns table (classid oid, objid oid, object jsonb, statement text, path text, role text)
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  with recursive makers as materialized (
    select m.* from weft._list_makers(p_deployment) as m
  ),
  remade as materialized (
    select distinct on (f.classid, f.objid) f.classid, f.objid, f.object, f.statement, m.path, m.role
    from makers as m cross join lateral weft._find_objects(m.made) as f
    order by f.classid, f.objid, m.ordinal
  ),
  roots as (
    select distinct r.classid, r.objid
    from weft._steps as s
    -- older content finds its own newer objects in its way; an undo file finds those of files that were put off
    join makers as m on case when s.path = s.undoes or s.undoes is null then m.ordinal = s.ordinal else m.is_put_off end
    cross join lateral weft._find_objects(m.made) as r
    where s.deployment_id = p_deployment and s.ordinal = p_step
  ),
  reached as (
    select f.classid, f.objid, 0 as depth from roots as f
    union
    select k.classid, k.objid, r.depth + 1
    from reached as r
    join pg_depend as d on d.refclassid = r.classid and d.refobjid = r.objid and d.deptype in ('n', 'a', 'i')
    left join pg_rewrite as w on d.classid = 'pg_rewrite'::regclass and w.oid = d.objid
    cross join lateral (select case when w.oid is null then d.classid else 'pg_class'::regclass::oid end as classid, coalesce(w.ev_class, d.objid) as objid) as k
    where (k.classid, k.objid) <> (r.classid, r.objid) and r.depth < weft._limit('dependents_depth_max')
  )
  select f.classid, f.objid, f.object, f.statement, f.path, f.role
  from remade as f
  join (select r.classid, r.objid, max(r.depth) as depth from reached as r group by r.classid, r.objid) as r on r.classid = f.classid and r.objid = f.objid
  order by r.depth desc, f.statement
$$;

comment on function weft._list_drops(uuid, integer) is
  'Lists what has to be dropped so that a step of an undo can run, in order: what is in its way, and what depends on that, if a file of the undo makes it again.';


-- The rights on a view or a function; or those on a new one, by the default privileges of its owner.
create or replace function weft._list_rights(p_classid oid, p_objid oid, p_is_default boolean default false)
  returns jsonb
  stable
  set search_path = pg_catalog, pg_temp
  language plpgsql  -- keeps its plans, where many are asked of
as $$
begin
  return (
    with object as (
      select c.relacl as acl, c.relowner as owner, c.relnamespace as place, 'r'::"char" as type from pg_class as c where p_classid = 'pg_class'::regclass and c.oid = p_objid
      union all
      select f.proacl, f.proowner, f.pronamespace, 'f' from pg_proc as f where p_classid = 'pg_proc'::regclass and f.oid = p_objid
    ),
    lists as (
      select null::name as column_name, coalesce(o.acl, acldefault(o.type, o.owner)) as acl from object as o where not p_is_default
      union all
      select a.attname, a.attacl from pg_attribute as a
      where not p_is_default and p_classid = 'pg_class'::regclass and a.attrelid = p_objid and a.attacl is not null and not a.attisdropped
      union all
      select null, coalesce((select d.defaclacl from pg_default_acl as d where d.defaclrole = o.owner and d.defaclnamespace = 0 and d.defaclobjtype = o.type), acldefault(o.type, o.owner))
      from object as o where p_is_default
      union all
      select null, d.defaclacl from object as o join pg_default_acl as d on d.defaclrole = o.owner and d.defaclnamespace = o.place and d.defaclobjtype = o.type where p_is_default
    )
    select coalesce(jsonb_agg(r.item order by r.item), '[]')
    from (
      select jsonb_strip_nulls(jsonb_build_object('column', l.column_name, 'grantor', x.grantor::regrole::text, 'grantee', case x.grantee when 0 then 'public' else x.grantee::regrole::text end,
               'privilege', x.privilege_type, 'is_grantable', bool_or(x.is_grantable))) as item
      from lists as l cross join lateral aclexplode(l.acl) as x
      group by l.column_name, x.grantor, x.grantee, x.privilege_type
    ) as r);
end
$$;

comment on function weft._list_rights(oid, oid, boolean) is 'Lists the rights on a view or function, or those that it would have if it had just been made.';


-- What goes with an object, without an error, when it is dropped.
create or replace function weft._list_attached(p_classid oid, p_objid oid)
  returns jsonb
  stable
  set search_path = pg_catalog, pg_temp
  language plpgsql  -- keeps its plans, where many are asked of
as $$
begin
  return (
    with attached as materialized (
      select d.classid, d.objid, d.objsubid, pg_describe_object(d.classid, d.objid, d.objsubid) as words,
             case when d.classid = 'pg_attrdef'::regclass then (select b.adnum from pg_attrdef as b where b.oid = d.objid) end as number
      from pg_depend as d
      where d.refclassid = p_classid and d.refobjid = p_objid and d.deptype = 'a'
    ),
    all_of_it as (
      select a.words, a.number from attached as a
      union all
      select format('%s fires: %s', a.words, t.tgenabled), null from attached as a join pg_trigger as t on a.classid = 'pg_trigger'::regclass and t.oid = a.objid and t.tgenabled <> 'O'
      union all
      select format('%s is enabled: %s', a.words, w.ev_enabled), null from attached as a join pg_rewrite as w on a.classid = 'pg_rewrite'::regclass and w.oid = a.objid and w.ev_enabled <> 'O'
      union all
      select format('comment on %s', pg_describe_object(c.classoid, c.objoid, c.objsubid)), nullif(c.objsubid, 0)
      from pg_description as c
      where c.classoid = p_classid and c.objoid = p_objid
    union all  -- each by its key, because there may be thousands of comments
    select format('comment on %s', pg_describe_object(c.classoid, c.objoid, c.objsubid)), nullif(c.objsubid, 0)
    from attached as a join pg_description as c on c.classoid = a.classid and c.objoid = a.objid
      union all
      select format('security label of %s on %s', l.provider, pg_describe_object(l.classoid, l.objoid, l.objsubid)), nullif(l.objsubid, 0) from pg_seclabel as l where l.classoid = p_classid and l.objoid = p_objid
      union all
      select format('option %s', o.value), null from pg_class as c cross join lateral unnest(c.reloptions) as o (value) where p_classid = 'pg_class'::regclass and c.oid = p_objid
      union all
      select format('bond to %s', pg_describe_object(d.refclassid, d.refobjid, 0)), null from pg_depend as d where d.classid = p_classid and d.objid = p_objid and d.deptype in ('e', 'x')
    )
    select coalesce(jsonb_agg(distinct jsonb_strip_nulls(jsonb_build_object('what', l.words, 'column', a.attname))), '[]')
    from all_of_it as l
    left join pg_attribute as a on p_classid = 'pg_class'::regclass and a.attrelid = p_objid and a.attnum = l.number);
end
$$;

comment on function weft._list_attached(oid, oid) is 'Lists what would be dropped with an object: triggers, rules and defaults on it, comments, labels, options, dependencies on extensions.';


-- Null if the object may be dropped and made again; what belongs to it is compared when it exists again.
create or replace function weft._refuse_drop(p_classid oid, p_objid oid, p_role text)
  returns text
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select case
    when o.owner <> coalesce(p_role, current_user) then
      format('its owner: %s belongs to %s, and is made again by %s', pg_describe_object(p_classid, p_objid, 0), o.owner, coalesce(p_role, current_user))
    when exists (select from jsonb_array_elements(weft._list_rights(p_classid, p_objid)) as r where r.value ->> 'grantor' <> quote_ident(o.owner)) then
      format('rights on %s that others than its owner have granted', pg_describe_object(p_classid, p_objid, 0))
  end
  from (
    select pg_get_userbyid(c.relowner)::text as owner from pg_class as c where p_classid = 'pg_class'::regclass and c.oid = p_objid
    union all
    select pg_get_userbyid(f.proowner) from pg_proc as f where p_classid = 'pg_proc'::regclass and f.oid = p_objid
  ) as o
$$;

comment on function weft._refuse_drop(oid, oid, text) is 'Says why an object is not dropped to be made again; null if it may be.';


-- The same words in the plan, and when the undo fails.
create or replace function weft._word_loss(p_name text, p_path text, p_lost text)
  returns text
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select p_name || ' has to be dropped, and made again by ' || p_path || ', and that would lose: ' || p_lost
$$;

comment on function weft._word_loss(text, text, text) is 'Says what would be lost if an undo dropped an object and made it again; null if nothing would be.';


create or replace function weft._word_dependents(p_path text)
  returns text
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select format('%s: what is in the way has to be dropped first, and something depends on it that no repeatable file of this undo makes again.', p_path)
$$;

comment on function weft._word_dependents(text) is 'Says that something depends on what an undo would have to drop; the detail names it.';


create or replace function weft._advise_on_dependents()
  returns text
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select 'Drop what the detail names, or change it so that it does not depend on that any more; make it again behind the undo.'
$$;

comment on function weft._advise_on_dependents() is 'Says what to do if something depends on what an undo would have to drop.';


create or replace function weft._advise_on_room()
  returns text
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select 'Drop it yourself, with what would be lost, and undo again: its file makes it again, and what would be lost is yours to make again behind that. Or leave it, and deploy a bundle that goes forward.'
$$;

comment on function weft._advise_on_room() is 'Says what to do if an undo drops nothing because something would be lost.';


-- Called in the block of the step, right before it. What is dropped is noted, and compared with what exists after the block.
create or replace function weft._make_room(p_phase weft._phases, p_step integer)
  returns void
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_budget  text := current_setting('lock_timeout');
  v_drops   text[];
  v_room    jsonb;
  v_why     text;
  v_path    text;
  v_drop    text;
  v_detail  text;
begin
  select array_agg(l.statement), string_agg(weft._word_loss(l.object ->> 'name', l.path, weft._refuse_drop(l.classid, l.objid, l.role)), '; '),
         jsonb_agg(l.object || jsonb_build_object('statement', l.statement, 'path', l.path, 'rights', weft._list_rights(l.classid, l.objid),
           'has_default_rights', weft._list_rights(l.classid, l.objid) = weft._list_rights(l.classid, l.objid, true), 'attached', weft._list_attached(l.classid, l.objid))
           -- a file that is brought back contains it itself
           || case when not exists (select from weft._steps as s where s.deployment_id = p_phase.deployment_id and s.path = l.path and s.undoes = s.path) then jsonb_build_object('traits', weft._list_traits(l.classid, l.objid)) else '{}' end)
  into v_drops, v_why, v_room
  from weft._list_drops(p_phase.deployment_id, p_step) as l;
  if v_drops is null then
    return;
  elsif v_why is not null then
    raise exception '%', v_why using errcode = 'WF073', hint = weft._advise_on_room();
  end if;
  update weft._steps as s set result = coalesce(s.result, '{}') || jsonb_build_object('dropped', to_jsonb(v_drops), 'room', v_room)
  where s.deployment_id = p_phase.deployment_id and s.ordinal = p_step
  returning s.path into v_path;
  perform set_config('lock_timeout', weft._lock_budget_ms(p_phase, 'table')::text, false);
  if p_phase.role is not null then
    perform set_config('role', p_phase.role, true);
  end if;
  foreach v_drop in array v_drops loop
    execute v_drop;
  end loop;
  reset role;
  perform set_config('lock_timeout', v_budget, false);
exception when dependent_objects_still_exist then
  get stacked diagnostics v_detail = pg_exception_detail;
  raise exception '%', weft._word_dependents(coalesce(v_path, v_drop)) using errcode = '2BP01', detail = v_detail, hint = weft._advise_on_dependents();
end
$$;

comment on function weft._make_room(weft._phases, integer) is 'Drops what is in the way of a step of an undo, with what depends on it and will be made again; never with CASCADE.';


-- For an undo.
create or replace function weft._take_back_history(p_deployment uuid, p_records weft._step_record[])
  returns void
  volatile
  set search_path = pg_catalog, pg_temp
  set enable_nestloop = off  -- rows that were just written have no statistics, and with some hundred files it would compare all triples
  set jit = off
  language plpgsql
as $$
declare
  v_undo      weft._deployments := (select d from weft._deployments as d where d.id = p_deployment);
  v_undos     text[];  -- files that an undo file has taken back
  v_taken     text[];  -- those that left the history with that
  v_restores  boolean;
  v_keeps     boolean;
  v_count     integer;
begin  -- this is called for each step of a per-step phase, so it avoids queries that would find nothing
  select array_agg(s.undoes) filter (where s.undoes is not null), coalesce(array_agg(s.undoes) filter (where s.path <> s.undoes), '{}'),
         coalesce(bool_or(s.path = s.undoes), false), coalesce(bool_or(s.options ? 'keeps'), false)
  into v_undos, v_taken, v_restores, v_keeps
  from unnest(p_records) as r
  cross join lateral (select k.path, k.undoes, k.options from weft._steps as k where k.deployment_id = p_deployment and k.ordinal = r.ordinal offset 0) as s
  where r.is_wanted;
  -- repeatable files are back to what they were, by their own older content
  if v_restores then
    update weft._history as h
    set path = u.path, digest = decode(u.replaced ->> 'digest', 'hex'), deployment_id = (u.replaced ->> 'deployment_id')::uuid, applied_at = (u.replaced ->> 'applied_at')::timestamptz,
        bytes_in = (u.replaced ->> 'bytes_in')::uuid, applied_path = u.replaced ->> 'applied_path', place = (u.replaced ->> 'place')::integer,
        made = coalesce(r.result -> 'made', nullif(u.replaced -> 'made', 'null')),
        table_name = r.result ->> 'table', table_oid = (r.result ->> 'table_oid')::oid, words = nullif(u.replaced -> 'words', 'null')
    from weft._steps as s
    join unnest(p_records) as r on r.ordinal = s.ordinal and r.is_wanted
    join weft._steps as u on u.deployment_id = v_undo.undoes and u.path = s.undoes
    where s.deployment_id = p_deployment and s.path = s.undoes and h.bundle = v_undo.bundle and h.applied_path = s.undoes and h.deployment_id = v_undo.undoes;
  end if;
  -- files that were called back have made their objects anew
  if v_keeps then
    update weft._history as h
    set made = weft._merge_made(h.made, r.result -> 'made'), table_oid = coalesce((r.result ->> 'table_oid')::oid, h.table_oid)
    from weft._steps as s
    join unnest(p_records) as r on r.ordinal = s.ordinal and r.is_wanted
    where s.deployment_id = p_deployment and s.options ? 'keeps' and h.bundle = v_undo.bundle and h.path = s.path;
  end if;
  delete from weft._history as h where h.path between (select min(u.path) from unnest(v_taken) as u (path)) and (select max(u.path) from unnest(v_taken) as u (path))
    and h.bundle = v_undo.bundle and h.path = any (v_taken) and h.applied_path = h.path and h.deployment_id = v_undo.undoes;
  get diagnostics v_count = row_count;
  if v_count < cardinality(v_taken) then  -- the others were renamed since, or ran only half-way
    delete from weft._history as h where h.bundle = v_undo.bundle and h.applied_path = any (v_taken) and h.deployment_id = v_undo.undoes;
  end if;
  if exists (select from weft._statements as t where t.deployment_id = v_undo.undoes) then  -- a file that ran only half-way begins anew
    delete from weft._statements as t
    using weft._steps as u where u.deployment_id = v_undo.undoes and u.path = any (v_undos) and t.deployment_id = v_undo.undoes and t.step = u.ordinal;
  end if;
  if exists (select from weft._batches as b where b.deployment_id = v_undo.undoes) then  -- and a batch from its beginning
    delete from weft._batches as b
    using weft._steps as u where u.deployment_id = v_undo.undoes and u.path = any (v_undos) and b.deployment_id = v_undo.undoes and b.step = u.ordinal;
  end if;
end
$$;

comment on function weft._take_back_history(uuid, weft._step_record[]) is
  'Removes what steps have undone from the history, in the transaction of their effects, so that the next deployment runs it again.';
