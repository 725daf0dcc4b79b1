-- The CSV rows of a COPY, read as leniently as COPY reads them: a quote may begin in the middle of a field, and white space
-- counts. Data files (load) have a reader of their own, which follows RFC 4180 strictly.

-- Cuts the rows off a piece of the file. A line \. ends them, even within quotes, as in psql, which does not look at quotes.
create or replace function weft._cut_csv_rows(p_text text, p_is_last boolean, p_quote text, out rows text, out rest text, out is_over boolean, out has_end boolean)
  stable
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_at    integer := strpos(E'\n' || p_text, E'\n\\.');
  v_cut   record;
begin
  if v_at > 0 or p_is_last then
    v_cut := weft._cut_rows(p_text, p_is_last);
    if v_cut.is_over then
      select v_cut.rows, v_cut.rest, v_cut.is_over, v_cut.has_end into rows, rest, is_over, has_end;
      return;
    end if;
  end if;
  is_over := false;
  has_end := false;
  v_at := length(p_text) - coalesce(nullif(strpos(reverse(p_text), E'\n'), 0), length(p_text) + 1) + 1;
  while v_at > 0 and (octet_length(left(p_text, v_at)) - octet_length(replace(left(p_text, v_at), p_quote, ''))) / octet_length(p_quote) % 2 = 1 loop  -- a quote is open there
    v_at := length(left(p_text, v_at)) - strpos(reverse(left(p_text, v_at)), p_quote);  -- where that row begins
    v_at := v_at - coalesce(nullif(strpos(reverse(left(p_text, v_at)), E'\n'), 0), v_at + 1) + 1;
  end loop;
  rest := substr(p_text, v_at + 1);
  rows := case when v_at > 0 then left(p_text, v_at - 1) end;
  if octet_length(rest) > weft._limit('record_bytes') then
    raise exception 'A row of CSV is larger than % bytes (record_bytes).', weft._limit('record_bytes') using errcode = 'WF031', hint = 'Is a quote missing that ends a field?';
  end if;
end
$$;

comment on function weft._cut_csv_rows(text, boolean, text) is 'Cuts the rows of a COPY in CSV off a piece of a file, up to the last line end that ends a row.';


-- Turns CSV into rows of text without escapes: characters that only quotes allow in a field (the delimiter, a line feed) are replaced by others,
-- and quoted fields get a mark, so that they are never NULL. Outside of quotes, all lines must end as the first one does.
create or replace function weft._write_csv_rows(
    p_rows text, p_delimiter text, p_quote text, p_line integer, p_is_ended boolean, p_is_crlf boolean, out rows text, out stand_ins text, out meant text, out is_crlf boolean)
  stable
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_free     text[];
  v_count    integer;
  v_outside  text := p_rows;  -- of quotes
begin
  if strpos(p_rows, p_quote) > 0 then
    v_free := array(select chr(n) from unnest('{1,2,3,4,5,6,7,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31}'::integer[]) as n where strpos(p_rows, chr(n)) = 0 limit 3);
    if coalesce(cardinality(v_free), 0) < 3 then
      raise exception 'The rows hold too many kinds of control characters beside their quotes.' using errcode = 'WF081', hint = 'Write them as INSERT.';
    end if;
    stand_ins := v_free[1] || v_free[2] || v_free[3];
    meant := p_delimiter || E'\n';
    v_count := (octet_length(p_rows) - octet_length(replace(p_rows, p_quote, ''))) / octet_length(p_quote) + 1;
    if v_count % 2 = 0 then
      raise exception 'Line %: unterminated CSV quoted field', p_line + length(left(p_rows, -strpos(reverse(p_rows), p_quote))) - length(replace(left(p_rows, -strpos(reverse(p_rows), p_quote)), E'\n', ''))
        using errcode = '22P04', hint = 'The field begins there. A quote that is a character of a field in quotes is written twice.';
    end if;
    -- no order by: the rows of a function come in order
    select string_agg(case
        when p.n % 2 = 0 then concat(v_free[3], replace(replace(p.text, p_delimiter, v_free[1]), E'\n', v_free[2]))
        when p.text = '' and p.n > 1 and p.n < v_count then p_quote
        when p.n = v_count and right(p.text, 1) = E'\r' then left(replace(p.text, E'\r\n', E'\n'), -1)
        else replace(p.text, E'\r\n', E'\n') end, ''),
      string_agg(case when p.n % 2 = 0 then translate(p.text, E'\n\r', v_free[2]) else p.text end, p_quote)
    into rows, v_outside
    from string_to_table(p_rows, p_quote) with ordinality as p (text, n);
  end if;
  if p_is_crlf or strpos(p_rows, E'\r') > 0 then
    is_crlf := coalesce(p_is_crlf, right(split_part(v_outside, E'\n', 1), 1) = E'\r');
    perform weft._check_line_ends(v_outside, v_free[2], is_crlf, p_is_ended, p_line);
    v_outside := replace(v_outside, E'\r\n', E'\n');
    v_outside := case when right(v_outside, 1) = E'\r' then left(v_outside, -1) else v_outside end;
  end if;
  rows := coalesce(rows, v_outside);
  is_crlf := coalesce(is_crlf, p_is_crlf, false);
end
$$;

comment on function weft._write_csv_rows(text, text, text, integer, boolean, boolean) is
  'Writes rows of CSV as rows of text whose fields are separated by the delimiter, and tells which characters stand in for others.';


