-- Parameters: what a bundle declares, what a request gives, and how a statement comes to them, as weft.parameter('x') and as :x.
--
-- A plain value is a row. A secret one is never stored: it comes with each CALL through the setting weft.secrets, lives in a
-- variable of the procedure, and is laid into the session of a file of its own deployment only. Whatever is written down
-- while such a deployment runs goes through weft._scrub first.

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


-- The server is the arbiter of what a value is, under settings that do not depend on who asks.
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

comment on function weft._cast_parameter(text, text) is 'Writes a value as its type writes it, or raises what the server says of it.';


-- Where a secret may show in parts: a server quotes the first bytes of a long value, or the word at which it stumbled. So
-- whatever a text has in common with a secret over eight characters goes, upper or lower case.
create or replace function weft._scrub_text(p_text text, p_forms text[])
  returns text
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  c_window   constant integer := 8;
  v_text     text := left(p_text, weft._limit('scrubbed_characters')) || case when length(p_text) > weft._limit('scrubbed_characters') then '…' else '' end;
  v_low      text := lower(v_text collate "C");
  v_secret   text;
  v_window   integer;
  v_hidden   boolean[];
begin
  foreach v_secret in array p_forms loop
    v_window := least(c_window, length(v_secret));
    if v_window = length(v_secret) then
      continue when strpos(v_low, v_secret) = 0;
    end if;
    -- which characters are part of a window that the secret has too
    v_hidden := array(
      with windows as materialized (
        select w.place, string_agg(w.letter, '') over (order by w.place rows between current row and v_window - 1 following) as piece
        from string_to_table(v_low, null) with ordinality as w (letter, place)
      ),
      hits as materialized (
        select w.place, length(w.piece) = v_window and strpos(v_secret, w.piece) > 0 as is_hit from windows as w
      )
      select bool_or(h.is_hit) over (order by h.place rows between v_window - 1 preceding and current row) from hits as h order by h.place);
    continue when not (true = any (v_hidden));
    v_text := (
      select string_agg(case when not h.is_hidden then h.letter when h.was_hidden is not true then '***' else '' end, '' order by h.place)
      from (
        select l.letter, l.place, v_hidden[l.place] as is_hidden, v_hidden[l.place - 1] as was_hidden
        from string_to_table(v_text, null) with ordinality as l (letter, place)
      ) as h);
    v_low := lower(v_text collate "C");
  end loop;
  return v_text;
end
$$;

comment on function weft._scrub_text(text, text[]) is 'Takes out of a text whatever it has in common with secrets in these forms, in whole or in part.';


