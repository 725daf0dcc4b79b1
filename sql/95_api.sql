-- The functions that the doorman (everything in src/) calls. Together with weft.run, they are everything it does to a database.

create or replace function weft.open(
    p_request bytea, p_manifest jsonb default null, p_caller text default 'direct', p_target text default null, p_signature jsonb default null,
    p_engine integer default null, p_deployment uuid default null, p_protection jsonb default null, p_owed jsonb default null)
  returns jsonb
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_document  jsonb;
  v_manifest  jsonb;
  v_digest    bytea;
  v_request   text;
  v_id        uuid;
  v_existing  record;
begin
  perform weft._check_session();
  if p_engine < weft.version() then
    raise exception 'The engine in this database has version %, and this Weft brings version %.', weft.version(), p_engine
      using errcode = 'WF001', hint = 'Deploy with a newer Weft: an engine is never taken back to an older version.';
  end if;
  begin
    v_document := convert_from(p_request, 'UTF8')::jsonb;
  exception when data_exception then
    raise exception 'The request is not JSON in UTF-8: %', sqlerrm using errcode = 'WF006';
  end;
  v_manifest := coalesce(p_manifest, v_document -> 'manifest');
  if v_document ->> 'type' is distinct from 'deploy' or v_document ->> 'id' is null or jsonb_typeof(v_manifest -> 'phases') is distinct from 'array' then
    raise exception 'The request is not one to deploy: it needs type "deploy", an id and a manifest.' using errcode = 'WF006';
  end if;
  v_request := case when p_signature ? 'webhook_of' then weft._request_id(v_document ->> 'id', p_caller, coalesce(p_target, ''), p_signature) else v_document ->> 'id' end;
  v_digest := sha256(convert_to((v_document - 'expires_at')::text, 'UTF8'));

  perform weft.end_lost_sessions();
  insert into weft._deployments (id, caller, target, request_id, request_digest, request, signature, bundle, mode, manifest, origin)
  select coalesce(p_deployment, gen_random_uuid()), p_caller, coalesce(p_target, ''), v_request, v_digest, p_request, p_signature,
         v_manifest ->> 'bundle', coalesce(v_document ->> 'mode', 'apply'), v_manifest, weft._origin(p_target)
  -- otherwise, it would wait for whoever is changing that row
  where not exists (select from weft._deployments as d where d.caller = p_caller and d.target = coalesce(p_target, '') and d.request_id = v_request)
  on conflict (caller, target, request_id) do nothing
  returning id into v_id;
  if v_id is null then
    select d.id, d.state, d.request_digest into strict v_existing
    from weft._deployments as d
    where d.caller = p_caller and d.target = coalesce(p_target, '') and d.request_id = v_request;
    if v_existing.request_digest <> v_digest then
      return jsonb_build_object('outcome', 'conflict', 'deployment', v_existing.id, 'state', v_existing.state);
    end if;
    if p_owed is not null then
      perform weft._owe(v_existing.id, p_owed);
    end if;
    return weft._describe_opened(v_existing.id, 'repeated');
  end if;

  perform
    weft._lay_out(v_id, v_manifest),
    case when v_manifest ? 'unwatched' then weft._check_unwatched(v_manifest -> 'unwatched') end,
    case when coalesce(v_manifest -> 'parameters', v_document -> 'parameters', v_document -> 'secrets') is not null then weft._open_parameters(v_id, v_manifest, v_document) end,
    weft._tell(v_id, 'opened', p_data => jsonb_build_object('caller', p_caller, 'request_id', v_request, 'bundle', v_manifest ->> 'bundle')),
    case when p_protection is not null then weft._protect(v_id, p_protection) end,
    case when p_owed is not null then weft._owe(v_id, p_owed) end,
    weft._settle_staged(v_id),
    set_config('weft.opened', v_id::text, false);  -- so that a CALL that is sent together with this knows that it has the same backend
  return weft._describe_opened(v_id, 'created');
end
$$;

comment on function weft.open(bytea, jsonb, text, text, jsonb, integer, uuid, jsonb, jsonb) is
  'Opens a deployment for a request, under the proposed id if there is one, or finds the one that the same request opened before: outcome created, repeated or conflict, and the digests of the chunks that are missing. p_protection: what its environment requires of it, as an object: environment (a name), second_person, rehearsal_first. p_owed: what a forge must be told about it, as an object: key, errand, proof, and the seconds that whoever opens it has for that.';


