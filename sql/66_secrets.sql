-- Keeps secrets out of everything that is stored: while a deployment with secrets runs, all that is stored goes through weft._scrub
-- first, and what has to be read again goes through weft._veil and back.

-- Finds stretches of a text that are pieces of secrets: p_count characters long, and at least p_span characters apart in the original text, of which the
-- text may lack some. p_places tells where each of its characters is in the original.
create or replace function weft._find_pieces(p_text text, p_places integer[], p_count integer, p_secrets text, p_span integer)
  returns int4multirange
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  with windows as materialized (
    select w.place::integer as place, string_agg(w.letter, '') over (order by w.place rows between current row and p_count - 1 following) as piece
    from string_to_table(p_text, null) with ordinality as w (letter, place)
  )
  select range_agg(int4range(s.first, s.last, '[]'))
  from windows as w
  cross join lateral (select coalesce(p_places[w.place], w.place) as first, coalesce(p_places[w.place + p_count - 1], w.place + p_count - 1) as last) as s
  where length(w.piece) = p_count and s.last - s.first + 1 >= p_span and strpos(p_secrets, w.piece) > 0
$$;

comment on function weft._find_pieces(text, integer[], integer, text, integer) is 'Finds the stretches of a text that also occur in a list of secrets.';


-- A secret may appear in parts: a server quotes the first bytes of a long value, or the word at which it failed. So every stretch of at least
-- eight characters that a text shares with a secret is removed, in upper or lower case. All forms are searched for in the original text, so that a partial
-- match of one form cannot hide the full match of another. And because quoted text can be quoted again, both text and forms are also compared without
-- their quoting characters.
create or replace function weft._scrub_text(p_text text, p_forms text[])
  returns text
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  c_window   constant integer := 8;
  c_quoting  constant text := E'\\"''\r\n';
  v_text     text := left(p_text, weft._limit('scrubbed_characters')) || case when length(p_text) > weft._limit('scrubbed_characters') then '...' else '' end;
  v_low      text := weft._lower_for_search(v_text);
  v_bare     text := translate(v_low, c_quoting, '');
  v_places   integer[];
  v_found    int4multirange := '{}';
  v_bare_ones int4multirange := '{}';
  v_some     record;
  v_stretch  int4range;
  v_at       integer := 1;
  v_clean    text := '';
begin
  if length(v_text) < weft._limit('secret_characters_min') then
    return v_text;
  end if;
  for v_some in  -- grouped by the length to search for: forms of eight characters and more by their parts, shorter ones as a whole
    select f.is_bare, least(c_window, length(f.form)) as count, string_agg(f.form, E'\u0003') as forms
    from (
      select false as is_bare, u.form from unnest(p_forms) as u (form)
      union
      select true, translate(u.form, c_quoting, '') from unnest(p_forms) as u (form)
      where length(translate(u.form, c_quoting, '')) >= case when translate(u.form, c_quoting, '') = u.form then c_window else weft._limit('secret_characters_min') end
    ) as f
    where length(f.form) >= c_window or strpos(case when f.is_bare then v_bare else v_low end, f.form) > 0
    group by 1, 2
  loop
    if not v_some.is_bare then
      v_found := v_found + coalesce(weft._find_pieces(v_low, null, v_some.count, v_some.forms, 0), '{}');
    elsif v_bare <> v_low then
      v_places := coalesce(v_places, array(
        select l.place from string_to_table(v_low, null) with ordinality as l (letter, place) where strpos(c_quoting, l.letter) = 0 order by l.place));
      v_bare_ones := v_bare_ones + coalesce(weft._find_pieces(v_bare, v_places, v_some.count, v_some.forms, case when v_some.count < c_window then v_some.count + 1 else 0 end), '{}');
    end if;
  end loop;
  if exists (select from unnest(p_forms) as u (form) where strpos(c_quoting, left(u.form, 1)) > 0 or strpos(c_quoting, right(u.form, 1)) > 0) then
    -- a secret begins or ends with quoting characters, so those around a match may belong to it
    v_bare_ones := (
      select range_agg(int4range(
        lower(b.stretch) - length(substring(left(v_low, lower(b.stretch) - 1) from '[\\"''\r\n]*$')),
        upper(b.stretch) + length(substring(substr(v_low, upper(b.stretch)) from '^[\\"''\r\n]*'))))
      from unnest(v_bare_ones) as b (stretch));
  end if;
  for v_stretch in select u.stretch from unnest(v_found + coalesce(v_bare_ones, '{}')) as u (stretch) order by 1 loop
    v_clean := v_clean || substr(v_text, v_at, lower(v_stretch) - v_at) || '***';
    v_at := upper(v_stretch);
  end loop;
  return v_clean || substr(v_text, v_at);
