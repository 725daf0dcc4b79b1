-- Going back. The undo files came with the deployment and were kept here, so nobody needs the old code: they are run in reverse, phase
-- by phase under each phase's own rule, as a deployment of its own, for which the same rules hold as for any other.
--
-- What is still in the history of a deployment can be undone. Whatever an undo file takes back leaves the history in the same
-- transaction (floor 80), and the next deployment runs it again.

-- For each bundle, the newest deployment of which something is in the database.
create or replace function weft._list_newest()
  returns setof weft._deployments
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  with effective as (
    select h.deployment_id as id from weft._history as h
    union
    select f.deployment_id from weft._list_halves() as f where f.recorded_by is null
  ),
  newest as (
    select distinct on (d.bundle) d.id
    from effective as e
    cross join lateral (select o.id, o.bundle, o.undoes, o.mode, o.started_at from weft._deployments as o where o.id = e.id offset 0) as d
    where d.undoes is null and d.mode <> 'rehearse'
    order by d.bundle, d.started_at desc
  )
  select d.*
  from newest as n
  cross join lateral (select o.* from weft._deployments as o where o.id = n.id offset 0) as d
  order by d.started_at desc
$$;

comment on function weft._list_newest() is 'Lists for each bundle the newest deployment that could be undone; the newest of all first.';


