-- What the rules of an environment require of a deployment: an earlier rehearsal of the same digest, and the approval of a second
-- person.

-- A rehearsal and the deployment that it rehearses have different requests, so the digest covers what both would run. An undo or a baseline
-- is not determined by a bundle alone, so its digest also covers its request.
create or replace function weft._digest_of(p_deployment uuid)
  returns bytea
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select sha256(convert_to(jsonb_build_object(
    'manifest', d.manifest,
    'parameters', (select coalesce(jsonb_object_agg(p.name, p.value), '{}') from weft._parameters as p where p.deployment_id = d.id and p.is_given and not p.is_secret),
    'secrets', (select coalesce(jsonb_agg(p.name order by p.name collate "C"), '[]') from weft._parameters as p where p.deployment_id = d.id and p.is_given and p.is_secret),
    'request', case when d.undoes is not null or d.mode = 'baseline' then encode(d.request_digest, 'hex') end)::text, 'UTF8'))
  from weft._deployments as d
  where d.id = p_deployment
$$;

comment on function weft._digest_of(uuid) is 'Returns the SHA-256 of what a deployment would run: its manifest, the values of its parameters, the names of secret ones; for an undo or a baseline also the request.';


-- The newest rehearsal counts: if it failed, so would the deployment, even if an older one succeeded.
create or replace function weft._find_rehearsal(p_deployment weft._deployments, p_digest bytea, out rehearsal uuid, out why text)
  stable
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_newest  record;
begin
  select d.id, d.state, d.finished_at into v_newest
  from weft._deployments as d
  where d.bundle = p_deployment.bundle and d.mode = 'rehearse' and d.undoes is null and d.state in ('succeeded', 'degraded', 'failed')
    and d.finished_at > clock_timestamp() - make_interval(hours => weft._limit('rehearsal_counts_hours'))
    and d.manifest = p_deployment.manifest and weft._digest_of(d.id) = p_digest
  order by d.finished_at desc
  limit 1;
  if not found then
    why := format('Nothing with this digest (%s) was rehearsed in this database within the last %s hours (rehearsal_counts_hours).', encode(p_digest, 'hex'), weft._limit('rehearsal_counts_hours'));
  elsif v_newest.state = 'failed' then
    why := format('The newest rehearsal of it, deployment %s, failed.', v_newest.id);
  else
    rehearsal := v_newest.id;
  end if;
end
$$;

comment on function weft._find_rehearsal(weft._deployments, bytea) is 'Looks for the rehearsal that allows a deployment to start: the newest with the same digest, if it succeeded; or tells why there is none.';


create or replace function weft._require_rehearsal(p_deployment weft._deployments, p_digest bytea, p_environment text)
  returns uuid
  stable
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_found  record;
begin
  select r.rehearsal, r.why into v_found from weft._find_rehearsal(p_deployment, p_digest) as r;
  if v_found.rehearsal is null then
    raise exception 'The environment "%" takes only what was rehearsed there before, with the same files and parameters.', p_environment
      using errcode = 'WF096', detail = v_found.why || ' Nothing was run.', hint = v_found.why || ' Nothing was run. Rehearse it there ("weft deploy --rehearse"), and then deploy it.';
  end if;
  return v_found.rehearsal;
end
$$;

comment on function weft._require_rehearsal(weft._deployments, bytea, text) is 'Finds the rehearsal that allows a deployment to start, or refuses the deployment.';


-- A rehearsal leaves nothing, so it needs neither. An undo or a baseline can only be approved, not rehearsed first.
create or replace function weft._protect(p_deployment uuid, p_protection jsonb)
  returns void
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_deployment    weft._deployments;
  v_digest        bytea;
  v_environment   text := p_protection ->> 'environment';
  v_second        boolean := coalesce((p_protection ->> 'second_person')::boolean, false);
  v_is_rehearsed  boolean;
  v_rehearsal     uuid;
