-- Gives objects that a called-back file makes anew what they had before: rights, comments, options, and the indexes and triggers that
-- others have given them. It was Weft that made them again, so nothing may be lost silently: what cannot be restored fails the file,
-- and is named.
--
-- All this is noted before the first thing that a phase does, for files that do not run because they have not changed, and again before
-- a file that contains DROP: once such an object is gone, nobody knows what it had. What its own file gives is in the file.

-- An index or a trigger that another file makes again need not be given back.
create or replace function weft._name_remade(p_bundle text)
  returns text[]
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select coalesce(array_agg(pg_describe_object(k.classid, k.objid, 0)), '{}')
  from weft._history as h
  cross join jsonb_array_elements(h.made) as o
  cross join lateral (
    select 'pg_trigger'::regclass::oid as classid, t.oid as objid from pg_trigger as t
    where t.tgrelid = case o.value ->> 'kind' when 'trigger' then to_regclass(o.value ->> 'on') end and t.tgname = o.value ->> 'name'
    union all
    select 'pg_class'::regclass, c.oid from pg_class as c where c.oid = case o.value ->> 'kind' when 'index' then to_regclass(o.value ->> 'name') end
  ) as k
  where h.bundle = p_bundle and h.made is not null and o.value ->> 'kind' in ('trigger', 'index')
$$;

comment on function weft._name_remade(text) is 'Names the triggers and indexes that repeatable files of a bundle make.';


-- What would be lost with an object, in words, except for what p_remade names.
create or replace function weft._list_losable(p_classid oid, p_objid oid, p_remade text[])
  returns jsonb
  stable
  set search_path = pg_catalog, pg_temp
  language plpgsql  -- keeps its plans, where many are asked of
as $$
begin
  return (
    select coalesce(jsonb_agg(a.value), '[]')
    from jsonb_array_elements(weft._list_attached(p_classid, p_objid)) as a
    where not exists (select from unnest(p_remade) as r (name) where a.value ->> 'what' in (r.name, 'comment on ' || r.name) or starts_with(a.value ->> 'what', r.name || ' fires: ')));
end
$$;

comment on function weft._list_losable(oid, oid, text[]) is 'Lists what would be lost with an object and comes back with no file.';


create or replace function weft._note_had_of(p_object jsonb, p_remade text[])
  returns jsonb
  stable
  set search_path = pg_catalog, pg_temp
  language plpgsql  -- keeps its plans, where many are asked of
as $$
begin
  return (
    select o.noted
    from (
      select f.*, jsonb_build_object(
          'kind', p_object ->> 'kind', 'name', p_object ->> 'name', 'on', p_object ->> 'on', 'owner', f.owner, 'of', f.of, 'subject', f.subject, 'classid', f.classid, 'objid', f.objid,
          'traits', weft._list_traits(f.classid, f.objid),
          'rights', weft._list_rights(f.classid, f.objid), 'has_default_rights', weft._list_rights(f.classid, f.objid) = weft._list_rights(f.classid, f.objid, true),
          'attached', weft._list_losable(f.classid, f.objid, p_remade), 'options', to_jsonb(f.options),
          'comments', (select jsonb_agg(jsonb_strip_nulls(jsonb_build_object('column', a.attname, 'text', c.description)))
            from pg_description as c left join pg_attribute as a on f.classid = 'pg_class'::regclass and a.attrelid = f.objid and a.attnum = c.objsubid and c.objsubid <> 0
            where c.classoid = f.classid and c.objoid = f.objid),
          'statements', (select jsonb_agg(s.statement order by s.statement) from (
            select pg_get_indexdef(i.indexrelid) as statement from pg_index as i
            where f.classid = 'pg_class'::regclass and i.indrelid = f.objid and pg_describe_object('pg_class'::regclass, i.indexrelid, 0) <> all (p_remade)
            union all
            select pg_get_triggerdef(t.oid) from pg_trigger as t
            where f.classid = 'pg_class'::regclass and t.tgrelid = f.objid and not t.tgisinternal and pg_describe_object('pg_trigger'::regclass, t.oid, 0) <> all (p_remade)) as s)) as noted
      from (
        select 'pg_class'::regclass::oid as classid, c.oid as objid, pg_get_userbyid(c.relowner)::text as owner, k.word as of, c.reloptions as options, concat_ws(' ', k.word, p_object ->> 'name') as subject
        from pg_class as c cross join lateral (select case c.relkind when 'v' then 'view' when 'm' then 'materialized view' else 'foreign table' end as word) as k
        where c.oid = case p_object ->> 'kind' when 'relation' then to_regclass(p_object ->> 'name') end and c.relkind in ('v', 'm', 'f')
        union all
        select 'pg_proc'::regclass, f.oid, pg_get_userbyid(f.proowner), 'routine', null, 'routine ' || (p_object ->> 'name')
        from pg_proc as f where f.oid = case when p_object ->> 'kind' = 'function' and weft._is_object_there(p_object) then to_regprocedure(p_object ->> 'name')::oid end
        union all
        select 'pg_trigger'::regclass, t.oid, pg_get_userbyid(c.relowner), 'trigger', null, format('trigger %I on %s', t.tgname, p_object ->> 'on')
        from pg_trigger as t join pg_class as c on c.oid = t.tgrelid where t.tgrelid = case p_object ->> 'kind' when 'trigger' then to_regclass(p_object ->> 'on') end and t.tgname = p_object ->> 'name'
        union all
        select 'pg_policy'::regclass, p.oid, pg_get_userbyid(c.relowner), 'policy', null, format('policy %I on %s', p.polname, p_object ->> 'on')
        from pg_policy as p join pg_class as c on c.oid = p.polrelid where p.polrelid = case p_object ->> 'kind' when 'policy' then to_regclass(p_object ->> 'on') end and p.polname = p_object ->> 'name'
      ) as f
    ) as o);