-- Turns a manifest into rows.
create or replace function weft._lay_out(p_deployment uuid, p_manifest jsonb)
  returns void
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
begin
  insert into weft._artifacts (deployment_id, path, digest, size, chunks)
  select p_deployment, a.path, decode(a.digest, 'hex'), a.size,
         case when a.chunks <> '[]' then (select array_agg(decode(c.value, 'hex') order by c.ordinality) from jsonb_array_elements_text(a.chunks) with ordinality as c)
           else array[decode(a.digest, 'hex')] end
  from jsonb_to_recordset(p_manifest -> 'artifacts') as a (path text, digest text, size bigint, chunks jsonb);

  insert into weft._phases (deployment_id, ordinal, name, transaction, condition, role, settings, has_repeatables, lock_timeouts, lock_timeout_ms)
  select p_deployment, p.ordinality, p.value ->> 'name', p.value ->> 'transaction', p.value ->> 'when', p.value ->> 'role', coalesce(p.value -> 'settings', '{}'),
         jsonb_path_exists(p.value, '$.steps[*].repeat') or jsonb_path_exists(p.value, '$.steps[*].mode ? (@ == "sync" || @ == "upsert")'),
         p.value -> 'lock_timeouts_ms', coalesce((p.value ->> 'lock_timeout_ms')::integer, weft._limit('lock_timeout_ms_default'))
  from jsonb_array_elements(p_manifest -> 'phases') with ordinality as p;

  insert into weft._steps (deployment_id, ordinal, phase, kind, path, condition, done_when, on_error, undo, undoes, options)
  select p_deployment, row_number() over (order by p.ordinality, s.ordinality), p.ordinality, s.value ->> 'kind', s.value ->> 'path', s.value ->> 'when', s.value ->> 'done_when',
         coalesce(s.value ->> 'on_error', 'stop'), s.value ->> 'undo', s.value ->> 'undoes', s.value - '{kind,path,when,done_when,on_error,undo,undoes}'::text[]
  from jsonb_array_elements(p_manifest -> 'phases') with ordinality as p
  cross join jsonb_array_elements(p.value -> 'steps') with ordinality as s;

  if jsonb_path_exists(p_manifest, '$.phases[*] ? (@.transaction == "single").steps[*] ? (@.kind == "batch")') then
    raise exception 'A batch commits each of its rounds, and stands in a phase that is all or nothing (transaction: single).'
      using errcode = 'WF050', hint = 'Put it into a phase of its own.';
  end if;
end
$$;

comment on function weft._lay_out(uuid, jsonb) is 'Lays out artifacts, phases and steps of a deployment, as its manifest says.';


create or replace function weft._describe_opened(p_deployment uuid, p_outcome text)
  returns jsonb
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select jsonb_build_object(
    'outcome', p_outcome, 'deployment', d.id, 'state', d.state, 'backend', pg_backend_pid(),
    'receipt', case when p_outcome = 'repeated' then weft._describe_receipt(d.id) end,
    'approval', (select weft._describe_approval(p.deployment_id) from weft._protections as p where p.deployment_id = d.id),
    'overtaken_by', case when p_outcome = 'repeated' and d.finished_at is not null and d.mode = 'apply'
                      then (select l.id from weft._overtaken_by(d) as l where l.has_committed) end,
    'lacking', case when d.finished_at is null then weft._find_lacking(d.id, weft._peek_secrets()) end,
    'missing', case when d.state = 'open'
                 then (select coalesce(jsonb_agg(encode(m.digest, 'hex')), '[]') from (select distinct c.digest from weft._missing_chunks(d.id) as c) as m)
                 else '[]' end)
  from weft._deployments as d
  where d.id = p_deployment
$$;

comment on function weft._describe_opened(uuid, text) is 'Answers weft.open().';


create or replace function weft._describe_repeated(p_deployment uuid, p_digest bytea)
  returns jsonb
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select case
    when d.request_digest = p_digest then weft._describe_opened(d.id, 'repeated')
    else jsonb_build_object('outcome', 'conflict', 'deployment', d.id, 'state', d.state)
  end
  from weft._deployments as d
  where d.id = p_deployment
