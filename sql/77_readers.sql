-- Reads a file while it runs: statements as far as a piece has them, then the rows of a COPY, then statements again.

create or replace function weft._open_reader(p_chunks bytea[], p_parameters jsonb)
  returns weft._reader
  immutable
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_reader  weft._reader;
begin
  v_reader.chunks := p_chunks;
  v_reader.parameters := p_parameters;
  v_reader.chunk := 1;
  v_reader.carry := '';
  v_reader.pieces := '{}';
  v_reader.scanner := weft._new_scanner();
  v_reader.is_done := false;
  return v_reader;
end
$$;

comment on function weft._open_reader(bytea[], jsonb) is 'Makes a reader that stands at the beginning of a file.';


-- A chunk with rows is read in small pieces: where statements and rows alternate, each costs as much as a piece, not as much as a chunk.
create or replace function weft._read_more(inout p_reader weft._reader)
  stable
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_text  text;
begin
  if cardinality(p_reader.pieces) = 0 and p_reader.chunk <= cardinality(p_reader.chunks) then
    select r.text, r.carry into v_text, p_reader.carry
    from weft._read_chunk(p_reader.chunks[p_reader.chunk], p_reader.carry, p_reader.chunk = 1, p_reader.chunk = cardinality(p_reader.chunks)) as r;
    p_reader.chunk := p_reader.chunk + 1;
    p_reader.pieces := case when p_reader.copy is not null or weft._may_read_rows(v_text) then weft._cut_stretches(v_text, weft._limit('copy_piece_characters')) else array[v_text] end;
  end if;
  p_reader.text := concat(p_reader.text, p_reader.pieces[1]);
  p_reader.pieces := p_reader.pieces[2:];
end
$$;

comment on function weft._read_more(weft._reader) is 'Adds the next piece of the file to the unread text.';


create or replace function weft._is_at_end(p_reader weft._reader)
  returns boolean
  immutable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select cardinality(p_reader.pieces) = 0 and p_reader.chunk > cardinality(p_reader.chunks)
$$;

comment on function weft._is_at_end(weft._reader) is 'Tells whether the whole file has been read, though perhaps not split yet.';


-- The next statements, up to a COPY whose rows follow.
create or replace function weft._read_statements(inout p_reader weft._reader)
  stable
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_split    record;
  v_is_last  boolean;
  v_is_copy  boolean;
begin
  p_reader.copy := null;
  loop
    if coalesce(p_reader.text, '') = '' then
      p_reader := weft._read_more(p_reader);
    end if;
    v_is_last := weft._is_at_end(p_reader);
    v_split := weft._split(p_reader.scanner, coalesce(p_reader.text, ''), v_is_last);
    p_reader.scanner := v_split.p_scanner;
    p_reader.text := v_split.rest;
    v_is_copy := (p_reader.scanner).mode = 'copy';
    p_reader.is_done := v_is_last and not v_is_copy;
    if cardinality(v_split.statements) > 0 and p_reader.held is not null then  -- the COMMIT that was held was not the end
      v_split.statements := p_reader.held || v_split.statements;
      v_split.lines := p_reader.held_line || v_split.lines;
      p_reader.held := null;
    end if;
    if not p_reader.is_done and not v_is_copy and p_reader.digests is not null and weft._is_begin(v_split.statements[cardinality(v_split.statements)]) then
      p_reader.held := v_split.statements[cardinality(v_split.statements)];
      p_reader.held_line := v_split.lines[cardinality(v_split.lines)];
      v_split.statements := trim_array(v_split.statements, 1);
      v_split.lines := trim_array(v_split.lines, 1);
    end if;
    if p_reader.objects_at is not null or strpos(array_to_string(v_split.statements, ''), 'pg_catalog.lo_open(') > 0 then
      select b.p_statements, b.p_lines, b.p_objects_at, b.told_at into v_split.statements, v_split.lines, p_reader.objects_at, p_reader.told_at
      from weft._leave_out_object_blocks(v_split.statements, v_split.lines, p_reader.objects_at, p_reader.is_done) as b;
    end if;
    if p_reader.digests is null and cardinality(v_split.statements) > 0 then
      if weft._is_begin(v_split.statements[1]) then
        p_reader.begun_at := weft._first_line(v_split.statements[1], v_split.lines[1]);
        v_split.statements := v_split.statements[2:];
        v_split.lines := v_split.lines[2:];
      end if;
      p_reader.digests := '{}';
    end if;
    if p_reader.begun_at is not null and not v_is_copy and weft._is_commit(v_split.statements[cardinality(v_split.statements)]) then
      p_reader.held := v_split.statements[cardinality(v_split.statements)];
      p_reader.held_line := v_split.lines[cardinality(v_split.lines)];
      v_split.statements := trim_array(v_split.statements, 1);
      v_split.lines := trim_array(v_split.lines, 1);
    end if;
    if p_reader.is_done and p_reader.begun_at is not null and p_reader.held is null then
      perform weft._refuse_open_transaction(p_reader.begun_at);
    end if;
    exit when p_reader.is_done or cardinality(v_split.statements) > 0;
  end loop;
  p_reader.statements := v_split.statements;
  p_reader.lines := v_split.lines;
  select d.digests, case when v_is_copy then trim_array(e.executables, 1) else e.executables end into p_reader.digests, p_reader.executables
  from weft._digest_statements(v_split.statements) as d
  cross join weft._make_executable(v_split.statements, p_reader.parameters) as e;
  if v_is_copy then
    p_reader.scanner.mode := 'code';
    p_reader.copy := '{}';
  end if;
