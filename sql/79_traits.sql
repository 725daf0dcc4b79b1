-- What ALTER has set on an object, and its file may not mention: how a function runs and as whom, whom a policy is for, when a trigger
-- fires, how a materialized view is stored. If an unchanged file drops and makes such an object again, the object gets these as they
-- were, or the file fails and names them.

create or replace function weft._quote_setting(p_name text)
  returns text
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select string_agg(quote_ident(p.part), '.' order by p.ordinality) from unnest(string_to_array(p_name, '.')) with ordinality as p (part)
$$;

comment on function weft._quote_setting(text) is 'Writes the name of a setting as SQL, including those of extensions and users.';


-- PostgreSQL marks these internally (GUC_LIST_QUOTE), and pg_dump has the same list.
create or replace function weft._is_list_of_names(p_setting text)
  returns boolean
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select lower(p_setting collate "C") in ('search_path', 'temp_tablespaces', 'local_preload_libraries', 'session_preload_libraries', 'shared_preload_libraries', 'unix_socket_directories')
$$;

comment on function weft._is_list_of_names(text) is 'Tells whether the value of a setting is a list of names in quotes.';


-- In order. A list of names is set by the session's current value: written out again, a name that contains a comma would become two.
create or replace function weft._list_trait_statements(p_noted jsonb, p_now jsonb)
  returns text[]
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  with others as materialized (
    select coalesce(n.key, t.key) as name, n.value, substring(coalesce(n.key, t.key) from '^(?:statistics of|storage of|compression of|options of) (.*)$') as about
    from jsonb_each_text(p_noted -> 'traits') as n
    full join jsonb_each_text(p_now) as t on t.key = n.key
    where n.value is distinct from t.value
  ),
  altered as materialized (
    select o.*, case p_noted ->> 'kind' when 'function' then 'alter routine ' || (p_noted ->> 'name') when 'policy' then format('alter policy %I on %s', p_noted ->> 'name', p_noted ->> 'on')
      when 'trigger' then 'alter table ' || (p_noted ->> 'on') else 'alter materialized view ' || (p_noted ->> 'name') end as words
    from others as o
  )
  select array_agg(k.statement order by k.place, k.number, k.statement)
  from (
    select 1 as place, 0::bigint as number, concat_ws(' ', a.words, string_agg(a.value, ' ')) as statement from altered as a
    where a.name in ('volatility', 'answer to null', 'leaks', 'security', 'parallel', 'cost', 'rows', 'support') and a.value is not null group by a.words
    union all
    select 2, 0, concat_ws(' ', a.words, 'reset all') from altered as a where a.name = 'settings'
    union all
    select 3, c.ordinality * 3 + l.place, l.statement
    from altered as a
    cross join lateral unnest(a.value::text[]) with ordinality as c (setting, ordinality)
    cross join lateral (select split_part(c.setting, '=', 1) as name, substring(c.setting from '=(.*)$') as value) as v
    cross join lateral (values
      (0, case when weft._is_list_of_names(v.name) then format('select pg_catalog.set_config(%L, %L, true)', v.name, v.value) end),
      (1, case when weft._is_list_of_names(v.name) then format('%s set %s from current', a.words, weft._quote_setting(v.name)) else format('%s set %s to %L', a.words, weft._quote_setting(v.name), v.value) end),
      (2, case when weft._is_list_of_names(v.name) then format('select pg_catalog.set_config(%L, %L, true)', v.name, case v.name when 'search_path' then 'pg_catalog, pg_temp' else current_setting(v.name, true) end) end)) as l (place, statement)
    where a.name = 'settings' and l.statement is not null
    union all
    select 10, 0, format('%s %s trigger %I', a.words, a.value, p_noted ->> 'name') from altered as a where a.name = 'firing'
    union all
    select 11, 0, format('%s to %s', a.words, a.value) from altered as a where a.name = 'roles'
    union all
    select 12, 0, format('%s %s (%s)', a.words, case a.name when 'check' then 'with check' else 'using' end, a.value) from altered as a where a.name in ('condition', 'check') and a.value is not null
    union all
    select 13, 0, format('%s alter column %s set %s', a.words, a.about, case when a.name like 'options%' then format('(%s)', a.value) else concat_ws(' ', split_part(a.name, ' ', 1), a.value) end)
    from altered as a where a.name ~ '^(statistics|storage|compression|options) of ' and a.value is not null and weft._has_column(to_regclass(p_noted ->> 'name'), (parse_ident(a.about))[1])
    union all
    select 14, 0, concat_ws(' ', a.words, 'set tablespace', a.value) from altered as a where a.name = 'tablespace' and a.value is not null
    union all
    select 15, 0, concat_ws(' ', a.words, 'cluster on', a.value) from altered as a where a.name = 'cluster' and a.value is not null
  ) as k
