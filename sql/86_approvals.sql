-- Approvals: how one is given, and what happens to deployments that never get one.

-- A deployment that was opened earlier is older, even if it is approved later: if it ran after a newer one, it would set that one back.
create or replace function weft._overtaken_by(p_deployment weft._deployments)
  returns weft._deployments
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select d.*
  from weft._deployments as d
  where p_deployment.undoes is null
    and d.bundle = p_deployment.bundle and d.mode = 'apply' and d.undoes is null and d.created_at > p_deployment.created_at and d.id <> p_deployment.id
    and (d.has_committed or d.state in ('staged', 'running'))
  order by d.has_committed desc, d.created_at desc
  limit 1
$$;

comment on function weft._overtaken_by(weft._deployments) is
  'Finds a deployment of the same bundle that was opened later, and has left something, or is in line or running; null if there is none, and always for an undo.';


-- An undo of which another one has left nothing: it would skip every file, and whoever approves it would read that it takes them back.
create or replace function weft._undone_before(p_deployment weft._deployments)
  returns uuid
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select u.id
  from weft._deployments as u
  where u.undoes = p_deployment.undoes and u.id <> p_deployment.id and u.mode = 'apply' and u.state in ('succeeded', 'degraded') and not weft._has_effects(p_deployment.undoes)
  order by u.finished_at desc
  limit 1
$$;

comment on function weft._undone_before(weft._deployments) is 'Finds the deployment that has taken back all that an undo is about; null if something of it is left, or it is no undo.';


-- Any call does this, because nothing runs for a deployment that waits for an approval.
create or replace function weft._end_unapproved(p_deployment uuid default null)
  returns void
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_waiting  record;
  v_later    weft._deployments;
  v_undo     uuid;
begin
  for v_waiting in
    select d as deployment, p.environment, p.asked_at, p.approve_until
    from weft._protections as p
    join weft._deployments as d on d.id = p.deployment_id
    where d.state = 'open' and p.asked_at is not null and d.id = coalesce(p_deployment, d.id)
      and not exists (select from weft._approvals as a where a.deployment_id = d.id)
    for no key update of d skip locked
  loop
    select l.* into v_later from weft._overtaken_by(v_waiting.deployment) as l;
    v_undo := weft._undone_before(v_waiting.deployment);
    if v_undo is not null then
      perform weft._end((v_waiting.deployment).id, 'cancelled', jsonb_build_object(
        'sqlstate', 'WF098',
        'message', format('While it waited for its approval, deployment %s took back all of deployment %s: nothing of that is left to undo.', v_undo, (v_waiting.deployment).undoes),
        'detail', format('It has waited since %s. Nothing of it was run.', v_waiting.asked_at),
        'hint', 'There is nothing to do.'));
    elsif v_later.has_committed then
      perform weft._end((v_waiting.deployment).id, 'cancelled', jsonb_build_object(
        'sqlstate', 'WF098',
        'message', format('While it waited for its approval, deployment %s of the same bundle was run, which was opened later: this one would set back what that one has brought.', v_later.id),
        'detail', format('It has waited since %s. Nothing of it was run.', v_waiting.asked_at),
        'hint', 'Where something of it lacks, deploy it again, under another id.'));
    elsif v_waiting.approve_until <= clock_timestamp() then
      perform weft._end((v_waiting.deployment).id, 'cancelled', jsonb_build_object(
        'sqlstate', 'WF097',
        'message', format('Nobody but its caller (%s) has approved the deployment in time, as the environment "%s" asks for.', (v_waiting.deployment).caller, v_waiting.environment),
        'detail', format('It has waited since %s. Nothing of it was run.', v_waiting.asked_at),
        'hint', 'Deploy it again, under another id. How long one waits is set by weft.change_setting(''approval_hours'', hours).'));
    end if;
  end loop;
end
$$;

comment on function weft._end_unapproved(uuid) is
  'Cancels deployments that nobody has approved in time, or before a later one of their bundle ran, and undos of what another one has taken back meanwhile: the one that is named, or all.';


-- Found by what they would run, not by who opened them: the same files, under the same rules, with the same plain parameters. Newest first.
create or replace function weft.find_waiting(p_manifest jsonb, p_parameters jsonb default '{}')
  returns jsonb
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select coalesce(jsonb_agg(jsonb_build_object('deployment', d.id, 'digest', encode(p.digest, 'hex'), 'caller', d.caller, 'actor', d.signature ->> 'actor_id') order by d.created_at desc), '[]')
  from weft._protections as p
  join weft._deployments as d on d.id = p.deployment_id
  where weft._waits_for_approval(d.id) and d.mode = 'apply' and d.undoes is null and d.bundle = p_manifest ->> 'bundle' and d.manifest = p_manifest
    and (select coalesce(jsonb_object_agg(v.name, v.value), '{}') from weft._parameters as v where v.deployment_id = d.id and v.is_given and not v.is_secret)
      = (select coalesce(jsonb_object_agg(g.key, weft._accept_value(g.key, m.type, g.value, false)), '{}')
         from jsonb_each_text(p_parameters) as g
         join jsonb_to_recordset(coalesce(p_manifest -> 'parameters', '[]')) as m (name text, type text) on m.name = g.key)