-- If there are several bundles, one must be named: the newest deployment of all may be somebody else's.
create or replace function weft._choose_newest(p_bundle text)
  returns weft._deployments
  stable
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_found   weft._deployments[] := array(select n from weft._list_newest() as n);
  v_chosen  weft._deployments;
  v_before  uuid;
  v_ways    text := (
    select string_agg(format('weft undo --bundle %s (%s %s, %s)', n.bundle, case n.mode when 'baseline' then 'baseline' else 'deployment' end, n.id, to_char(n.started_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS"Z"')),
      E'\n' order by n.started_at desc)
    from unnest(v_found) as n);
begin
  if cardinality(v_found) = 0 then
    raise exception 'Nothing that was deployed here is in the database still.' using errcode = 'WF070', hint = 'The view weft.history shows what is.';
  elsif p_bundle is null and cardinality(v_found) > 1 then
    raise exception '% bundles are in this database, and none of them was named. Nothing was undone.', cardinality(v_found)
      using errcode = 'WF074', hint = format(E'Say which:\n%s\nIn SQL: weft.undo(p_bundle => %L).', v_ways, v_found[1].bundle);
  end if;
  select n.* into v_chosen from unnest(v_found) as n where p_bundle is null or n.bundle = p_bundle;
  if not found then
    raise exception 'Nothing that a deployment of the bundle % has brought is in the database.', p_bundle
      using errcode = 'WF070', hint = E'Of other bundles there is:\n' || v_ways;
  elsif v_chosen.mode = 'baseline' then
    v_before := (
      select case when exists (select from weft._list_effects(o.id) as e where e.undo is not null) then o.id end
      from (select d.id, d.started_at from weft._deployments as d where d.bundle = v_chosen.bundle and d.undoes is null and d.mode = 'apply' order by d.started_at desc offset 0) as o
      where weft._has_effects(o.id)
      limit 1);
    raise exception 'The newest of the bundle % is a baseline, which has run nothing. Nothing was undone.', v_chosen.bundle
      using errcode = 'WF074', hint = format('To withdraw it, so that its files are taken for not applied: weft undo %s', v_chosen.id)
        || coalesce(E'\nTo undo what was deployed before it: weft undo ' || v_before, '');
  end if;
  return v_chosen;
end
$$;

comment on function weft._choose_newest(text) is 'Chooses the newest deployment of a bundle that could be undone; without a name, of the only bundle in the database.';


-- Which deployment is meant, and whether it may be undone.
create or replace function weft._choose_undone(p_deployment uuid, p_bundle text default null)
  returns weft._deployments
  stable
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_chosen       weft._deployments;
  v_follower     uuid;
  v_is_baseline  boolean;
  v_recorded     text;
begin
  if p_deployment is null then
    v_chosen := weft._choose_newest(p_bundle);
  else
    select d.* into v_chosen from weft._deployments as d where d.id = p_deployment;
    if not found then
      raise exception 'There is no deployment % in this database.', p_deployment using errcode = 'WF002', hint = 'select * from weft.deployments';
    elsif v_chosen.bundle <> p_bundle then
      raise exception 'Deployment % is of the bundle %, not of %.', v_chosen.id, v_chosen.bundle, p_bundle using errcode = 'WF070', hint = 'Name the one or the other.';
    end if;
  end if;

  if v_chosen.undoes is not null then
    raise exception 'Deployment % is itself an undo, of deployment %.', v_chosen.id, v_chosen.undoes
      using errcode = 'WF070', hint = 'To go forward again, deploy the bundle: what was taken back is run again.';
  elsif v_chosen.mode = 'rehearse' then
    raise exception 'Deployment % was a rehearsal: it has run nothing that could be taken back.', v_chosen.id
      using errcode = 'WF070', hint = 'There is nothing to undo.';
  elsif v_chosen.finished_at is null then
    raise exception 'Deployment % is not over: it is %.', v_chosen.id, v_chosen.state
      using errcode = 'WF071', hint = 'Let it come to its end, or cancel it; then undo what it has done.';
  end if;
  v_follower := weft._find_follower(v_chosen.id);
  v_is_baseline := (select d.mode = 'baseline' from weft._deployments as d where d.id = v_follower);
  if v_follower is not null then
    raise exception '% % of the bundle % came after it, and is in the %.', case when v_is_baseline then 'Baseline' else 'Deployment' end, v_follower, v_chosen.bundle,
        case when v_is_baseline then 'history' else 'database' end
      using errcode = 'WF071', hint = format('Undo that one first: deployments of a bundle are undone from the newest on. To take back all that came after this one: weft undo --after %s. Nothing of it was undone.', v_chosen.id);
  elsif not weft._has_effects(v_chosen.id) then
    select string_agg(format('%s, which it ran in part, deployment %s has recorded as applied since.', f.path, f.recorded_by), ' ' order by f.path collate "C") into v_recorded
    from weft._list_halves(v_chosen.id) as f where f.recorded_by is not null;
    raise exception 'Nothing of deployment % is in the database%', v_chosen.id,
        coalesce(' that is its own to take back: ' || v_recorded, format(': %s applied nothing, or it was undone already.', v_chosen.bundle))
      using errcode = 'WF070', hint = 'The view weft.history shows what is, and weft.deployments which deployment was undone.';
  end if;
  return v_chosen;
end
$$;

comment on function weft._choose_undone(uuid, text) is 'Chooses the deployment to undo: the one that is named, or the newest of its bundle of which something is in the database. Refuses one that may not be undone.';


-- The steps of an undo, in order: the last phase first, and in each the last step first. Repeatable files come back as a group, in its place: first the
-- undo files of new files, then the files in the order that they had. The group's other files are in it too, to be called back if something drops their
-- objects. Because of what is undone after the group, all of its files are listed once more at the end: in the last phase, or in one of their own.
-- So are loads with sync: their older rows may need a column that is undone later, or rows of another table.
-- A file with repeat: always runs only there: it may be about objects that are made again after its own place (rights, say).
create or replace function weft._list_undo_steps(p_deployment uuid, p_held weft._history[] default null, p_later uuid[] default '{}')
  returns table (
    place bigint, phase integer, is_again boolean, path text, kind text, undoes text, digest bytea, given_by uuid, restores boolean, is_kept boolean, done integer, is_given_by_other boolean, values_of uuid)
  stable
  set search_path = pg_catalog, pg_temp
  set enable_nestloop = off  -- rows that were just written have no statistics
  set jit = off
  language sql
as $$
  with effects as materialized (
    select e.* from weft._list_effects(p_deployment, p_held, p_later) as e where e.undo is not null
  ),
  grouped as materialized (
    select g.phase, g.number, g.ordinal, g.path from weft._list_groups(p_deployment) as g
  ),
  kept as materialized (
    select g.phase, g.number, g.ordinal, h.path, h.digest, h.bytes_in, h.deployment_id
    from grouped as g
    join weft._deployments as d on d.id = p_deployment
    join weft._history as h on h.bundle = d.bundle and h.path = g.path and h.place is not null
    where not exists (select from effects as e where e.ordinal = g.ordinal)
  ),
  turns as materialized (
    select e.phase, g.number, e.ordinal, coalesce(max(g.ordinal) over (partition by e.phase, g.number), e.ordinal) as turn, e.undo as path, e.kind, e.path as undoes, e.digest, e.given_by, e.restores,
           false as is_kept, e.done, e.values_of
    from effects as e left join grouped as g on g.ordinal = e.ordinal
  ),
  lasts as materialized (
    select t.ordinal from turns as t
    cross join lateral (select from weft._steps as s where s.deployment_id = p_deployment and s.ordinal = t.ordinal and s.options ->> 'repeat' = 'always' offset 0) as s
    where t.restores and t.number is not null
      and (exists (select from turns as o where (o.phase, o.turn) < (t.phase, t.turn))
        -- or somebody has dropped objects of files that are then called back
        or exists (select from kept as k where (k.phase, k.ordinal) < (t.phase, t.turn) and (k.phase, k.number) <> (t.phase, t.number)))
  ),
  firsts as materialized (
    select t.* from turns as t where t.ordinal not in (select l.ordinal from lasts as l)
    union all
    select k.phase, k.number, k.ordinal, (select max(t.turn) from turns as t where t.phase = k.phase and t.number = k.number), k.path, 'run', null, k.digest, k.bytes_in, false, true, null, k.deployment_id
    from kept as k
    where exists (select from turns as t where t.phase = k.phase and t.number = k.number)
  ),
  groups as (  -- after or beside which something is undone that does not belong to the group
    select n.phase, n.number
    from (select distinct g.phase, g.number from grouped as g) as n
    where exists (
      select from turns as t
      where (t.phase, t.number) is distinct from (n.phase, n.number)
        and (not exists (select from turns as o where o.phase = n.phase and o.number = n.number)
          or (t.phase, t.turn) < (n.phase, (select max(o.turn) from turns as o where o.phase = n.phase and o.number = n.number))))
  ),
  agains as (
    select t.phase, t.number, t.ordinal, t.path, t.kind, t.undoes, t.digest, t.given_by, t.restores, t.ordinal not in (select l.ordinal from lasts as l) as is_kept, t.values_of
    from turns as t where t.restores and (t.number is not null or t.kind = 'load')
    union all
    select k.phase, k.number, k.ordinal, k.path, 'run', null, k.digest, k.bytes_in, false, true, k.deployment_id from kept as k
  ),
  sorted as (
    select row_number() over (order by f.phase desc, f.turn desc, f.restores or f.is_kept, case when f.number is not null and (f.restores or f.is_kept) then f.ordinal else - f.ordinal end) as place,
           f.phase, false as is_again, f.path, f.kind, f.undoes, f.digest, f.given_by, f.restores, f.is_kept, f.done, f.values_of
    from firsts as f
    union all
    select 1000000000 + row_number() over (order by a.phase, a.ordinal), a.phase, a.phase > (select min(t.phase) from turns as t), a.path, a.kind, a.undoes, a.digest, a.given_by, a.restores, a.is_kept, null, a.values_of
    from agains as a
    where case a.kind when 'load' then exists (select from turns as t where (t.phase, t.turn) < (a.phase, a.ordinal))
      else exists (select from groups as g where g.phase = a.phase and g.number = a.number) or not a.is_kept end
  )
  select s.place, s.phase, s.is_again, s.path, s.kind, s.undoes, s.digest, s.given_by, s.restores, s.is_kept, s.done, s.given_by <> p_deployment, s.values_of
  from sorted as s
$$;

comment on function weft._list_undo_steps(uuid, weft._history[], uuid[]) is
  'Lists what undoing a deployment would run, in order, and which repeatable files wait to be called back, or files and data to be put off (is_kept), in a phase of their own after all others (is_again) or in their place.';


create or replace function weft._name_again(p_deployment uuid, p_phase text)
  returns text
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select n.name
  from (select 0 as place, p_phase || ' (again)' as name union all select g.n, format('%s (again, %s)', p_phase, g.n) from generate_series(2, 1000) as g (n)) as n
  where not exists (select from weft._phases as p where p.deployment_id = p_deployment and p.name = n.name)
  order by n.place
  limit 1
$$;

comment on function weft._name_again(uuid, text) is 'Names the phase at the end of an undo in which repeatable files of a phase wait to be called back.';


create or replace function weft._list_givers(p_undone uuid, p_held weft._history[] default null, p_later uuid[] default '{}')
  returns uuid[]
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select coalesce(array_agg(distinct s.given_by), '{}') from weft._list_undo_steps(p_undone, p_held, p_later) as s
  where exists (select from weft._parameters) and s.is_given_by_other and not s.restores and not s.is_kept
$$;

comment on function weft._list_givers(uuid, weft._history[], uuid[]) is 'Lists the later deployments that brought undo files of a deployment; none if nobody has parameters.';


-- The same artifacts, with phases and steps in reverse order. Without conditions: what has run is undone.
create or replace function weft._make_undo_manifest(p_undone weft._deployments)
  returns jsonb
  stable
  set search_path = pg_catalog, pg_temp
  set enable_nestloop = off  -- rows that were just written have no statistics
  set jit = off
  language sql
as $$
  with steps as materialized (
    select s.* from weft._list_undo_steps(p_undone.id) as s
  ),
  -- reads only deployments that bring something, and each of them once, not for each file
  files as materialized (
    select distinct on (g.id, a.digest) g.id as deployment_id, a.digest, a.size, a.chunks
    from (select distinct s.given_by as id from steps as s) as g
    cross join lateral (select k.digest, k.size, k.chunks from weft._artifacts as k where k.deployment_id = g.id offset 0) as a
  ),
  olds as materialized (
    select distinct on (g.id, o.path, o.kind) g.id as deployment_id, o.path, o.kind, a.digest, o.options
    from (select distinct s.given_by as id from steps as s where s.restores) as g
    cross join lateral (select k.path, k.kind, k.options from weft._steps as k where k.deployment_id = g.id offset 0) as o
    cross join lateral (select k.digest from weft._artifacts as k where k.deployment_id = g.id and k.path = o.path offset 0) as a
  ),
  all_of as materialized (
    select weft._list_values(p_undone.id) as base, weft._merge_values(p_undone.id, array(select distinct s.given_by from steps as s where s.is_given_by_other and not s.restores and not s.is_kept)) as known
  )
  select jsonb_build_object(
    'format', 1, 'bundle', p_undone.bundle, 'undoes', p_undone.id,
    'artifacts', (
      select coalesce(jsonb_agg(jsonb_build_object(
               'path', s.path, 'digest', encode(s.digest, 'hex'), 'size', a.size,
               'chunks', (select jsonb_agg(encode(c.digest, 'hex') order by c.place) from unnest(a.chunks) with ordinality as c (digest, place))) order by s.place), '[]')
      from (select distinct on (o.path) o.* from steps as o order by o.path, o.place) as s
      join files as a on a.deployment_id = s.given_by and a.digest = s.digest),
    'phases', (
      select coalesce(jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
               'name', case when g.is_again then weft._name_again(p_undone.id, p.name) else p.name end,
               'transaction', p.transaction, 'lock_timeout_ms', p.lock_timeout_ms, 'lock_timeouts_ms', p.lock_timeouts, 'role', p.role))
               || jsonb_build_object('settings', p.settings, 'steps', g.steps) order by g.place), '[]')
      from weft._phases as p
      join (
        select s.phase, s.is_again, min(s.place) as place, jsonb_agg(
                 -- files that come back may need each other, as they did then; so may undo files of new ones
                 -- a file without an undo may stay, or its objects may be dropped with what they need
                 case when s.is_kept and s.kind = 'run' then '{"kind": "run", "repeat": "on-change", "keeps": true}' || case when s.values_of = p_undone.id and s.undoes is null then '{"on_error": "continue"}' else '{}' end::jsonb
                   when s.restores then o.options || case s.kind when 'run' then '{"repeat": "always"}' else '{}' end::jsonb || jsonb_build_object('kind', s.kind) || case when s.is_kept then '{"keeps": true}' else '{}' end::jsonb
                   when s.undoes in (select u.path from weft._list_groups(p_undone.id) as u) then '{"kind": "run", "repeat": "always"}'
                   else '{"kind": "run"}' end
                 || jsonb_build_object('path', s.path) || case when s.undoes is not null then jsonb_build_object('undoes', s.undoes) else '{}' end
                 -- with the parameter values that the file had then, or that came with the undo file
                 || case when v.own <> all_of.known then jsonb_build_object('values', v.own) else '{}' end order by s.place) as steps
        from steps as s
        cross join all_of
        left join olds as o on s.restores and o.deployment_id = s.given_by and o.path = s.path and o.kind = s.kind and o.digest = s.digest
        cross join lateral (
          select case when s.values_of is not null then weft._list_values(s.values_of) when s.is_given_by_other then weft._merge_values(p_undone.id, array[s.given_by]) else all_of.base end as own) as v
        group by s.phase, s.is_again
      ) as g on g.phase = p.ordinal
      where p.deployment_id = p_undone.id))
