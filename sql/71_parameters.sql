-- Parameters: what a bundle declares, what a request gives, and how a file reads them.
--
-- A plain value is a row. A secret value is never stored: it comes with each CALL in the setting weft.secrets, lives in a variable of
-- the procedure, and is only put into the session of a file of its own deployment.

create or replace function weft.parameter(p_name text)
  returns text
  stable parallel safe
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_parameters  jsonb := nullif(current_setting('weft.values', true), '');
begin
  if v_parameters ? p_name then
    return v_parameters ->> p_name;
  end if;
  raise exception 'There is no parameter "%" here.', p_name
    using errcode = 'WF043', hint = coalesce(
      'The bundle declares: ' || (select string_agg(k.name, ', ' order by k.name) from jsonb_object_keys(v_parameters) as k (name)) || '.',
      'Parameters are declared in weft.yaml, and can be read while a file of their deployment runs; not behind a RESET ALL.');
end
$$;

comment on function weft.parameter(text) is
  'Tells the value of a parameter of the deployment that runs in this session, as text; null when it has none. Raises for a name that the bundle does not declare.';


-- The server decides what a valid value is, under settings that do not depend on the session.
create or replace function weft._cast_parameter(p_type text, p_value text)
  returns text
  stable
  set search_path = pg_catalog, pg_temp
  set datestyle = 'ISO'
  set intervalstyle = 'postgres'
  set timezone = 'UTC'
  language plpgsql
as $$
declare
  v_value  text;
begin
  if p_type not in ('text', 'integer', 'bigint', 'numeric', 'boolean', 'date', 'timestamp', 'timestamptz', 'interval', 'uuid', 'jsonb') then
    raise exception 'There is no type "%" of parameters.', p_type using errcode = 'WF041';
  end if;
  execute format('select ($1::pg_catalog.%I)::text', case p_type when 'integer' then 'int4' when 'bigint' then 'int8' when 'boolean' then 'bool' else p_type end)
  into v_value using p_value;
  return v_value;
end
$$;

comment on function weft._cast_parameter(text, text) is 'Writes a value as its type writes it, or raises the server''s error about it.';


-- Each fault in what a request gives has its own sentence. A parameter without a value is stored without one, and so is every secret.
create or replace function weft._open_parameters(p_deployment uuid, p_manifest jsonb, p_document jsonb)
  returns void
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_given    jsonb := coalesce(p_document -> 'parameters', '{}');
  v_secrets  jsonb := coalesce(p_document -> 'secrets', '{}');
  v_values   jsonb := weft._peek_secrets();
  v_name     text;
  v_wrong    text;
  v_one      record;
begin
  if p_manifest -> 'parameters' is null and v_given = '{}' and v_secrets = '{}' then
    return;
  end if;
  select k.name into v_name
  from (select jsonb_object_keys(v_given) union select jsonb_object_keys(v_secrets)) as k (name)
  where not exists (select from jsonb_array_elements(p_manifest -> 'parameters') as d where d.value ->> 'name' = k.name)
  order by 1 limit 1;
  if found then
    raise exception 'The bundle declares no parameter "%".', v_name using errcode = 'WF040', hint = 'weft.yaml lists them, and so does weft plan. Nothing was opened.';
  end if;

  for v_one in
    select d.name, d.type, d."default", coalesce(d.required, false) as is_required, coalesce(d.secret, false) as is_secret
    from jsonb_to_recordset(coalesce(p_manifest -> 'parameters', '[]')) as d (name text, type text, "default" text, required boolean, secret boolean)
  loop
    if v_one.is_secret and v_given ? v_one.name then
      raise exception 'The parameter "%" is secret and stands in the request, which is stored.', v_one.name
        using errcode = 'WF040', hint = 'Its value travels beside the request. Nothing was opened or stored; but whoever saw the request knows it.';
    elsif not v_one.is_secret and v_secrets ? v_one.name then
      raise exception 'The parameter "%" is not secret; its value belongs into the request.', v_one.name using errcode = 'WF040';
    end if;
    if not (v_given ? v_one.name or v_secrets ? v_one.name) and v_one.is_required then
      raise exception 'The parameter "%" has no value, and needs one.', v_one.name using errcode = 'WF042', hint = 'Give it with --set. Nothing was opened.';
    end if;
    insert into weft._parameters (deployment_id, name, type, is_secret, is_given, digest, value)
    values (p_deployment, v_one.name, v_one.type, v_one.is_secret, v_given ? v_one.name or v_secrets ? v_one.name, decode(v_secrets ->> v_one.name, 'hex'),
            case when not v_one.is_secret then weft._accept_value(v_one.name, v_one.type, coalesce(v_given ->> v_one.name, v_one."default"), false) end);
    if v_one.is_secret then
      perform weft._accept_value(v_one.name, v_one.type, v_values ->> v_one.name, true);
    end if;
  end loop;
