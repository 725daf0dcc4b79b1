-- What an undo does when the older content of a file cannot simply be run again: it makes room for it, or puts it off until what it
-- needs is undone too. And what it checks after a block: that everything that was dropped exists again with all that it had,
-- including its rights.
--
-- Each of these is committed before the block runs again, and recorded in the journal: room_made, put_off.

-- Among the steps of a block that has just run: files whose objects a later file of their group has dropped again.
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
  'Finds repeatable files that ran in a block and whose objects another one has dropped since: they must run after it.';


create or replace function weft._is_in_the_way(p_error jsonb)
  returns boolean
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  -- removed columns, another result type, another kind of object, a name that is taken, dependent objects
  select p_error ->> 'sqlstate' in ('42P16', '42P13', '42809', '42P07', '42723', '2BP01', '0A000')
$$;

comment on function weft._is_in_the_way(jsonb) is 'Tells whether a file failed because of existing objects, so that it may succeed if these are dropped first.';


-- For data: any error that comes from the table, its constraints and triggers, or other tables, but not from the file itself.
create or replace function weft._may_come_later(p_kind text, p_error jsonb)
  returns boolean
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select weft._is_in_the_way(p_error) or weft._is_lack(p_error)
    or p_kind = 'load' and (left(p_error ->> 'sqlstate', 2) in ('22', '23', '42', '44', 'P0') or p_error ->> 'sqlstate' in ('WF030', 'WF032', 'WF033', 'WF034'))
$$;

comment on function weft._may_come_later(text, jsonb) is 'Tells whether older content that has failed may succeed after what is undone later.';


-- Returns reordered if there is a way, so that the block runs again; otherwise the failure.
create or replace function weft._find_way(p_phase weft._phases, p_outcome weft._outcome)
  returns weft._outcome
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_step   weft._steps;
  v_drops  text[];
  v_why    text;
  v_paths  text[];
begin
  select s.* into v_step from weft._steps as s
  where s.deployment_id = p_phase.deployment_id and s.phase = p_phase.ordinal and s.path = p_outcome.path and s.state = 'pending' order by s.ordinal limit 1;
  if not found then
    return p_outcome;
  end if;
  if weft._is_in_the_way(p_outcome.error) and not v_step.options ? 'makes_room' then
    select array_agg(l.statement), string_agg(weft._word_loss(l.object ->> 'name', l.path, weft._refuse_drop(l.classid, l.objid, l.role)), '; ') into v_drops, v_why
    from weft._list_drops(p_phase.deployment_id, v_step.ordinal) as l;
    if v_why is null and v_drops is not null then
      update weft._steps as s set options = s.options || '{"makes_room": true}' where s.deployment_id = v_step.deployment_id and s.ordinal = v_step.ordinal;
      perform weft._tell(p_phase.deployment_id, 'room_made', p_phase.name, v_step.path, jsonb_build_object(
        'drops', to_jsonb(v_drops), 'because', jsonb_build_object('sqlstate', p_outcome.error ->> 'sqlstate', 'message', p_outcome.error ->> 'message', 'line', p_outcome.error -> 'line')));
      return row('reordered', null, null)::weft._outcome;
    end if;
  end if;
  if weft._may_come_later(v_step.kind, p_outcome.error) then
    v_paths := weft._put_off(p_phase, coalesce(p_outcome.error -> 'left', jsonb_build_array(p_outcome.error || jsonb_build_object('path', p_outcome.path))));
    if v_paths <> '{}' then
      return row('reordered', null, null)::weft._outcome;
    end if;
  end if;
  if v_why is null and v_drops is null and weft._is_in_the_way(p_outcome.error) and not v_step.options ? 'makes_room' and v_step.kind = 'run' and v_step.path = v_step.undoes then
    p_outcome.error := p_outcome.error || jsonb_build_object('hint', concat_ws(' ', p_outcome.error ->> 'hint', format(
      'Nothing that is in the way is known to be made by %s, so nothing was dropped for it. Drop it yourself (what depends on it, and the rights and comments on it, are yours to make again), and undo again: the file makes it again as it was.', v_step.path)));
  end if;
  if v_why is not null then
    p_outcome.error := p_outcome.error || jsonb_build_object(
      'detail', concat_ws(E'\n', p_outcome.error ->> 'detail', v_why), 'hint', weft._advise_on_room());
  end if;
  return p_outcome;
end
$$;

comment on function weft._find_way(weft._phases, weft._outcome) is
  'Finds a way for a step of an undo that has failed: drops first what is in its way, or puts off files that need what is undone after them.';


-- Each repeatable file of an undo is in it twice: in its place, and at the end, where it runs if it is called back or put off. The same holds for data.
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
    where f.deployment_id = p_phase.deployment_id and f.phase = p_phase.ordinal and f.path = v_error ->> 'path' and f.state = 'pending' and f.path = f.undoes and (f.options ? 'repeat' or f.kind = 'load')
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