$$;

comment on function weft._list_trait_statements(jsonb, jsonb) is 'Lists the statements that give an object back the traits that were noted.';


create or replace function weft._give_traits(p_phase weft._phases, p_noted jsonb, p_classid oid, p_objid oid)
  returns void
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_statements  text[];
  v_statement   text;
  v_now         jsonb;
  v_lost        text;
begin
  if not p_noted ? 'traits' or weft._list_traits(p_classid, p_objid) = p_noted -> 'traits' then
    return;
  end if;
  v_statements := weft._list_trait_statements(p_noted, weft._list_traits(p_classid, p_objid));
  if p_phase.role is not null then
    perform set_config('role', p_phase.role, true);
  end if;
  foreach v_statement in array coalesce(v_statements, '{}') loop
    execute v_statement;
  end loop;
  reset role;
  v_now := weft._list_traits(p_classid, p_objid);
  v_lost := (
    select string_agg(format('its %s: it was %s, and would be %s', coalesce(n.key, t.key), coalesce(n.value, 'none'), coalesce(t.value, 'none')), '; ' order by coalesce(n.key, t.key))
    from jsonb_each_text(p_noted -> 'traits') as n
    full join jsonb_each_text(v_now) as t on t.key = n.key
    where n.value is distinct from t.value
      and (n.key !~ '^(statistics|storage|compression|options) of ' or weft._has_column(p_objid, (parse_ident(substring(n.key from ' of (.*)$')))[1])));
  if v_lost is not null then
    raise exception '%', weft._word_loss(coalesce(p_noted ->> 'name', ''), p_noted ->> 'path', v_lost)
      using errcode = 'WF073', hint = case when p_noted ? 'is_called_back' then weft._advise_on_called_back() else weft._advise_on_room() end;
  end if;
end
$$;

comment on function weft._give_traits(weft._phases, jsonb, oid, oid) is 'Gives an object that was dropped and made again the traits that were noted, or raises which ones would be lost.';


-- Done as soon as the object exists again, so that what a later file takes away stays away.
create or replace function weft._return_rights(p_phase weft._phases)
  returns void
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_room  record;
begin
  for v_room in
    select s.ordinal, (r.ordinality - 1)::text as place, r.value as noted, f.classid, f.objid
    from weft._steps as s
    cross join jsonb_array_elements(s.result -> 'room') with ordinality as r
    cross join lateral weft._find_objects(jsonb_build_array(r.value)) as f
    where s.deployment_id = p_phase.deployment_id and s.phase = p_phase.ordinal and s.result ? 'room' and not r.value ? 'given_to'
  loop
    if weft._refuse_drop(v_room.classid, v_room.objid, p_phase.role) is null then  -- otherwise it is reported after the block
      perform weft._give_rights(p_phase, v_room.noted, v_room.classid, v_room.objid);
      perform weft._give_traits(p_phase, v_room.noted, v_room.classid, v_room.objid);
    end if;
    update weft._steps as s set result = jsonb_set(s.result, array['room', v_room.place, 'given_to'], to_jsonb(v_room.objid::text))
    where s.deployment_id = p_phase.deployment_id and s.ordinal = v_room.ordinal;
  end loop;
end
$$;

comment on function weft._return_rights(weft._phases) is 'Gives rights back to what was dropped in this block and exists again.';