end
$$;

comment on function weft._open_parameters(uuid, jsonb, jsonb) is 'Keeps what a request gives for the parameters that its bundle declares; refuses what is undeclared, missing, or not of its type.';


-- Without secrets.
create or replace function weft._list_values(p_deployment uuid)
  returns jsonb
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select coalesce(jsonb_object_agg(p.name, p.value), '{}') from weft._parameters as p where p.deployment_id = p_deployment and not p.is_secret
$$;

comment on function weft._list_values(uuid) is 'Lists the values of the plain parameters of a deployment, by name.';


create or replace function weft._accept_value(p_name text, p_type text, p_value text, p_is_secret boolean)
  returns text
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_said  text;
begin
  if p_is_secret and length(p_value) < weft._limit('secret_characters_min') then
    raise exception 'The secret parameter "%" has fewer than % characters (secret_characters_min).', p_name, weft._limit('secret_characters_min')
      using errcode = 'WF041', hint = 'So short a secret could not be kept out of what is written down.';
  end if;
  begin
    return weft._cast_parameter(p_type, p_value);
  exception when others then
    v_said := sqlerrm;
  end;
  if p_is_secret then
    v_said := weft._scrub_text(v_said, weft._list_forms(array[p_value]));
  end if;
  raise exception 'The parameter "%" is no %: %', p_name, p_type, v_said using errcode = 'WF041', hint = 'Nothing was run.';
end
$$;

comment on function weft._accept_value(text, text, text, boolean) is 'Writes the value of a parameter as its type writes it, or raises the server''s error, for a secret without the value.';


-- The client brings them before the CALL: select set_config('weft.secrets', '{"token": "..."}', false).
create or replace function weft._peek_secrets()
  returns jsonb
  stable
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_secrets  jsonb;
begin
  begin
    v_secrets := nullif(current_setting('weft.secrets', true), '');
  exception when data_exception then
    v_secrets := '[]';  -- the server's message would repeat it
  end;
  if jsonb_typeof(v_secrets) <> 'object' then
    raise exception 'The setting weft.secrets holds no JSON object of names and values.' using errcode = 'WF040', hint = 'select set_config(''weft.secrets'', ''{"name": "value"}'', false)';
  end if;
  return v_secrets;
end
$$;

comment on function weft._peek_secrets() is 'Reads the secrets that were brought into this session for the next CALL; null when there are none.';


-- No SET clause, so that the setting stays empty.
create or replace function weft._take_secrets()
  returns jsonb
  volatile
  language plpgsql
as $$
declare
  v_secrets  pg_catalog.jsonb := weft._peek_secrets();
begin
  perform pg_catalog.set_config('weft.secrets', '', false);
  return v_secrets;
end
$$;

comment on function weft._take_secrets() is 'Takes the secrets out of the session, so that no file finds them there.';


-- A deployment takes its own secrets; an undo also those of the deployment that it takes back, even if its files need none of them.
create or replace function weft._takes_secret(p_deployment uuid, p_name text)
  returns boolean
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select exists (select from weft._parameters as p where p.deployment_id = p_deployment and p.name = p_name and p.is_secret and p.is_given)
    or exists (
      select from weft._deployments as d join weft._parameters as p on p.deployment_id = d.undoes
      where d.id = p_deployment and p.name = p_name and p.is_secret)
$$;

comment on function weft._takes_secret(uuid, text) is 'Tells whether a secret may come along with a CALL for a deployment.';


-- The secrets of a CALL that names no deployment are for the one that waits for them, if it is clear which one that is.
create or replace function weft._choose_by_secrets(p_secrets jsonb)
  returns uuid
  stable
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_waiting  uuid[];
  v_others   text;
