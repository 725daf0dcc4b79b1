-- Finds the row of a load that the server refused. Rows are loaded together; only after the server has refused them, bisection finds the
-- row.

create or replace function weft._name_place(p_format text, p_number bigint)
  returns text
  immutable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select format(case p_format when 'json' then 'Object %s' else 'Line %s' end, p_number)
$$;

comment on function weft._name_place(text, bigint) is 'Names a place in a data file: the line, or the object of a JSON array.';


-- Searches for the shortest prefix of the rows that fails. A probe takes the text ($1), what separates its rows ($2), and the first ($3) and
-- last row ($4); everything it does is rolled back. It runs under the file's role and path, so it calls nothing of Weft's.
create or replace function weft._find_row(p_probe text, p_text text, p_separator text, p_first bigint, p_last bigint, p_role text, p_path text, out place bigint, out error jsonb)
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_low         bigint := p_first;
  v_high        bigint := p_last;
  v_middle      bigint := p_last;
  v_set         text;
  v_caught      weft._caught;
begin
  while v_middle is not null loop
    begin
      if p_role is not null then
        v_set := set_config('role', p_role, false);
      end if;
      v_set := set_config('search_path', p_path, true);
      execute p_probe using p_text, p_separator, p_first, v_middle;
      raise exception 'It went through, and is taken back.' using errcode = 'WF000';
    exception when others then
      get stacked diagnostics
        v_caught.state = returned_sqlstate, v_caught.message = message_text, v_caught.detail = pg_exception_detail, v_caught.hint = pg_exception_hint, v_caught.context = pg_exception_context,
        v_caught.schema_name = schema_name, v_caught.table_name = table_name, v_caught.column_name = column_name, v_caught.constraint_name = constraint_name, v_caught.datatype_name = pg_datatype_name;
    end;
    if v_caught.state <> 'WF000' then
      v_high := v_middle;
      error := weft._account_of_error(v_caught);
    elsif error is null then
      return;  -- alone, they succeed
    else
      v_low := v_middle + 1;
    end if;
    v_middle := case when v_low < v_high then (v_low + v_high) / 2 end;
  end loop;
  place := v_high;
end
$$;

comment on function weft._find_row(text, text, text, bigint, bigint, text, text) is
  'Finds the first row at which a statement over rows fails, and the error; both are null when it does not fail.';


-- Repeats the server's words, with the row in front.
create or replace function weft._raise_at(p_place text, p_error jsonb)
  returns void
  stable
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
begin
  raise exception using
    errcode = p_error ->> 'sqlstate', message = concat(p_place || ': ', p_error ->> 'message'), detail = coalesce(p_error ->> 'detail', ''), hint = coalesce(p_error ->> 'hint', ''),
    schema = coalesce(p_error ->> 'schema', ''), table = coalesce(p_error ->> 'table', ''), column = coalesce(p_error ->> 'column', ''),
    constraint = coalesce(p_error ->> 'constraint', ''), datatype = coalesce(p_error ->> 'datatype', '');
end
$$;

comment on function weft._raise_at(text, jsonb) is 'Raises an error anew, with the place in the file before the server''s words.';


-- Finds the row and the field of a part that could not be read as the column's type. Just returns if it cannot be found.
create or replace function weft._explain_value(p_cast text, p_format text, p_rows text, p_separator text, p_first bigint, p_before bigint, p_role text, p_path text)
  returns void
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_columns  text[] := array(select a.attname::text from pg_attribute as a where a.attrelid = 'pg_temp._weft_row'::regclass and a.attnum > 0 order by a.attnum);
  v_row      record;
  v_text     text;
  v_place    text;
  v_fields   text[];
  v_probe    text;
  v_value    record;
begin
  select f.place, f.error into v_row from weft._find_row(p_cast, p_rows, p_separator, p_first, 2147483647, p_role, p_path) as f;
  if v_row.place is null then
    return;
  end if;
  v_place := weft._name_place(p_format, p_before + v_row.place
    + case p_separator when E'\n' then 0 else weft._count_lines(array_to_string((string_to_array(p_rows, p_separator))[:v_row.place - 1], '')) end);
  if p_format = 'csv' then
    v_fields := weft._read_literal((string_to_array(p_rows, p_separator))[v_row.place]);
    if cardinality(v_fields) <> cardinality(v_columns) then
      raise exception '%: the record has % fields, and the file has % columns.', v_place, cardinality(v_fields), cardinality(v_columns)
        using errcode = 'WF031', hint = format('The columns: %s. A field with the delimiter in it stands in quotes.', array_to_string(v_columns, ', '));
    end if;
  elsif p_format = 'json' then
    v_text := (p_rows::json -> (v_row.place - 1)::integer)::text;
  else
    v_text := (string_to_array(p_rows, p_separator))[v_row.place];
  end if;

  for v_index in 1 .. cardinality(v_columns) loop
    v_probe := case p_format
      when 'csv' then format('%L::pg_temp._weft_row', concat('(', repeat(',', v_index - 1),
        '"' || replace(replace(v_fields[v_index], '\', '\\'), '"', '""') || '"', repeat(',', cardinality(v_columns) - v_index), ')'))
      else format('pg_catalog.json_populate_record(null::pg_temp._weft_row, pg_catalog.json_build_object(%L, %L::pg_catalog.json -> %L))', v_columns[v_index], v_text, v_columns[v_index])
    end;
    select f.place, f.error into v_value from weft._find_row('select ' || v_probe, null, null, 1, 1, p_role, p_path) as f;
    if v_value.place is not null then
      raise exception '%, column %: %', v_place, quote_ident(v_columns[v_index]), v_value.error ->> 'message'
        using errcode = 'WF030', column = v_columns[v_index], detail = concat_ws(' ', v_value.error ->> 'detail', format('SQLSTATE %s.', v_value.error ->> 'sqlstate')),
              hint = coalesce(v_value.error ->> 'hint', '');
    end if;
  end loop;
  perform weft._raise_at(v_place, v_row.error);
end
$$;

comment on function weft._explain_value(text, text, text, text, bigint, bigint, text, text) is 'Refuses the first value of a part that is not valid for its column''s type, with its place and the server''s words.';
