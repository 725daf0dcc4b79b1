-- JSON: an array of objects, or one object per line. The server's own parser reads it; here an array is only cut between two of its
-- objects, so that it can be processed a part of a file at a time.

-- Strings do not count, nor do brackets in them. Outside of strings, an object of the array ends where no bracket is open any more. Between two
-- strings this can happen only once, except for empty objects; so the last closing brace of a piece is the one to look at.
create or replace function weft._cut_objects(p_text text, p_is_first boolean, p_is_last boolean, out objects text, out rest text)
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  c_space  constant text := E' \t\n\r';
  v_text   text := ltrim(p_text, c_space);
  v_at     integer;
begin
  if p_is_first then
    if left(v_text, 1) <> '[' and (v_text <> '' or p_is_last) then
      raise exception 'A file of JSON holds an array of objects, and this one begins with %.', coalesce(nullif(quote_literal(left(v_text, 20)), ''''''), 'nothing')
        using errcode = 'WF031', hint = 'For one object a line, write "format: ndjson".';
    end if;
    v_text := substr(v_text, 2);
  elsif left(v_text, 1) = ',' then
    v_text := substr(v_text, 2);
    if p_is_last and ltrim(v_text, concat(c_space, ']')) = '' then
      raise exception 'Behind the last object of the array stands a comma.' using errcode = 'WF031', hint = 'JSON has none there (RFC 8259).';
    end if;
  elsif v_text <> '' and left(v_text, 1) <> ']' then
    raise exception 'Between two objects of the array stands %, and no comma.', quote_literal(left(v_text, 20)) using errcode = 'WF031';
  end if;

  if p_is_last then
    v_text := rtrim(v_text, c_space);
    if right(v_text, 1) <> ']' then
      raise exception 'The array is not closed: the file ends with %.', quote_literal(right(v_text, 20)) using errcode = 'WF031', hint = 'Perhaps the end of it is missing.';
    end if;
    objects := concat('[', v_text);
    rest := '';
    return;
  end if;

  -- placeholders for escaped characters keep all positions
  select max(p.place + length(p.closed)) into v_at
  from (
    select s.n, left(s.text, -strpos(reverse(concat('}', s.text)), '}') + 1) as closed,
           coalesce(sum(length(s.text) + 1) over earlier, 0) as place,
           coalesce(sum(length(translate(s.text, '}]', '')) - length(translate(s.text, '{[', ''))) filter (where s.n % 2 = 1) over earlier, 0) as depth
    from string_to_table(replace(replace(v_text, '\\', '__'), '\"', '__'), '"') with ordinality as s (text, n)
    window earlier as (order by s.n rows between unbounded preceding and 1 preceding)
  ) as p
  where p.n % 2 = 1 and right(p.closed, 1) = '}'
    and p.depth + length(translate(p.closed, '}]', '')) - length(translate(p.closed, '{[', '')) = 0;
  if v_at is null then
    rest := p_text;
  else
    objects := concat('[', left(v_text, v_at), ']');
    rest := substr(v_text, v_at + 1);
  end if;
end
$$;

comment on function weft._cut_objects(text, boolean, boolean) is
  'Cuts a part of a JSON array after its last complete object: returns the objects so far as an array, or null if there are none, and the rest.';


-- Reads the whole file before anything is loaded, because its members decide which columns are given.
create or replace function weft._count_members(p_objects text, p_format text, p_number bigint, p_members jsonb, out members jsonb, out objects bigint)
  stable
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_array   json;
  v_wrong   record;
  e_state   text;
  e_detail  text;
