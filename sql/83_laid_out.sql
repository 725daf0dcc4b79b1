-- Lays out a file: its statements become rows, and those that an earlier deployment has already done are marked.

-- p_text: the COPY, with the values of parameters.
create or replace function weft._open_rows(p_statement weft._statements, p_text text)
  returns weft._reader
  immutable
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_reader  weft._reader := weft._open_reader('{}', null);
  v_copy    text := weft._without_rows(p_statement);
begin
  v_reader.pieces := weft._cut_stretches(substr(p_statement.statement, p_statement.rows_at + 1), weft._limit('copy_piece_characters'));
  v_reader.scanner.line := p_statement.line + length(v_copy) - length(replace(v_copy, E'\n', ''));
  v_reader.statements := array[p_text];
  v_reader.lines := array[p_statement.line];
  return v_reader;
end
$$;

comment on function weft._open_rows(weft._statements, text) is 'Makes a reader that is placed after a COPY whose rows were laid out with it.';


-- Runs under the role and the path of the file. A caller that must tell which row was refused keeps its own reader, as floor 83, statements, does.
create or replace function weft._copy_rows(p_statement weft._statements, p_text text, p_user text, p_inside jsonb)
  returns bigint
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_role    text := p_inside ->> 'role';
  v_path    text := p_inside ->> 'search_path';
  v_reader  weft._reader;
  v_rows    bigint := 0;
begin
  v_reader := weft._begin_copy(weft._open_rows(p_statement, p_text), p_user, v_role, v_path);
  while not v_reader.rows_are_over loop
    v_reader := weft._read_rows(v_reader);
    v_rows := v_rows + weft._insert_rows(v_reader, p_user, v_role, v_path);
  end loop;
  return v_rows;
end
$$;

comment on function weft._copy_rows(weft._statements, text, text, jsonb) is 'Puts the rows of a COPY that were laid out with it into their table.';


-- Splits the step's file into rows of weft._statements; what an earlier deployment has done of it is not done again.
create or replace function weft._lay_out_statements(p_deployment uuid, p_phase text, p_step weft._steps, p_parameters jsonb)
  returns void
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_artifact  weft._artifacts;
  v_scanner   weft._scanner := weft._new_scanner();
  v_carry     bytea := '';
  v_rest      text := '';
  v_text      text;
  v_all       text;        -- of the chunk
  v_pieces    text[];
  v_is_last   boolean;
  v_cut       integer;
  v_split     record;
  v_copy      text;        -- whose rows follow
  v_quote     text;
  v_line      integer;
  v_rows      record;
  v_parts     text[];      -- of the rows, as they are in the file
  v_size      bigint;
  v_is_whole  boolean := p_step.in_one_piece;
  v_last      integer := 0;
  v_earlier   weft._steps;
  v_same      integer;
  v_mark      text := weft._mark(p_parameters);