begin
  if p_secrets is null or not exists (select from weft._deployments as d where d.state in ('staged', 'running')) then
    return null;
  end if;
  v_waiting := array(
    select d.id from weft._deployments as d
    where d.state in ('staged', 'running') and not exists (select from jsonb_object_keys(p_secrets) as k (name) where not weft._takes_secret(d.id, k.name))
    order by weft._find_lacking(d.id, null) is null, d.place);
  if cardinality(v_waiting) = 1 or weft._find_lacking(v_waiting[2], null) is null and cardinality(v_waiting) > 1 then
    return v_waiting[1];
  end if;
  select string_agg(format('%s of %s (%s)', d.id, d.bundle, array_to_string(weft._find_lacking(d.id, null), ', ')), '; ' order by d.place) into v_others
  from weft._deployments as d where d.state in ('staged', 'running') and weft._find_lacking(d.id, null) is not null;
  raise exception 'It is not certain which deployment % for.', case when (select count(*) from jsonb_object_keys(p_secrets)) = 1 then 'the secret is' else 'the secrets are' end
    using errcode = 'WF040', detail = 'In the session: ' || (select string_agg(k.name, ', ' order by k.name) from jsonb_object_keys(p_secrets) as k (name)) || '. Nothing was run.',
      hint = coalesce('These wait for secrets: ' || v_others || '. Name one in the CALL: call weft.run(''ID'').', 'No unfinished deployment waits for any: call weft.run() without them.');
end
$$;

comment on function weft._choose_by_secrets(jsonb) is 'Tells for which deployment the secrets of a CALL are that names none, or refuses them; null if the question does not arise.';


-- Secrets that a deployment needs and was not given; null if none are missing. Unknown ones are refused.
create or replace function weft._find_lacking(p_deployment uuid, p_secrets jsonb)
  returns text[]
  stable
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_name  text;
begin
  if p_secrets is null and not exists (select from weft._parameters as p where p.deployment_id = p_deployment) then
    return null;
  end if;
  select k.name into v_name
  from jsonb_object_keys(p_secrets) as k (name)
  where p_deployment is not null and not weft._takes_secret(p_deployment, k.name)
  order by 1 limit 1;
  if found then
    raise exception 'The deployment has no secret parameter "%", or its request gave it no value.', v_name using errcode = 'WF040',
      hint = coalesce('It has: ' || (select string_agg(p.name, ', ' order by p.name) from weft._parameters as p where p.deployment_id = p_deployment and p.is_secret and p.is_given) || '.', 'It has none.');
  end if;
  return (
    select array_agg(p.name order by p.name)
    from weft._parameters as p
    where p.deployment_id = p_deployment and p.is_secret and p.is_given and not coalesce(p_secrets ? p.name, false));
end
$$;

comment on function weft._find_lacking(uuid, jsonb) is 'Names the secret parameters that a deployment needs for a run and that did not come along.';


create or replace function weft._read_parameters(p_deployment uuid, p_secrets jsonb)
  returns jsonb
  volatile
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select jsonb_object_agg(p.name, case when p.is_secret then weft._accept_value(p.name, p.type, p_secrets ->> p.name, true) else p.value end)
  from weft._parameters as p
  where p.deployment_id = p_deployment
$$;

comment on function weft._read_parameters(uuid, jsonb) is 'Tells the values of all parameters of a deployment by name, its secrets from what came along; null when it declares none.';


create or replace function weft._pick_secrets(p_deployment uuid, p_parameters jsonb)
  returns jsonb
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select jsonb_object_agg(p.name, p_parameters -> p.name)
  from weft._parameters as p
  where p.deployment_id = p_deployment and p.is_secret and p_parameters ->> p.name <> ''
$$;

comment on function weft._pick_secrets(uuid, jsonb) is 'Picks out of the values of a deployment''s parameters those that must not be written down; null if there are none.';


create or replace function weft._describe_parameters(p_deployment uuid)
  returns jsonb
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select coalesce(jsonb_agg(jsonb_build_object('name', p.name, 'type', p.type, 'secret', p.is_secret, 'given', p.is_given, 'value', p.value, 'digest', encode(p.digest, 'hex')) order by p.name), '[]')
  from weft._parameters as p
  where p.deployment_id = p_deployment
$$;

comment on function weft._describe_parameters(uuid) is 'Shows the parameters of a deployment; for a secret, only that it was given, and its keyed digest.';