begin
  begin
    v_array := case p_format when 'json' then p_objects::json
      else (select json_agg(l.text::json order by l.n) from string_to_table(p_objects, E'\n') with ordinality as l (text, n) where l.text !~ '^\s*$') end;
  exception when invalid_text_representation or untranslatable_character or program_limit_exceeded then
    get stacked diagnostics e_detail = pg_exception_detail;
    perform weft._explain_json(p_objects, p_format, p_number, sqlerrm, e_detail);
  end;
  select o.n, json_typeof(o.object) as type into v_wrong
  from json_array_elements(v_array) with ordinality as o (object, n) where json_typeof(o.object) <> 'object' limit 1;
  if found then
    raise exception 'Object % is none: it is of type %.', p_number + v_wrong.n, v_wrong.type using errcode = 'WF031', hint = 'Every row is an object: {"column": value, ...}.';
  end if;
  begin
    select coalesce(jsonb_object_agg(m.member, m.count), '{}') into members
    from (
      select c.member, sum(c.count) as count
      from (
        select k.member, 1 as count from json_array_elements(v_array) as o (object) cross join json_object_keys(o.object) as k (member)
        union all
        select b.key, b.value::bigint from jsonb_each_text(p_members) as b
      ) as c
      group by c.member
    ) as m;
  exception when invalid_text_representation or untranslatable_character or character_not_in_repertoire then  -- what the type json accepts, but a text cannot contain: \u0000, half a surrogate pair
    get stacked diagnostics e_state = returned_sqlstate, e_detail = pg_exception_detail;
    perform weft._explain_text(p_objects, p_format, p_number, e_state, sqlerrm, e_detail);
  end;
  objects := coalesce(json_array_length(v_array), 0);
end
$$;

comment on function weft._count_members(text, text, bigint, jsonb) is 'Counts the objects of a part of a file, and how many of them have which member, added to what was counted before.';


create or replace function weft._explain_json(p_objects text, p_format text, p_number bigint, p_message text, p_detail text)
  returns void
  stable
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_found  record;
begin
  if p_format = 'ndjson' then
    select f.place, f.error ->> 'message' as message, f.error ->> 'detail' as detail into v_found
    from weft._find_row('select count(l.text::json) from string_to_table($1, $2) with ordinality as l (text, n) where l.n between $3 and $4 and l.text !~ ''^\s*$''',
      p_objects, E'\n', 1, weft._count_lines(p_objects) + 1, null, 'pg_catalog, pg_temp') as f;
    raise exception 'Line %: %', p_number + v_found.place, coalesce(v_found.message, p_message)
      using errcode = 'WF031', detail = coalesce(v_found.detail, p_detail), hint = 'Every line is an object: {"column": value, ...}.';
  end if;
  raise exception 'Behind object %: %', p_number, p_message using errcode = 'WF031', detail = p_detail, hint = 'The file is an array of objects (RFC 8259).';
end
$$;

comment on function weft._explain_json(text, text, bigint, text, text) is 'Says where a part of a file is not valid JSON.';


-- A string that no text of the server can hold. The server does not say which member has it, so the object is read once more, with \u as plain text.
create or replace function weft._explain_text(p_objects text, p_format text, p_number bigint, p_state text, p_message text, p_detail text)
  returns void
  stable
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  c_probe   constant text := 'select count(k) from %s with ordinality as l (object, n), json_object_keys(l.object::json) as k where l.n between $3 and $4 and l.object::text !~ ''^\s*$''';
  v_place   bigint;
  v_object  text;
  v_column  text;
  v_member  record;
begin
  if p_format = 'ndjson' then
    v_place := (weft._find_row(format(c_probe, 'string_to_table($1, $2)'), p_objects, E'\n', 1, weft._count_lines(p_objects) + 1, null, 'pg_catalog, pg_temp')).place;
    v_object := (string_to_array(p_objects, E'\n'))[v_place];
  else
    v_place := (weft._find_row(format(c_probe, 'json_array_elements($1::json)'), p_objects, null, 1, json_array_length(p_objects::json), null, 'pg_catalog, pg_temp')).place;
    v_object := (select o.object from json_array_elements(p_objects::json) with ordinality as o (object, n) where o.n = v_place);  -- "->" would read all of its texts
  end if;
  for v_member in
    select m.key, m.value::text as value from json_each(replace(replace(replace(v_object, '\\', chr(1)), '\u', chr(127) || 'u'), chr(1), '\\')::json) as m
  loop
    begin
      perform json_object_keys(json_build_object('value', replace(v_member.value, chr(127), '\')::json));
    exception when invalid_text_representation or untranslatable_character or character_not_in_repertoire then
      v_column := v_member.key;
      exit;
    end;
  end loop;
  raise exception using errcode = 'WF030', column = coalesce(v_column, ''),
    message = concat(weft._name_place(p_format, p_number + v_place), ', column ' || quote_ident(v_column), ': ', p_message),
    detail = concat_ws(' ', p_detail, format('SQLSTATE %s.', p_state));
end
$$;

comment on function weft._explain_text(text, text, bigint, text, text, text) is 'Refuses the first string of a part of a file that the server cannot hold as text, with its place.';
