-- What an undo does when a file does not come back as it is: it makes room for it, or puts it off until what it needs is undone too; and what
-- it looks after behind a block: rights that were dropped with their objects, and objects that only the newer content has made.
--
-- Each of that is committed before the block runs again, and told in the journal: room_made, put_off.

-- Of the steps of a block that have just run: files whose objects another file of their group has taken along again. Only where one ran behind them.
create or replace function weft._find_swallowed(p_phase weft._phases, p_first integer, p_last integer)
  returns jsonb
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select jsonb_agg(jsonb_build_object('path', s.path, 'step', s.ordinal, 'missing', m.missing, 'is_moved', true) order by s.ordinal)
  from weft._steps as s
  cross join lateral (select weft._list_missing(s.result -> 'made') as missing) as m
  where s.deployment_id = p_phase.deployment_id and s.phase = p_phase.ordinal and s.ordinal between p_first and p_last - 1 and s.options ? 'repeat' and s.state = 'succeeded'
    and not s.options ? 'moved' and m.missing is not null
    and exists (
      select from weft._steps as o
      where o.deployment_id = s.deployment_id and o.phase = s.phase and o.ordinal = s.ordinal + 1 and o.options ? 'repeat')
$$;

comment on function weft._find_swallowed(weft._phases, integer, integer) is
  'Finds repeatable files that ran in a block and whose objects another one has dropped since: they are to run behind it.';


create or replace function weft._is_in_the_way(p_error jsonb)
  returns boolean
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  -- columns that would go, another type of result, another kind of object, a name that is taken, something that depends on it
  select p_error ->> 'sqlstate' in ('42P16', '42P13', '42809', '42P07', '42723', '2BP01', '0A000')
$$;

comment on function weft._is_in_the_way(jsonb) is 'Tells whether a file failed because of what is there already, so that it may succeed when that is dropped first.';


-- Returns reordered where the block is to run again, because there is a way; else the failure.
create or replace function weft._find_way(p_phase weft._phases, p_outcome weft._outcome)
  returns weft._outcome
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_step   weft._steps;
  v_drops  text[];
  v_paths  text[];
begin
  select s.* into v_step from weft._steps as s
  where s.deployment_id = p_phase.deployment_id and s.phase = p_phase.ordinal and s.path = p_outcome.path and s.state = 'pending' order by s.ordinal limit 1;
  if not found then
    return p_outcome;
  end if;
  if weft._is_in_the_way(p_outcome.error) and not v_step.options ? 'makes_room' then
    v_drops := array(select l.statement from weft._list_drops(weft._list_in_the_way(p_phase.deployment_id, v_step.ordinal), weft._list_known(p_phase.deployment_id)) as l);
    if v_drops <> '{}' then
      update weft._steps as s set options = s.options || '{"makes_room": true}' where s.deployment_id = v_step.deployment_id and s.ordinal = v_step.ordinal;
      perform weft._tell(p_phase.deployment_id, 'room_made', p_phase.name, v_step.path, jsonb_build_object(
        'drops', to_jsonb(v_drops), 'because', jsonb_build_object('sqlstate', p_outcome.error ->> 'sqlstate', 'message', p_outcome.error ->> 'message', 'line', p_outcome.error -> 'line')));
      return row('reordered', null, null)::weft._outcome;
    end if;
  end if;
  if weft._is_in_the_way(p_outcome.error) or weft._is_lack(p_outcome.error) then
    v_paths := weft._put_off(p_phase, coalesce(p_outcome.error -> 'left', jsonb_build_array(p_outcome.error || jsonb_build_object('path', p_outcome.path))));
    if v_paths <> '{}' then
      return row('reordered', null, null)::weft._outcome;
    end if;
  end if;
  return p_outcome;
end
$$;

comment on function weft._find_way(weft._phases, weft._outcome) is
  'Finds a way for a step of an undo that has failed: drops first what is in its way, or puts files off that need what is undone behind them.';


-- Each file of an undo that runs again and again stands in it twice: where its turn is, and at the end, for when it is called back, or put off.
create or replace function weft._put_off(p_phase weft._phases, p_errors jsonb)
  returns text[]
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_paths  text[] := '{}';
  v_error  jsonb;
