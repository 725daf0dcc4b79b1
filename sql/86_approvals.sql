-- An approval, and its absence.

-- Whoever comes by does this: somebody who waits for an approval is at work nowhere.
create or replace function weft._end_unapproved(p_deployment uuid default null)
  returns void
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_overdue  record;
begin
  for v_overdue in
    select d.id, d.caller, p.environment, p.asked_at
    from weft._protections as p
    join weft._deployments as d on d.id = p.deployment_id
    where d.state = 'open' and p.approve_until <= clock_timestamp() and d.id = coalesce(p_deployment, d.id)
      and not exists (select from weft._approvals as a where a.deployment_id = d.id)
    for no key update of d skip locked
  loop
    perform weft._end(v_overdue.id, 'cancelled', jsonb_build_object(
      'sqlstate', 'WF097',
      'message', format('Nobody but its caller (%s) has approved the deployment in time, as the environment "%s" asks for.', v_overdue.caller, v_overdue.environment),
      'detail', format('It has waited since %s. Nothing of it was run.', v_overdue.asked_at),
      'hint', 'Deploy it again, under another id. How long one waits is set by weft.change_setting(''approval_hours'', hours).'));
  end loop;
end
$$;

comment on function weft._end_unapproved(uuid) is 'Cancels deployments that nobody has approved in time: the one that is named, or all.';


-- The doorman says for whom he speaks; in SQL it is the role of the session, which has the rights of whoever owns the engine.
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
begin
  select d.* into v_deployment from weft._deployments as d where d.id = p_deployment for no key update;  -- who approves at the same time waits, and finds it approved
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
    return weft.status(p_deployment);  -- it is approved, and by whom stays
  elsif v_deployment.finished_at is not null then
    raise exception 'Deployment % is over: it is %.', p_deployment, v_deployment.state using errcode = 'WF095', hint = 'Nothing was changed. To have it run, deploy it again, and approve that.';
  elsif v_deployment.caller = v_caller then
    raise exception 'Deployment % was opened by "%" too: it needs the approval of somebody else.', p_deployment, v_caller using errcode = 'WF094', hint = 'Nothing was changed.';
  end if;
  if v_protection.approve_until <= clock_timestamp() then
    perform weft._end_unapproved(p_deployment);
    return weft.status(p_deployment);
  end if;
  if v_protection.rehearsal_first then  -- it may have been rehearsed again since
    update weft._protections as p set rehearsal = weft._require_rehearsal(v_deployment, p.digest, p.environment) where p.deployment_id = p_deployment;
  end if;
  insert into weft._approvals (deployment_id, caller, digest, request, signature) values (p_deployment, v_caller, v_protection.digest, p_request, p_signature);
  perform weft._tell(p_deployment, 'approved', p_data => jsonb_build_object('caller', v_caller, 'digest', p_digest));
  perform weft._settle_staged(p_deployment);
  return weft.status(p_deployment);
end
$$;

comment on function weft.approve(uuid, text, text, bytea, jsonb) is
  'Approves a deployment that waits in state open for a second person: by its digest, as weft.status(id) shows it, and by somebody else than its caller. It has its place in line then, and is run by the next CALL: call weft.run(id). Once is enough: who repeats it changes nothing. Without p_caller the role of the session approves.';
