-- The row that an error is about, as it is in its file. It is read from there when everything is rolled back, so that rows without
-- errors cost nothing.

create or replace function weft._read_line(p_chunks bytea[], p_line integer)
  returns text
  stable
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_left   integer := p_line - 1;  -- lines to be skipped
  v_text   text;
  v_carry  bytea := '';
  v_count  integer;
  v_line   text;
begin
  for v_chunk in 1 .. cardinality(p_chunks) loop
    select r.text, r.carry into v_text, v_carry from weft._read_chunk(p_chunks[v_chunk], v_carry, v_chunk = 1, v_chunk = cardinality(p_chunks)) as r;
    v_count := octet_length(v_text) - octet_length(replace(v_text, E'\n', ''));
    if v_line is not null then
      v_line := v_line || split_part(v_text, E'\n', 1);
      exit when v_count > 0;
    elsif v_count >= v_left then
      v_line := split_part(v_text, E'\n', v_left + 1);
      exit when v_count > v_left;
    else
      v_left := v_left - v_count;
    end if;
  end loop;
  return v_line;
end
$$;

comment on function weft._read_line(bytea[], integer) is 'Reads one line of a file.';


-- Where in a line one of its fields begins, counted from 1; null if quotes or backslashes make counting unreliable.
create or replace function weft._find_field(p_line text, p_delimiter text, p_field integer)
  returns integer
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select case when strpos(p_line, '"') = 0 and strpos(p_line, '\' || p_delimiter) = 0 and p_field <= cardinality(string_to_array(p_line, p_delimiter))
    then length(array_to_string((string_to_array(p_line, p_delimiter))[:p_field - 1] || ''::text, p_delimiter)) + 1 end
$$;

comment on function weft._find_field(text, text, integer) is 'Tells where in a line of fields one of them begins.';


-- p_delimiter and p_columns are for the rows after a COPY; for a data file, they are in its step and its first line.
create or replace function weft._show_row(p_error jsonb, p_deployment uuid, p_step integer, p_chunks bytea[], p_statement_line integer, p_delimiter text, p_columns text[], p_secrets jsonb)
  returns jsonb
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_options  jsonb := (select s.options from weft._steps as s where s.deployment_id = p_deployment and s.ordinal = p_step);
  v_line     integer := coalesce((p_error ->> 'line')::integer, substring(p_error ->> 'message' from '^Line (\d+)')::integer);
  v_object   integer := substring(p_error ->> 'message' from '^Object (\d+)')::integer;
  v_text     text;
  v_header   text;
  v_at       integer;
  v_shown    jsonb;
begin
  if p_error ->> 'message' ~ '^Lines ' or v_line is null and v_object is null or p_error ? 'excerpt' then
    return p_error;
  elsif v_object is not null then
    v_text := case when cardinality(p_chunks) = 1 then regexp_replace(((select weft._read_text(c.content)::json from weft._chunks as c where c.digest = p_chunks[1]) -> (v_object - 1))::text, '\s+', ' ', 'g') end;
  else
    v_text := weft._read_line(p_chunks, v_line);
  end if;
  if coalesce(v_text, '') = '' then
    return p_error;
  end if;
  if p_delimiter is null and v_object is null and p_error ? 'column' then
    p_delimiter := coalesce(v_options ->> 'delimiter', ',');
    v_header := rtrim(weft._read_line(p_chunks, 1), E'\r');
    p_columns := case when v_options ? 'columns' then weft._texts_of(v_options -> 'columns') when strpos(v_header, '"') = 0 then string_to_array(v_header, p_delimiter) end;
  end if;
  v_at := weft._find_field(v_text, p_delimiter, array_position(p_columns, p_error ->> 'column'));
  v_shown := weft._describe_place(v_text, coalesce(v_line, 1), coalesce(v_at, 1), v_at is not null) - 'statement_line' - case when v_line is null then 'line' else '' end;
  if weft._scrub(v_shown -> 'excerpt', p_secrets) <> v_shown -> 'excerpt' then
    v_shown := weft._scrub(v_shown, p_secrets) - 'caret' - 'character';
  end if;
  return p_error || v_shown || jsonb_strip_nulls(jsonb_build_object('statement_line', p_statement_line));
exception when others then  -- the row is optional: the account of an error never fails because of it
  return p_error;
end
$$;

comment on function weft._show_row(jsonb, uuid, integer, bytea[], integer, text, text[], jsonb) is
  'Adds to an error about a row of a file that row, shortened and without secrets, and the place of the column in it.';