begin
  select d.* into strict v_deployment from weft._deployments as d where d.id = p_deployment;
  v_is_rehearsed := coalesce((p_protection ->> 'rehearsal_first')::boolean, false) and v_deployment.mode = 'apply' and v_deployment.undoes is null;
  if v_deployment.mode = 'rehearse' or not (v_second or v_is_rehearsed) then
    return;
  end if;
  v_digest := weft._digest_of(p_deployment);
  if v_is_rehearsed then
    v_rehearsal := weft._require_rehearsal(v_deployment, v_digest, v_environment);
  end if;
  insert into weft._protections (deployment_id, environment, second_person, rehearsal_first, digest, rehearsal)
  values (p_deployment, v_environment, v_second, v_is_rehearsed, v_digest, v_rehearsal);
end
$$;

comment on function weft._protect(uuid, jsonb) is 'Stores what the rules of its environment require of a deployment that is being opened, or refuses it because it was not rehearsed.';


create or replace function weft._lacks_approval(p_deployment uuid)
  returns boolean
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select exists (
    select from weft._protections as p
    where p.deployment_id = p_deployment and p.second_person and not exists (select from weft._approvals as a where a.deployment_id = p.deployment_id))
$$;

comment on function weft._lacks_approval(uuid) is 'Tells whether a deployment needs an approval that it does not have.';


create or replace function weft._waits_for_approval(p_deployment uuid)
  returns boolean
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select weft._lacks_approval(d.id) and exists (select from weft._protections as p where p.deployment_id = d.id and p.asked_at is not null)
  from weft._deployments as d
  where d.id = p_deployment and d.state = 'open'
$$;

comment on function weft._waits_for_approval(uuid) is 'Tells whether only the approval of a deployment is missing; null if the deployment is not open.';


create or replace function weft._ask_for_approval(p_deployment uuid)
  returns void
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_protection  weft._protections;
begin
  update weft._protections as p
  set asked_at = clock_timestamp(), approve_until = clock_timestamp() + make_interval(hours => weft._setting('approval_hours'))
  where p.deployment_id = p_deployment and p.asked_at is null
  returning p.* into v_protection;
  if found then
    perform weft._tell(p_deployment, 'waits_for_approval', p_data => jsonb_build_object(
      'environment', v_protection.environment, 'digest', encode(v_protection.digest, 'hex'), 'until', v_protection.approve_until));
  end if;
end
$$;

comment on function weft._ask_for_approval(uuid) is 'Notes, once, that a deployment waits only for its approval, and until when.';


create or replace function weft._describe_approval(p_deployment uuid)
  returns jsonb
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select jsonb_build_object(
    'environment', p.environment, 'digest', encode(p.digest, 'hex'), 'not_by', d.caller, 'asked_at', p.asked_at, 'until', p.approve_until,
    'waits', coalesce(weft._waits_for_approval(d.id), false), 'by', a.caller, 'at', a.approved_at,
    'request_sha256', encode(sha256(a.request), 'hex'), 'signature_sha256', encode(sha256(convert_to(a.signature::text, 'UTF8')), 'hex'))
  from weft._protections as p
  join weft._deployments as d on d.id = p.deployment_id
  left join weft._approvals as a on a.deployment_id = p.deployment_id
  where p.deployment_id = p_deployment and p.second_person
$$;

comment on function weft._describe_approval(uuid) is 'Shows whose approval a deployment needs, of which digest and until when, and who has given it; null when it needs none.';


-- This comes from a job's token or a webhook; a signature alone says nothing about it.
create or replace function weft._describe_source(p_signature jsonb)
  returns jsonb
  immutable parallel safe strict
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select jsonb_strip_nulls(jsonb_build_object(
    'forge', p_signature ->> 'webhook_of',
    'issuer', p_signature ->> 'iss',
    'event', coalesce(p_signature ->> 'event', p_signature ->> 'event_name', p_signature ->> 'pipeline_source'),
    'repository', coalesce(p_signature ->> 'repository', p_signature ->> 'project_path'),
    'commit', coalesce(p_signature ->> 'commit', p_signature ->> 'sha'),
    'folder', p_signature ->> 'folder',
    'ref', p_signature ->> 'ref',
    'run', coalesce(p_signature ->> 'run_id', p_signature ->> 'pipeline_id'),
    'actor', coalesce(p_signature ->> 'actor', p_signature ->> 'user_login')))
  where p_signature ?| array['webhook_of', 'proof']
$$;

comment on function weft._describe_source(jsonb) is 'Tells from which repository and commit a deployment comes, as far as the webhook or the identity token that proves its request says so; null if there is only a signature.';