begin
  select a.* into strict v_artifact from weft._artifacts as a where a.deployment_id = p_deployment and a.path = p_step.path;
  for v_chunk in 1 .. cardinality(v_artifact.chunks) loop
    select r.text, r.carry into v_all, v_carry
    from weft._read_chunk(v_artifact.chunks[v_chunk], v_carry, v_chunk = 1, v_chunk = cardinality(v_artifact.chunks)) as r;
    exit when v_is_whole;
    v_pieces := case when v_copy is not null or weft._may_read_rows(v_all) then weft._cut_stretches(v_all, weft._limit('copy_piece_characters')) else array[v_all] end;
    for v_piece in 1 .. cardinality(v_pieces) loop
      v_is_last := v_chunk = cardinality(v_artifact.chunks) and v_piece = cardinality(v_pieces);
      v_text := v_rest || v_pieces[v_piece];
      v_rest := '';
      if not v_is_last then  -- cut after a line end, which no token contains
        v_cut := length(v_text) - coalesce(nullif(strpos(reverse(v_text), E'\n'), 0), length(v_text) + 1) + 1;
        v_rest := substr(v_text, v_cut + 1);
        v_text := left(v_text, v_cut);
      end if;
      loop
        if v_copy is null then
          v_split := weft._split(v_scanner, v_text, v_is_last);
          v_scanner := v_split.p_scanner;
          if v_scanner.mode = 'copy' then
            v_scanner.mode := 'code';
            v_copy := v_split.statements[cardinality(v_split.statements)];
            v_line := v_split.lines[cardinality(v_split.lines)];
            v_quote := weft._read_copy(weft._interpolate(v_copy, p_parameters, v_mark)) ->> 'quote';
            v_split.statements := trim_array(v_split.statements, 1);
            v_text := v_split.rest;
            v_parts := '{}';
            v_size := 0;
          end if;
          insert into weft._statements (deployment_id, step, number, line, digest, statement)
          select p_deployment, p_step.ordinal, v_last + u.number, u.line, sha256(convert_to(u.statement, 'UTF8')), u.statement
          from unnest(v_split.statements, v_split.lines[:cardinality(v_split.statements)]) with ordinality as u (statement, line, number);
          v_last := v_last + cardinality(v_split.statements);
          exit when v_copy is null;
        end if;

        if v_parts = '{}' then  -- the rest of the line of COPY
          v_cut := strpos(v_text, E'\n');
          if v_cut = 0 and not v_is_last then
            v_rest := v_text || v_rest;
            exit;
          end if;
          v_cut := case v_cut when 0 then length(v_text) else v_cut end;
          v_parts := array[left(v_text, v_cut)];
          v_text := substr(v_text, v_cut + 1);
        end if;
        v_rows := case when v_quote is null then weft._cut_rows(v_text, v_is_last) else weft._cut_csv_rows(v_text, v_is_last, v_quote) end;
        v_parts := array_append(v_parts, left(v_text, length(v_text) - length(v_rows.rest)));
        v_size := v_size + octet_length(v_parts[cardinality(v_parts)]);
        if v_size > weft._limit('statement_bytes') then
          raise exception 'Line %: the rows of a COPY in a file that is run statement by statement are more than % bytes (statement_bytes).', weft._first_line(v_copy, v_line), weft._limit('statement_bytes')
            using errcode = 'WF086', detail = 'Nothing of the file was run.',
              hint = 'Cut the file in two: the COPY and its rows into one for a phase with "transaction: auto", "per-step" or "single", and what makes the file run statement by statement (vacuum, create index concurrently, BEGIN and COMMIT in the middle) into another. Or cut the COPY into several.';
        elsif not v_rows.is_over then
          v_rest := v_rows.rest || v_rest;
          exit;
        elsif not v_rows.has_end then
          raise exception 'Line %: no line \. ends the rows behind this COPY: all that is behind it, up to the end of the file, would be taken for rows.', weft._first_line(v_copy, v_line)
            using errcode = 'WF087', detail = 'Nothing of the file was run.', hint = 'Write \. into a line of its own behind the last row, also where that is the end of the file.';
        end if;
        v_text := array_to_string(v_parts, '');
        v_last := v_last + 1;
        insert into weft._statements (deployment_id, step, number, line, digest, statement, rows_at)
        values (p_deployment, p_step.ordinal, v_last, v_line, sha256(convert_to(v_copy || v_text, 'UTF8')), v_copy || v_text, length(v_copy));
        v_scanner.line := v_scanner.line + length(v_text) - length(replace(v_text, E'\n', ''));
        v_text := v_rows.rest;
        v_copy := null;
      end loop;
    end loop;
  end loop;
  v_text := v_all;

  -- checked before anything of it has run: is the split wrong, not the author?
  if not v_is_whole and cardinality(v_artifact.chunks) = 1 and v_artifact.size <= weft._limit('whole_file_bytes')
      and exists (
        select from weft._statements as n
        where n.deployment_id = p_deployment and n.step = p_step.ordinal and not weft._parses(weft._interpolate(weft._without_rows(n), p_parameters, v_mark)))
      and weft._parses(weft._interpolate(v_text, p_parameters, v_mark)) then
    update weft._steps as s set in_one_piece = true where s.deployment_id = p_deployment and s.ordinal = p_step.ordinal;
    delete from weft._statements as n where n.deployment_id = p_deployment and n.step = p_step.ordinal;
    perform weft._tell(p_deployment, 'split_given_up', p_phase, p_step.path);
    v_is_whole := true;
  end if;
  if v_is_whole then
    insert into weft._statements (deployment_id, step, number, line, digest, statement)
    values (p_deployment, p_step.ordinal, 1, 1, sha256(convert_to(v_text, 'UTF8')), v_text);
    v_last := 1;
  end if;

  if not v_is_whole then
    perform weft._gather_blocks(p_deployment, p_step);
    v_last := (select count(*) from weft._statements as n where n.deployment_id = p_deployment and n.step = p_step.ordinal);
  end if;
  v_earlier := weft._find_earlier(p_deployment, p_step.path);
  if v_earlier.ordinal is null then
    return;
  elsif p_step.options ? 'repeat' then  -- a repeatable file runs again from its beginning
    delete from weft._statements as o where o.deployment_id = v_earlier.deployment_id and o.step = v_earlier.ordinal;
    return;
  end if;
  v_same := coalesce((
    select min(n.number) - 1
    from weft._statements as n
    left join weft._statements as o on o.deployment_id = v_earlier.deployment_id and o.step = v_earlier.ordinal and o.number = n.number
      and o.state = 'done' and weft._is_same_statement(o.statement, n.statement)
    where n.deployment_id = p_deployment and n.step = p_step.ordinal and o.number is null), v_last);
  perform weft._check_beginning(p_deployment, p_step, v_earlier, v_same), weft._check_values(p_deployment, p_step, v_earlier, v_same);
  update weft._statements as n
  set state = case when n.number <= v_same then 'done'::weft.statement_state else n.state end,
      verdict = case when n.number <= v_same then 'before' end,
      finished_at = case when n.number <= v_same then o.finished_at end,
      session = case when n.number <= v_same then o.session end,
      judge = case when n.number <= v_same or o.state in ('sent', 'cleaning') then o.judge end  -- a statement that was sent may have succeeded since
  from weft._statements as o
  where n.deployment_id = p_deployment and n.step = p_step.ordinal and n.number <= v_same + 1
    and o.deployment_id = v_earlier.deployment_id and o.step = v_earlier.ordinal and o.number = n.number and weft._is_same_statement(o.statement, n.statement);
  update weft._steps as s  -- from now on, this is all that the earlier deployment can tell
  set statements = c.done, error = case when c.runs_again then s.error || '{"runs_again": true}' else s.error end
  from weft._count_statements(v_earlier.deployment_id) as c
  where s.deployment_id = v_earlier.deployment_id and s.ordinal = v_earlier.ordinal and c.step = s.ordinal;
  delete from weft._statements as o where o.deployment_id = v_earlier.deployment_id and o.step = v_earlier.ordinal;
  if v_same > 0 then
    perform weft._tell(p_deployment, 'continued', p_phase, p_step.path, jsonb_build_object('statements_done_before', v_same, 'by', v_earlier.deployment_id));
  end if;
