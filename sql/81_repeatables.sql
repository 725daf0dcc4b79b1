-- Repeatable files: views, functions and policies that need each other. Those that stand next to each other in a phase are a group, and
-- run in one transaction. Users need not order them: the order that worked last is tried first, in one block like any other. Only if a
-- file lacks something, Weft searches for another order, file by file under savepoints; then it rolls all of that back, runs the group in
-- the order found, and records that order.
--
-- The order is that of the steps' ordinals, so that what is shown, planned and run is the same.

-- The groups of a phase. A phase without transactions has none, and a file that runs statement by statement belongs to none.
create or replace function weft._list_groups(p_deployment uuid, p_phase integer default null)
  returns table (phase integer, number bigint, ordinal integer, path text, state weft.step_state, is_left_out boolean)
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select s.phase, s.ordinal - row_number() over (partition by s.phase order by s.ordinal), s.ordinal, s.path, s.state,
         s.state = 'skipped' and s.is_wanted is distinct from false and s.options ->> 'repeat' = 'on-change'
  from weft._steps as s
  join weft._phases as p on p.deployment_id = s.deployment_id and p.ordinal = s.phase
  where s.deployment_id = p_deployment and (p_phase is null or s.phase = p_phase) and p.has_repeatables and p.transaction <> 'none'
    and s.kind = 'run' and s.options ? 'repeat' and not s.is_apart
$$;

comment on function weft._list_groups(uuid, integer) is 'Lists the members of groups: repeatable steps that stand next to each other in a phase. is_left_out: unchanged, so that it does not run.';


-- Files that do not run because they have not changed. Includes those of a phase without transactions: they are in no group, and come back in their place.
create or replace function weft._list_left_out(p_deployment uuid, p_phase integer default null)
  returns table (ordinal integer, path text, number bigint)
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select g.ordinal, g.path, g.number from weft._list_groups(p_deployment, p_phase) as g where g.is_left_out
  union all
  select s.ordinal, s.path, null
  from weft._phases as p
  join weft._steps as s on s.deployment_id = p.deployment_id and s.phase = p.ordinal
  where p.deployment_id = p_deployment and (p_phase is null or p.ordinal = p_phase) and p.has_repeatables and p.transaction = 'none'
    and s.kind = 'run' and s.state = 'skipped' and s.is_wanted is distinct from false and s.options ->> 'repeat' = 'on-change' and not s.options ? 'keeps'
$$;

comment on function weft._list_left_out(uuid, integer) is 'Lists repeatable files that do not run because they have not changed.';


-- Permutes the places of steps of a group. Ordinals are a key, so they are made negative first.
create or replace function weft._reorder(p_deployment uuid, p_from integer[], p_to integer[])
  returns void
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
begin
  update weft._steps as s set ordinal = -u.place
  from unnest(p_from, p_to) as u (ordinal, place)
  where s.deployment_id = p_deployment and s.ordinal = u.ordinal;
  update weft._steps as s set ordinal = -s.ordinal where s.deployment_id = p_deployment and s.ordinal < 0;
end
$$;

comment on function weft._reorder(uuid, integer[], integer[]) is 'Gives repeatable steps new ordinals.';


-- The last order that worked; new files come after known ones, by name.
create or replace function weft._arrange_groups(p_deployment weft._deployments)
  returns void
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_from  integer[];
  v_to    integer[];
begin
  select array_agg(k.ordinal), array_agg(k.place) into v_from, v_to
  from (
    select g.ordinal,
           min(g.ordinal) over (partition by g.phase, g.number) - 1 + row_number() over (partition by g.phase, g.number order by h.place, g.path collate "C") as place
    from weft._list_groups(p_deployment.id) as g
    left join weft._steps as r on p_deployment.mode = 'rehearse' and r.deployment_id = p_deployment.id and r.ordinal = g.ordinal and r.result -> 'history' ? 'renamed_from'
    left join weft._history as h on h.bundle = p_deployment.bundle and h.path = coalesce(r.result -> 'history' ->> 'renamed_from', g.path)
  ) as k where k.place <> k.ordinal;
  if v_from is not null then
    perform weft._reorder(p_deployment.id, v_from, v_to);
  end if;
