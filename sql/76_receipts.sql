-- The permanent record of how a deployment ended. It is written once, in the transaction in which the deployment ends, and kept as bytes:
-- everybody always gets the same ones, even when the journal and the files of the deployment are gone. A deployment that is opened again
-- and ends again gets another receipt.

create or replace function weft._refuse_change()
  returns trigger
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
begin
  raise exception 'A receipt is never changed and never taken away.' using errcode = 'WF090',
    detail = format('%s on weft._receipts was refused; nothing was changed.', tg_op),
    hint = 'It goes with the schema: drop schema weft cascade.';
end
$$;

comment on function weft._refuse_change() is 'Refuses whatever would change a receipt, whoever asks.';

create or replace trigger receipts_are_never_changed before update or delete on weft._receipts
  for each row execute function weft._refuse_change();
create or replace trigger receipts_are_never_emptied before truncate on weft._receipts
  for each statement execute function weft._refuse_change();

comment on trigger receipts_are_never_changed on weft._receipts is 'Keeps every receipt as it was written.';
comment on trigger receipts_are_never_emptied on weft._receipts is 'Keeps all receipts.';


-- Times are written in UTC: they are part of the bytes, so they must not depend on the session.
create or replace function weft._account_for(p_deployment uuid, p_number bigint)
  returns text
  volatile
  set search_path = pg_catalog, pg_temp
  set timezone = 'UTC'
  set extra_float_digits = 1
  set enable_nestloop = off  -- rows that were just written have no statistics
  set jit = off
  language sql
as $$
  select json_build_object(
      'format', 1,
      'id', d.id,
      'number', p_number,
      'written_at', clock_timestamp(),
      'state', d.state,
      'bundle', d.bundle,
      'target', nullif(d.target, ''),
      'mode', d.mode,
      'undoes', d.undoes,
      'caller', d.caller,
      'source', weft._describe_source(d.signature),
      'run_as', session_user,
      'request', json_build_object(
        'id', d.request_id,
        'size', case when d.request = '' then k.request -> 'size' else to_json(length(d.request)) end,
        'sha256', case when d.request = '' then k.request ->> 'sha256' else encode(sha256(d.request), 'hex') end,
        'sha256_without_expiry', encode(d.request_digest, 'hex'),
        'signature_sha256', encode(sha256(weft._to_bytes(d.signature::text)), 'hex')),
      'manifest', json_build_object('sha256', encode(sha256(weft._to_bytes(d.manifest::text)), 'hex')),
      'artifacts', (  -- files that belong to no step: they would undo one
        select coalesce(json_agg(json_build_object('path', a.path, 'size', a.size, 'sha256', encode(a.digest, 'hex')) order by a.path collate "C"), '[]')
        from weft._artifacts as a
        where a.deployment_id = d.id and not exists (select from weft._steps as s where s.deployment_id = d.id and s.path = a.path)),
      'parameters', weft._describe_parameters(d.id),
      'approval', case when p.second_person then weft._describe_approval(d.id) end,
      'rehearsed_by', p.rehearsal,
      'database', d.origin,
      'created_at', d.created_at,
      'staged_at', d.staged_at,
      'started_at', d.started_at,
      'finished_at', d.finished_at,
      'reopened', t.reopened,
      'cancelled', case when c.deployment_id is not null then json_build_object('at', c.requested_at, 'caller', c.caller) end,
      'attempts', (
        select coalesce(json_agg(json_build_object(
                 'number', a.number, 'phase', p.name, 'fence', a.fence, 'pid', a.pid, 'started_at', a.started_at, 'ended_at', a.ended_at, 'outcome', a.outcome) order by a.number), '[]')
        from weft._attempts as a left join weft._phases as p on p.deployment_id = a.deployment_id and p.ordinal = a.phase
        where a.deployment_id = d.id),
      'drift_found', t.drift_found,
      'baseline', t.baseline,
      'withdrawn', t.withdrawn,
      'without_undo', case when d.undoes is not null then weft._list_without_undo(d.id) end,
      'compared', case when d.undoes is not null then weft._recall_compared(d.id) end,
      'has_committed', d.has_committed,
      'phases', weft._describe_phases(d.id, true),
      'error', d.error,
      'leftovers', case when t.has_leftovers then weft._list_leftovers(d.id) else '[]' end,
      'rehearsal', case when d.mode = 'rehearse' then (select r.report from weft._reports as r where r.deployment_id = d.id) end,
      'fingerprint', json_build_object('before', d.fingerprint_before, 'after', d.fingerprint_after),
      'wal', json_build_object('before', d.wal_before, 'after', d.wal_after),
      'engine_version', json_build_object('before', d.engine_version, 'after', weft.version()),
      'server_version', json_build_object('before', d.server_version, 'after', current_setting('server_version')))::text
  from weft._deployments as d
  left join weft._protections as p on p.deployment_id = d.id
  left join weft._cancellations as c on c.deployment_id = d.id
  cross join lateral weft._recall_told(d.id) as t
  left join lateral (  -- what was signed is not kept forever: after that, an earlier receipt has it
    select r.document::json -> 'request' as request from weft._receipts as r
    where d.request = '' and r.deployment_id = d.id and r.document::json -> 'request' is not null
    order by r.number
    limit 1
  ) as k on true
  where d.id = p_deployment