begin
  for v_error in select e.value from jsonb_array_elements(p_errors) as e loop
    update weft._steps as s set state = 'pending', finished_at = null
    from weft._steps as f
    where f.deployment_id = p_phase.deployment_id and f.phase = p_phase.ordinal and f.path = v_error ->> 'path' and f.state = 'pending' and f.path = f.undoes and f.options ? 'repeat'
      and s.deployment_id = f.deployment_id and s.path = f.path and s.ordinal > f.ordinal and s.options ? 'keeps' and s.state = 'skipped';
    continue when not found;
    update weft._steps as s set state = 'skipped', finished_at = clock_timestamp()
    where s.deployment_id = p_phase.deployment_id and s.phase = p_phase.ordinal and s.path = v_error ->> 'path' and s.state = 'pending' and not s.options ? 'keeps';
    v_paths := v_paths || (v_error ->> 'path');
    perform weft._tell(p_phase.deployment_id, 'put_off', p_phase.name, v_error ->> 'path', jsonb_build_object(
      'because', jsonb_build_object('sqlstate', v_error ->> 'sqlstate', 'message', v_error ->> 'message', 'line', v_error -> 'line')));
  end loop;
  if v_paths <> '{}' then
    update weft._steps as s set is_order_found = false where s.deployment_id = p_phase.deployment_id and s.is_order_found and s.state in ('pending', 'skipped');
  end if;
  return v_paths;
end
$$;

comment on function weft._put_off(weft._phases, jsonb) is 'Lets files that cannot come back yet run at the end of the undo, and tells which those are.';


-- Behind a block of an undo, in its transaction.
create or replace function weft._look_after_returned(p_phase weft._phases, p_first integer, p_last integer)
  returns void
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_extra   jsonb;
  v_drops   text[];
  v_grants  text[];
  v_what    text;
begin
  select jsonb_agg(o.value) into v_extra
  from weft._steps as s
  cross join jsonb_array_elements(nullif(s.replaced -> 'made', 'null')) as o
  where s.deployment_id = p_phase.deployment_id and s.phase = p_phase.ordinal and s.ordinal between p_first and p_last and s.state = 'succeeded' and s.path = s.undoes and s.options ? 'repeat'
    and not coalesce(s.result -> 'made', '[]') @> jsonb_build_array(o.value);
  v_grants := array(
    select g.value ->> 'statement'
    from weft._steps as s cross join jsonb_array_elements(s.result -> 'grants') with ordinality as g
    where s.deployment_id = p_phase.deployment_id and s.state = 'succeeded' and s.result ? 'grants' and weft._is_object_there(g.value) and weft._has_column(g.value)
    order by s.ordinal, g.ordinality);
  if v_extra is null and v_grants = '{}' then
    return;
  end if;
  v_drops := array(select l.statement from weft._list_drops(v_extra, '[]') as l);
  perform set_config('lock_timeout', weft._lock_budget_ms(p_phase, 'data')::text, true);
  -- from here on as the role of the phase, which may look into nothing of Weft's. What cannot be is left: the comparison at the end names it
  if p_phase.role is not null then
    perform set_config('role', p_phase.role, true);
  end if;
  begin
    foreach v_what in array v_grants loop
      execute v_what;
    end loop;
  exception when others then
    null;  -- a role that is gone, say
  end;
  begin
    foreach v_what in array v_drops loop
      execute v_what;
    end loop;
  exception when dependent_objects_still_exist or insufficient_privilege or lock_not_available or deadlock_detected then
    null;  -- somebody uses it now
  end;
  reset role;
end
$$;

comment on function weft._look_after_returned(weft._phases, integer, integer) is
  'Gives rights back that went with what was dropped, and drops what only the newer content of files has made, where nobody else uses it.';


create or replace function weft._has_column(p_grant jsonb)
  returns boolean
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select not p_grant ? 'column' or exists (select from pg_attribute as a where a.attrelid = to_regclass(p_grant ->> 'name') and a.attname = p_grant ->> 'column' and not a.attisdropped)
$$;

comment on function weft._has_column(jsonb) is 'Tells whether the column is there that a right is about, if it is about one.';