$$;

comment on function weft._describe_repeated(uuid, bytea) is 'Answers a request whose id has come before: with the deployment that it opened then, or with a conflict if it is another request.';


create or replace function weft.stage(p_deployment uuid, p_digests text[], p_sizes integer[], p_content bytea, p_is_last boolean default true)
  returns jsonb
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_wrong  record;
begin
  if (select coalesce(sum(s.size), 0) from unnest(p_sizes) as s (size)) <> length(p_content) or cardinality(p_digests) <> cardinality(p_sizes) then
    raise exception 'The sizes of the chunks do not add up to the % bytes that came.', length(p_content) using errcode = 'WF004';
  end if;

  with cut as (
    select c.announced, c.ordinal, substr(p_content, (sum(c.size) over (order by c.ordinal) - c.size)::integer + 1, c.size) as content
    from unnest(p_digests, p_sizes) with ordinality as c (announced, size, ordinal)
  ),
  proved as materialized (
    select decode(c.announced, 'hex') as announced, sha256(c.content) as digest, c.content, c.ordinal from cut as c
  ),
  named as materialized (
    select unnest(a.chunks) as digest, a.path from weft._artifacts as a where a.deployment_id = p_deployment
  ),
  wrong as materialized (
    select p.announced, p.digest, (select n.path from named as n where n.digest = p.announced limit 1) as path
    from proved as p
    where p.digest <> p.announced or not exists (select from named as n where n.digest = p.digest)
    order by p.ordinal
    limit 1
  ),
  kept as (
    insert into weft._chunks (digest, content)
    select distinct on (p.digest) p.digest, p.content from proved as p where not exists (select from wrong) order by p.digest
    on conflict (digest) do nothing
  )
  select w.* into v_wrong from wrong as w;

  if v_wrong.digest is not null then
    if v_wrong.digest <> v_wrong.announced then
      raise exception 'The bytes that came for % have another digest.', coalesce(v_wrong.path, encode(v_wrong.announced, 'hex'))
        using errcode = 'WF005', detail = format('Announced %s, came %s.', encode(v_wrong.announced, 'hex'), encode(v_wrong.digest, 'hex')),
              hint = 'Nothing of this message was kept. Send it again.';
    end if;
    raise exception 'The deployment names no chunk %.', encode(v_wrong.digest, 'hex')
      using errcode = 'WF011', hint = 'Nothing of this message was kept.';
  end if;

  return jsonb_build_object('state', case when p_is_last then weft._settle_staged(p_deployment) end);
end
$$;

comment on function weft.stage(uuid, text[], integer[], bytea, boolean) is
  'Takes chunks of a deployment''s artifacts, concatenated in one value. Keeps them if each has the digest that was announced and that the manifest names; otherwise, it keeps none.';


create or replace function weft.cancel(p_deployment uuid, p_caller text default session_user)
  returns jsonb
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_lease   weft._lease;
  v_state   weft.deployment_state;
  v_holder  text;