create or replace function weft._check_line_ends(p_outside text, p_quoted_end text, p_is_crlf boolean, p_is_ended boolean, p_line integer)
  returns void
  immutable
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_end     text := case when p_is_crlf then E'\r\n' else E'\n' end;
  -- the end of the last line was cut off before; at the end of the file there may have been none
  v_lines   text[] := string_to_array(case when p_is_crlf and right(p_outside, 1) = E'\r' then left(p_outside, -1) when p_is_ended then concat(p_outside, E'\n') else p_outside end, v_end);
  v_number  integer := (select min(l.n) from unnest(v_lines) with ordinality as l (line, n) where case when p_is_crlf then l.line ~ '[\r\n]' else strpos(l.line, E'\r') > 0 end);
  v_before  text;
begin
  if v_number is null then
    return;
  end if;
  v_before := array_to_string(v_lines[:v_number - 1] || substring(v_lines[v_number] from '^[^\r\n]*'), '');
  raise exception 'Line %: unquoted % found in data', p_line + v_number - 1 + coalesce(length(v_before) - length(replace(v_before, p_quoted_end, '')), 0),
      case substr(v_lines[v_number], length(substring(v_lines[v_number] from '^[^\r\n]*')) + 1, 1) when E'\r' then 'carriage return' else 'newline' end
    using errcode = '22P04', hint = 'Save the file with line ends that are all LF or all CRLF; a carriage return or a newline that belongs to a field stands in quotes.';
end
$$;

comment on function weft._check_line_ends(text, text, boolean, boolean, integer) is 'Refuses rows of CSV that do not all end as the first one does.';


-- HEADER MATCH, as the server does it (from 15 on).
create or replace function weft._check_header(p_reader weft._reader, p_header text)
  returns void
  stable
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_names  text[] := string_to_array(p_header, coalesce(p_reader.copy ->> 'delimiter', E'\t'));
begin
  v_names := array(select translate(n.name, coalesce(p_reader.stand_ins, ''), coalesce(p_reader.meant, '')) from unnest(v_names) with ordinality as n (name, place) order by n.place);
  if p_reader.copy ->> 'header' = 'match' and v_names is distinct from p_reader.columns then
    raise exception 'Line %: the header names other columns than COPY.', p_reader.row_line
      using errcode = '22P04', detail = format('It names %s, and COPY %s.', array_to_string(v_names, ', '), array_to_string(p_reader.columns, ', '));
  end if;
end
$$;

comment on function weft._check_header(weft._reader, text) is 'Refuses a header that names other columns, if COPY asks for that (HEADER MATCH).';


-- In CSV a record may span several lines.
create or replace function weft._count_line_feeds(p_reader weft._reader, p_rows text)
  returns integer
  immutable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select case when p_reader.copy ? 'quote' and p_reader.stand_ins is not null then octet_length(p_rows) - octet_length(replace(p_rows, substr(p_reader.stand_ins, 2, 1), '')) else 0 end
$$;

comment on function weft._count_line_feeds(weft._reader, text) is 'Counts the line feeds within fields of CSV.';


create or replace function weft._line_of_row(p_reader weft._reader, p_number bigint)
  returns integer
  immutable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select (p_reader.row_line + p_number - 1 + weft._count_line_feeds(p_reader, array_to_string((string_to_array(p_reader.rows, E'\n'))[:p_number - 1], '')))::integer
$$;

comment on function weft._line_of_row(weft._reader, bigint) is 'Tells at which line of the file one of the current rows begins.';


-- For a file that is only read, and not run. Rows after a COPY end at the line \. , whatever they contain. If statements and rows alternate, each costs as
-- much as a small piece of the file, not as much as all the rest of it.
create or replace function weft._list_statements(p_text text, out statements text[], out lines integer[])
  stable
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  c_piece_characters constant integer := 8192;
  v_pieces   text[] := case when weft._may_read_rows(p_text) then weft._cut_stretches(p_text, c_piece_characters) else array[p_text] end;
  v_next     integer := 1;
  v_last     integer := cardinality(v_pieces);
  v_text     text := '';
  v_scanner  weft._scanner := weft._new_scanner();
  v_split    record;
  v_rows     record;
begin
  statements := '{}';
  lines := '{}';
  loop
    if v_text = '' and v_next <= v_last then
      v_text := v_pieces[v_next];
      v_next := v_next + 1;
    end if;
    v_split := weft._split(v_scanner, v_text, v_next > v_last);
    v_scanner := v_split.p_scanner;
    if cardinality(v_split.statements) > 0 then
      statements := statements || v_split.statements;
      lines := lines || v_split.lines;
    end if;
    if v_scanner.mode <> 'copy' then
      exit when v_next > v_last;
      v_text := '';
      continue;
    end if;
    v_text := v_split.rest;
    while strpos(v_text, E'\n') = 0 and v_next <= v_last loop
      v_text := v_text || v_pieces[v_next];
      v_next := v_next + 1;
    end loop;
    exit when strpos(v_text, E'\n') = 0;
    v_text := substr(v_text, strpos(v_text, E'\n') + 1);
    v_scanner.line := v_scanner.line + 1;
    loop
      v_rows := weft._cut_rows(v_text, v_next > v_last);
      v_scanner.line := v_scanner.line + length(v_text) - length(replace(v_text, E'\n', '')) - length(v_rows.rest) + length(replace(v_rows.rest, E'\n', ''));
      v_text := v_rows.rest;
      exit when v_rows.is_over;
      v_text := v_text || v_pieces[v_next];
      v_next := v_next + 1;
    end loop;
    exit when v_text = '' and v_next > v_last;
    v_scanner.mode := 'code';
  end loop;
end
$$;

comment on function weft._list_statements(text) is 'Splits a file into statements, with the line at which the text of each begins; the rows after a COPY are skipped.';
