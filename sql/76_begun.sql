-- Files of which a part is in the database: what the history has not yet, and a deployment goes on with.

-- By the keys of one deployment after another, which is quick where their steps are many.
create or replace function weft._was_left_out(p_bundle text, p_path text)
  returns boolean
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select exists (
    select
    from weft._deployments as d
    cross join lateral (select from weft._artifacts as a where a.deployment_id = d.id and a.path = p_path offset 0) as a
    cross join lateral (select from weft._steps as s where s.deployment_id = d.id and s.path = p_path and s.state in ('skipped', 'failed') offset 0) as s
    where d.bundle = p_bundle)
$$;

comment on function weft._was_left_out(text, text) is 'Tells whether a deployment of a bundle had this file, and went on without it.';


create or replace function weft._find_begun(p_bundle text default null)
  returns table (bundle text, path text, deployment_id uuid, at timestamptz, statements integer, rounds integer, account text)
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select distinct on (d.bundle, s.path) d.bundle, s.path, d.id, coalesce(s.finished_at, t.at, b.last_round_at, d.finished_at), t.done, b.rounds + b.rounds_before,
         case when b.step is not null then concat(s.path, ': ', weft._tell_of_rounds(b), case when d.finished_at is not null then ' Deploy it again and it goes on behind them.' end)
           else weft._tell_what_stays(o.step, t.done, coalesce((s.error ->> 'runs_again')::boolean, t.runs_again), d.finished_at is not null) end
  from (  -- of steps there may be very many
    select t.deployment_id, t.step from weft._statements as t
    union
    select b.deployment_id, b.step from weft._batches as b where b.rounds + b.rounds_before > 0
  ) as k
  join weft._deployments as d on d.id = k.deployment_id
  cross join lateral (
    select o as step from weft._steps as o
    where o.deployment_id = k.deployment_id and o.ordinal = k.step and o.state in ('pending', 'failed') and not coalesce(o.result ? 'continued', false) offset 0) as o
  cross join lateral (select (o.step).*) as s
  left join lateral (
    select c.done, c.runs_again, (select max(u.finished_at) from weft._statements as u where u.deployment_id = d.id and u.step = s.ordinal) as at
    from weft._count_statements(d.id) as c where c.step = s.ordinal and (c.done > 0 or c.runs_again)) as t on true
  left join weft._batches as b on b.deployment_id = d.id and b.step = s.ordinal and b.rounds + b.rounds_before > 0
  where d.mode = 'apply' and d.started_at is not null and (t.done is not null or b.step is not null) and d.bundle = coalesce(p_bundle, d.bundle)
    -- recorded since, or taken back with the rest of its deployment
    and not exists (select from weft._history as h where h.bundle = d.bundle and h.path = s.path and h.applied_at > d.finished_at)
  order by d.bundle, s.path, d.place desc nulls last
$$;

comment on function weft._find_begun(text) is 'Finds files that deployments have run in part, and not to their end: how many statements or rounds of each are committed, and what that means.';


create or replace function weft.list_begun(p_bundle text default null)
  returns jsonb
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select coalesce(jsonb_agg(jsonb_build_object(
           'bundle', f.bundle, 'path', f.path, 'deployment', f.deployment_id, 'at', f.at, 'statements', f.statements, 'rounds', f.rounds, 'account', f.account) order by f.at, f.path), '[]')
  from weft._find_begun(p_bundle) as f
$$;

comment on function weft.list_begun(text) is 'Lists files of which a part is in this database, of one bundle or of all.';