$$;

comment on function weft._make_undo_manifest(weft._deployments) is 'Makes the manifest of a deployment that undoes another one.';


-- Some files only run if they are called back. What the older content of each file had made is stored for all of them at once, until the file has run.
create or replace function weft._let_stand_by(p_undo uuid)
  returns void
  volatile
  set search_path = pg_catalog, pg_temp
  set enable_nestloop = off  -- rows that were just written have no statistics
  set jit = off
  language sql
as $$
  update weft._steps as s set replaced = jsonb_build_object('made_before', u.replaced -> 'made')
  from weft._deployments as d
  cross join lateral (select k.path, k.kind, k.replaced from weft._steps as k where k.deployment_id = d.undoes offset 0) as u
  where d.id = p_undo and s.deployment_id = p_undo and s.path = s.undoes and u.path = s.undoes and u.kind = s.kind;
  update weft._phases as p set has_repeatables = true  -- so that weft._tend_groups looks after each block
  where p.deployment_id = p_undo and exists (select from weft._steps as s where s.deployment_id = p_undo and s.options ? 'keeps');
  update weft._steps as s set state = 'skipped', finished_at = clock_timestamp() where s.deployment_id = p_undo and s.options ? 'keeps'
$$;

comment on function weft._let_stand_by(uuid) is 'Skips the files of an undo that run only if they are called back, and stores what the older content of each had made.';


