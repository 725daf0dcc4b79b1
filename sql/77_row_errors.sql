-- Which row of a COPY the server refused. The server only says so for a COPY of its own. So afterwards, when everything is rolled back,
-- the rows that were being inserted are examined again: those that cannot be read as their types, and those that the server's message
-- is about.

-- An empty line has one field, but string_to_array returns none for an empty text.
create or replace function weft._cut_fields(p_row text, p_delimiter text, p_null text default null)
  returns text[]
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select case p_row when '' then array[nullif('', p_null)] else string_to_array(p_row, p_delimiter, p_null) end
$$;

comment on function weft._cut_fields(text, text, text) is 'Cuts a row of COPY''s text format into its fields; without a mark of NULL, the fields stay as they are written.';


-- The first field that is not valid for its column's type: found by trying, if the type still exists after the rollback.
create or replace function weft._find_bad_field(p_reader weft._reader, p_path text, p_state text, out number integer, out field integer)
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_delimiter  text := coalesce(p_reader.copy ->> 'delimiter', E'\t');
  v_null       text := coalesce(p_reader.copy ->> 'null', '\N');
  v_rows       text[] := string_to_array(p_reader.rows, E'\n');
  v_fields     text[];
  v_known      boolean[];
  v_set        text;
  v_state      text;
begin
  v_known := array(select to_regtype(regexp_replace(t.name, '\(.*\)', '')) is not null from unnest(p_reader.types) with ordinality as t (name, ordinal) order by t.ordinal);
  for n in 1 .. cardinality(v_rows) loop
    v_fields := weft._cut_fields(v_rows[n], v_delimiter, v_null);
    for f in 1 .. coalesce(cardinality(p_reader.types), 0) loop
      continue when v_fields[f] is null or not v_known[f];
      if p_reader.lengths[f] is not null then
        continue when p_state <> '22001' or length(rtrim(translate(v_fields[f], coalesce(p_reader.stand_ins, ''), coalesce(p_reader.meant, '')))) <= p_reader.lengths[f];
        number := n;
        field := f;
        return;
      end if;
      continue when p_reader.types[f] = 'text';
      begin
        v_set := set_config('search_path', p_path, true);
        execute pg_catalog.concat('select (', pg_catalog.replace(p_reader.readers[f], '%s', 'pg_catalog.translate($1, $2, $3)'), ')::', p_reader.types[f]) using v_fields[f], coalesce(p_reader.stand_ins, ''), coalesce(p_reader.meant, '');
        v_set := pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
      exception when others then
        get stacked diagnostics v_state = returned_sqlstate;
        if v_state = p_state then
          number := n;
          field := f;
          return;
        end if;
      end;
    end loop;
  end loop;
end
$$;

comment on function weft._find_bad_field(weft._reader, text, text) is 'Finds the first field of rows that is refused as a value of its column''s type.';


-- Adds to an error the line of its row in the file, and the column it is about, as far as they can be told.
create or replace function weft._explain_rows(p_reader weft._reader, p_error jsonb, p_path text)
  returns jsonb
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_delimiter  text := coalesce(p_reader.copy ->> 'delimiter', E'\t');
  v_null       text := coalesce(p_reader.copy ->> 'null', '\N');
  v_state      text := p_error ->> 'sqlstate';
  v_count      integer := octet_length(p_reader.rows) - octet_length(replace(p_reader.rows, E'\n', '')) + 1;
  v_found      record;
  v_key        text[];
  v_number     integer;
  v_column     text;
  v_advice     text;
  v_quoted     text := case when p_reader.copy ? 'quote' then coalesce(substr(p_reader.stand_ins, 3, 1), '') else '' end;  -- the mark before a field that was quoted
begin
  if left(v_state, 2) not in ('22', '23', '44', 'P0') or p_error ->> 'message' ~ '^Line \d' then
    return p_error;
  end if;
  if left(v_state, 2) = '22' or v_state = '23514' and p_error ->> 'table' is null then
    v_found := weft._find_bad_field(p_reader, p_path, v_state);
    v_number := v_found.number;
    v_column := p_reader.columns[v_found.field];
    if v_number is null and p_error ->> 'message' ~ '"' then  -- the type was rolled back with the rest: search for the value that the server names
      select r.n, array_position(weft._cut_fields(translate(r.line, v_quoted, ''), v_delimiter), substring(p_error ->> 'message' from '"(.*)"')) into v_number, v_found.field
      from unnest(string_to_array(p_reader.rows, E'\n')) with ordinality as r (line, n)
      where substring(p_error ->> 'message' from '"(.*)"') = any (weft._cut_fields(translate(r.line, v_quoted, ''), v_delimiter)) order by r.n limit 1;
      v_column := p_reader.columns[v_found.field];
    end if;
  elsif v_state = '23502' then
    v_column := p_error ->> 'column';
    select min(r.n) into v_number from unnest(string_to_array(p_reader.rows, E'\n')) with ordinality as r (line, n)
    where (weft._cut_fields(r.line, v_delimiter, v_null))[array_position(p_reader.columns, v_column)] is null;
  else
    -- Key (a, b)=(1, x) ..., of a unique constraint or a foreign key; Failing row contains (1, x, null). of a check
    v_key := regexp_match(p_error ->> 'detail', '^Key \((.*)\)=\((.*)\) ');
    if v_key is null then
      v_key := array[array_to_string(p_reader.columns, ', '), substring(p_error ->> 'detail' from '^Failing row contains \((.*)\)\.$')];
    end if;
    select case when count(*) = 1 or v_state = '23503' then min(r.n) when v_state = '23505' and count(*) = 2 then max(r.n) end into v_number
    from unnest(string_to_array(p_reader.rows, E'\n')) with ordinality as r (line, n)
    where v_key[2] = (
      select string_agg(case when x.value is null then 'null' when octet_length(x.value) > 64 and p_error ->> 'detail' like 'Failing%' then left(x.value, 64) || '...' else x.value end, ', ' order by k.ordinal)
      from string_to_table(v_key[1], ', ') with ordinality as k (name, ordinal)
      cross join lateral (select translate((weft._cut_fields(r.line, v_delimiter, v_null))[array_position(p_reader.columns, k.name)], coalesce(p_reader.stand_ins, ''), coalesce(p_reader.meant, '')) as value) as x);
  end if;
  v_advice := weft._advise_for_end(p_reader, (string_to_array(p_reader.rows, E'\n'))[v_number]);
  if v_advice is not null then
    p_error := p_error || jsonb_build_object('hint', concat_ws(' ', p_error ->> 'hint', v_advice));
  end if;
  if v_number is null then
    return p_error || jsonb_build_object('message', format('Lines %s to %s: %s', p_reader.row_line, weft._line_of_row(p_reader, v_count), p_error ->> 'message'), 'line', p_reader.row_line);
  end if;
  return p_error || jsonb_strip_nulls(jsonb_build_object(
    'message', concat('Line ', weft._line_of_row(p_reader, v_number), ', column "' || v_column || '"', ': ', p_error ->> 'message'), 'line', weft._line_of_row(p_reader, v_number), 'column', v_column));
end
$$;

comment on function weft._explain_rows(weft._reader, jsonb, text) is 'Tells the line of the row that was refused, and the column.';
