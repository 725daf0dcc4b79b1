-- Files of which a part is in the database: what the history has not yet, and a deployment goes on with.

create or replace function weft._find_begun(p_bundle text default null)
  returns table (bundle text, path text, deployment_id uuid, at timestamptz, statements integer, rounds integer, account text)
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select distinct on (d.bundle, s.path) d.bundle, s.path, d.id, coalesce(s.finished_at, t.at, b.last_round_at, d.finished_at), t.done, b.rounds + b.rounds_before,
         case when b.step is not null then concat(s.path, ': ', weft._tell_of_rounds(b), case when d.finished_at is not null then ' Deploy it again and it goes on behind them.' end)
           else weft._tell_what_stays(s, t.done, coalesce((s.error ->> 'runs_again')::boolean, t.runs_again), d.finished_at is not null) end
  from weft._deployments as d
  join weft._steps as s on s.deployment_id = d.id and s.state in ('pending', 'failed') and not coalesce(s.result ? 'continued', false)
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