-- What was true when the undo was requested may have changed when its turn comes.
create or replace function weft._hold_to_undo(p_deployment uuid)
  returns void
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_undo      weft._deployments;
  v_follower  uuid;
begin
  select d.* into v_undo from weft._deployments as d where d.id = p_deployment and d.state = 'running' and d.undoes is not null;
  if not found then
    return;
  end if;
  v_follower := weft._find_follower(v_undo.undoes);
  if v_follower is not null then
    perform weft._end(p_deployment, 'failed', jsonb_build_object(
      'sqlstate', 'WF071',
      'message', format('Deployment %s of the bundle %s has come after the one that was to be undone, and is in the database.', v_follower, v_undo.bundle),
      'detail', 'Deployments of a bundle are undone from the newest on. '
        || case when exists (select from weft._steps as s where s.deployment_id = p_deployment and s.state = 'succeeded') then 'What was undone before stays undone; the rest was not touched.' else 'Nothing was undone.' end,
      'hint', format('Undo that one first, if you like: weft undo %s.', v_follower)));
    return;
  end if;
  update weft._steps as s
  set state = 'skipped', finished_at = clock_timestamp()
  where s.deployment_id = p_deployment and s.state = 'pending' and not s.options ? 'keeps' and not exists (select from weft._list_effects(v_undo.undoes) as e where e.path = s.undoes);
end
$$;

comment on function weft._hold_to_undo(uuid) is 'Ends an undo whose deployment was followed by another one meanwhile, and skips what another undo has taken back.';