end
$$;

comment on function weft._lay_out_statements(uuid, text, weft._steps, jsonb) is
  'Lays out the statements of a step that runs statement by statement, and marks those that an earlier deployment has done.';


-- Called before the session is set up: what an earlier deployment has done of the file decides how it begins.
create or replace function weft._prepare_step(p_phase weft._phases, p_step integer, p_path text, p_fence bigint)
  returns weft._outcome
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_step       weft._steps;
  v_condition  text;  -- that is being evaluated
  v_error      jsonb;
  e_state      text;
  e_message    text;
  e_detail     text;
  e_hint       text;
  e_context    text;
begin
  perform weft._check_fence(p_fence);  -- the lock is not held until the commit, because the first statement runs in this transaction
  if exists (select from weft._statements as t where t.deployment_id = p_phase.deployment_id and t.step = p_step) then
    return null;
  end if;
  select s.* into strict v_step from weft._steps as s where s.deployment_id = p_phase.deployment_id and s.ordinal = p_step;
  begin
    if p_phase.condition is not null then
      v_condition := p_phase.condition;
      perform weft._reset_session(), set_config('lock_timeout', weft._lock_budget_ms(p_phase, 'data')::text, false);
      if not weft._is_phase_wanted(p_phase, p_path) then
        perform weft._leave_out_phase(p_phase);
        return row('done', null, null)::weft._outcome;
      end if;
    end if;
    if v_step.condition is not null then
      v_condition := v_step.condition;
      perform weft._reset_session(), set_config('lock_timeout', weft._lock_budget_ms(p_phase, 'data')::text, false);
      if not weft._evaluate(v_step.condition, p_path, p_phase.parameters) then
        perform weft._record_steps(p_phase, array[row(p_step, false, null, null, clock_timestamp(), clock_timestamp(), '{}', '{}', null)::weft._step_record]);
        return row('done', null, null)::weft._outcome;
      end if;
      update weft._steps as s set is_wanted = true where s.deployment_id = p_phase.deployment_id and s.ordinal = p_step;
    end if;
    v_condition := null;
    if v_step.options ? 'repeat' then
      update weft._steps as s set options = s.options || jsonb_build_object('mark', to_jsonb(weft._mark_objects())) where s.deployment_id = p_phase.deployment_id and s.ordinal = p_step;
    end if;
    perform weft._lay_out_statements(p_phase.deployment_id, p_phase.name, v_step, p_phase.parameters);
    if exists (select from weft._statements as t where t.deployment_id = p_phase.deployment_id and t.step = p_step and t.statement ~* '\mdrop\M') then
      perform weft._note_had_anew(p_phase.deployment_id, p_phase.ordinal, false);
    end if;
    return null;
  exception when others or query_canceled or assert_failure then  -- an error in a condition, or a file that is no text in the encoding of this database
    get stacked diagnostics e_state = returned_sqlstate, e_message = message_text, e_detail = pg_exception_detail, e_hint = pg_exception_hint,
      e_context = pg_exception_context;
  end;
  v_error := weft._scrub(jsonb_strip_nulls(jsonb_build_object('sqlstate', e_state, 'message', e_message, 'detail', nullif(e_detail, ''), 'hint', nullif(e_hint, ''))), p_phase.secrets);
  if weft._is_interruption(e_state, e_context) then
    return row('interrupted', v_step.path, v_error)::weft._outcome;
  end if;
  return row(
    case when weft._may_pass(e_state, e_message) then 'again' else 'failed' end, v_step.path,
    case when v_condition is not null then weft._describe_condition_error(v_error, p_phase.name, v_step.path, v_condition)
      else weft._describe_error(v_error, p_phase.name, v_step.path, null, null) end)::weft._outcome;
end
$$;

comment on function weft._prepare_step(weft._phases, integer, text, bigint) is
  'Lays out the statements of a step that runs statement by statement, unless that was done before; returns an outcome only if that fails.';