end
$$;

comment on function weft._arrange_groups(weft._deployments) is 'Puts the files of each group into the order that worked last.';


-- A group is one block, even in a phase in which each file has its own transaction.
create or replace function weft._end_of_group(p_phase weft._phases, p_first integer)
  returns integer
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select coalesce(max(g.ordinal), p_first)
  from weft._list_groups(p_phase.deployment_id, p_phase.ordinal) as g
  where g.state = 'pending' and g.number = (select f.number from weft._list_groups(p_phase.deployment_id, p_phase.ordinal) as f where f.ordinal = p_first)
$$;

comment on function weft._end_of_group(weft._phases, integer) is 'Tells which pending step is the last of the group that begins with a step; that step itself, if it is in no group.';


-- Unchanged files of which some objects are gone: dropped with CASCADE in this deployment, or by hand.
create or replace function weft._find_lost(p_phase weft._phases)
  returns table (ordinal integer, path text, number bigint, missing jsonb)
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select g.ordinal, g.path, g.number, m.missing
  from weft._list_left_out(p_phase.deployment_id, p_phase.ordinal) as g
  join weft._deployments as d on d.id = p_phase.deployment_id
  join weft._history as h on h.bundle = d.bundle and h.path = g.path and h.made is not null
  cross join lateral (select weft._list_missing(h.made) as missing) as m
  where m.missing is not null
    -- an undo has a file twice: it comes back in its place, and is at the end in case it is called back
    and not exists (select from weft._steps as o where o.deployment_id = p_phase.deployment_id and o.phase = p_phase.ordinal and o.path = g.path and o.state = 'pending')
    and not exists (select from weft._phases as p where p.deployment_id = p_phase.deployment_id and p.ordinal = p_phase.ordinal and p.is_wanted = false)
  union all select e.ordinal, e.path, null, e.missing from weft._find_emptied(p_phase) as e
$$;

comment on function weft._find_lost(weft._phases) is 'Finds files of a phase that were skipped because they have not changed, but of which some objects are missing; and data whose table was made anew.';


create or replace function weft._call_back(p_phase weft._phases, p_lost jsonb)
  returns void
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_lost  jsonb;
begin
  if p_lost @> '[{"is_moved": true}]' then
    perform weft._move_behind(p_phase, p_lost);
    return;
  end if;
  for v_lost in select l.value from jsonb_array_elements(p_lost) as l loop
    update weft._steps as s set state = 'pending', finished_at = null
    where s.deployment_id = p_phase.deployment_id and s.phase = p_phase.ordinal and s.path = v_lost ->> 'path' and s.ordinal = coalesce((v_lost ->> 'step')::integer, s.ordinal);
    perform weft._tell(p_phase.deployment_id, 'called_back', p_phase.name, v_lost ->> 'path', v_lost - 'path' - 'step');
  end loop;
end
$$;

comment on function weft._call_back(weft._phases, jsonb) is 'Lets files run again that have not changed, or whose objects another one has dropped, and reports why.';


-- Files of a group whose objects another one has dropped after they ran: they move after that one, and keep their order among themselves.
create or replace function weft._move_behind(p_phase weft._phases, p_moved jsonb)
  returns void
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_moved  integer[] := array(select (m.value ->> 'step')::integer from jsonb_array_elements(p_moved) as m);
  v_from   integer[];
  v_to     integer[];
