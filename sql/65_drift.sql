-- What the catalog was when a deployment began and ended, and what has changed since without one.

-- No account of a deployment may wait for a stranger's lock, or fail because the catalog cannot be read: without a fingerprint
-- the deployment goes on, and its record says so by having none.
create or replace function weft._keep_snapshot(out fingerprint text, out error jsonb)
  volatile
  set search_path = pg_catalog, pg_temp
  set lock_timeout = '1s'
  language plpgsql
as $$
declare
  v_catalog  text;
begin
  v_catalog := weft._read_catalog();
  fingerprint := weft._hash_catalog(v_catalog);
  insert into weft._snapshots (fingerprint, catalog) values (_keep_snapshot.fingerprint, v_catalog) on conflict on constraint a_catalog_is_kept_once do nothing;
exception when others or query_canceled or assert_failure then
  fingerprint := null;
  error := jsonb_build_object('sqlstate', sqlstate, 'message', sqlerrm);
end
$$;

comment on function weft._keep_snapshot() is 'Reads the catalog, keeps it, and tells its fingerprint; or why it could not be read, because that failed or would have waited for a lock for more than a second.';


create or replace function weft._has_committed_apart(p_deployment weft._deployments, p_fingerprint_after text)
  returns boolean
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select exists (
      select from weft._statements as t
      where t.deployment_id = p_deployment.id and (t.verdict = 'ran' or t.sent_at is not null and p_deployment.fingerprint_before is distinct from p_fingerprint_after))
    or exists (select from weft._batches as b where b.deployment_id = p_deployment.id and b.rounds > 0)
$$;

comment on function weft._has_committed_apart(weft._deployments, text) is 'Tells whether a deployment has committed a statement or a round of a step that is not over.';


-- The catalog is compared with what the last deployment expects (floor 65, drift_kept). A deployment that has committed nothing (all of its files
-- were there already, or it failed and was rolled back) does not change what is expected. So what the engine has done counts; a changed catalog
-- counts only if a statement was handed out whose result nobody knows.
create or replace function weft._has_committed(p_deployment weft._deployments, p_state weft.deployment_state, p_fingerprint_after text)
  returns boolean
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select p_deployment.started_at is not null and case p_deployment.mode
    when 'rehearse' then false
    when 'baseline' then p_state = 'succeeded'  -- which says that what is there is what should be there
    else exists (select from weft._steps as s where s.deployment_id = p_deployment.id and s.state = 'succeeded' and s.kind <> 'check')
      or weft._has_committed_apart(p_deployment, p_fingerprint_after) end
$$;

comment on function weft._has_committed(weft._deployments, weft.deployment_state, text) is 'Tells whether a deployment that ends has committed anything: a step, a statement, or a round.';


-- Then the baseline says nothing any more, except for what somebody has accepted by name after it.
create or replace function weft._is_withdrawn(p_baseline uuid)
  returns boolean
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select exists (select from weft._deployments as u where u.undoes = p_baseline and u.state = 'succeeded')
    and not exists (select from weft._events as e where e.deployment_id = p_baseline and e.kind = 'drift_accepted')
$$;

comment on function weft._is_withdrawn(uuid) is 'Tells whether a baseline was taken back, and nobody has accepted since then what was found after it.';


create or replace function weft._last_ended()
  returns weft._deployments
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select d.*
  from weft._deployments as d
  where d.finished_at is not null and d.has_committed and (d.mode <> 'baseline' or not weft._is_withdrawn(d.id))
  order by d.finished_at desc
  limit 1
$$;

comment on function weft._last_ended() is
  'Finds the last deployment to end among those that committed anything. If it has no fingerprint_after, what it has left is not known yet.';


-- People ask what a deployment has changed only for the newest ones.
create or replace function weft._forget_snapshots()
  returns void
  volatile
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  delete from weft._snapshots as s
  where not exists (select from weft._last_ended() as l where s.fingerprint in (l.fingerprint_met, l.fingerprint_after, l.fingerprint_expected)) and s.fingerprint not in (
    select u.fingerprint
    from (
      select d.id, d.fingerprint_before, d.fingerprint_met, d.fingerprint_expected, d.fingerprint_after
      from weft._deployments as d
      where d.started_at is not null and (d.mode <> 'rehearse' or d.finished_at is null)  -- a rehearsal leaves the catalog that it met
      order by coalesce(d.finished_at, d.started_at) desc
      limit weft._limit('deployments_with_snapshots_count')
    ) as d
    cross join lateral (
      values (d.fingerprint_before), (d.fingerprint_met), (d.fingerprint_expected), (d.fingerprint_after)
      union all
      select f.value
      from weft._events as e
      cross join lateral jsonb_each_text(e.data -> 'fingerprint') as f
      where e.deployment_id = d.id and e.kind in ('drift_found', 'drift_accepted')
    ) as u (fingerprint)
    where u.fingerprint is not null)