comment on function weft._put_off(weft._phases, jsonb) is 'Lets files that cannot come back yet run at the end of the undo, and reports them.';


-- What was dropped to make room must exist again, with the same owner, and lack nothing.
create or replace function weft._give_back(p_phase weft._phases, p_room jsonb)
  returns void
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_classid  oid;
  v_objid    oid;
  v_lost     text;
begin
  select f.classid, f.objid into v_classid, v_objid from weft._find_objects(jsonb_build_array(p_room)) as f;
  if not found then
    -- it is made in a later transaction: nobody could give anything back to it
    v_lost := case
      when (p_room ->> 'has_run')::boolean or not exists (select from weft._list_makers(p_phase.deployment_id) as m where m.path = p_room ->> 'path') then 'it itself: its file has not made it again'
      when p_room -> 'attached' <> '[]' then (select string_agg(a.value ->> 'what', '; ' order by a.value ->> 'what') from jsonb_array_elements(p_room -> 'attached') as a)
      when not (p_room ->> 'has_default_rights')::boolean then 'the rights that were granted on it'
      when p_room -> 'traits' ->> 'security' = 'security definer' then 'that it runs as its owner (security definer)' end;
  else
    v_lost := (
      select string_agg(a.value ->> 'what', '; ' order by a.value ->> 'what')
      from jsonb_array_elements(p_room -> 'attached') as a
      where not weft._list_attached(v_classid, v_objid) @> jsonb_build_array(a.value) and weft._has_column(v_objid, a.value ->> 'column'));
    v_lost := coalesce(v_lost, weft._refuse_drop(v_classid, v_objid, p_phase.role));
  end if;
  if v_lost is not null then
    raise exception '%', weft._word_loss(p_room ->> 'name', p_room ->> 'path', v_lost) using errcode = 'WF073', hint = weft._advise_on_room();
  elsif v_objid is not null and (p_room ->> 'given_to')::oid is distinct from v_objid then
    perform weft._give_rights(p_phase, p_room, v_classid, v_objid);
    perform weft._give_traits(p_phase, p_room, v_classid, v_objid);
  end if;
end
$$;

comment on function weft._give_back(weft._phases, jsonb) is 'Makes sure that an object that was dropped and made again has lost nothing, and gets the rights that it had; raises what would be lost.';


-- Called after a block of an undo, in its transaction, which is rolled back if this fails.
create or replace function weft._look_after_returned(p_phase weft._phases, p_first integer, p_last integer)
  returns weft._outcome
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_rooms    jsonb;
  v_room     jsonb;
  v_path     text;
  v_error    jsonb;
  v_caught   weft._caught;
begin
  v_rooms := (
    select jsonb_agg(r.value || jsonb_build_object('step', s.path, 'has_run', exists (
             select from weft._steps as o
             where o.deployment_id = s.deployment_id and o.phase = s.phase and o.ordinal between p_first and p_last and o.path = r.value ->> 'path' and o.state = 'succeeded')) order by s.ordinal, r.ordinality)
    from weft._steps as s cross join jsonb_array_elements(s.result -> 'room') with ordinality as r
    where s.deployment_id = p_phase.deployment_id and s.phase = p_phase.ordinal and s.ordinal between p_first and p_last and s.state = 'succeeded' and s.result ? 'room');
  if v_rooms is null then
    return row('done', null, null)::weft._outcome;
  end if;
  begin
    perform set_config('lock_timeout', weft._lock_budget_ms(p_phase, 'table')::text, true);
    for v_room in select r.value from jsonb_array_elements(v_rooms) as r loop
      v_path := v_room ->> 'step';
      perform weft._give_back(p_phase, v_room);
    end loop;
    update weft._steps as s set result = s.result - 'room' where s.deployment_id = p_phase.deployment_id and s.phase = p_phase.ordinal and s.ordinal between p_first and p_last and s.result ? 'room';
    return row('done', null, null)::weft._outcome;
  exception when others or query_canceled or assert_failure then
    get stacked diagnostics v_caught.state = returned_sqlstate, v_caught.message = message_text, v_caught.detail = pg_exception_detail, v_caught.hint = pg_exception_hint, v_caught.context = pg_exception_context;
  end;
  v_error := weft._scrub(weft._account_of_error(v_caught), p_phase.secrets);
  return row(
    case when weft._is_interruption(v_caught.state, v_caught.context) then 'interrupted' when weft._may_pass(v_caught.state, v_caught.message) then 'again' else 'failed' end,
    v_path, weft._describe_error(v_error, p_phase.name, v_path, null, null))::weft._outcome;
end
$$;

comment on function weft._look_after_returned(weft._phases, integer, integer) is
  'Makes sure that what a block of an undo has dropped to make room exists again with all that it had; if not, the outcome says what would be lost.';