begin
  -- files that will run get new places; skipped files keep theirs
  select array_agg(k.ordinal order by k.was), array_agg(k.place order by k.was) into v_from, v_to
  from (
    select g.was, g.ordinal, n.place
    from (
      select m.number, m.ordinal, row_number() over (partition by m.number order by m.ordinal = any (v_moved), m.ordinal) as was
      from weft._list_groups(p_phase.deployment_id, p_phase.ordinal) as m where m.state = 'pending'
    ) as g
    join (
      select m.number, m.ordinal as place, row_number() over (partition by m.number order by m.ordinal) as nth
      from weft._list_groups(p_phase.deployment_id, p_phase.ordinal) as m where m.state = 'pending'
    ) as n on n.number = g.number and n.nth = g.was
  ) as k;
  update weft._steps as s set options = s.options || '{"moved": true}' where s.deployment_id = p_phase.deployment_id and s.ordinal = any (v_moved);
  perform weft._reorder(p_phase.deployment_id, v_from, v_to);
  update weft._steps as s set is_order_found = false where s.deployment_id = p_phase.deployment_id and s.phase = p_phase.ordinal and s.is_order_found and s.state = 'pending';
  perform weft._tell(p_phase.deployment_id, 'moved_behind', p_phase.name, m.value ->> 'path', jsonb_build_object('missing', m.value -> 'missing')) from jsonb_array_elements(p_moved) as m;
end
$$;

comment on function weft._move_behind(weft._phases, jsonb) is 'Moves files of groups after those that drop what they make, and reports which.';


-- Called before the first thing that a phase does.
create or replace function weft._call_back_lost(p_phase weft._phases)
  returns void
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_lost  jsonb;
begin
  v_lost := (select jsonb_agg(jsonb_build_object('path', f.path, 'step', f.ordinal, 'missing', f.missing) order by f.ordinal)
    from (select distinct on (l.path) l.* from weft._find_lost(p_phase) as l order by l.path, l.ordinal) as f);
  if v_lost is not null then
    perform weft._call_back(p_phase, v_lost);
  end if;
end
$$;

comment on function weft._call_back_lost(weft._phases) is 'Lets unchanged files of a phase run whose objects are gone.';


-- Tries a group file by file: files that lack something are tried after the others, back and forth, until there is no progress. All of it is
-- rolled back. Returns the order, and the error of each file that is left; or the outcome that ended the search.
create or replace function weft._search_order(
    p_phase weft._phases, p_first integer, p_members integer[], p_left_out integer[], p_fence bigint, out ordinals integer[], out errors jsonb, out outcome weft._outcome)
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_deployment  uuid := p_phase.deployment_id;
  v_queue       integer[] := p_members;
  v_left        integer[];
  v_before      integer[];  -- no FOR over a query: its cursor would not outlive the files
  v_step        integer;
  v_try         weft._outcome;
  v_is_moving   boolean;
  v_helping integer[]; v_alone integer[]; v_stuck integer[];  -- files that have not changed; files that ran without them, and files that did not
begin
  ordinals := '{}';
  errors := '[]';
  begin
    if p_phase.transaction = 'single' then  -- what comes before the group runs in the same transaction
      v_before := array(
        select s.ordinal from weft._steps as s
        where s.deployment_id = v_deployment and s.ordinal between p_first and p_members[1] - 1 and s.state = 'pending' order by s.ordinal);
      foreach v_step in array v_before loop
        v_try := weft._run_steps(v_deployment, p_phase, v_step, v_step, p_fence, p_is_within => true, p_may_owe => true);
        if v_try.verdict <> 'done' and not (v_try.verdict = 'failed' and exists (
            select from weft._steps as s where s.deployment_id = v_deployment and s.ordinal = v_step and s.on_error = 'continue')) then
          outcome := v_try;
          raise exception using errcode = 'WF003';
        end if;
      end loop;
    end if;

    loop
      v_left := '{}';
      errors := '[]';
      v_is_moving := false;
      foreach v_step in array v_queue loop
        v_try := weft._run_steps(v_deployment, p_phase, v_step, v_step, p_fence, p_is_within => true, p_may_owe => true);
        if v_try.verdict = 'done' then
          ordinals := ordinals || v_step;
          v_is_moving := true;
        elsif v_try.verdict = 'failed' and weft._is_lack(v_try.error) then
          v_left := v_step || v_left;  -- so that the next round goes backwards: a chain in reverse order then takes two rounds
          errors := errors || v_try.error;
        else
          outcome := v_try;
          raise exception using errcode = 'WF003';
        end if;
      end loop;
      v_queue := v_left;
      exit when v_queue = '{}';
      if not v_is_moving then
        exit when p_left_out = '{}';
        -- unchanged files may make what they lack: those of which something is gone, or else any
        v_helping := array(select l.ordinal from weft._find_lost(p_phase) as l where l.ordinal = any (p_left_out) order by l.ordinal);
        v_helping := case when v_helping = '{}' then p_left_out else v_helping end;
        update weft._steps as s set state = 'pending' where s.deployment_id = v_deployment and s.ordinal = any (v_helping);
        v_alone := ordinals;
        v_stuck := v_queue;
        v_queue := v_queue || v_helping;
        p_left_out := array(select u.ordinal from unnest(p_left_out) as u (ordinal) where u.ordinal <> all (v_helping) order by u.ordinal);
      end if;
    end loop;
    raise exception using errcode = 'WF003';
  exception when sqlstate 'WF003' then
    null;
  end;
  if not v_stuck && ordinals then  -- the unchanged files helped nobody, so they do not run
    errors := (select jsonb_agg(e.value) from jsonb_array_elements(errors) as e join weft._steps as s on s.deployment_id = v_deployment and s.ordinal = any (v_stuck) and s.path = e.value ->> 'path');
    ordinals := v_alone;
  end if;
