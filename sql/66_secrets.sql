-- Secrets kept out of what is written down: whatever is stored while a deployment with secrets runs goes through weft._scrub first, and what
-- has to be read again, through weft._veil and back.

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
  v_text     text := left(p_text, weft._limit('scrubbed_characters')) || case when length(p_text) > weft._limit('scrubbed_characters') then '...' else '' end;
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
