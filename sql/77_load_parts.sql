-- Reads the bytes of a data file, chunk by chunk: complete rows are returned as text, the rest waits for the next chunk. A file that is not
-- UTF-8 text is refused, and the error says what it is.

create or replace function weft._read_part(p_format text, p_digest bytea, p_rest bytea, p_is_first boolean, p_is_last boolean, p_line bigint, out rows text, out rest bytea)
  stable
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_bytes  bytea;
  v_at     integer;
  v_cut    record;
begin
  select p_rest || c.content into strict v_bytes from weft._chunks as c where c.digest = p_digest;
  if p_is_first and p_rest = '' then
    if substr(v_bytes, 1, 3) = '\xefbbbf' then
      v_bytes := substr(v_bytes, 4);
    end if;
    perform weft._refuse_encoding(substr(v_bytes, 1, 4));
  end if;
  if p_format <> 'json' then
    select c.records, c.rest into rows, rest from weft._cut_records(v_bytes, p_is_last, p_format = 'csv') as c;
  else
    v_at := length(v_bytes);
    while v_at > 0 and not p_is_last and get_byte(v_bytes, v_at - 1) >= 128 loop  -- back to the end of a complete character
      v_at := v_at - 1;
    end loop;
    select c.objects, convert_to(c.rest, 'UTF8') || substr(v_bytes, v_at + 1) into rows, rest
    from weft._cut_objects(convert_from(substr(v_bytes, 1, v_at), 'UTF8'), p_is_first, p_is_last) as c;
  end if;
  if length(rest) > weft._limit('record_bytes') then
    raise exception '%: what begins there does not end within % bytes (record_bytes).', weft._name_place(p_format, p_line + 1), weft._limit('record_bytes')
      using errcode = 'WF031', hint = case p_format when 'csv' then 'Perhaps a quote is not closed.' else '' end;
  end if;
exception when character_not_in_repertoire or untranslatable_character then
  perform weft._explain_encoding(v_bytes, p_format, p_line, sqlstate, sqlerrm);
end
$$;

comment on function weft._read_part(text, bytea, bytea, boolean, boolean, bigint) is
  'Reads the next chunk of a data file: returns the rows that are now complete as text, or null if there are none, and the bytes that are left over.';


create or replace function weft._refuse_encoding(p_beginning bytea)
  returns void
  immutable
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_what  text;
begin
  v_what := case
    when p_beginning = '\xfffe0000' or p_beginning = '\x0000feff' then 'UTF-32'
    when substr(p_beginning, 1, 2) in ('\xfffe', '\xfeff') then 'UTF-16'
    when substr(p_beginning, 1, 2) = '\x1f8b' then 'a gzip archive'
    when p_beginning = '\x504b0304' then 'a ZIP archive, as .xlsx and .ods are'
  end;
  if v_what is not null then
    raise exception 'The file is %, and no text in UTF-8.', v_what using errcode = 'WF035', hint = 'Save it as text in UTF-8.';
  end if;
end
$$;

comment on function weft._refuse_encoding(bytea) is 'Refuses a file whose first bytes show that it is not text in UTF-8, and says what it is.';


create or replace function weft._explain_encoding(p_bytes bytea, p_format text, p_line bigint, p_state text, p_message text)
  returns void
  stable
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_lines  text;
  v_place  bigint;
  v_where  text;
begin
  begin
    v_lines := convert_from(p_bytes, 'LATIN1');  -- in which every byte is a character
    v_place := (weft._find_row('select count(convert_from(convert_to(l.text, ''LATIN1''), ''UTF8'')) from string_to_table($1, $2) with ordinality as l (text, n) where l.n between $3 and $4',
      v_lines, E'\n', 1, weft._count_lines(v_lines) + 1, null, 'pg_catalog, pg_temp')).place;
  exception when character_not_in_repertoire or untranslatable_character or feature_not_supported or undefined_function then
    v_place := null;
  end;
  v_where := case when p_format = 'json' then format('Behind object %s', p_line) when v_place is null then format('Behind line %s', p_line) else format('Line %s', p_line + v_place) end;
  if p_state = '22P05' then
    raise exception '%: %', v_where, p_message
      using errcode = p_state, hint = format('The database keeps its text in %s, which lacks that character: leave it out of the file.', getdatabaseencoding());
  end if;
  raise exception '%: the file is not UTF-8 there: %.', v_where, p_message
    using errcode = 'WF035', hint = 'Save it as UTF-8. Perhaps it is Latin-1 or Windows-1252, as spreadsheets write CSV.';
end
$$;

comment on function weft._explain_encoding(bytea, text, bigint, text, text) is 'Says where bytes are not UTF-8, or a character does not exist in the database''s encoding.';