end
$$;

comment on function weft._search_order(weft._phases, integer, integer[], integer[], bigint) is
  'Searches for an order in which the files of a group can run, and rolls back everything it did. Files for which there is no place stay in errors.';


-- Called after a file of a group has failed: finds another order, or says why there is none.
create or replace function weft._find_order(p_phase weft._phases, p_first integer, p_fence bigint, p_outcome weft._outcome)
  returns weft._outcome
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_deployment  uuid := p_phase.deployment_id;
  v_number      bigint := (select min(g.number) from weft._list_groups(v_deployment, p_phase.ordinal) as g where g.path = p_outcome.path and g.state = 'pending');
  v_members     integer[];
  v_left_out    integer[];
  v_found       integer[];
  v_places      integer[];
  v_search      record;
  v_is_tolerated boolean;
  v_advised     integer[];  -- whoever undoes something does not rewrite files
begin
  if v_number is null or exists (
      select from weft._steps as s
      where s.deployment_id = v_deployment and s.phase = p_phase.ordinal and s.path = p_outcome.path
        and (s.is_order_found or s.options ? 'makes_room' and p_outcome.error ->> 'sqlstate' = '2BP01')) then  -- no file of the group can release what others depend on
    return p_outcome;
  end if;
  select coalesce(array_agg(g.ordinal order by g.ordinal) filter (where g.state = 'pending'), '{}'), coalesce(array_agg(g.ordinal order by g.ordinal) filter (where g.is_left_out), '{}')
  into v_members, v_left_out
  from weft._list_groups(v_deployment, p_phase.ordinal) as g
  where g.number = v_number;
  v_advised := case when exists (select from weft._deployments as d where d.id = v_deployment and d.undoes is null) then v_members || v_left_out end;
  if cardinality(v_members || v_left_out) < 2 or not weft._is_lack(p_outcome.error) then
    return row(p_outcome.verdict, p_outcome.path, weft._add_hint_of_group(p_outcome.error, v_advised))::weft._outcome;
  end if;

  v_search := weft._search_order(p_phase, p_first, v_members, v_left_out, p_fence);
  if (v_search.outcome).verdict is not null then
    return row((v_search.outcome).verdict, (v_search.outcome).path, weft._add_hint_of_group((v_search.outcome).error, v_advised))::weft._outcome;
  end if;
  v_found := v_search.ordinals;
  if jsonb_array_length(v_search.errors) > 0 then
    v_is_tolerated := not exists (
      select from jsonb_array_elements(v_search.errors) as e
      join weft._steps as s on s.deployment_id = v_deployment and s.phase = p_phase.ordinal and s.path = e.value ->> 'path' and s.on_error = 'stop');
    if not v_is_tolerated then
      return weft._describe_stuck(v_deployment, v_search.errors);
    end if;
    v_found := v_found || array(select m.ordinal from unnest(v_members) as m (ordinal) where m.ordinal <> all (v_search.ordinals));
  end if;

  update weft._steps as s set state = 'pending', finished_at = null where s.deployment_id = v_deployment and s.ordinal = any (v_found) and s.state = 'skipped';
  v_places := array(select u.ordinal from unnest(v_found) as u (ordinal) order by u.ordinal);
  perform weft._reorder(v_deployment, v_found, v_places);
  update weft._steps as s set is_order_found = true where s.deployment_id = v_deployment and s.ordinal = any (v_places);
  perform weft._tell(v_deployment, 'order_found', p_phase.name, p_outcome.path, jsonb_build_object(
    'order', (select jsonb_agg(s.path order by s.ordinal) from weft._steps as s where s.deployment_id = v_deployment and s.ordinal = any (v_places)), 'because', jsonb_build_object('sqlstate', p_outcome.error ->> 'sqlstate', 'message', p_outcome.error ->> 'message', 'line', p_outcome.error -> 'line')))
  where v_found <> v_members;
  return row('reordered', null, null)::weft._outcome;
