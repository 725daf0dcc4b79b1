-- Where the rows of a COPY end. psql reads on to the end of the file; but if the line \. was forgotten, there are statements after the
-- rows, and a table that accepts anything (one column of text) would silently take them as rows.

create or replace function weft._require_end(p_reader weft._reader)
  returns void
  stable
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
begin
  if p_reader.rows_are_over and not p_reader.has_end then
    raise exception 'No line \. ends the rows behind this COPY: all that is behind it, up to the end of the file, would be taken for rows.'
      using errcode = 'WF087', hint = 'Write \. into a line of its own behind the last row, also where that is the end of the file.';
  end if;
end
$$;

comment on function weft._require_end(weft._reader) is 'Refuses rows after a COPY that only end with the file.';


-- A forgotten line \. shows only in what follows: all of that was taken for rows.
create or replace function weft._advise_for_end(p_reader weft._reader, p_row text)
  returns text
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select case
    when not p_reader.has_end and not exists (
        select from unnest(array_prepend(p_reader.text, p_reader.pieces)) as t (text) where strpos(concat(E'\n', t.text), E'\n\\.') > 0
        union all
        select from unnest(p_reader.chunks[p_reader.chunk:]) as d (digest) cross join lateral (select k.content from weft._chunks as k where k.digest = d.digest offset 0) as c where position('\x5c2e'::bytea in c.content) > 0)
      then 'No line \. ends these rows: all that is behind COPY, up to the end of the file, was taken for rows. Write \. into a line of its own behind the last one.'
    when p_row ~ ';\s*$' then 'Is the line \. missing that ends the rows? This one looks like SQL.'
  end
$$;

comment on function weft._advise_for_end(weft._reader, text) is 'Says that the end of the rows after a COPY is missing, if it is or seems to be; otherwise null.';


-- A line \. after a later COPY would also end the rows of this one. The server may accept that COPY as a row, so it is refused by its looks: in a
-- dump, a line that is a COPY statement is no row. In CSV it may be part of a field.
create or replace function weft._refuse_another_copy(p_reader weft._reader, p_rows text)
  returns void
  stable
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_line  bigint;
begin
  if strpos(p_rows, 'stdin') = 0 and strpos(p_rows, 'STDIN') = 0 then
    return;
  end if;
  select l.n into v_line
  from unnest(string_to_array(p_rows, E'\n')) with ordinality as l (line, n)
  where l.line ~* '^copy\s.*stdin.*;\s*$' and weft._reads_rows(regexp_replace(l.line, ';\s*$', ''))
  order by l.n limit 1;
  if found then
    raise exception 'Line %: another COPY begins among the rows of the COPY in line %, which no line \. has ended.', p_reader.row_line + v_line - 1,
        weft._first_line(p_reader.statements[cardinality(p_reader.statements)], p_reader.lines[cardinality(p_reader.lines)])
      using errcode = 'WF087', hint = 'Write \. into a line of its own behind the last row of the first one. If the line is meant as a row, put it in with INSERT, or load it from a data file ("load:" in weft.yaml).';
  end if;
end
$$;

comment on function weft._refuse_another_copy(weft._reader, text) is 'Refuses rows among which another COPY begins: the line that ends them is missing.';