$$;

comment on function weft.find_waiting(jsonb, jsonb) is 'Finds deployments that wait for their approval and would run exactly this manifest, with these values of plain parameters: each with its digest, who has opened it, and for whom, if a token has said so.';


-- Whoever approves and dies has reported nothing: if the approval is repeated, it is about the same deployment.
create or replace function weft.find_approved(p_caller text, p_proof jsonb)
  returns jsonb
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select to_jsonb(a.deployment_id)
  from weft._approvals as a
  where a.caller = p_caller and a.signature @> p_proof
  order by a.approved_at desc
  limit 1
$$;

comment on function weft.find_approved(text, jsonb) is 'Finds the newest deployment that this caller has approved with a proof that contains all of this; null if there is none.';


-- The doorman names the caller; in SQL, the caller is the role of the session, which has the rights of the engine's owner.
create or replace function weft.approve(p_deployment uuid, p_digest text, p_caller text default null, p_request bytea default null, p_signature jsonb default null)
  returns jsonb
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_caller      text := coalesce(p_caller, 'role ' || session_user);
  v_deployment  weft._deployments;
  v_protection  weft._protections;
  v_by          text;
  v_later       weft._deployments;
begin
  select d.* into v_deployment from weft._deployments as d where d.id = p_deployment for no key update;  -- a simultaneous approval waits, and then finds it approved
  if not found then
    raise exception 'There is no deployment % in this database.', p_deployment using errcode = 'WF002', hint = 'select * from weft.deployments';
  end if;
  select p.* into v_protection from weft._protections as p where p.deployment_id = p_deployment and p.second_person;
  if not found then
    raise exception 'Deployment % needs no approval.', p_deployment using errcode = 'WF095', hint = 'Nothing was changed.';
  elsif encode(v_protection.digest, 'hex') is distinct from p_digest then
    raise exception 'Deployment % has another digest than the one that was approved: it has %.', p_deployment, encode(v_protection.digest, 'hex')
      using errcode = 'WF095', hint = 'Nothing was changed. Look at what it would run, and approve that, or cancel it.';
  end if;
  select a.caller into v_by from weft._approvals as a where a.deployment_id = p_deployment;
  if v_by = v_caller or v_by is not null and v_deployment.finished_at is null then
    return weft.status(p_deployment);  -- it is approved already, and the approver stays the same
  elsif v_deployment.finished_at is not null then
    raise exception 'Deployment % is over: it is %.', p_deployment, v_deployment.state using errcode = 'WF095', hint = 'Nothing was changed. To have it run, deploy it again, and approve that.';
  elsif v_deployment.caller = v_caller then
    raise exception 'Deployment % was opened by "%" too: it needs the approval of somebody else.', p_deployment, v_caller using errcode = 'WF094', hint = 'Nothing was changed.';
  end if;
  select l.* into v_later from weft._overtaken_by(v_deployment) as l;
  if v_protection.approve_until <= clock_timestamp() or (v_later.has_committed or weft._undone_before(v_deployment) is not null) and v_protection.asked_at is not null then
    perform weft._end_unapproved(p_deployment);
    return weft.status(p_deployment);
  end if;
  if v_protection.rehearsal_first then  -- it may have been rehearsed again since
    update weft._protections as p set rehearsal = weft._require_rehearsal(v_deployment, p.digest, p.environment) where p.deployment_id = p_deployment;
  end if;
  insert into weft._approvals (deployment_id, caller, digest, request, signature) values (p_deployment, v_caller, v_protection.digest, p_request, p_signature);
  perform weft._tell(p_deployment, 'approved', p_data => jsonb_build_object('caller', v_caller, 'digest', p_digest));
  perform weft._settle_staged(p_deployment);
  select l.* into v_later from weft._overtaken_by(v_deployment) as l;  -- from here until the commit, no other deployment gets a place in line
  if v_later.id is not null then
    raise exception 'Deployment % was opened before deployment %, which is of the same bundle, and %.', p_deployment, v_later.id,
        case v_later.state when 'running' then 'at work' when 'staged' then 'in line' else 'has been run' end
      using errcode = 'WF095', hint = 'Nothing was changed. See how that one ends: where it leaves nothing, this one can be approved then.';
  end if;
  return weft.status(p_deployment);
end
$$;

comment on function weft.approve(uuid, text, text, bytea, jsonb) is
  'Approves a deployment that waits in state open for a second person: by its digest, as weft.status(id) shows it, and by somebody else than its caller. After that it has its place in line, and the next CALL runs it: call weft.run(id). Repeating an approval changes nothing. Without p_caller, the role of the session approves.';