$$;

comment on function weft._forget_snapshots() is 'Deletes the catalogs that only older deployments saw.';


-- Different versions of the reading, or of the server, write the same object differently, which is no difference of the catalog.
create or replace function weft._are_comparable(p_before text, p_after text)
  returns boolean
  immutable parallel safe strict
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select split_part(p_before, ':', 1) = split_part(p_after, ':', 1) and split_part(p_before, ':', 2) = split_part(p_after, ':', 2)
$$;

comment on function weft._are_comparable(text, text) is 'Tells whether two fingerprints were made in the same way, on the same major version of the server.';


-- This is what the journal keeps, because a definition may contain what must not be written down, and may be long.
create or replace function weft._by_name_alone(p_objects jsonb)
  returns jsonb
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select coalesce(jsonb_agg(o.value - 'before' - 'after' order by o.ordinality), '[]') from jsonb_array_elements(p_objects) with ordinality as o
$$;

comment on function weft._by_name_alone(jsonb) is 'Leaves both definitions out of a list of differences.';


create or replace function weft._recall_drift(p_deployment uuid)
  returns jsonb
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select coalesce(jsonb_agg(e.data order by e.number), '[]') from weft._events as e where e.deployment_id = p_deployment and e.kind = 'drift_found'
$$;

comment on function weft._recall_drift(uuid) is
  'Lists the drift that a deployment found when it began, and each time it was opened again: since which deployment, how many objects, and the first of them by name.';


create or replace function weft._recall_acceptance(p_deployment uuid)
  returns jsonb
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select jsonb_build_object('at', e.at) || (e.data - 'fingerprint')
  from weft._events as e
  where e.deployment_id = p_deployment and e.kind = 'drift_accepted'
  order by e.number desc
  limit 1
$$;

comment on function weft._recall_acceptance(uuid) is 'Tells who last accepted, after a deployment, what was changed outside of deployments, and what that was, by name; null if nobody has.';


create or replace function weft._look_for_drift(
    out deployment weft._deployments, out fingerprint text, out verdict text, out reason text, out before text, out after text, out unwatched jsonb)
  stable
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
begin
  deployment := weft._last_ended();
  if (deployment).id is null then
    verdict := 'unknown';
    reason := 'No deployment has left anything in this database yet, so there is nothing to compare it with.';
    return;
  end if;
  after := weft._read_catalog();
  fingerprint := weft._hash_catalog(after);
  before := (select s.catalog from weft._snapshots as s where s.fingerprint = (deployment).fingerprint_expected);
  if (deployment).fingerprint_after is null then
    verdict := 'unknown';
    reason := format('The catalog could not be read when deployment %s ended (its event catalog_not_read says why), so what it has left cannot be told from what was changed by hand since. '
      'The next deployment takes what it finds for what that one has left; or accept what is there (weft drift --accept).', (deployment).id);
  elsif fingerprint = (deployment).fingerprint_expected then
    verdict := 'none';
  elsif not weft._are_comparable((deployment).fingerprint_expected, fingerprint) then
    verdict := 'other version';
    reason := format('The last deployment ended on PostgreSQL %s, and this is version %s: they write the same definitions differently. The next deployment that commits anything gives something to compare with, and so does accepting what is there (weft drift --accept).',
      split_part((deployment).fingerprint_expected, ':', 2), split_part(fingerprint, ':', 2));
  elsif before is null then
    verdict := 'unknown';
    reason := 'The catalog is not as the last deployment left it, and what that was is not kept any more.';
  else
    select u.settled, u.unwatched into after, unwatched from weft._settle_unwatched(before, after, true) as u;
    if unwatched is not null then
      fingerprint := weft._hash_catalog(after);  -- of watched objects only: whoever has looked at it may accept it, whatever happens to the others
    end if;
    verdict := case when fingerprint = (deployment).fingerprint_expected then 'none' else 'drift' end;
  end if;
end
$$;

comment on function weft._look_for_drift() is 'Compares the catalog with what it should be after the last deployment that ended, as far as they can be compared.';


create or replace function weft.drift()
  returns table (change text, kind text, identity text, before text, after text)
  stable
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_look  record;
begin
  select * into v_look from weft._look_for_drift();
  if v_look.verdict = 'drift' then
    return query
    select case c.change when 'removed' then 'missing' else c.change end, c.kind, c.identity, c.before, c.after from weft._compare_catalogs(v_look.before, v_look.after) as c;
  elsif v_look.verdict <> 'none' then
    return query select v_look.verdict::text, 'database'::text, quote_ident(current_database()), null::text, v_look.reason::text;
  end if;