begin
  select l.* into v_lease from weft._lease as l for update;
  select d.state into v_state from weft._deployments as d where d.id = p_deployment for no key update;
  if v_state is null then
    raise exception 'There is no deployment % in this database.', p_deployment using errcode = 'WF002', hint = 'select * from weft.deployments';
  elsif v_state in ('succeeded', 'degraded', 'failed', 'cancelled') then
    return weft.status(p_deployment);
  end if;
  insert into weft._cancellations (deployment_id, caller) values (p_deployment, p_caller) on conflict (deployment_id) do nothing;

  v_holder := weft._look_at_holder(v_lease);
  if v_lease.deployment_id = p_deployment and v_holder in ('alive', 'silent')
      -- while the engine cleans up, or only looks again, it knows already, or soon will: a signal would undo its work. The lease's row is locked here, and no
      -- runner hands anything out without it, so this stays true until the signal is there.
      and exists (
        select from weft._statements as t
        where t.deployment_id = p_deployment
          and (t.state = 'cleaning' or t.state = 'sent' and v_lease.directive_at is null and t.judge ->> 'kind' <> 'expression')) then
    null;
  elsif v_lease.deployment_id = p_deployment and v_holder in ('alive', 'silent') then
    begin
      if v_lease.directive_at is null then
        perform pg_cancel_backend(v_lease.pid);  -- ends the running statement; the runner then finds the row
      else
        -- The statement may be on its way to an idle session, where a signal to cancel is lost, and nobody would look for the row until it has run. So
        -- the session is ended, idle or not: its client comes back, or another one, and that CALL finds the row and asks the catalog.
        perform pg_terminate_backend(v_lease.pid);
      end if;
    exception when insufficient_privilege then
      null;  -- a superuser's session: it finds the row between two steps
    end;
  elsif v_lease.deployment_id = p_deployment and v_holder = 'unknown' then
    null;  -- that pid may belong to somebody else: the runner, if it is one, finds the row between two steps
  elsif exists (select from weft._statements as t where t.deployment_id = p_deployment and t.state in ('sent', 'cleaning')) then
    null;  -- the next CALL first deals with what a statement has left half-made
  else
    perform weft._end(p_deployment, 'cancelled', weft._describe_cancelled(c)) from weft._cancellations as c where c.deployment_id = p_deployment;
  end if;
  return weft.status(p_deployment);
end
$$;

comment on function weft.cancel(uuid, text) is 'Cancels a deployment: at once if nobody runs it, otherwise as soon as the runner sees the request. May be repeated: a statement that removes something half-made is not disturbed.';


-- The document of a deployment with thousands of files is large, and whoever asks has to hold all documents.
create or replace function weft.list_deployments(p_limit integer default 20)
  returns jsonb
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_id         uuid;
  v_document   jsonb;
  v_documents  jsonb[] := '{}';
  v_bytes      bigint := 0;
begin
  for v_id in select o.id from weft._deployments as o order by o.created_at desc limit p_limit loop
    v_document := weft.status(v_id) - 'rehearsal';
    v_bytes := v_bytes + pg_column_size(v_document);
    exit when v_bytes > weft._limit('listed_bytes') and v_documents <> '{}';
    v_documents := array_append(v_documents, v_document);
  end loop;
  return to_jsonb(v_documents);
end
$$;

comment on function weft.list_deployments(integer) is 'Lists the newest deployments, each as weft.status() shows it: one, and as many more as fit into some megabytes.';


create or replace function weft.list_events(p_deployment uuid, p_after integer default 0)
  returns jsonb
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select weft._as_utf8(coalesce(json_agg(json_build_object(
           'deployment', e.deployment_id, 'number', e.number, 'at', e.at, 'kind', e.kind, 'phase', e.phase, 'path', e.path, 'data', e.data) order by e.number), '[]')::text)::jsonb
  from weft._events as e
  where e.deployment_id = p_deployment and e.number > p_after
$$;

comment on function weft.list_events(uuid, integer) is 'Lists the events of a deployment after a number.';


create or replace function weft.list_history(p_bundle text default null)
  returns jsonb
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select coalesce(jsonb_agg(jsonb_build_object(
           'bundle', h.bundle, 'path', h.path, 'digest', encode(h.digest, 'hex'), 'deployment', h.deployment_id, 'applied_at', h.applied_at, 'approved_by', a.caller)
           order by h.applied_at, h.path), '[]')
  from weft._history as h
  left join weft._approvals as a on a.deployment_id = h.deployment_id
  where p_bundle is null or h.bundle = p_bundle
$$;

comment on function weft.list_history(text) is 'Lists what has been applied to this database, of one bundle or of all.';


-- The same judgement as when a deployment begins, without one. It can say more about files whose content is given.
create or replace function weft.plan(p_manifest jsonb, p_texts jsonb default '{}', p_values jsonb default null)
  returns jsonb
  stable
  set search_path = pg_catalog, pg_temp
  set enable_nestloop = off
  set jit = off
  language sql
