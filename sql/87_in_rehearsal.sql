-- How a rehearsal runs the statements of a file, one after the other.

-- Prepares the session as the file finds it, and lays out its statements. No SET clause: it would undo the work.
create or replace function weft._enter_rehearsed_file(
    p_phase weft._phases, p_step weft._steps, p_parameters jsonb, p_start_path text, p_surprises jsonb, out given jsonb, out session jsonb)
  volatile
  language plpgsql
as $$
begin
  given := case when p_step.options ? 'values' then weft._values_of_step(p_step.deployment_id, p_step.ordinal, p_parameters) else p_parameters end;
  perform weft._lay_out_statements(p_step.deployment_id, p_phase.name, p_step, given);
  if p_phase.transaction <> 'none' and not p_surprises ? concat(p_step.ordinal, '/whole')
      and exists (select from weft._statements as t where t.deployment_id = p_step.deployment_id and t.step = p_step.ordinal and t.rows_at is not null) then
    raise exception using errcode = 'WF086';
  end if;
  perform weft._note_had_anew(p_step.deployment_id, p_phase.ordinal, true)
  from weft._statements as t where t.deployment_id = p_step.deployment_id and t.step = p_step.ordinal and t.statement ~* '\mdrop\M' limit 1;
  if given is not null then
    perform set_config('weft.values', given::text, false);
  end if;
  session := weft._session_before(p_phase, p_step.ordinal, p_start_path);
  perform weft._restore_role(session);
  perform pg_catalog.set_config(g.key, g.value, false) from pg_catalog.jsonb_each_text(session operator(pg_catalog.->) 'settings') as g;
  reset session authorization;
  reset role;
end
$$;

comment on function weft._enter_rehearsed_file(weft._phases, weft._steps, jsonb, text, jsonb) is
  'Lays out the statements of a file that is rehearsed, and gives the session its settings; WF086 if there are rows among them, which are read in another way.';


-- If the server has refused the statement in a transaction (p_refusal), it runs in a form that is allowed, which may be several statements. p_row: with the
-- rows of a COPY. A savepoint is set if the server may refuse the statement, or may lack something that was left out before.
create or replace function weft._rehearse_statement(
    p_phase weft._phases, p_step weft._steps, p_row weft._statements, p_values jsonb, p_refusal jsonb, inout p_session jsonb, inout p_inside jsonb, inout p_is_behind boolean,
    inout p_known jsonb, inout p_held jsonb, out entries jsonb[], out row_count bigint)
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  c_commits     constant boolean := p_phase.transaction = 'none' or p_step.is_apart;  -- the deployment would commit after the statement
  v_statement   text := weft._without_rows(p_row);
  v_as_run      text := case when p_values is null then v_statement else weft._interpolate(v_statement, p_values, weft._mark(p_values)) end;
  v_text        text := (select e.executables[1] from weft._make_executable(array[v_statement], p_values) as e);
  v_is_guarded  boolean := p_refusal is null and p_row.rows_at is null and (p_is_behind or p_phase.transaction in ('auto', 'none') and weft._may_be_refused(v_statement));
  v_note        jsonb;  -- about a statement that is rehearsed in another form, or not at all
  v_is_last     boolean := true;
  v_try         integer := 0;
  v_rows        bigint;
  v_started     timestamptz;
  v_state       text;
  v_message     text;
  v_entry       jsonb;
begin
  entries := '{}';
  row_count := 0;
  loop
    v_rows := 0;
    v_state := null;
    v_try := v_try + 1;
    if p_refusal is not null then
      select c.form, c.is_last, c.note into v_text, v_is_last, v_note from weft._choose_form(p_step, v_as_run, p_refusal, p_session, v_try) as c;
    end if;
    v_started := clock_timestamp();
    if v_text is not null then
      if v_is_guarded and v_note is null then
        begin
          select r.p_outside, r.p_inside, r.row_count into p_session, p_inside, v_rows from weft._run_inside(v_text, p_session, p_inside) as r;
        exception when active_sql_transaction or invalid_transaction_termination or unsafe_new_enum_value_usage then
          get stacked diagnostics v_state = returned_sqlstate, v_message = message_text;
        when undefined_table or undefined_column or undefined_object or undefined_function or invalid_schema_name then
          if not p_is_behind then
            raise;
          end if;
          get stacked diagnostics v_state = returned_sqlstate, v_message = message_text;
          p_refusal := jsonb_build_object('behind', true);
        end;
      elsif p_row.rows_at is not null then
        v_rows := weft._copy_rows(p_row, v_text, p_session ->> 'authorization', p_inside);
      else
        select r.p_outside, r.p_inside, r.row_count into p_session, p_inside, v_rows from weft._run_inside(v_text, p_session, p_inside) as r;
      end if;
      if current_setting('transaction_read_only') = 'on' then
        raise exception using errcode = 'WF014';
      end if;
      if c_commits then
        select r.p_outside, r.p_inside into p_session, p_inside from weft._run_inside('set constraints all immediate', p_session, p_inside) as r;
        perform weft._reset_constraints();
      end if;
      if v_state is not null then
        p_refusal := coalesce(p_refusal, '{}') || jsonb_build_object('sqlstate', v_state, 'message', v_message);
        continue;
      end if;
    end if;
    row_count := row_count + coalesce(v_rows, 0);
    select m.entry, m.known, m.held into v_entry, p_known, p_held
    from weft._measure_entry(p_known, p_held, jsonb_strip_nulls(jsonb_build_object(
      'number', p_row.number, 'line', weft._first_line(v_statement, p_row.line), 'statement', left(weft._skip_comments(v_statement), weft._limit('statement_shown_characters')),
      'rows', case when v_text is not null then v_rows end, 'instead', v_note)), v_started) as m;
    entries := array_append(entries, v_entry);
    p_is_behind := p_is_behind or coalesce(v_note ->> 'why' in ('none', 'commit', 'work', 'behind'), false)
      and weft._skip_comments(v_statement) !~* '^(vacuum|cluster|reindex|alter\s+system)\M';  -- these make nothing that a later statement could lack
    exit when v_is_last;
  end loop;
end
$$;

comment on function weft._rehearse_statement(weft._phases, weft._steps, weft._statements, jsonb, jsonb, jsonb, jsonb, boolean, jsonb, jsonb) is
  'Runs a statement in a rehearsal, and measures it; returns the session that it leaves, and whether something was left out that others may lack.';
