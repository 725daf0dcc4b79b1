-- What of a deployment is still in the database, what would take it back, and which deployment came after it. However long the history
-- is, this only looks at what the deployment itself has left, and at what came after it.

create or replace function weft._comes_back(p_path text, p_kind text, p_options jsonb, p_replaced jsonb)
  returns boolean
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select p_replaced ->> 'place' is not null and weft._is_kept((p_replaced ->> 'bytes_in')::uuid, p_path, decode(p_replaced ->> 'digest', 'hex'))
    and (p_kind = 'run' or p_kind = 'load' and p_options ->> 'mode' = 'sync' and exists (
      select from weft._steps as b
      where b.deployment_id = (p_replaced ->> 'bytes_in')::uuid and b.path = p_path and b.kind = 'load' and b.options ->> 'mode' = 'sync' and b.options ->> 'into' = p_options ->> 'into'
      offset 0))
$$;

comment on function weft._comes_back(text, text, jsonb, jsonb) is
  'Tells whether what a step has replaced can come back: the content of a file that was repeatable then too, or of a load with sync into the same table.';


-- The undo of a file is the one that came with it, or with the same bytes of the file in a later deployment that had an effect: so an undo can be
-- repaired, or added later. For a repeatable file, and for a load with sync, the undo is the file itself, with its previous content.
--
-- p_held, p_later: what the history would have of the deployment, once those that came after it are undone.
create or replace function weft._list_effects(p_deployment uuid, p_held weft._history[] default null, p_later uuid[] default '{}')
  returns table (ordinal integer, phase integer, path text, kind text, done integer, undo text, given_by uuid, digest bytea, restores boolean, values_of uuid)
  stable
  set search_path = pg_catalog, pg_temp
  set enable_nestloop = off  -- rows that were just written have no statistics
  set jit = off
  language sql