end
$$;

comment on function weft._read_statements(weft._reader) is 'Reads the next statements of a file, up to a COPY whose rows follow.';


-- The target is looked up under the file's role and path, its columns under ours.
create or replace function weft._begin_copy(inout p_reader weft._reader, p_name text, p_role text, p_path text)
  volatile
  language plpgsql
as $$
declare
  v_our_role   pg_catalog.text := current_setting('role');
  v_statement  pg_catalog.text := p_reader.statements[cardinality(p_reader.statements)];
  v_relation   pg_catalog.oid;
  v_target     pg_catalog.text;
  v_behind     pg_catalog.text;
  v_set        pg_catalog.text;
begin
  if p_reader.parameters is not null then
    v_statement := weft._interpolate(v_statement, p_reader.parameters, weft._mark(p_reader.parameters));
  end if;
  p_reader.copy := weft._read_copy(v_statement);
  v_target := p_reader.copy ->> 'target';
  perform weft._become(p_name, p_role);
  v_set := pg_catalog.set_config('search_path', p_path, false);
  v_relation := pg_catalog.to_regclass(v_target)::pg_catalog.oid;
  v_set := pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', false);
  if p_name is not null then
    reset session authorization;
    reset role;
  end if;
  if v_relation is null then
    raise exception 'relation % does not exist', v_target using errcode = '42P01', hint = concat('It was looked for with the search_path ', p_path, '.');
  end if;
  select p.plain_sql, p.escaped_sql, p.columns, p.types, p.lengths, p.readers into p_reader.plain_sql, p_reader.escaped_sql, p_reader.columns, p_reader.types, p_reader.lengths, p_reader.readers
  from weft._plan_copy(p_reader.copy, v_relation) as p;
  p_reader.is_whole := weft._is_copied_whole(v_relation);
  p_reader.is_crlf := null;
  p_reader.rows_are_over := false;

  -- the rows begin in the next line
  loop
    v_behind := substring(coalesce(p_reader.text, '') from '^(?:[ \t\f\v\r]|/\*[^*/\n]*\*/)*(?:--[^\n]*)?\n');
    exit when v_behind is not null or weft._is_at_end(p_reader);
    p_reader := weft._read_more(p_reader);
  end loop;
  if coalesce(v_behind, p_reader.text) !~ '^(?:[ \t\f\v\r]|/\*[^*/\n]*\*/)*(?:--[^\n]*)?\n?$' then
    raise exception 'Behind COPY FROM STDIN; something stands in the same line.' using errcode = 'WF081', hint = 'The rows begin in the next line. Move it behind the line \. that ends them.';
  end if;
  p_reader.text := substr(p_reader.text, length(v_behind) + 1);
  p_reader.scanner.line := (p_reader.scanner).line + 1;
end
$$;

comment on function weft._begin_copy(weft._reader, text, text, text) is 'Finds the target of the COPY that was read last, and writes the INSERT that does the same.';


-- No SET clause here, nor in what calls it: it would undo the work.
create or replace function weft._become(p_name text, p_role text)
  returns void
  volatile
  language plpgsql
as $$
begin
  if p_name is not null then
    perform set_config('session_authorization', p_name, false);
    perform set_config('role', p_role, false);
  end if;
end
$$;

comment on function weft._become(text, text) is 'Returns to the role that a file had, if it was not ours.';