end
$$;

comment on function weft._note_had_of(jsonb, text[]) is 'Notes what a view, function, trigger or policy has that its file may not give it again; null if it does not exist.';


create or replace function weft._merge_had(p_now jsonb, p_before jsonb)
  returns jsonb
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select nullif(coalesce(p_now, '[]') || coalesce(jsonb_agg(b.value), '[]'), '[]')
  from jsonb_array_elements(p_before) as b
  where not exists (
    select from jsonb_array_elements(p_now) as n
    where n.value ->> 'kind' = b.value ->> 'kind' and n.value ->> 'name' = b.value ->> 'name' and n.value ->> 'on' is not distinct from b.value ->> 'on')
$$;

comment on function weft._merge_had(jsonb, jsonb) is 'Combines what the objects of a file have now with what objects that are gone had.';


create or replace function weft._note_had_by(p_deployment uuid, p_steps integer[])
  returns void
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_bundle  text := (select d.bundle from weft._deployments as d where d.id = p_deployment);
  v_remade  text[] := weft._name_remade(v_bundle);
begin
  with n as materialized (  -- materialized, because a plan without statistics would compute it again for each file
    select f.ordinal, jsonb_agg(k.noted) as had
    from weft._steps as f
    cross join lateral (select e.made from weft._history as e where e.bundle = v_bundle and e.path = f.path and e.made is not null offset 0) as h
    cross join jsonb_array_elements(h.made) as o
    cross join lateral (select weft._note_had_of(o.value, v_remade) as noted offset 0) as k
    where f.deployment_id = p_deployment and f.ordinal = any (p_steps) and k.noted is not null
    group by f.ordinal
  )
  update weft._steps as s set had = weft._merge_had(n.had, s.had)
  from n
  where s.deployment_id = p_deployment and s.ordinal = n.ordinal;
end
$$;

comment on function weft._note_had_by(uuid, integer[]) is 'Notes what the objects of these files of a deployment have; what was noted about objects that are gone stays.';


-- Giving something to an object, or taking it away, rewrites a row of the catalog. Checking that costs a tenth of reading what the object has.
create or replace function weft._print_had(p_deployment uuid, p_steps integer[])
  returns jsonb
  stable
  set search_path = pg_catalog, pg_temp
  language plpgsql  -- keeps its plan, because it is called before each of many files
