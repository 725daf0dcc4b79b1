-- Files of which a part is in the database: the history does not have them yet, and a deployment continues them.

-- Looks up the keys of one deployment after another, which is quick even if they have many steps.
create or replace function weft._was_left_out(p_bundle text, p_path text)
  returns boolean
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select exists (
    select
    from weft._deployments as d
    cross join lateral (select a.path from weft._artifacts as a where a.deployment_id = d.id and a.path = p_path offset 0) as a
    cross join lateral (select from weft._steps as s where s.deployment_id = d.id and s.path = a.path and s.state in ('skipped', 'failed') offset 0) as s
    where d.bundle = p_bundle)
$$;

comment on function weft._was_left_out(text, text) is 'Tells whether a deployment of a bundle had this file, and continued without it.';


-- Files that an undo has taken back in part, while they still belong to the deployment that it undid: a file that another one has recorded since is whole.
create or replace function weft._list_half_undone(p_bundle text default null)
  returns table (bundle text, path text, undo text, deployment_id uuid, undoes uuid, step integer, account text)
  stable
  set search_path = pg_catalog, pg_temp
  set jit = off
  language sql
as $$
  select d.bundle, coalesce(h.path, s.undoes), s.path, d.id, d.undoes, s.ordinal,
         weft._tell_what_stays(o.step, c.done, coalesce((s.error ->> 'runs_again')::boolean, c.runs_again), d.finished_at is not null)
  from (select distinct t.deployment_id from weft._statements as t) as k
  cross join lateral (select o.* from weft._deployments as o where o.id = k.deployment_id and o.undoes is not null and o.mode = 'apply' and o.bundle = coalesce(p_bundle, o.bundle) offset 0) as d
  cross join lateral weft._count_statements(d.id) as c
  cross join lateral (select o as step from weft._steps as o where o.deployment_id = d.id and o.ordinal = c.step and o.undoes is not null and o.state in ('pending', 'failed') offset 0) as o
  cross join lateral (select (o.step).*) as s
  left join weft._history as h on h.bundle = d.bundle and h.deployment_id = d.undoes and h.applied_path = s.undoes
  where (c.done > 0 or c.runs_again)
    and (h.path is not null or exists (select from weft._list_halves(d.undoes) as f where f.path = s.undoes and f.recorded_by is null))
$$;

comment on function weft._list_half_undone(text) is 'Lists files of which undos have taken back only a part, so that the database does not have what the history says.';


-- Files of which an undo has taken back a part: the history has them, but the database does not. Files that run anyway are left out.
create or replace function weft._find_half_undone(p_bundle text, p_candidates weft._candidate[], p_renames weft._finding[])
  returns setof weft._finding
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select distinct on (c.ordinal) c.ordinal, c.path, 'half_undone', jsonb_build_object('path', u.path, 'undo', u.undo, 'by', u.deployment_id, 'undoes', u.undoes, 'account', u.account)
  from weft._list_half_undone(p_bundle) as u
  join unnest(p_candidates) as c on c.path = u.path or exists (select from unnest(p_renames) as r where r.ordinal = c.ordinal and r.verdict = 'renamed' and r.data -> 'from' ->> 0 = u.path)
  where c.repeat <> 'always'
  order by c.ordinal
$$;

comment on function weft._find_half_undone(text, weft._candidate[], weft._finding[]) is 'Finds files of a bundle of which an undo has taken back only a part.';


create or replace function weft._describe_half_undone(p_findings weft._finding[], p_stand text)
  returns jsonb
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select jsonb_build_object(
    'sqlstate', 'WF064',
    'message', format('%s %s taken back in part: an undo has stopped half-way.', weft._list_some(array_agg(f.path order by f.ordinal)), case count(*) when 1 then 'is' else 'are' end),
    'detail', string_agg(f.data ->> 'account', ' ' order by f.ordinal) || p_stand,
    'hint', format('To take back the rest: weft undo %s. If %s itself is wrong, correct it and deploy the bundle first: that is refused as this was, and brings the file here. '
      || 'To go forward instead: bring all of %s about again by hand, and say so: weft baseline FOLDER --only %3$s.',
      (array_agg(f.data ->> 'undoes' order by f.ordinal))[1], (array_agg(f.data ->> 'undo' order by f.ordinal))[1], (array_agg(f.path order by f.ordinal))[1]),
    'path', (array_agg(f.path order by f.ordinal))[1])
  from unnest(p_findings) as f