$$;

comment on function weft._account_for(uuid, bigint) is 'Gives an account of a deployment that has just ended: everything that is known about it, from one look.';


-- The end of a deployment never fails because the account cannot be made: then the receipt says just that.
create or replace function weft._write_receipt(p_deployment uuid)
  returns void
  volatile
  set search_path = pg_catalog, pg_temp
  set timezone = 'UTC'
  language plpgsql
as $$
declare
  v_number    bigint := (select 1 + count(*) from weft._receipts as r where r.deployment_id = p_deployment);
  v_document  text;
begin
  begin
    v_document := weft._as_utf8(weft._account_for(p_deployment, v_number));
  exception when others then
    select json_build_object(
      'format', 1, 'id', d.id, 'number', v_number, 'written_at', clock_timestamp(), 'state', d.state,
      'bundle', d.bundle, 'caller', d.caller, 'finished_at', d.finished_at, 'incomplete', weft._as_utf8(format('%s: %s', sqlstate, sqlerrm)))::text
    into strict v_document
    from weft._deployments as d
    where d.id = p_deployment;
  end;
  insert into weft._receipts (deployment_id, number, state, document, digest)
  select d.id, v_number, d.state, v_document, sha256(weft._to_bytes(v_document))
  from weft._deployments as d
  where d.id = p_deployment;
end
$$;

comment on function weft._write_receipt(uuid) is 'Writes the receipt of a deployment that has just ended, in the same transaction.';


create or replace function weft.receipt(p_deployment uuid, p_number integer default null)
  returns text
  stable
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_document  text;
  v_state     weft.deployment_state;
begin
  select r.document into v_document
  from weft._receipts as r where r.deployment_id = p_deployment and r.number = coalesce(p_number, r.number) order by r.number desc limit 1;
  if found then
    return v_document;
  end if;
  select d.state into v_state from weft._deployments as d where d.id = p_deployment;
  if not found then
    raise exception 'There is no deployment % in this database.', p_deployment using errcode = 'WF002', hint = 'select * from weft.deployments';
  elsif exists (select from weft._receipts as r where r.deployment_id = p_deployment) then
    raise exception 'Deployment % has no receipt with number %.', p_deployment, p_number
      using errcode = 'WF091', hint = format('They are numbered from 1 to %s; without a number it is the newest.', (select max(r.number) from weft._receipts as r where r.deployment_id = p_deployment));
  end if;
  raise exception 'Deployment % has no receipt yet: it is %.', p_deployment, v_state
    using errcode = 'WF091', hint = 'A receipt is written when a deployment ends. Until then weft.status(id) shows how it gets on.';
end
$$;

comment on function weft.receipt(uuid, integer) is
  'Returns the account of how a deployment ended, byte for byte as it was written then: the newest, or the one with a number. The view weft.receipts has the SHA-256 of each.';