as $$
begin
  return (
    with objects as materialized (
      select s.ordinal, o.value ->> 'kind' as kind, case o.value ->> 'kind' when 'relation' then 'pg_class'::regclass when 'function' then 'pg_proc'::regclass when 'trigger' then 'pg_trigger'::regclass when 'policy' then 'pg_policy'::regclass end::oid as classid,
        case o.value ->> 'kind'
          when 'relation' then to_regclass(o.value ->> 'name')::oid
          when 'function' then coalesce((select f.oid from pg_proc as f where f.oid = (o.value ->> 'objid')::oid), case when weft._is_object_there(o.value) then to_regprocedure(o.value ->> 'name')::oid end)
          when 'trigger' then (select t.oid from pg_trigger as t where t.tgrelid = to_regclass(o.value ->> 'on') and t.tgname = o.value ->> 'name')
          when 'policy' then (select p.oid from pg_policy as p where p.polrelid = to_regclass(o.value ->> 'on') and p.polname = o.value ->> 'name')
        end as objid
      from weft._steps as s
      cross join jsonb_array_elements(s.had) as o
      where s.deployment_id = p_deployment and s.ordinal = any (p_steps)
    )
    select jsonb_object_agg(p.ordinal, p.print)
    from (
      select o.ordinal, sum(hashtidextended(r.ctid, r.place) + o.objid::bigint)::text as print
      from objects as o
      left join lateral (
        select 1 as place, c.ctid from pg_class as c where o.kind = 'relation' and c.oid = o.objid
        union all select 2, a.ctid from pg_attribute as a where o.kind = 'relation' and a.attrelid = o.objid
        union all select 3, t.ctid from pg_trigger as t where o.kind = 'relation' and t.tgrelid = o.objid
        union all select 4, w.ctid from pg_rewrite as w where o.kind = 'relation' and w.ev_class = o.objid
        union all select 5, i.ctid from pg_index as i where o.kind = 'relation' and i.indrelid = o.objid
        union all select 6, c.ctid from pg_index as i join pg_class as c on c.oid = i.indexrelid where o.kind = 'relation' and i.indrelid = o.objid
        union all select 7, f.ctid from pg_proc as f where o.kind = 'function' and f.oid = o.objid
        union all select 8, t.ctid from pg_trigger as t where o.kind = 'trigger' and t.oid = o.objid
        union all select 9, p.ctid from pg_policy as p where o.kind = 'policy' and p.oid = o.objid
        union all select 10, c.ctid from pg_description as c where c.classoid = o.classid and c.objoid = o.objid
        union all select 11, l.ctid from pg_seclabel as l where l.classoid = o.classid and l.objoid = o.objid
        union all select 12, d.ctid from pg_depend as d where d.classid = o.classid and d.objid = o.objid and d.deptype in ('e', 'x')
        union all select 13, d.ctid from pg_depend as d where d.refclassid = o.classid and d.refobjid = o.objid and d.deptype = 'a'
        union all select 14, c.ctid from pg_depend as d join pg_description as c on c.classoid = d.classid and c.objoid = d.objid where d.refclassid = o.classid and d.refobjid = o.objid and d.deptype = 'a'
        offset 0
      ) as r on true
      group by o.ordinal
    ) as p);
end
$$;

comment on function weft._print_had(uuid, integer[]) is 'Tells the places of the catalog rows that say what the objects of these files have, if that was noted; null for a file without such objects.';


-- Called before a file that may drop such objects: a step of this deployment may have given them something since the phase began, or since this was last
-- noted (p_prints: what this function returned then). If several files drop and remake objects one after the other, only those that got more are read again.
create or replace function weft._note_had_anew(p_deployment uuid, p_phase integer, p_is_begun boolean, p_prints jsonb default null, p_goes_on boolean default false)
  returns jsonb
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_steps   integer[] := array(select s.ordinal from weft._steps as s where s.deployment_id = p_deployment and s.had is not null and s.state in ('skipped', 'pending'));
  v_prints  jsonb;
begin
  if v_steps = '{}' then
    return '{}';
  end if;
  if p_prints is not null or p_goes_on then
    v_prints := weft._print_had(p_deployment, v_steps);
  end if;
  if p_prints is not null then
    v_steps := array(select n.key::integer from jsonb_each_text(v_prints) as n where n.value <> coalesce(p_prints ->> n.key, ''));
  elsif not p_is_begun and not exists (select from weft._steps as s where s.deployment_id = p_deployment and s.phase = p_phase and s.state = 'succeeded' and s.kind <> 'check') then
    v_steps := '{}';
  end if;
  if v_steps <> '{}' then
    perform weft._note_had_by(p_deployment, v_steps);
  end if;
  return case when p_goes_on then v_prints end;
end
$$;

comment on function weft._note_had_anew(uuid, integer, boolean, jsonb, boolean) is
  'Notes again what the objects of files have that do not run, if something has run since it was noted (p_is_begun: in this block). With p_goes_on, returns p_prints for the next call; {} if there is nothing to note.';


create or replace function weft._word_called_back(p_noted jsonb, p_lost text)
  returns text
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select format('%s is dropped by what this deployment runs, and made again by %s, which has not changed; and that would lose: %s', p_noted ->> 'name', p_noted ->> 'path', p_lost)
$$;