-- The next rows of the COPY: of one piece, or all of them.
create or replace function weft._read_rows(inout p_reader weft._reader)
  stable
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_cut        record;
  v_rows       text;
  v_delimiter  text := coalesce(p_reader.copy ->> 'delimiter', E'\t');
  v_quote      text := p_reader.copy ->> 'quote';
  v_header     text;
  v_lines      integer;
  v_wrong      integer;
  v_is_ended   boolean;  -- whether the last line is complete
  v_is_first   boolean := p_reader.is_crlf is null;
  v_is_short   boolean := coalesce(p_reader.text, '') = '';  -- whether text must be read first
begin
  p_reader.rows := null;
  p_reader.row_line := (p_reader.scanner).line;
  loop
    if v_is_short then
      p_reader := weft._read_more(p_reader);
    end if;
    v_is_short := true;
    v_cut := case when v_quote is null then weft._cut_rows(p_reader.text, weft._is_at_end(p_reader)) else weft._cut_csv_rows(p_reader.text, weft._is_at_end(p_reader), v_quote) end;
    v_lines := octet_length(p_reader.text) - octet_length(replace(p_reader.text, E'\n', '')) - (octet_length(v_cut.rest) - octet_length(replace(v_cut.rest, E'\n', '')));
    p_reader.scanner.line := (p_reader.scanner).line + v_lines;
    p_reader.text := v_cut.rest;
    if v_cut.rows is not null then
      v_rows := case when v_rows is null then v_cut.rows else concat(v_rows, E'\n', v_cut.rows) end;
      if octet_length(v_rows) > weft._limit('statement_bytes') then
        raise exception 'The rows of this COPY are to go in together, and are more than % bytes (statement_bytes).', weft._limit('statement_bytes')
          using errcode = 'WF084', hint = 'A trigger of the table, a reference to itself or a deferrable constraint looks at all rows of a statement. Make it after the rows, as pg_dump does, or cut the COPY into several.';
      end if;
    end if;
    exit when v_cut.is_over or v_rows is not null and not p_reader.is_whole;
  end loop;
  p_reader.rows_are_over := v_cut.is_over;
  p_reader.has_end := v_cut.has_end;
  if v_rows is null then
    return;
  end if;

  v_is_ended := v_cut.has_end or not v_cut.is_over;
  if v_quote is not null then
    select w.rows, w.stand_ins, w.meant, w.is_crlf into v_rows, p_reader.stand_ins, p_reader.meant, p_reader.is_crlf
    from weft._write_csv_rows(v_rows, v_delimiter, v_quote, p_reader.row_line, v_is_ended, p_reader.is_crlf) as w;
    if v_is_first and p_reader.copy ? 'header' then
      v_header := split_part(v_rows, E'\n', 1);
      perform weft._check_header(p_reader, v_header);
      v_rows := case when strpos(v_rows, E'\n') > 0 then substr(v_rows, strpos(v_rows, E'\n') + 1) end;
      p_reader.row_line := p_reader.row_line + 1 + weft._count_line_feeds(p_reader, v_header);
    end if;
    p_reader.rows := v_rows;
    return;
  end if;
  perform weft._refuse_another_copy(p_reader, v_rows);
  v_wrong := case when strpos(v_rows, '\.') > 0 then strpos(replace(v_rows, '\\', '__'), '\.') end;
  if v_wrong > 0 then
    raise exception 'Line %: end-of-copy marker is not alone on its line', p_reader.row_line + octet_length(left(v_rows, v_wrong)) - octet_length(replace(left(v_rows, v_wrong), E'\n', ''))
      using errcode = '22P04', hint = 'The rows end at a line with \. and nothing else in it. A backslash that belongs to a value is written twice: \\.';
  end if;
  if v_is_first then
    p_reader.is_crlf := right(split_part(replace(replace(v_rows, '\\', '__'), E'\\\n', '__'), E'\n', 1), 1) = E'\r';
  end if;
  if p_reader.is_crlf then
    select min(l.n) into v_wrong from unnest(string_to_array(v_rows, E'\n')) with ordinality as l (line, n)
    where right(l.line, 1) not in (E'\r', '\') and (v_is_ended or l.n <= octet_length(v_rows) - octet_length(replace(v_rows, E'\n', '')));
    if v_wrong is not null then
      raise exception 'Line %: literal newline found in data', p_reader.row_line + v_wrong - 1
        using errcode = '22P04', hint = 'Save the file with line ends that are all LF or all CRLF; a newline that belongs to a value is written \n.';
    end if;
  end if;
  if v_is_first and p_reader.copy ? 'header' then
    perform weft._check_header(p_reader, rtrim(split_part(v_rows, E'\n', 1), E'\r'));
    v_rows := case when strpos(v_rows, E'\n') > 0 then substr(v_rows, strpos(v_rows, E'\n') + 1) end;
    p_reader.row_line := p_reader.row_line + 1;
  end if;
  if p_reader.is_crlf then
    v_rows := replace(v_rows, E'\r\n', E'\n');
    v_rows := case when right(v_rows, 1) = E'\r' then left(v_rows, -1) else v_rows end;
  end if;
  if strpos(v_rows, E'\r') > 0 then
    raise exception 'Line %: literal carriage return found in data', p_reader.row_line + octet_length(split_part(v_rows, E'\r', 1)) - octet_length(replace(split_part(v_rows, E'\r', 1), E'\n', ''))
      using errcode = '22P04', hint = 'Write it as \r, and save the file with line ends LF or CRLF.';
  end if;
  select u.rows, u.stand_ins, u.meant into p_reader.rows, p_reader.stand_ins, p_reader.meant
  from weft._unescape_rows(v_rows, v_delimiter, coalesce(p_reader.copy ->> 'null', '\N')) as u;
end
$$;

comment on function weft._read_rows(weft._reader) is 'Reads the next rows of a COPY, ready for its INSERT.';


-- Under the role and the path of the file.
create or replace function weft._insert_rows(p_reader weft._reader, p_name text, p_role text, p_path text)
  returns bigint
  volatile
  language plpgsql
as $$
declare
  v_sql        pg_catalog.text := case when p_reader.stand_ins is null then p_reader.plain_sql else p_reader.escaped_sql end;
  v_delimiter  pg_catalog.text := coalesce(p_reader.copy ->> 'delimiter', E'\t');
  v_null       pg_catalog.text := coalesce(p_reader.copy ->> 'null', '\N');
  v_rows       pg_catalog.int8;
  v_set        pg_catalog.text;
begin
  if p_reader.rows is null then
    perform weft._require_end(p_reader);
    return 0;
  end if;
  perform weft._become(p_name, p_role);
  v_set := pg_catalog.set_config('search_path', p_path, false);
  execute v_sql using p_reader.rows, v_delimiter, v_null, p_reader.stand_ins, p_reader.meant;
  get diagnostics v_rows = row_count;
  v_set := pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', false);
  if p_name is not null then
    reset session authorization;
    reset role;
  end if;
  if v_rows <> octet_length(p_reader.rows) - octet_length(replace(p_reader.rows, E'\n', '')) + 1 then
    perform weft._check_fields(p_reader);  -- otherwise, a trigger has skipped rows
  end if;
  perform weft._require_end(p_reader);  -- after the check of the fields, whose error says more
  return v_rows;
end
$$;

comment on function weft._insert_rows(weft._reader, text, text, text) is 'Puts rows of a COPY into their table.';


-- The INSERT skips rows with more or fewer fields than columns, so the number of rows shows afterwards that some are missing.
create or replace function weft._check_fields(p_reader weft._reader)
  returns void
  stable
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_delimiter  text := coalesce(p_reader.copy ->> 'delimiter', E'\t');
  v_row        record;
begin
  select r.n, greatest(cardinality(string_to_array(r.line, v_delimiter)), 1) as fields, r.line into v_row
  from unnest(case when p_reader.rows = '' then array[''] else string_to_array(p_reader.rows, E'\n') end) with ordinality as r (line, n)
  where case when r.line = '' then cardinality(p_reader.columns) > 1 else cardinality(string_to_array(r.line, v_delimiter)) <> coalesce(cardinality(p_reader.columns), 0) end
  order by r.n limit 1;
  if found then
    raise exception using errcode = '22P04',
      message = format('Line %s: %s', weft._line_of_row(p_reader, v_row.n),
        case when v_row.fields < cardinality(p_reader.columns) then format('missing data for column "%s"', p_reader.columns[v_row.fields + 1]) else 'extra data after last expected column' end),
      detail = format('The row has %s, and COPY names %s: %s.', case v_row.fields when 1 then 'one field' else v_row.fields || ' fields' end,
        case cardinality(p_reader.columns) when 1 then 'one column' else coalesce(cardinality(p_reader.columns), 0) || ' columns' end, array_to_string(p_reader.columns, ', ')),
      hint = coalesce(weft._advise_for_end(p_reader, v_row.line), '');
  end if;
end
$$;

comment on function weft._check_fields(weft._reader) is 'Refuses rows that have more or fewer fields than there are columns.';