as $$
  with held as materialized (
    select h.path, h.applied_path, h.digest
    from weft._deployments as d join weft._history as h on h.bundle = d.bundle and h.deployment_id = d.id
    where d.id = p_deployment and p_held is null
    union all
    select r.path, r.applied_path, r.digest from unnest(p_held) as r
  ),
  mine as materialized (
    select s.ordinal, s.phase, s.path, s.kind, s.undo, d.bundle, d.place, a.digest, h.path as path_now, h.digest as digest_now, case when h.path is null then t.done end as done,
           case when h.path is not null and s.replaced is not null and weft._comes_back(s.path, s.kind, s.options, s.replaced) then s.replaced end as replaced
    from weft._deployments as d
    join weft._steps as s on s.deployment_id = d.id
    join weft._artifacts as a on a.deployment_id = s.deployment_id and a.path = s.path
    left join held as h on h.applied_path = s.path
    left join weft._list_halves(p_deployment) as t on t.step = s.ordinal and (t.recorded_by is null or t.recorded_by = any (p_later))
    where d.id = p_deployment and (h.path is not null or t.done > 0)
  ),
  known_as as (
    select m.ordinal, m.path, m.digest from mine as m
    union
    select m.ordinal, m.path_now, m.digest_now from mine as m where m.path_now is not null
  ),
  halves as materialized (
    select u.path from weft._deployments as d cross join lateral weft._list_half_undone(d.bundle) as u where d.id = p_deployment and u.undoes = p_deployment
  ),
  later as materialized (  -- by the index on place: "|| ''" keeps the server from using one on bundle, which would read all earlier deployments
    select d.id, d.place, true as is_whole from weft._deployments as d where d.id = p_deployment
    union all
    select d.id, d.place, d.is_whole
    from weft._deployments as o
    cross join lateral (
      select l.id, l.place, l.state in ('succeeded', 'degraded') or l.has_committed or weft._has_committed(l, l.state, l.fingerprint_after) as is_whole
      from weft._deployments as l
      -- a deployment that was refused, or failed without effect, does not change an undo, either. Except after a half-done undo: a deployment
      -- that fails because of it (WF064) may bring the corrected undo file
      where l.place > o.place and l.bundle || '' = o.bundle and l.mode = 'apply' and l.undoes is null
        and (l.state in ('succeeded', 'degraded') or l.has_committed or l.state = 'failed' and l.error ->> 'sqlstate' = 'WF064' or weft._has_committed(l, l.state, l.fingerprint_after))
      offset 0) as d
    where o.id = p_deployment
  ),
  matched as materialized (
    select k.ordinal, l.id, l.place, l.is_whole, s.path, s.undo
    from later as l
    -- each digest is looked up by its key: a join might compare each file with each
    cross join lateral (
      select o.path, o.undo, a.digest
      from weft._steps as o
      cross join lateral (select f.digest from weft._artifacts as f where f.deployment_id = l.id and f.path = o.path offset 0) as a
      where o.deployment_id = l.id and o.undo is not null
      offset 0) as s
    join known_as as k on k.path = s.path and k.digest = s.digest
  ),
  offered as (
    select m.ordinal, s.undo, s.id, s.place, u.digest, s.undo is not distinct from m.undo as is_own,
           row_number() over (partition by s.undo, s.undo is distinct from m.undo order by s.place desc) as claim
    from matched as s
    join mine as m on m.ordinal = s.ordinal
    cross join lateral (select o.digest from weft._artifacts as o where o.deployment_id = s.id and o.path = s.undo offset 0) as u
    where (s.is_whole or s.path in (select f.path from halves as f))
      -- each undo file belongs to one file. It may move to another one if the same deployment gives the first one a different undo
      and (s.undo = m.undo or not exists (
        select from mine as o
        where o.undo = s.undo and not exists (select from weft._steps as n where n.deployment_id = s.id and n.path in (o.path, o.path_now) and n.undo <> s.undo)))
  ),
  given as (  -- an undo file under another name belongs to the file that had it last
    select o.ordinal, o.undo, o.id, o.digest, row_number() over (partition by o.ordinal order by o.place desc) as age
    from offered as o
    where o.is_own or o.claim = 1
  )
  select m.ordinal, m.phase, m.path, m.kind, m.done,
         case when m.replaced is null then g.undo else m.path end,
         case when m.replaced is null then g.id else (m.replaced ->> 'bytes_in')::uuid end,
         case when m.replaced is null then g.digest else decode(m.replaced ->> 'digest', 'hex') end,
         m.replaced is not null, (m.replaced ->> 'deployment_id')::uuid
  from mine as m
  left join given as g on g.ordinal = m.ordinal and g.age = 1
$$;

comment on function weft._list_effects(uuid, weft._history[], uuid[]) is
  'Lists what of a deployment is still in the database, and what would take it back: files in the history, and those of which only some statements, or rounds, are done.';


create or replace function weft._list_followers(p_deployment uuid)
  returns table (id uuid, started_at timestamptz)
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  with effective as materialized (  -- computed once, not for each one that came after
    select h.deployment_id as id from weft._deployments as d join weft._history as h on h.bundle = d.bundle where d.id = p_deployment
    union
    select f.deployment_id from weft._list_halves() as f where f.recorded_by is null
  )
  select o.id, o.started_at
  from weft._deployments as d
  join effective as e on e.id <> d.id
  cross join lateral (select l.id, l.bundle, l.mode, l.undoes, l.started_at from weft._deployments as l where l.id = e.id offset 0) as o
  -- a baseline keeps what it has replaced in the history, to restore it: so the newest baseline must be withdrawn first, too
  where d.id = p_deployment and o.bundle = d.bundle and o.started_at > d.started_at and o.undoes is null and (o.mode = 'apply' or o.mode = 'baseline' and d.mode = 'baseline')
$$;

comment on function weft._list_followers(uuid) is 'Lists the deployments of the same bundle that came after this one and of which something is in the database; for a baseline also other baselines.';


create or replace function weft._find_follower(p_deployment uuid)
  returns uuid
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select f.id from weft._list_followers(p_deployment) as f order by f.started_at desc limit 1
$$;

comment on function weft._find_follower(uuid) is 'Finds the newest deployment of the same bundle that came after this one and is in the database: it must be undone first.';
