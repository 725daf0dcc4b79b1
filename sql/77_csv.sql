-- CSV as RFC 4180 has it, a part of a file at a time and never record by record. The records become what is between the parentheses of
-- literals of a row type. That is the server's own notation and almost that of CSV: fields between commas, quotes doubled, nothing for
-- NULL. Where quotes may be is decided here, more strictly than in COPY: a quote in the middle of a field is an error, and not
-- one of its characters.

-- Cuts at the last line end that also ends a record. The rest begins the next part.
create or replace function weft._cut_records(p_bytes bytea, p_is_last boolean, p_has_quotes boolean, out records text, out rest bytea)
  stable
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_at      integer := length(p_bytes);
  v_is_odd  boolean := false;
  v_byte    integer;
begin
  if p_is_last then
    rest := '';
  else
    while v_at > 0 and get_byte(p_bytes, v_at - 1) <> 10 loop
      v_at := v_at - 1;
    end loop;
    if v_at > 0 and p_has_quotes and position('\x22'::bytea in p_bytes) > 0 then
      records := convert_from(substr(p_bytes, 1, v_at), 'UTF8');
      v_is_odd := (octet_length(records) - octet_length(replace(records, '"', ''))) % 2 = 1;
      while v_is_odd or v_at > 0 and get_byte(p_bytes, v_at - 1) <> 10 loop  -- a quote is open here: go back to where none is
        v_at := v_at - 1;
        exit when v_at = 0;
        v_byte := get_byte(p_bytes, v_at);
        v_is_odd := v_is_odd <> (v_byte = 34);
      end loop;
    end if;
    rest := substr(p_bytes, v_at + 1);
    if v_at = 0 then
      records := null;
      return;
    end if;
  end if;
  -- counts bytes, because finding the last character of a text means walking through all of it
  if v_at > 0 and get_byte(p_bytes, v_at - 1) = 10 then
    v_at := v_at - 1;
  end if;
  if v_at > 0 and get_byte(p_bytes, v_at - 1) = 13 then
    v_at := v_at - 1;
  end if;
  records := convert_from(substr(p_bytes, 1, v_at), 'UTF8');
end
$$;

comment on function weft._cut_records(bytea, boolean, boolean) is
  'Cuts bytes after the last line end outside of quotes: returns the records before it as text without the last line end, or null if there are none, and the rest.';


create or replace function weft._count_lines(p_text text)
  returns integer
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select octet_length(p_text) - octet_length(replace(p_text, E'\n', ''))
$$;

comment on function weft._count_lines(text) is 'Counts the line ends in a text.';


-- Three ways, the expensive ones only for text that needs them. Without quotes, a few replacements are enough. If each line with quotes is a
-- whole record, row literals read the quotes as CSV does. Otherwise, the text is cut at its quotes: delimiters and line ends count only outside
-- of them, and in the end every field is quoted.
create or replace function weft._write_literals(p_records text, p_delimiter text, p_null text, p_line integer, out literals text, out separator text)
  stable
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  c_record     constant text := '^(?:,(?:[^",\r]*|(?:"[^"]*")+))*$';
  v_is_plain   boolean := p_delimiter = ',' and p_null = '';
  v_is_quoted  boolean := strpos(p_records, '"') > 0;
  v_text       text := replace(p_records, E'\r\n', E'\n');