$$;

comment on function weft._describe_half_undone(weft._finding[], text) is 'Makes the refusal of a bundle with files of which an undo has taken back a part.';


create or replace function weft._find_begun(p_bundle text default null)
  returns table (bundle text, path text, deployment_id uuid, at timestamptz, statements integer, rounds integer, account text)
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select distinct on (d.bundle, s.path) d.bundle, s.path, d.id, coalesce(s.finished_at, t.at, b.last_round_at, d.finished_at), t.done, b.rounds + b.rounds_before,
         case when b.step is not null then concat(s.path, ': ', weft._tell_of_rounds(b), case when d.finished_at is not null then ' Deploy it again and it goes on behind them.' end)
           else weft._tell_what_stays(o.step, t.done, coalesce((s.error ->> 'runs_again')::boolean, t.runs_again), d.finished_at is not null) end
  from (  -- there may be very many steps
    select t.deployment_id, t.step from weft._statements as t
    union
    select b.deployment_id, b.step from weft._batches as b where b.rounds + b.rounds_before > 0
  ) as k
  cross join lateral (select o.* from weft._deployments as o where o.id = k.deployment_id offset 0) as d
  cross join lateral (
    select o as step from weft._steps as o
    where o.deployment_id = k.deployment_id and o.ordinal = k.step and o.state in ('pending', 'failed') and not coalesce(o.result ? 'continued', false) offset 0) as o
  cross join lateral (select (o.step).*) as s
  left join lateral (
    select c.done, c.runs_again, (select max(u.finished_at) from weft._statements as u where u.deployment_id = d.id and u.step = s.ordinal) as at
    from weft._count_statements(d.id) as c where c.step = s.ordinal and (c.done > 0 or c.runs_again)) as t on true
  left join weft._batches as b on b.deployment_id = d.id and b.step = s.ordinal and b.rounds + b.rounds_before > 0
  where d.mode = 'apply' and d.started_at is not null and (t.done is not null or b.step is not null) and d.bundle = coalesce(p_bundle, d.bundle)
    -- recorded since, or taken back together with its deployment
    and not exists (select from weft._history as h where h.bundle = d.bundle and h.path = s.path and h.applied_at > d.finished_at)
    and (d.undoes is null or s.undoes is null or exists (select from weft._list_half_undone(d.bundle) as u where u.deployment_id = d.id and u.step = s.ordinal))
  order by d.bundle, s.path, d.place desc nulls last
$$;

comment on function weft._find_begun(text) is 'Finds files that deployments have run only in part: how many statements or rounds of each are committed, and what that means.';


create or replace function weft.list_begun(p_bundle text default null)
  returns jsonb
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select coalesce(jsonb_agg(jsonb_build_object(
           'bundle', f.bundle, 'path', f.path, 'deployment', f.deployment_id, 'at', f.at, 'statements', f.statements, 'rounds', f.rounds, 'of_undo', d.undoes is not null, 'account', f.account) order by f.at, f.path), '[]')
  from weft._find_begun(p_bundle) as f
  cross join lateral (select o.undoes from weft._deployments as o where o.id = f.deployment_id offset 0) as d
  where exists (select from weft._statements) or exists (select from weft._batches)  -- mostly there is neither, and planning the query takes long
$$;

comment on function weft.list_begun(text) is 'Lists files of which a part is in this database, of one bundle or of all.';


create or replace function weft.list_half_undone(p_bundle text default null)
  returns jsonb
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select coalesce(jsonb_agg(jsonb_build_object('bundle', u.bundle, 'path', u.path, 'by', u.deployment_id, 'undoes', u.undoes, 'account', u.account) order by u.bundle, u.path), '[]')
  from weft._list_half_undone(p_bundle) as u
$$;

