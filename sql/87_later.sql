-- Going back over several deployments: which have come after one, and would be taken back before the database stands where that one left it.
--
-- Each is taken back by an undo of its own (floor 95), the newest first. Whether all of them can be is said here, before the first one is.

create or replace function weft._list_later(p_deployment uuid)
  returns table (id uuid, started_at timestamptz)
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  with recursive origin as materialized (
    select d.id, d.mode, d.started_at from weft._deployments as d where d.id = p_deployment
  ),
  later as (
    select f.id, f.started_at from weft._list_followers(p_deployment) as f
    union
    -- nothing of it is there, for a newer one has replaced it all; and gives it back
    select o.id, o.started_at
    from later as l
    cross join origin as d
    cross join lateral (
      select distinct (s.replaced ->> 'deployment_id')::uuid as id from weft._steps as s where s.deployment_id = l.id and s.state = 'succeeded' and s.replaced is not null
      offset 0) as r
    cross join lateral (select k.id, k.mode, k.started_at from weft._deployments as k where k.id = r.id offset 0) as o
    where o.started_at > d.started_at and (o.mode = 'apply' or o.mode = 'baseline' and d.mode = 'baseline')
  )
  select l.id, l.started_at from later as l
$$;

comment on function weft._list_later(uuid) is
  'Lists the deployments of the same bundle that came after this one and of which something is in the database, or comes back into it when a newer one is undone; after a baseline the baselines too.';


-- Of what is there still, the plan of its undo says the same. Of what a newer one has replaced: it is given back, but for what was new then.
create or replace function weft._list_lacking(p_deployment uuid, p_later uuid[])
  returns jsonb
  stable
  set search_path = pg_catalog, pg_temp
  set enable_nestloop = off  -- rows that were just written have no statistics
  set jit = off
  language sql
as $$
  with later as materialized (
    select s.path, s.undo, s.replaced ->> 'deployment_id' as given_back
    from unnest(p_later) as l (id)
    cross join lateral (select o.path, o.undo, o.replaced from weft._steps as o where o.deployment_id = l.id and o.kind = 'run' and (o.replaced is not null or o.undo is not null) offset 0) as s
    where l.id <> p_deployment
  )
  select coalesce(jsonb_agg(k.path order by k.path collate "C"), '[]')
  from (
    select e.path from weft._list_effects(p_deployment) as e where e.undo is null
    union
    select s.path
    from weft._steps as s
    where s.deployment_id = p_deployment and s.kind = 'run' and s.state = 'succeeded' and s.undo is null and s.replaced ->> 'place' is null
      and s.path in (select l.path from later as l where l.given_back = p_deployment::text)
      and s.path not in (select l.path from later as l where l.undo is not null)
  ) as k
$$;

comment on function weft._list_lacking(uuid, uuid[]) is 'Lists files of a deployment that have no undo, also such as other deployments of the list have replaced, and would give back.';


create or replace function weft.list_later(p_deployment uuid)
  returns jsonb
  stable
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_origin  weft._deployments;
  v_undo    uuid;
  v_later   uuid[];
begin
  select d.* into v_origin from weft._deployments as d where d.id = p_deployment;
  if not found then
    raise exception 'There is no deployment % in this database.', p_deployment using errcode = 'WF002', hint = 'select * from weft.deployments';
  elsif v_origin.undoes is not null then
    raise exception 'Deployment % is itself an undo, of deployment %.', v_origin.id, v_origin.undoes
      using errcode = 'WF070', hint = 'Name a deployment that has brought something: what came after it is taken back.';
  elsif v_origin.mode = 'rehearse' then
    raise exception 'Deployment % was a rehearsal: the database never stood as it would have left it.', v_origin.id
      using errcode = 'WF070', hint = 'Name a deployment that has brought something: what came after it is taken back.';
  elsif v_origin.finished_at is null then
    raise exception 'Deployment % is not over: it is %.', v_origin.id, v_origin.state
      using errcode = 'WF071', hint = 'Let it come to its end, or cancel it; then take back what came after it.';
  end if;
  v_undo := (select u.id from weft._deployments as u where u.undoes = v_origin.id and u.mode = 'apply' and u.state in ('succeeded', 'degraded') order by u.finished_at desc limit 1);
  if v_undo is not null then
    raise exception 'Deployment % was taken back itself, by deployment %: taking back more does not bring the database to where it stood.', v_origin.id, v_undo
      using errcode = 'WF070', hint = 'Name the deployment before it, or deploy what it has brought.';
  end if;
  v_later := array(select l.id from weft._list_later(v_origin.id) as l order by l.started_at desc, l.id);
  return weft._as_answer(jsonb_build_object(
    'deployment', v_origin.id, 'bundle', v_origin.bundle, 'request_id', v_origin.request_id, 'mode', v_origin.mode, 'state', v_origin.state, 'finished_at', v_origin.finished_at,
    'later', (
      select coalesce(jsonb_agg(jsonb_build_object(
               'deployment', d.id, 'request_id', d.request_id, 'mode', d.mode, 'state', d.state, 'caller', d.caller, 'started_at', d.started_at, 'finished_at', d.finished_at,
               'lacking', case d.mode when 'baseline' then '[]' else weft._list_lacking(d.id, v_later) end,
               'secrets', case d.mode when 'baseline' then '[]' else weft._list_secrets_needed(d.id) end) order by l.number), '[]')
      from unnest(v_later) with ordinality as l (id, number)
      cross join lateral (select o.* from weft._deployments as o where o.id = l.id offset 0) as d)));
end
$$;

comment on function weft.list_later(uuid) is
  'Lists, as a document, what has to be undone for the database to stand where a deployment has left its bundle: the deployments of that bundle that came after it and are in the database, the newest first, each with its files that have no undo (lacking), and the secrets that its undo needs.';