begin
  if v_is_quoted and (not v_is_plain or exists (select from string_to_table(v_text, E'\n') as l where strpos(l, '"') > 0 and concat(',', l) collate "C" !~ c_record)) then
    select w.literals, w.separator into literals, separator from weft._write_quoted_literals(p_records, p_delimiter, p_null, p_line) as w;
    return;
  end if;
  if not v_is_quoted and strpos(v_text, E'\r') > 0 then
    perform weft._refuse_carriage_return(p_line + weft._count_lines(split_part(v_text, E'\r', 1)));
  end if;
  separator := E'\n';
  v_text := replace(v_text, '\', '\\');
  if v_is_plain then
    literals := replace(replace(v_text, '(', '\('), ')', '\)');
  else
    literals := replace(concat('"', replace(replace(v_text, p_delimiter, '","'), E'\n', E'"\n"'), '"'), concat('"', replace(p_null, '\', '\\'), '"'), '');
  end if;
end
$$;

comment on function weft._write_literals(text, text, text, integer) is
  'Writes records of CSV as the part between the parentheses of row literals, and says what separates two of them: a line end, if none of them contains one.';


create or replace function weft._refuse_carriage_return(p_line integer)
  returns void
  stable
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
begin
  raise exception 'Line %: a carriage return stands there without a line feed behind it.', p_line
    using errcode = 'WF031', hint = 'Save the file with line ends LF or CRLF. In a field, a carriage return stands in quotes.';
end
$$;

comment on function weft._refuse_carriage_return(integer) is 'Refuses CSV with lines that end in a carriage return alone.';


create or replace function weft._write_quoted_literals(p_records text, p_delimiter text, p_null text, p_line integer, out literals text, out separator text)
  stable
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_text     text := replace(p_records, '\', '\\');
  v_count    integer := octet_length(p_records) - octet_length(replace(p_records, '"', '')) + 1;
  v_null     text := concat('"', replace(p_null, '\', '\\'), '"');
  v_between  text;
  v_wrong    integer;
begin
  separator := chr(30);  -- the control character meant for this, repeated if the text contains it
  while strpos(v_text, separator) > 0 loop
    separator := separator || chr(30);
  end loop;
  v_between := concat('"', separator, '"');

  -- No order by: a function's rows come in order, and sorting them takes longer than everything else. Text outside of quotes is mostly a
  -- single delimiter, which is checked for first.
  select string_agg(
           case when p.n % 2 = 0 then p.text
             when p.text = p_delimiter and p.n > 1 and p.n < v_count then '","'
             when p.text = '' and p.n > 1 and p.n < v_count then '""'
             else replace(case when p.n = 1 then '"' else '' end
                 || replace(replace(replace(p.text, E'\r\n', E'\n'), p_delimiter, '","'), E'\n', v_between)
                 || case when p.n = v_count then '"' else '' end, v_null, '')
           end, ''),
         min(case when p.n % 2 = 0 or p.text = p_delimiter or p.text = '' then null
               when p.n > 1 and left(p.text, 1) <> p_delimiter and left(p.text, 1) <> E'\n' and left(p.text, 2) <> E'\r\n'
                 or p.n < v_count and right(p.text, 1) <> p_delimiter and right(p.text, 1) <> E'\n'
                 or strpos(p.text, E'\r') > 0 and strpos(replace(p.text, E'\r\n', ''), E'\r') > 0 then p.n end)
  into literals, v_wrong
  from string_to_table(v_text, '"') with ordinality as p (text, n);

  if v_wrong is not null then
    perform weft._explain_quotes(p_records, v_wrong, v_count, p_delimiter, p_line);
  elsif v_count % 2 = 0 then
    raise exception 'Line %: a quoted field begins there and does not end.', p_line + weft._count_lines(left(p_records, -strpos(reverse(p_records), '"')))
      using errcode = 'WF031', hint = 'Close it with a quote; a quote that is a character of the field is written twice (RFC 4180).';
  end if;
end
$$;

comment on function weft._write_quoted_literals(text, text, text, integer) is
  'Writes records of CSV as weft._write_literals does, if quoted fields contain line ends, or the delimiter or the mark of NULL is not the usual one.';


create or replace function weft._explain_quotes(p_records text, p_piece integer, p_pieces integer, p_delimiter text, p_line integer)
  returns void
  stable
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_pieces  text[] := string_to_array(p_records, '"');
  v_piece   text := replace(v_pieces[p_piece], E'\r\n', E'\n');
  v_before  integer := p_line + weft._count_lines(array_to_string(v_pieces[:p_piece - 1], ''));
  v_opened  integer := p_line + weft._count_lines(array_to_string(v_pieces[:p_piece - 2], ''));
begin
  if p_piece > 1 and v_piece <> '' and left(v_piece, 1) not in (p_delimiter, E'\n', E'\r') then
    raise exception 'Line %: a quoted field ends there, and the next one does not begin behind it.', v_before
      using errcode = 'WF031',
            detail = format('The field begins in line %s.', v_opened),
            hint = 'A quote that is a character of the field is written twice (RFC 4180). Perhaps a quote is missing further up.';
  elsif p_piece < p_pieces and right(v_piece, 1) not in (p_delimiter, E'\n') and strpos(v_piece, E'\r') = 0 then
    raise exception 'Line %: a quote stands in the middle of a field.', v_before + weft._count_lines(v_piece)
      using errcode = 'WF031', hint = 'A field with a quote in it stands in quotes as a whole, and has its own quotes twice (RFC 4180).';
  end if;
  perform weft._refuse_carriage_return(v_before + weft._count_lines(split_part(v_piece, E'\r', 1)));
end
$$;

comment on function weft._explain_quotes(text, integer, integer, text, integer) is 'Says what is wrong with the text at a quote, and in which line.';


create or replace function weft._read_literal(p_literal text)
  returns text[]
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select array_agg(
    case when f.field = '' then null
      else regexp_replace(weft._unquote(f.field), '\\(.)', '\1', 'g') end
    order by f.n)
  from (
    select m.parts[1] as field, m.n
    from regexp_matches(concat(p_literal, ','), '((?:"(?:[^"\\]|""|\\.)*")|(?:[^",\\]|\\.)*),', 'g') with ordinality as m (parts, n)
  ) as f
$$;

comment on function weft._read_literal(text) is 'Reads the fields of a row literal, given without its parentheses, as texts.';