comment on function weft.list_half_undone(text) is
  'Lists files that an undo has taken back in part, of one bundle or of all. What it has removed is expected to be gone, so it is no drift; the history still has the file.';


-- Files that a deployment leaves out (--up-to) still belong to the bundle.
create or replace function weft._list_paths(p_manifest jsonb)
  returns text[]
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select array(
    select a.value ->> 'path' from jsonb_array_elements(p_manifest -> 'artifacts') as a
    union all
    select l.path from jsonb_array_elements_text(p_manifest -> 'left_out') as l (path))
$$;

comment on function weft._list_paths(jsonb) is 'Lists the paths of the files of a bundle, also of those that its manifest only names.';


-- This may be a different checkout: an older one, or one that lacks a merge. Repeatable files are left out: they may leave a bundle together with their objects.
create or replace function weft._list_gone(p_manifest jsonb, p_findings weft._finding[])
  returns text[]
  stable
  set search_path = pg_catalog, pg_temp
  set enable_nestloop = off  -- rows that were just written have no statistics
  set jit = off
  language sql
as $$
  with gone as materialized (
    select h.path, h.deployment_id, h.applied_path
    from weft._history as h
    where h.bundle = p_manifest ->> 'bundle' and h.place is null and h.made is null
      and not exists (select from unnest(weft._list_paths(p_manifest)) as u (path) where u.path = h.path)
      and not exists (select from unnest(p_findings) as f where f.verdict = 'renamed' and f.data -> 'from' ->> 0 = h.path)
  ),
  again as materialized (  -- once for each deployment, not for each file
    select s.deployment_id, s.path
    from (select distinct g.deployment_id from gone as g) as d
    cross join lateral (
      select o.deployment_id, o.path from weft._steps as o
      where o.deployment_id = d.deployment_id and o.kind <> 'check' and (o.options ? 'repeat' or o.kind = 'load' and o.options ->> 'mode' is distinct from 'insert')
      offset 0) as s
  )
  select array(
    select g.path from gone as g
    where not exists (select from again as a where a.deployment_id = g.deployment_id and a.path = g.applied_path)
    order by g.path collate "C")
$$;

comment on function weft._list_gone(jsonb, weft._finding[]) is 'Lists files that run once, were applied, and are no longer in a bundle, not even under another name.';


-- A bundle with another name is a different one, and all of its files run again. This is reported if the name is unknown and a bundle with another name has brought the same files.
create or replace function weft._find_elsewhere(p_manifest jsonb)
  returns jsonb
  stable
  set search_path = pg_catalog, pg_temp
  set enable_nestloop = off
  set jit = off
  language sql
as $$
  select coalesce(jsonb_agg(jsonb_build_object('bundle', k.bundle, 'count', cardinality(k.paths), 'paths', to_jsonb(k.paths[:20])) order by cardinality(k.paths) desc, k.bundle), '[]')
  from (
    select h.bundle, array_agg(h.path order by h.path collate "C") as paths
    from weft._history as h
    join jsonb_to_recordset(p_manifest -> 'artifacts') as a (path text, digest text) on a.path = h.path and decode(a.digest, 'hex') = h.digest
    where h.bundle <> p_manifest ->> 'bundle' and h.place is null and h.made is null
      and not exists (select from weft._history as o where o.bundle = p_manifest ->> 'bundle')
    group by h.bundle
  ) as k
$$;

comment on function weft._find_elsewhere(jsonb) is 'Lists bundles of other names that have brought files of a manifest, with the same path and bytes, if the manifest''s own bundle is not known here.';


create or replace function weft._tell_gone(p_deployment weft._deployments, p_findings weft._finding[])
  returns void
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_gone  text[];
begin
  if p_deployment.state <> 'staged' then
    return;
  end if;
  v_gone := weft._list_gone(p_deployment.manifest, p_findings);
  if v_gone <> '{}' then
    perform weft._tell(p_deployment.id, 'files_gone', p_data => jsonb_build_object('count', cardinality(v_gone), 'paths', v_gone[:20]));
  end if;
end
$$;

comment on function weft._tell_gone(weft._deployments, weft._finding[]) is 'Writes into the journal which applied files the bundle of a deployment lacks.';
