-- The file of a check: its one query, and what is wrong with it, reported as for any other file. The server sees it inside a query of
-- Weft's, which counts its rows; so if the server complains about the text around it, the query is tried again alone, to get the
-- complaint about its own text.

-- Returns no statement unless there is exactly one. A transaction around it, as verification tools write it, means nothing here and is left out.
create or replace function weft._find_query(p_deployment uuid, p_path text, out statement text, out line integer, out held text)
  stable
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_chunks  bytea[] := (select a.chunks from weft._artifacts as a where a.deployment_id = p_deployment and a.path = p_path);
  v_split   record;
  v_last    integer;
begin
  if cardinality(v_chunks) is distinct from 1 then  -- a rule that comes with Weft has no file
    held := 'more than a mebibyte';
    return;
  end if;
  v_split := weft._split(weft._new_scanner(), (select weft._read_text(c.content) from weft._chunks as c where c.digest = v_chunks[1]), true);
  v_last := cardinality(v_split.statements);
  if v_last = 3 and (weft._is_wrapped(v_split.statements)
      or weft._is_begin(v_split.statements[1]) and weft._flatten(v_split.statements[3]) ~* '^(rollback|abort)( (work|transaction))?( and no chain)?$') then
    statement := v_split.statements[2];
    line := v_split.lines[2];
  elsif v_last = 1 then
    statement := v_split.statements[1];
    line := v_split.lines[1];
  else
    held := format('%s statements', v_last);
  end if;
end
$$;

comment on function weft._find_query(uuid, text) is 'Finds the query of a check, and the line in which it begins; or tells what its file contains instead.';


create or replace function weft._read_query(p_deployment uuid, p_path text)
  returns text
  stable
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_found  record := weft._find_query(p_deployment, p_path);
begin
  if v_found.statement is null then
    raise exception 'A check is one query, and this file holds %.', v_found.held using errcode = 'WF023', hint = 'Give each query a file of its own.';
  end if;
  return v_found.statement;
end
$$;

comment on function weft._read_query(uuid, text) is 'Reads the query of a check.';


create or replace function weft._describe_query_error(p_error jsonb, p_deployment uuid, p_phase weft._phases, p_path text, p_search_path text)
  returns jsonb
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_found    record := weft._find_query(p_deployment, p_path);
  v_line     integer := coalesce(weft._first_line(v_found.statement, v_found.line), v_found.line);
  v_error    jsonb := p_error;
  v_message  text;
begin
  if v_found.statement is null or p_error ->> 'sqlstate' ~ '^WF' then  -- the error is not about a query, or is complete
    return weft._describe_error(p_error, p_phase.name, p_path, null, null, p_phase.parameters, p_search_path);
  elsif p_error ->> 'sqlstate' = '42601' then
    v_message := weft._ask_grammar(weft._interpolate(v_found.statement, p_phase.parameters, weft._mark(p_phase.parameters)), 'sql', false, p_search_path);
    v_error := p_error || case when v_message <> '' then jsonb_build_object('message', v_message)
      -- it is a query: a syntax error from its analysis or a function in it is not about the file's syntax
      when weft._ask_grammar(weft._interpolate(concat('select from (', v_found.statement, E'\n) as x'), p_phase.parameters, weft._mark(p_phase.parameters)), 'sql', false, p_search_path) = '' then '{}'
      else jsonb_build_object('sqlstate', 'WF023', 'line', v_line, 'message', 'A check is one query (select, values, table, with), and this is another statement.',
        'hint', 'Write the query that returns the rows which break the rule. What is to be done stands in a step.') end;
  end if;
  return weft._describe_error(v_error, p_phase.name, p_path, v_line, v_found.statement, p_phase.parameters, p_search_path);
end
$$;

comment on function weft._describe_query_error(jsonb, uuid, weft._phases, text, text) is 'Describes the error of a check''s query, with its place in the file.';