end
$$;

comment on function weft._find_order(weft._phases, integer, bigint, weft._outcome) is
  'Finds another order for the group of a file that failed because it lacks something, and records it; otherwise returns the failure, with what all of them lack.';


-- What to do about the repeatable files of a phase after a block, before its end is recorded.
create or replace function weft._tend_groups(p_phase weft._phases, p_first integer, p_last integer, p_fence bigint, p_outcome weft._outcome)
  returns weft._outcome
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_is_undo  boolean := (select d.undoes is not null from weft._deployments as d where d.id = p_phase.deployment_id);
  v_moved    jsonb;
  v_within   jsonb;
  v_behind   jsonb;
begin
  if p_outcome.verdict = 'failed' then
    p_outcome := weft._find_order(p_phase, p_first, p_fence, p_outcome);
    return case when v_is_undo and p_outcome.verdict = 'failed' then weft._find_way(p_phase, p_outcome) else p_outcome end;
  end if;
  v_moved := weft._find_swallowed(p_phase, p_first, p_last);
  if v_moved is not null then
    return row('called_back', null, v_moved)::weft._outcome;
  end if;
  -- objects of files before the block, and in none of its groups, were dropped by later files, as in a new database. Files at the end of an undo run when the rest is back
  select coalesce(jsonb_agg(k.lost order by k.ordinal) filter (where k.is_within and not k.is_again), jsonb_agg(k.lost order by k.ordinal) filter (where k.is_within)), jsonb_agg(k.lost order by k.ordinal) filter (where not k.is_within)
  into v_within, v_behind
  from (
    select distinct on (l.path) l.ordinal, jsonb_build_object('path', l.path, 'step', l.ordinal, 'missing', l.missing) as lost, i.is_within,
           exists (select from weft._steps as o where o.deployment_id = p_phase.deployment_id and o.phase = p_phase.ordinal and o.path = l.path and o.ordinal < l.ordinal) as is_again
    from weft._find_lost(p_phase) as l
    cross join lateral (
      select p_phase.transaction = 'single' and l.ordinal > p_first or exists (
               select from weft._list_groups(p_phase.deployment_id, p_phase.ordinal) as g where g.number = l.number and g.ordinal between p_first and p_last and not g.is_left_out) as is_within
    ) as i
    where i.is_within or l.ordinal > p_last
    order by l.path, l.ordinal
  ) as k;
  if v_within is not null then
    return row('called_back', null, v_within)::weft._outcome;
  elsif v_behind is not null then
    perform weft._call_back(p_phase, v_behind);
  end if;
  if v_is_undo then
    return weft._look_after_returned(p_phase, p_first, p_last);
  end if;
  return p_outcome;
end
$$;

comment on function weft._tend_groups(weft._phases, integer, integer, bigint, weft._outcome) is
  'Checks after a block whether a file of a group failed that could run after others, or whether the block has dropped what other files made. called_back: the block must be rolled back, and run again with them.';