end
$$;

comment on function weft._scrub_text(text, text[]) is 'Takes out of a text whatever it has in common with secrets in these forms, in whole or in part.';


-- Every character keeps its position.
create or replace function weft._lower_for_search(p_text text)
  returns text
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select case when length(lower(p_text)) = length(p_text) then lower(p_text) else lower(p_text collate "C") end
$$;

comment on function weft._lower_for_search(text) is 'Writes a text in lower case, as far as that moves none of its characters.';


-- Languages, servers and files have different ways of escaping letters; this writes a value in one of them.
create or replace function weft._write_letters(p_value text, p_way text)
  returns text
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select string_agg(case
    when p_way = 'percent' then case when l.letter ~ '^[A-Za-z0-9._~-]$' then l.letter else regexp_replace(l.bytes, '(..)', '%\1', 'g') end
    when p_way = 'entities' then coalesce((array['&amp;', '&lt;', '&gt;', '&quot;', '&#39;'])[nullif(strpos('&<>"''', l.letter), 0)], l.letter)
    when p_way = 'short' and l.code in (8, 9, 10, 11, 12, 13) then (array['\b', '\t', '\n', '\v', '\f', '\r'])[l.code - 7]
    when p_way in ('utf16', 'utf16 short') and l.code = 34 or p_way not in ('percent', 'entities') and l.code = 92 then '\' || l.letter
    when p_way = 'utf16 short' and l.code in (8, 9, 10, 12, 13) then (array['\b', '\t', '\n', '', '\f', '\r'])[l.code - 7]
    when p_way = 'utf16 short' and l.letter = '/' then '\/'
    when p_way in ('utf16', 'utf16 short') and l.code > 65535 then '\u' || to_hex(55296 + (l.code - 65536) / 1024) || '\u' || to_hex(56320 + (l.code - 65536) % 1024)
    when l.code between 32 and 126 then l.letter
    when p_way in ('utf16', 'utf16 short') then '\u' || lpad(to_hex(l.code), 4, '0')
    when p_way = 'points' then case when l.code > 65535 then '\+' || lpad(to_hex(l.code), 6, '0') else '\' || lpad(to_hex(l.code), 4, '0') end
    when p_way = 'long points' then case when l.code > 65535 then '\u' || lpad(to_hex(l.code), 8, '0') else '\u' || lpad(to_hex(l.code), 4, '0') end
    when p_way = 'octal' then regexp_replace(encode(decode(l.bytes, 'hex'), 'escape'), '([[:cntrl:]])', '\' || lpad(concat(l.code / 64, l.code / 8 % 8, l.code % 8), 3, '0'))
    when p_way = 'bytes' then regexp_replace(l.bytes, '(..)', '\\x\1', 'g')
    else l.letter end, '' order by l.place)
  from (
    select o.letter, o.place, ascii(o.letter) as code, encode(convert_to(o.letter, 'UTF8'), 'hex') as bytes
    from string_to_table(p_value, null) with ordinality as o (letter, place)
  ) as l
$$;

comment on function weft._write_letters(text, text) is 'Writes a value with its letters escaped in one of the usual ways.';


create or replace function weft._list_quoted(p_value text)
  returns setof text
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select distinct x.form
  from (values
    (p_value), (replace(p_value, '''', '''''')), (replace(replace(p_value, '\', '\\'), '''', '''''')), (replace(p_value, '"', '""')),
    (replace(replace(p_value, '\', '\\'), '"', '""')), (replace(replace(p_value, '\', '\\'), '"', '\"')), (replace(replace(p_value, '\', '\\'), '''', '\''')),
    (substr(to_jsonb(p_value)::text, 2, length(to_jsonb(p_value)::text) - 2))
  ) as x (form)
$$;

comment on function weft._list_quoted(text) is 'Writes a value as it appears in literals, in names, in rows and arrays, and in JSON.';


-- In lower case, in every form in which a server or a file may write them; the longest first. Base64 of a value within a longer text depends on its offset
-- (0, 1 or 2 bytes), and its first and last characters also encode the neighbours.
create or replace function weft._list_forms(p_values text[])
  returns text[]
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  with quoted as (
    select distinct t.form
    from unnest(p_values) as v (value)
    cross join lateral weft._list_quoted(v.value) as o (form)
    cross join lateral weft._list_quoted(o.form) as t (form)
  )
  select coalesce(array_agg(f.form order by length(f.form) desc, f.form), '{}')
  from (
    select distinct l.form
    from (
      select q.form from quoted as q
      union all
      select weft._write_letters(v.value, w.way)
      from unnest(p_values) as v (value) cross join unnest(array['percent', 'entities', 'short', 'utf16', 'utf16 short', 'points', 'long points', 'octal', 'bytes']) as w (way)
      union all
      select encode(convert_to(v.value, 'UTF8'), e.way) from unnest(p_values) as v (value) cross join unnest(array['hex', 'escape']) as e (way)
      union all
      select translate(x.form, y.letters, y.others)
      from unnest(p_values) as v (value)
      cross join generate_series(0, 2) as b (before)
      cross join lateral (select rtrim(translate(encode(convert_to(repeat(' ', b.before) || v.value, 'UTF8'), 'base64'), E'\n', ''), '=')) as w (whole)
      cross join lateral (select substr(w.whole, (array[1, 3, 4])[b.before + 1])) as x (form)
      cross join (values ('', ''), ('+/', '-_')) as y (letters, others)
      where b.before = 0 or length(x.form) >= 8
    ) as x (form)
    cross join lateral (values (lower(x.form collate "C")), (weft._lower_for_search(x.form))) as l (form)
    where l.form <> ''
  ) as f
$$;

comment on function weft._list_forms(text[]) is 'Lists the forms in which values may appear: as they are, quoted, quoted twice, escaped, in hexadecimal and base64.';


-- Keys stay, because they are the engine's own. Keys from users (names of columns, keys of documents in rows) go through weft._scrub_rows.
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
    when 'number' then case when weft._scrub_text(p_document #>> '{}', p_forms) <> p_document #>> '{}' then to_jsonb(weft._scrub_text(p_document #>> '{}', p_forms)) else p_document end
    else p_document
  end;
end
$$;

comment on function weft._scrub_texts(jsonb, text[]) is 'Takes secrets in these forms out of the texts and numbers of a document.';


-- No SET clause, because it is called often, and mostly there are no secrets.
create or replace function weft._scrub(p_document jsonb, p_secrets jsonb)
  returns jsonb
  immutable parallel safe
  language sql
as $$
  select case when p_secrets is null then p_document
    else weft._scrub_texts(p_document, weft._list_forms(array(select s.value from pg_catalog.jsonb_each_text(p_secrets) as s))) end
$$;

comment on function weft._scrub(jsonb, jsonb) is 'Takes secrets, given by name and value, out of a document before it is stored; null means that there are none.';


create or replace function weft._scrub_keys(p_document jsonb, p_forms text[])
  returns jsonb
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
begin
  return case jsonb_typeof(p_document)
    when 'object' then coalesce((
      select jsonb_object_agg(k.clean || case when k.number > 1 then format(' (%s)', k.number) else '' end, weft._scrub_keys(k.value, p_forms))
      from (
        select e.value, c.clean, dense_rank() over (partition by c.clean order by e.key collate "C") as number
        from jsonb_each(p_document) as e cross join lateral (select weft._scrub_text(e.key, p_forms) as clean) as c) as k), '{}')
    when 'array' then coalesce((select jsonb_agg(weft._scrub_keys(e.value, p_forms) order by e.place) from jsonb_array_elements(p_document) with ordinality as e (value, place)), '[]')
    else p_document
  end;
end
$$;

comment on function weft._scrub_keys(jsonb, text[]) is 'Takes secrets in these forms out of the keys of a document; keys that become equal are numbered.';


-- For the rows of a query, in which every name may come from users.
create or replace function weft._scrub_rows(inout p_columns jsonb, inout p_rows jsonb, p_secrets jsonb)
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_forms  text[];
begin
  if p_secrets is null then
    return;
  end if;
  v_forms := weft._list_forms(array(select s.value from jsonb_each_text(p_secrets) as s));
  p_rows := weft._scrub_keys(weft._scrub_texts(p_rows, v_forms), v_forms);
  p_columns := (
    select jsonb_agg(k.clean || case when k.number > 1 then format(' (%s)', k.number) else '' end order by k.place)
    from (
      select e.place, c.clean, dense_rank() over (partition by c.clean order by e.key collate "C") as number
      from jsonb_array_elements_text(p_columns) with ordinality as e (key, place) cross join lateral (select weft._scrub_text(e.key, v_forms) as clean) as c) as k);
end
$$;

comment on function weft._scrub_rows(jsonb, jsonb, jsonb) is 'Takes secrets out of rows, out of the names of their columns and of the keys of documents in them.';


-- The settings that a file leaves in its session are stored for its next statement. If one contains a secret, its name is stored instead,
-- between two characters that no text of a file can contain.
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

comment on function weft._veil(jsonb, jsonb) is 'Replaces the values of secrets with their names.';


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

comment on function weft._replace_in(jsonb, text, text) is 'Replaces a text in all values of a document, but in no key.';