as $$
  select weft._as_answer(jsonb_build_object(
    'findings', (select coalesce(jsonb_agg(jsonb_build_object('path', f.path, 'verdict', f.verdict, 'data', f.data) order by f.ordinal), '[]') from unnest(j.findings) as f),
    'refusal', weft._describe_quarrel(j.findings, p_manifest ->> 'order', false),
    'batches', case when j.begun = '[]' then '[]' else weft._foresee_batches(p_manifest, p_texts, p_values) end,
    'halves', case when j.begun = '[]' then '[]' else weft._foresee_halves(p_manifest, p_texts) end,
    'begun', (  -- and those not in the bundle
      select coalesce(jsonb_agg(b.value order by b.ordinality), '[]')
      from jsonb_array_elements(j.begun) with ordinality as b
      where b.value ->> 'path' not in (select s.value ->> 'path' from jsonb_path_query(p_manifest, '$.phases[*].steps[*]') as s (value))
        and b.value -> 'of_undo' = 'false'),
    'gone', to_jsonb(weft._list_gone(p_manifest, j.findings)),
    'elsewhere', weft._find_elsewhere(p_manifest),
    'drift', (
      select jsonb_build_object('verdict', d.drift -> 'verdict', 'count', d.drift -> 'count', 'since', d.drift #> '{since,deployment}', 'running', d.drift -> 'running')
      from weft.describe_drift() as d (drift)),
    'groups', (
      select coalesce(jsonb_agg(g.paths order by g.phase, g.number), '[]')
      from (
        select k.phase, k.number, jsonb_agg(k.path order by h.place, k.path collate "C") as paths
        from (
          select p.ordinality as phase, s.value ->> 'path' as path, s.ordinality - row_number() over (partition by p.ordinality order by s.ordinality) as number
          from jsonb_array_elements(p_manifest -> 'phases') with ordinality as p
          cross join jsonb_array_elements(p.value -> 'steps') with ordinality as s
          where p.value ->> 'transaction' <> 'none' and s.value ->> 'kind' = 'run' and s.value ? 'repeat'
        ) as k
        left join weft._history as h on h.bundle = p_manifest ->> 'bundle' and h.path = k.path
        group by k.phase, k.number
        having count(*) > 1
      ) as g),
    'lost', (
      select coalesce(jsonb_agg(jsonb_build_object('path', k.path, 'missing', m.missing) order by k.path), '[]')
      from weft._history as h
      left join (select f.path, f.data -> 'from' ->> 0 as was from unnest(j.findings) as f where f.verdict = 'renamed') as r on r.was = h.path
      cross join lateral (select coalesce(r.path, h.path) as path) as k
      cross join lateral (select weft._list_missing(h.made) as missing) as m
      where h.bundle = p_manifest ->> 'bundle' and h.made is not null and m.missing is not null
        and exists (select from jsonb_array_elements(p_manifest -> 'artifacts') as a where a.value ->> 'path' = k.path))))
  from (
    select array(select f from weft._judge_history(p_manifest, null, p_texts) as f order by f.ordinal) as findings, weft.list_begun(p_manifest ->> 'bundle') as begun
    offset 0  -- otherwise, both would be computed again wherever they are used above
  ) as j
$$;

comment on function weft.plan(jsonb, jsonb, jsonb) is
  'Tells what the history says about a bundle: files that changed, were renamed or come late, why it would be refused, in which order groups of repeatable files would be tried, whose objects are gone, and whether the catalog has drifted since the last deployment. p_texts: the contents of files that changed or are new, by path. p_values: the plain values of parameters that a deployment would be given, by name.';


-- For people who must restore the applied content of a file.
create or replace function weft.kept_file(p_bundle text, p_path text)
  returns bytea
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select weft._join_chunks(a.chunks)
  from weft._history as h
  join weft._artifacts as a on a.deployment_id = h.bytes_in and a.path = h.path and a.digest = h.digest
  where h.bundle = p_bundle and h.path = p_path
$$;

comment on function weft.kept_file(text, text) is 'Returns the bytes of a file as they were applied to this database.';


create or replace function weft.file(p_deployment uuid, p_path text)
  returns bytea
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select weft._join_chunks(a.chunks)
  from weft._artifacts as a
  where a.deployment_id = p_deployment and a.path = p_path and weft._is_kept(a.deployment_id, a.path, a.digest)
$$;

comment on function weft.file(uuid, text) is 'Returns the bytes of a file that a deployment has brought, even before it runs, for whoever approves it. Null if they are not all here, or no longer kept.';