-- In lower case, in every form in which a server or a file may write them; the longest first.
create or replace function weft._list_forms(p_values text[])
  returns text[]
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select coalesce(array_agg(f.form order by length(f.form) desc, f.form), '{}')
  from (
    select distinct lower(x.form collate "C") as form
    from unnest(p_values) as v (value)
    cross join lateral (values
      (v.value), (replace(v.value, '''', '''''')), (replace(replace(v.value, '\', '\\'), '''', '''''')), (replace(v.value, '"', '""')),
      (substr(to_jsonb(v.value)::text, 2, length(to_jsonb(v.value)::text) - 2)),
      (encode(convert_to(v.value, 'UTF8'), 'hex')), (rtrim(replace(encode(convert_to(v.value, 'UTF8'), 'base64'), E'\n', ''), '='))
    ) as x (form)
    where x.form <> ''
  ) as f
$$;

comment on function weft._list_forms(text[]) is 'Lists the forms in which values may show: as they are, quoted, escaped as JSON, in hexadecimal and base64.';


-- Keys stay: they are the engine's own, or names of columns.
create or replace function weft._scrub_texts(p_document jsonb, p_forms text[])
  returns jsonb
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
begin
  return case jsonb_typeof(p_document)
    when 'string' then to_jsonb(weft._scrub_text(p_document #>> '{}', p_forms))
    when 'object' then coalesce((select jsonb_object_agg(e.key, weft._scrub_texts(e.value, p_forms)) from jsonb_each(p_document) as e), '{}')
    when 'array' then coalesce((select jsonb_agg(weft._scrub_texts(e.value, p_forms) order by e.place) from jsonb_array_elements(p_document) with ordinality as e (value, place)), '[]')
    when 'number' then case when p_document #>> '{}' = any (p_forms) then '"***"' else p_document end
    else p_document
  end;
end
$$;

comment on function weft._scrub_texts(jsonb, text[]) is 'Takes secrets in these forms out of the texts and numbers of a document.';


-- No SET clause: it is asked of much, and mostly there are no secrets.
create or replace function weft._scrub(p_document jsonb, p_secrets jsonb)
  returns jsonb
  immutable parallel safe
  language sql
as $$
  select case when p_secrets is null then p_document
    else weft._scrub_texts(p_document, weft._list_forms(array(select s.value from pg_catalog.jsonb_each_text(p_secrets) as s))) end
$$;

comment on function weft._scrub(jsonb, jsonb) is 'Takes secrets, given by name and value, out of a document before it is stored; null means that there are none.';


-- What a file has made of its session goes on with the next statement; where it has put a secret there, the name is kept in its
-- place, between two characters that no text of a file can have.
create or replace function weft._veil(p_document jsonb, p_secrets jsonb)
  returns jsonb
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_text    text := p_document::text;
  v_secret  record;
begin
  if p_secrets is null then
    return p_document;
  end if;
  for v_secret in
    select s.key as name, substr(to_jsonb(s.value)::text, 2, length(to_jsonb(s.value)::text) - 2) as escaped
    from jsonb_each_text(p_secrets) as s where s.value <> '' order by length(s.value) desc, s.key
  loop
    if strpos(v_text, v_secret.escaped) > 0 then
      p_document := weft._replace_in(p_document, p_secrets ->> v_secret.name, format(E'\u0001%s\u0002', v_secret.name));
    end if;
  end loop;
  return p_document;
end
$$;

comment on function weft._veil(jsonb, jsonb) is 'Writes the names of secrets in the place of their values.';


create or replace function weft._unveil(p_document jsonb, p_secrets jsonb)
  returns jsonb
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_name  text;
begin
  if p_secrets is null or strpos(p_document::text, '\u0001') = 0 then
    return p_document;
  end if;
  for v_name in select k.name from jsonb_object_keys(p_secrets) as k (name) loop
    p_document := weft._replace_in(p_document, format(E'\u0001%s\u0002', v_name), p_secrets ->> v_name);
  end loop;
  return p_document;
end
$$;

comment on function weft._unveil(jsonb, jsonb) is 'Puts the values of secrets back where weft._veil wrote their names.';


create or replace function weft._replace_in(p_document jsonb, p_from text, p_to text)
  returns jsonb
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
begin
  return case jsonb_typeof(p_document)
    when 'string' then to_jsonb(replace(p_document #>> '{}', p_from, p_to))
    when 'object' then coalesce((select jsonb_object_agg(e.key, weft._replace_in(e.value, p_from, p_to)) from jsonb_each(p_document) as e), '{}')
    when 'array' then coalesce((select jsonb_agg(weft._replace_in(e.value, p_from, p_to) order by e.place) from jsonb_array_elements(p_document) with ordinality as e (value, place)), '[]')
    else p_document
  end;
end
$$;

comment on function weft._replace_in(jsonb, text, text) is 'Replaces a text in all texts of a document, and in no key.';


-- Where a statement may name a parameter, as psql has it (manual, psql, "SQL Interpolation"). An even number of colons is one cast or
-- several; the names are those that the bundle declares, and hold nothing that means anything here.
create or replace function weft._mark(p_parameters jsonb)
  returns text
  immutable strict parallel safe
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select format('(:+)(?:''(%1$s)''|"(%1$s)"|\{\?(%1$s)\}|(%1$s)(?![A-Za-z0-9_\u0080-\U0010ffff]))', string_agg(k.name, '|' order by k.name))
  from jsonb_object_keys(p_parameters) as k (name)
  having count(*) > 0
$$;

comment on function weft._mark(jsonb) is 'Makes the pattern of what may name one of these parameters in a statement; null when there are none.';


-- The scanner says what is code: inside of quotes, dollar quotes and comments nothing is replaced.
create or replace function weft._interpolate(p_statement text, p_parameters jsonb, p_mark text)
  returns text
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_scanner  weft._scanner;
  v_pieces   text[];
  v_parts    text[] := '{}';
  v_place    integer := 1;
  v_match    text[];
  v_mention  text;   -- as it stands there
  v_value    text;
begin
  if p_mark is null or p_statement !~ p_mark then
    return p_statement;
  end if;
  v_scanner := weft._new_scanner();
  v_pieces := regexp_split_to_array(p_statement, p_mark);
  for v_match in select m.found from regexp_matches(p_statement, p_mark, 'g') as m (found) loop
    v_scanner := weft._pass(v_scanner, v_pieces[v_place]);
    v_parts := array_append(v_parts, v_pieces[v_place]);
    v_mention := concat(v_match[1], '''' || v_match[2] || '''', '"' || v_match[3] || '"', '{?' || v_match[4] || '}', v_match[5]);
    if v_scanner.mode = 'code' and length(v_match[1]) % 2 = 1 then
      v_value := p_parameters ->> coalesce(v_match[2], v_match[3], v_match[4], v_match[5]);
      v_parts := array_append(v_parts, concat(
        substr(v_match[1], 2),
        case when v_match[1] = ':' and (v_match[2] is not null or v_match[3] is not null) and v_pieces[v_place] ~ '[A-Za-z0-9_''"$\u0080-\U0010ffff]$' then ' ' end,
        case
          when v_match[2] is not null then coalesce(quote_literal(v_value), 'null')
          when v_match[3] is not null then concat('"', replace(v_value, '"', '""'), '"')  -- of none, the server says that a name is never empty
          when v_match[4] is not null then case when v_value is null then 'false' else 'true' end
          else coalesce(v_value, 'null')
        end));
      v_scanner.tag := null;
      v_scanner.has_code := true;
    else
      v_scanner := weft._pass(v_scanner, v_mention);
      v_parts := array_append(v_parts, v_mention);
    end if;
    v_place := v_place + 1;
  end loop;
  return array_to_string(array_append(v_parts, v_pieces[v_place]), '');
end
$$;

comment on function weft._interpolate(text, jsonb, text) is
  'Replaces :x, :''x'', :"x" and :{?x} in the code of a statement by the values of parameters, as psql does; ::x and :=x stay.';


-- One sentence for everything that is wrong with what a request gives. What is not there is not stored, a secret never.
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


-- An undo runs with what its deployment ran with, as far as that is known.
create or replace function weft._inherit_parameters(p_deployment uuid, p_from uuid)
  returns void
  volatile
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  insert into weft._parameters (deployment_id, name, type, is_secret, is_given, value)
  select p_deployment, p.name, p.type, p.is_secret, p.is_given and not p.is_secret, p.value
  from weft._parameters as p
  where p.deployment_id = p_from
$$;

comment on function weft._inherit_parameters(uuid, uuid) is 'Gives an undo the plain parameters of the deployment that it takes back; its secrets it has not.';


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

comment on function weft._accept_value(text, text, text, boolean) is 'Writes the value of a parameter as its type writes it, or raises what the server says; of a secret without the value.';


-- Brought by whoever calls, before the CALL: select set_config('weft.secrets', '{"token": "…"}', false).
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
    v_secrets := '[]';  -- the server's words would repeat it
  end;
  if jsonb_typeof(v_secrets) <> 'object' then
    raise exception 'The setting weft.secrets holds no JSON object of names and values.' using errcode = 'WF040', hint = 'select set_config(''weft.secrets'', ''{"name": "value"}'', false)';
  end if;
  return v_secrets;
end
$$;

comment on function weft._peek_secrets() is 'Reads the secrets that were brought into this session for the next CALL; null when there are none.';


-- No SET clause: the setting is to stay empty.
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

comment on function weft._take_secrets() is 'Takes the secrets out of the session, where no file shall find them.';


-- What a deployment needs and was not given: null when nothing is lacking. What it does not know is refused.
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
  where not exists (select from weft._parameters as p where p.deployment_id = p_deployment and p.name = k.name and p.is_secret and p.is_given)
  order by 1 limit 1;
  if found then
    raise exception 'The deployment has no secret parameter "%", or its request gave it no value.', v_name using errcode = 'WF040',
      hint = case when p_deployment is null then 'Name the deployment in the CALL.' else coalesce((select format('It has: %s.', string_agg(p.name, ', ' order by p.name)) from weft._parameters as p where p.deployment_id = p_deployment and p.is_secret and p.is_given), 'It has none.') end;
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

comment on function weft._pick_secrets(uuid, jsonb) is 'Picks out of the values of a deployment''s parameters what must not be written down; null when there is nothing.';


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

comment on function weft._describe_parameters(uuid) is 'Shows the parameters of a deployment; of a secret only that it was given, and its keyed digest.';
