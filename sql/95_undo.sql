-- Undoing a deployment, as the doorman and people request it.

-- A request by hand is not signed: it is given the secrets that were set in the session. It contains their names, but not their values.
create or replace function weft._name_secrets()
  returns jsonb
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select coalesce(jsonb_object_agg(k.name, null::text), '{}') from jsonb_object_keys(weft._peek_secrets()) as k (name)
$$;

comment on function weft._name_secrets() is 'Names the secrets that were brought into this session, as a request does.';


create or replace function weft._refuse_foreseen(p_refusal jsonb)
  returns void
  stable
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
begin
  raise exception '% Nothing was undone.', p_refusal ->> 'message' using errcode = p_refusal ->> 'sqlstate', hint = p_refusal ->> 'hint';
end
$$;

comment on function weft._refuse_foreseen(jsonb) is 'Refuses an undo that would certainly fail, with the errors.';


create or replace function weft.undo(
    p_deployment uuid default null, p_partly boolean default false, p_request bytea default null, p_caller text default 'direct', p_target text default null,
    p_signature jsonb default null, p_id uuid default null, p_bundle text default null, p_rehearse boolean default false, p_protection jsonb default null)
  returns jsonb
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_request   bytea := p_request;
  v_document  jsonb;
  v_undone    weft._deployments;
  v_plan      jsonb;
  v_lacking   jsonb;
  v_secrets   jsonb;
  v_givers    uuid[];      -- deployments that brought undo files later
  v_manifest  jsonb;
  v_digest    bytea;
  v_existing  uuid;
  v_id        uuid := coalesce(p_id, gen_random_uuid());
begin
  perform weft._check_session();
  if v_request is null then  -- by hand
    v_request := convert_to((jsonb_build_object('type', 'undo', 'id', v_id, 'deployment', p_deployment, 'partly', p_partly, 'mode', case when p_rehearse then 'rehearse' else 'apply' end)
      || case when p_bundle is null then '{}' else jsonb_build_object('bundle', p_bundle) end
      || case when weft._peek_secrets() is null then '{}' else jsonb_build_object('secrets', weft._name_secrets()) end)::text, 'UTF8');
  end if;
  begin
    v_document := convert_from(v_request, 'UTF8')::jsonb;
  exception when data_exception then
    raise exception 'The request is not JSON in UTF-8: %', sqlerrm using errcode = 'WF006';
  end;
  if v_document ->> 'type' is distinct from 'undo' or v_document ->> 'id' is null then
    raise exception 'The request is not one to undo: it needs type "undo" and an id.' using errcode = 'WF006';
  end if;

  v_digest := sha256(convert_to((v_document - 'expires_at')::text, 'UTF8'));

  perform weft.end_lost_sessions();
  select d.id into v_existing from weft._deployments as d
  where d.caller = p_caller and d.target = coalesce(p_target, '') and d.request_id = v_document ->> 'id';
  if found then
    return weft._describe_repeated(v_existing, v_digest);
  end if;

  v_undone := weft._choose_undone(coalesce((v_document ->> 'deployment')::uuid, p_deployment), p_bundle);
  v_plan := weft.plan_undo(v_undone.id);
  v_lacking := v_plan -> 'lacking';
  if v_undone.mode = 'baseline' and v_document ->> 'mode' = 'rehearse' then
    raise exception 'Deployment % was a baseline, which has run nothing: there is nothing to rehearse.', v_undone.id
      using errcode = 'WF070', hint = 'Without the rehearsal, its files are taken out of the history; nothing is run then either.';
  end if;
  v_manifest := case v_undone.mode when 'baseline' then jsonb_build_object('format', 1, 'bundle', v_undone.bundle, 'undoes', v_undone.id, 'artifacts', '[]'::jsonb, 'phases', '[]'::jsonb)
    else weft._make_undo_manifest(v_undone) end;
  if v_manifest -> 'phases' = '[]' then
    v_undone := weft._choose_undone(v_undone.id, p_bundle);  -- another undo may have ended meanwhile
  end if;
  if v_undone.mode = 'baseline' then
    null;  -- its undo files are for what other deployments have made
  elsif v_manifest -> 'phases' = '[]' or v_lacking <> '[]' and not coalesce((v_document ->> 'partly')::boolean, p_partly) then
    raise exception 'Of deployment % (%), % no undo: %.', v_undone.id, v_undone.bundle,
        case when v_manifest -> 'phases' = '[]' then 'all files have'
             when jsonb_array_length(v_lacking) = 1 then 'one file has' else format('%s files have', jsonb_array_length(v_lacking)) end,
        (select string_agg(l.value ->> 'path', ', ' order by l.ordinality) from jsonb_array_elements(v_lacking) with ordinality as l where l.ordinality <= 5)
          || case when jsonb_array_length(v_lacking) > 5 then format(' and %s more', jsonb_array_length(v_lacking) - 5) else '' end
      using errcode = 'WF072', detail = 'Nothing was undone.',
        hint = case when v_manifest -> 'phases' = '[]' then 'Write undo files and deploy the bundle again with them: it runs nothing a second time, and keeps them here.'
          else 'To undo the rest and leave these in the database: weft undo --partly (in SQL: p_partly => true). Or write the undo files that are missing, and deploy the bundle again with them.' end;
  end if;
  -- if it would certainly stop half-way
  perform weft._refuse_foreseen(f.value) from jsonb_array_elements(v_plan -> 'foreseen') as f where not f.value ? 'if';
  v_secrets := coalesce(nullif(v_document -> 'secrets', 'null'), '{}');
  v_givers := weft._list_givers(v_undone.id);
  perform weft._check_secrets_of_undo(v_undone.id, v_givers, v_secrets, v_plan -> 'secrets');

  insert into weft._deployments (id, caller, target, request_id, request_digest, request, signature, bundle, mode, undoes, manifest, origin)
  values (v_id, p_caller, coalesce(p_target, ''), v_document ->> 'id', v_digest, v_request, p_signature,
          v_undone.bundle, coalesce(v_document ->> 'mode', 'apply'), v_undone.id, v_manifest, weft._origin(p_target))
  on conflict (caller, target, request_id) do nothing;
  if not found then  -- the same request, at the same time
    select d.id into strict v_existing from weft._deployments as d where d.caller = p_caller and d.target = coalesce(p_target, '') and d.request_id = v_document ->> 'id';
    return weft._describe_repeated(v_existing, v_digest);
  end if;
  perform weft._lay_out(v_id, v_manifest);
  perform weft._let_stand_by(v_id), weft._inherit_parameters(v_id, v_undone.id, v_givers, v_secrets);
  perform weft._tell(v_id, 'opened', p_data => jsonb_build_object(
    'caller', p_caller, 'request_id', v_document ->> 'id', 'bundle', v_undone.bundle, 'undoes', v_undone.id, 'lacking', v_lacking));
  if p_protection is not null then
    perform weft._protect(v_id, p_protection);
  end if;
  perform weft._settle_staged(v_id);
  perform set_config('weft.opened', v_id::text, false);
  return weft._describe_opened(v_id, 'created');
end
$$;

comment on function weft.undo(uuid, boolean, bytea, text, text, jsonb, uuid, text, boolean, jsonb) is
  'Opens and stages a deployment that undoes another one: the one that is named, if no other of its bundle has followed it, or the newest of the bundle p_bundle, or of the only one in the database. p_rehearse: everything in one transaction that is rolled back. Secrets that its files name come through the setting weft.secrets, as with weft.run(). It is refused as long as anything of the other deployment has no undo, unless p_partly says that this may stay. p_protection: as with weft.open(). Then: call weft.run(id).';
