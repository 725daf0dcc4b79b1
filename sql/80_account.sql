-- The record of a block that an error has ended: in which file, at which line, and whether the block is run again, is run in another
-- way, or has failed.

-- p_is_final: a lock that could not be had is not tried again.
create or replace function weft._account_for_stop(p_deployment uuid, p_phase weft._phases, p_caught weft._caught, p_stop weft._stop, p_is_final boolean)
  returns weft._outcome
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_script     weft._script := p_stop.script;
  v_reader     weft._reader := p_stop.reader;
  v_path       text := p_stop.path;
  v_statement  text;     -- as it is in the file
  v_line       integer;  -- of the statement, or of the row of a load
  v_error      jsonb;
begin
  if p_stop.statement is not null then
    v_statement := v_script.statements[p_stop.index];
    v_line := v_script.lines[p_stop.passed + p_stop.index];
  elsif v_script.kind = 'load' then
    v_line := coalesce(substring(p_caught.message from '^Line (\d+)')::integer,  -- as weft._name_place writes it
      case when p_caught.state = 'WF032' then weft._line_of_columns(p_deployment, v_script.ordinal) end);
  end if;
  if weft._is_taken_apart(p_caught, v_script.executables) then
    p_caught := weft._describe_taken_apart(p_caught);
    p_stop.index := (select min(u.place) from unnest(v_script.executables) with ordinality as u (statement, place) where u.statement ~* '\m(weft|owned)\M');
    v_statement := v_script.statements[p_stop.index];
    v_line := case when v_script.is_streamed then v_reader.lines[p_stop.index] else v_script.lines[p_stop.index] end;
  end if;
  v_error := weft._scrub(weft._account_of_error(p_caught), p_phase.secrets);
  if v_statement is not null and v_reader.rows is not null then
    v_error := weft._explain_rows(v_reader, v_error, p_stop.search_path);
  end if;
  if v_script.kind = 'load' and v_line is not null then
    v_error := v_error || jsonb_build_object('line', coalesce((v_error ->> 'line')::integer, v_line));
  end if;
  if v_script.kind = 'load' or v_statement is not null and v_reader.copy is not null then
    v_error := weft._show_row(v_error, p_deployment, v_script.ordinal, v_script.chunks, weft._first_line(v_statement, v_line),
      case when v_statement is not null then coalesce(v_reader.copy ->> 'delimiter', E'\t') end, v_reader.columns, p_phase.secrets);
  end if;
  if p_caught.state = 'WF022' then
    v_error := v_error - 'detail' || jsonb_build_object('check', p_caught.detail::jsonb);
  end if;

  if weft._is_interruption(p_caught.state, p_caught.context) then
    return row('interrupted', v_path, v_error)::weft._outcome;
  elsif p_phase.transaction = 'auto' and v_script.kind = 'run' and p_stop.condition is null and (p_caught.state = '55P04' or weft._is_refused_in_transaction(v_error)
      or p_caught.state = '0A000' and (weft._is_begin(v_statement) or weft._is_commit(v_statement))) then
    return row('apart', v_path, v_error)::weft._outcome;
  elsif p_caught.state = '42601' and v_statement is not null and not v_script.in_one_piece and weft._is_split_wrong(v_statement, v_script.chunks, v_script.size, p_phase.parameters) then
    return row('whole', v_path, null)::weft._outcome;
  end if;

  v_error := weft._add_blockers(v_error, coalesce(v_statement, p_stop.condition), weft._lock_budget_ms(p_phase, coalesce(weft._name_lock_kind(v_statement), 'data')));
  return row(
    case when weft._may_pass(p_caught.state, p_caught.message) and not p_is_final then 'again' else 'failed' end, v_path,
    case when p_stop.condition is not null then weft._describe_condition_error(v_error, p_phase.name, v_path, p_stop.condition)
      when p_caught.context ~ '\mweft\._enter_file\(' then weft._describe_entry_error(v_error, p_phase, v_path)
      when v_script.kind = 'load' and v_script.path = v_path and v_line is null then weft._describe_where_error(v_error, p_phase, v_script.ordinal, p_stop.search_path)
      when v_script.kind = 'check' and v_script.path = v_path then weft._describe_query_error(v_error, p_deployment, p_phase, v_path, p_stop.search_path)
      else weft._describe_error(v_error, p_phase.name, v_path, coalesce(weft._first_line(v_statement, v_line), v_line), v_statement, p_phase.parameters, p_stop.search_path) end)::weft._outcome;
end
$$;

comment on function weft._account_for_stop(uuid, weft._phases, weft._caught, weft._stop, boolean) is 'Says how a block ended that an error has stopped, and of which nothing is in the database.';