comment on function weft._word_called_back(jsonb, text) is 'Says what would be lost if a file that is called back made an object again.';


-- Called in the block of the file, right after it, so that what a later file takes away stays away.
create or replace function weft._give_back_had(p_phase weft._phases, p_step integer)
  returns void
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_path        text;
  v_had         jsonb;
  v_noted       jsonb;
  v_now         jsonb;
  v_classid     oid;
  v_objid       oid;
  v_statement   text;
  v_statements  text[];
  v_lost        text;
begin
  select s.path, s.had into v_path, v_had from weft._steps as s where s.deployment_id = p_phase.deployment_id and s.ordinal = p_step;
  for v_noted in select n.value || jsonb_build_object('path', v_path, 'is_called_back', true) from jsonb_array_elements(v_had) as n loop
    v_now := weft._note_had_of(v_noted, '{}');
    continue when v_now is null;
    v_classid := v_now ->> 'classid';
    v_objid := v_now ->> 'objid';
    if v_now ->> 'owner' <> v_noted ->> 'owner' then
      raise exception '%', weft._word_called_back(v_noted, format('its owner: it belonged to %s, and would belong to %s', v_noted ->> 'owner', v_now ->> 'owner'))
        using errcode = 'WF073', hint = weft._advise_on_called_back();
    end if;
    if v_noted ->> 'kind' in ('relation', 'function') then
      perform weft._give_rights(p_phase, v_noted, v_classid, v_objid);
    end if;
    -- all are read first: the role of a phase may not read schema weft
    v_statements := array(
      select format('alter %s %s set (%s = %L)', v_noted ->> 'of', v_noted ->> 'name', split_part(o.value, '=', 1), substring(o.value from '=(.*)$'))
      from jsonb_array_elements_text(nullif(v_noted -> 'options', 'null')) as o
      where not exists (select from jsonb_array_elements_text(nullif(v_now -> 'options', 'null')) as n where split_part(n.value, '=', 1) = split_part(o.value, '=', 1))
      union all
      select format('comment on %s is %L', case when c.value ? 'column' then format('column %s.%I', v_noted ->> 'name', c.value ->> 'column') else v_noted ->> 'subject' end, c.value ->> 'text')
      from jsonb_array_elements(nullif(v_noted -> 'comments', 'null')) as c
      where weft._has_column(v_objid, c.value ->> 'column')
        and not exists (select from jsonb_array_elements(nullif(v_now -> 'comments', 'null')) as n where n.value ->> 'column' is not distinct from c.value ->> 'column')
      union all
      select s.value from jsonb_array_elements_text(nullif(v_noted -> 'statements', 'null')) as s
      where not coalesce(v_now -> 'statements' @> jsonb_build_array(s.value), false));
    if p_phase.role is not null then
      perform set_config('role', p_phase.role, true);
    end if;
    foreach v_statement in array v_statements loop
      execute v_statement;
    end loop;
    reset role;
    perform weft._give_traits(p_phase, v_noted, v_classid, v_objid);
    v_lost := (
      select string_agg(a.value ->> 'what', '; ' order by a.value ->> 'what')
      from jsonb_array_elements(v_noted -> 'attached') as a
      where not weft._list_attached(v_classid, v_objid) @> jsonb_build_array(a.value) and weft._has_column(v_objid, a.value ->> 'column'));
    if v_lost is not null then
      raise exception '%', weft._word_called_back(v_noted, v_lost) using errcode = 'WF073', hint = weft._advise_on_called_back();
    end if;
  end loop;
end
$$;

comment on function weft._give_back_had(weft._phases, integer) is 'Gives the objects that a called-back file has made again everything that they had; raises what would be lost.';


-- What has run is already committed, so a loss cannot fail it: it is only reported.
create or replace function weft._give_back_apart(p_phase weft._phases, p_step weft._steps)
  returns void
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_state    text;
  v_message  text;
begin
  perform weft._give_back_had(p_phase, p_step.ordinal);
exception when others then
  get stacked diagnostics v_state = returned_sqlstate, v_message = message_text;
  perform weft._tell(p_phase.deployment_id, 'not_given_back', p_phase.name, p_step.path, jsonb_build_object('sqlstate', v_state, 'message', v_message));
end
$$;

comment on function weft._give_back_apart(weft._phases, weft._steps) is 'Gives the objects that a file has made again statement by statement everything that they had, and reports what would be lost.';