end
$$;

comment on function weft.drift() is
  'Names every object that is not as deployments have left it, unless somebody has accepted that: added, missing or changed, with its definition then and now. If this cannot be told, one row says so.';


create or replace function weft._look_for_changes(p_deployment uuid, out deployment weft._deployments, out verdict text, out reason text, out before text, out after text)
  stable
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
begin
  select d.* into deployment from weft._deployments as d where d.id = p_deployment;
  if not found then
    raise exception 'There is no deployment % in this database.', p_deployment using errcode = 'WF002', hint = 'select * from weft.deployments';
  end if;
  select s.catalog into before from weft._snapshots as s where s.fingerprint = (deployment).fingerprint_before;
  select s.catalog into after from weft._snapshots as s where s.fingerprint = (deployment).fingerprint_after;
  if (deployment).fingerprint_before = (deployment).fingerprint_after then
    verdict := 'none';
  elsif before is not null and after is not null and weft._are_comparable((deployment).fingerprint_before, (deployment).fingerprint_after) then
    verdict := 'changed';
  else
    verdict := 'unknown';
    reason := case
      when (deployment).finished_at is null then 'The deployment is not over.'
      when (deployment).started_at is null then 'The deployment was never begun.'
      when (deployment).fingerprint_before is null or (deployment).fingerprint_after is null then 'The catalog could not be read when the deployment began, or when it ended: its events say why (catalog_not_read).'
      when before is null or after is null then 'What the catalog was then is not kept any more (deployments_with_snapshots_count).'
      else 'The deployment ended on another major version of PostgreSQL than it began on.' end;
  end if;
end
$$;

comment on function weft._look_for_changes(uuid) is 'Finds the catalogs that a deployment met and left, if they are kept.';


create or replace function weft.changes(p_deployment uuid)
  returns table (change text, kind text, identity text, before text, after text)
  stable
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_look  record;
begin
  select * into v_look from weft._look_for_changes(p_deployment);
  if v_look.verdict = 'changed' then
    return query select c.* from weft._compare_catalogs(v_look.before, v_look.after) as c;
  elsif v_look.verdict = 'unknown' then
    return query select 'unknown'::text, 'database'::text, quote_ident(current_database()), null::text, v_look.reason::text;
  end if;
end
$$;

comment on function weft.changes(uuid) is
  'Names every object of the catalog that differs between the beginning and the end of a deployment, with both definitions. Kept for the newest deployments.';


create or replace function weft.describe_drift()
  returns jsonb
  stable
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_look  record;
  v_list  record;
begin
  select * into v_look from weft._look_for_drift();
  if v_look.verdict = 'drift' then
    select * into v_list from weft._list_differences(v_look.before, v_look.after, weft._limit('differences_listed_count_max'), 'missing');
  else
    select 0::bigint as count, '[]'::jsonb as objects into v_list;
  end if;
  return jsonb_build_object(
    'verdict', v_look.verdict, 'reason', v_look.reason,
    'since', case when (v_look.deployment).id is not null then
      jsonb_build_object('deployment', (v_look.deployment).id, 'bundle', (v_look.deployment).bundle, 'state', (v_look.deployment).state, 'finished_at', (v_look.deployment).finished_at,
        'drift_found', weft._recall_drift((v_look.deployment).id), 'accepted', weft._recall_acceptance((v_look.deployment).id)) end,
    'fingerprint', jsonb_build_object('before', (v_look.deployment).fingerprint_expected, 'after', v_look.fingerprint),
    -- its changes are no drift, but may be among the objects
    'running', (select d.id from weft._deployments as d where d.state = 'running' order by d.started_at desc limit 1),
    'count', v_list.count, 'objects', v_list.objects, 'unwatched', v_look.unwatched);
end
$$;

comment on function weft.describe_drift() is 'Shows as one document how the catalog differs from what deployments have left.';


-- With both definitions as long as the catalogs are kept; by name as long as the journal is.
create or replace function weft._describe_drift_found(p_deployment uuid)
  returns jsonb
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select coalesce(jsonb_agg(d.value || case when b.catalog is null or a.catalog is null then '{}' else (
           select jsonb_build_object('count', l.count, 'objects', l.objects)
           from weft._list_differences(b.catalog, a.catalog, weft._limit('differences_listed_count_max'), 'missing') as l) end order by d.ordinality), '[]')
  from jsonb_array_elements(weft._recall_drift(p_deployment)) with ordinality as d
  left join weft._snapshots as b on b.fingerprint = d.value #>> '{fingerprint,before}'
  left join weft._snapshots as a on a.fingerprint = d.value #>> '{fingerprint,after}'
$$;

comment on function weft._describe_drift_found(uuid) is 'Shows the drift that a deployment found when it began, and when it was opened again.';
