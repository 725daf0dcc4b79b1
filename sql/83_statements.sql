-- A step that runs statement by statement: each in a transaction of its own, and at top level what the server runs in none.

-- One statement, or a block of them, in a transaction of its own, with the record of it.
create or replace function weft._run_statement(p_statement weft._statements, p_before jsonb, p_phase weft._phases, p_path text, p_fence bigint)
  returns weft._outcome
  volatile
  language plpgsql
as $$
declare
  v_block       weft._statements[] := weft._list_block(p_statement);
  v_heads       pg_catalog.text[] := array(select weft._without_rows(b) from unnest(v_block) as b order by b.number);
  v_texts       pg_catalog.text[];
  v_text        pg_catalog.text;
  v_index       pg_catalog.int4 := 0;
  v_counts      pg_catalog.int8[] := '{}';
  v_set         pg_catalog.text;
  v_outside     pg_catalog.jsonb := p_before;  -- settings that the session keeps
  v_inside      pg_catalog.jsonb := p_before;  -- settings that last until the commit
  v_session     pg_catalog.jsonb;
  v_reader      weft._reader;  -- of the rows of a COPY
  v_rows        pg_catalog.int8;
  v_changes     pg_catalog.int8;
  v_admitted    pg_catalog.text;  -- the role that was admitted to schema weft
  v_budget_ms   pg_catalog.int4 := p_phase.lock_timeout_ms;
  v_error       pg_catalog.jsonb;
  v_caught      weft._caught;
begin
  v_texts := (select e.executables from weft._make_executable(v_heads, p_phase.parameters) as e);
  begin
    perform weft._check_fence(p_fence);
    v_changes := weft._count_dependency_changes();
    if p_phase.lock_timeouts is not null then
      v_budget_ms := weft._lock_budget_ms(p_phase, weft._name_lock_kind(v_heads[1]));
      if not p_before -> 'settings' ? 'lock_timeout' then  -- otherwise the file has set its own
        v_set := pg_catalog.set_config('lock_timeout', v_budget_ms::text, false);
      end if;
    end if;
    if p_phase.parameters is not null then
      v_admitted := case when weft._admit_role(p_before ->> 'role') then p_before ->> 'role' end;
    end if;
    foreach v_text in array v_texts loop
      v_index := v_index + 1;
      if v_block[v_index].rows_at is null then
        select r.p_outside, r.p_inside, r.row_count into v_outside, v_inside, v_rows from weft._run_inside(v_text, v_outside, v_inside) as r;
      else
        v_rows := 0;
        v_reader := weft._begin_copy(weft._open_rows(v_block[v_index], v_text), v_outside ->> 'authorization', v_inside ->> 'role', v_inside ->> 'search_path');
        while not v_reader.rows_are_over loop
          v_reader := weft._read_rows(v_reader);
          v_rows := v_rows + weft._insert_rows(v_reader, v_outside ->> 'authorization', v_inside ->> 'role', v_inside ->> 'search_path');
        end loop;
        v_reader.rows := null;
      end if;
      v_counts := array_append(v_counts, v_rows);
    end loop;
    if current_setting('transaction_read_only') = 'on' or current_setting('default_transaction_read_only') = 'on' then
      raise exception using errcode = 'WF014';
    end if;
    v_index := null;
    select r.p_outside, r.p_inside into v_outside, v_inside from weft._run_inside('set constraints all immediate', v_outside, v_inside) as r;
    perform weft._settle_settings();
    if v_admitted is not null then
      perform weft._dismiss_role(v_admitted);
    end if;
    if pg_current_xact_id_if_assigned() is not null then
      perform weft._check_dependents(v_changes);
    end if;
    v_session := weft._forget_settings(weft._capture_session(p_before, array_to_string(v_heads, ';'), v_outside, v_budget_ms), p_before, weft._list_local_settings(v_heads));
    if v_session -> 'settings' <> p_before -> 'settings' then
      v_session := v_session || jsonb_build_object('unsettled', v_budget_ms);
    end if;
    update weft._statements as s
    set state = 'done', rows = v_counts[s.number - p_statement.number + 1], finished_at = clock_timestamp(), verdict = 'ran', attempts = s.attempts + 1,
        session = weft._veil(v_session, p_phase.secrets)
    where s.deployment_id = p_statement.deployment_id and s.step = p_statement.step and s.number between p_statement.number and p_statement.number + cardinality(v_block) - 1;
    perform weft._check_fence(p_fence, p_until_commit => true);
    return row('done', null, null)::weft._outcome;

  exception when others or query_canceled or assert_failure then
    get stacked diagnostics
      v_caught.state = returned_sqlstate, v_caught.message = message_text, v_caught.detail = pg_exception_detail, v_caught.hint = pg_exception_hint,
      v_caught.context = pg_exception_context, v_caught.schema_name = schema_name, v_caught.table_name = table_name, v_caught.column_name = column_name,
      v_caught.constraint_name = constraint_name, v_caught.datatype_name = pg_datatype_name;
    perform pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', false), pg_catalog.set_config('client_min_messages', 'error', false);
  end;
  if weft._is_taken_apart(v_caught, v_heads) then
    v_caught := weft._describe_taken_apart(v_caught);
  end if;
  v_error := weft._scrub(
    weft._account_of_error(v_caught), p_phase.secrets);
  if v_caught.state = 'WF012' then
    raise exception using errcode = v_caught.state, message = v_caught.message, hint = v_caught.hint;
  elsif weft._is_interruption(v_caught.state, v_caught.context) then
    return row('interrupted', p_path, v_error)::weft._outcome;
  elsif weft._is_refused_in_transaction(v_error) and p_statement.block is null then
    return row('directive', p_path, v_error)::weft._outcome;
  elsif weft._is_refused_in_transaction(v_error) then
    v_error := v_error || '{"hint": "It stands between BEGIN and COMMIT, and PostgreSQL runs it in no transaction. Move it in front of BEGIN, or behind COMMIT."}';
  end if;
  if v_block[v_index].rows_at is not null then
    v_error := weft._show_row(case when v_reader.rows is null then v_error else weft._explain_rows(v_reader, v_error, v_inside ->> 'search_path') end, p_statement.deployment_id, p_statement.step,
      (select a.chunks from weft._artifacts as a where a.deployment_id = p_statement.deployment_id and a.path = p_path),
      weft._first_line(v_heads[v_index], v_block[v_index].line), coalesce(v_reader.copy ->> 'delimiter', E'\t'), v_reader.columns, p_phase.secrets);
  end if;
  if p_statement.block is not null then
    v_error := v_error || jsonb_build_object('detail', concat_ws(' ', v_error ->> 'detail', 'What stands between the same BEGIN and COMMIT is rolled back with it.'));
    p_statement := v_block[greatest(1, coalesce(v_index, cardinality(v_block)))];
  end if;
  p_statement.statement := weft._without_rows(p_statement);
  return row(
    case when weft._may_pass(v_caught.state, v_caught.message) then 'again' else 'failed' end, p_path,
    weft._describe_error(weft._add_blockers(v_error, p_statement.statement, v_budget_ms), p_phase.name, p_path, weft._first_line(p_statement.statement, p_statement.line), p_statement.statement, p_phase.parameters, v_inside ->> 'search_path'))::weft._outcome;
end
$$;

comment on function weft._run_statement(weft._statements, jsonb, weft._phases, text, bigint) is
  'Runs one statement of a step and records it, in one transaction: done, or directive if the server runs it in no transaction.';


-- The next move of a step that runs apart: run a statement, hand one out, look what became of it, or end the step.
create or replace function weft._advance_step(p_phase weft._phases, p_step integer, p_before jsonb, p_fence bigint, p_is_reported boolean, p_report jsonb, p_is_owed boolean)
  returns weft._outcome
  volatile
  language plpgsql
as $$
declare
  v_step       weft._steps;
  v_next       weft._statements;
  v_outcome    weft._outcome;
  v_canceled   weft._cancellations;
  v_error      pg_catalog.jsonb;
  v_line       pg_catalog.int4;
  v_text       pg_catalog.text;
  v_set        pg_catalog.text;
  e_state      pg_catalog.text;
  e_message    pg_catalog.text;
begin
  if p_phase.parameters is not null then
    v_set := set_config('weft.values', p_phase.parameters::text, false);
    p_report := weft._scrub(p_report, p_phase.secrets);
  end if;
  perform weft._check_fence(p_fence);  -- the lock is not held until the commit, so whoever cancels, or calls second, need not wait for a statement
  select s.* into strict v_step from weft._steps as s where s.deployment_id = p_phase.deployment_id and s.ordinal = p_step;
  select t.* into v_next from weft._statements as t
  where t.deployment_id = p_phase.deployment_id and t.step = p_step and t.state <> 'done' order by t.number limit 1;
  if not found then
    perform weft._end_step(p_phase, v_step);
    perform pg_advisory_unlock_all();
    perform weft._reset_session();
    return row('done', null, null)::weft._outcome;
  end if;

  v_next.judge := weft._unveil(v_next.judge, p_phase.secrets);
  select c.* into v_canceled from weft._cancellations as c where c.deployment_id = p_phase.deployment_id;
  if found and v_next.state = 'pending' then
    return row('interrupted', v_step.path, null)::weft._outcome;
  end if;
  if v_next.state = 'pending' and v_next.judge is null then
    v_outcome := weft._run_statement(v_next, p_before, p_phase, v_step.path, p_fence);
    if v_outcome.verdict <> 'directive' then
      return v_outcome;
    end if;
    v_error := v_outcome.error;
    begin
      v_text := weft._interpolate(v_next.statement, p_phase.parameters, weft._mark(p_phase.parameters));
      v_next.judge := weft._find_judge(v_text, p_before);
    exception when lock_not_available or deadlock_detected then
      get stacked diagnostics e_state = returned_sqlstate, e_message = message_text;
      return row('again', v_step.path, weft._describe_error(jsonb_build_object('sqlstate', e_state, 'message', e_message),
        p_phase.name, v_step.path, weft._first_line(v_next.statement, v_next.line), v_next.statement))::weft._outcome;
    end;
    if v_next.judge is null and v_step.done_when is not null then
      v_next.judge := jsonb_build_object('kind', 'expression', 'expression', v_step.done_when);
      select weft._first_line(t.statement, t.line) into v_line
      from weft._statements as t
      where t.deployment_id = p_phase.deployment_id and t.step = p_step and t.number < v_next.number and t.judge ->> 'kind' = 'expression';
      if found then
        v_next.judge := null;
        v_error := v_error || jsonb_build_object('hint', format('The done_when of the step tells already of the statement in line %s. Put this one into a file of its own.', v_line));
      end if;
    elsif v_next.judge is null then
      v_error := v_error || jsonb_build_object('hint', 'PostgreSQL runs this statement in no transaction, and no catalog tells when it is done. Give the step a done_when in weft.yaml: an expression that is true once it is.');
    end if;
    if v_next.judge is null then
      return row('failed', v_step.path, weft._describe_error(v_error, p_phase.name, v_step.path, weft._first_line(v_next.statement, v_next.line), v_next.statement))::weft._outcome;
    end if;
  elsif v_next.judge ? 'is_numbered_elsewhere' then
    v_next.judge := weft._find_judge_anew(v_next.judge, weft._interpolate(v_next.statement, p_phase.parameters, weft._mark(p_phase.parameters)), p_before);
  end if;
  return weft._pursue(v_next, v_step.path, p_phase, p_before, p_is_reported, p_report, p_is_owed, v_canceled);
end
$$;

comment on function weft._advance_step(weft._phases, integer, jsonb, bigint, boolean, jsonb, boolean) is
  'Makes the next move of a step that runs statement by statement, and records it.';


-- The step may have taken hours while others were working: only objects that its statements name belong to the file, and those that they replace, if only one has that name.
create or replace function weft._note_made_apart(p_step weft._steps)
  returns jsonb
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select jsonb_build_object('made', m.made)
  from (
    select weft._merge_made(jsonb_agg(o.value), (
             select weft._list_claimed(array_agg(weft._name_created(weft._flatten(h.head))))
             from weft._statements as t cross join lateral (select left(weft._skip_comments(t.statement), 1000) as head offset 0) as h
             where t.deployment_id = p_step.deployment_id and t.step = p_step.ordinal and h.head ~* '^create\s+or\s+replace\M')) as made
    from jsonb_array_elements(weft._note_made(p_step.deployment_id, p_step.ordinal, array(select k.value::bigint from jsonb_array_elements_text(p_step.options -> 'mark') with ordinality as k order by k.ordinality), null)) as o
    cross join lateral (select lower(case when o.value ->> 'kind' in ('trigger', 'policy') then o.value ->> 'name' else weft._bare_name(o.value ->> 'name') end collate "C") as bare) as b
    where exists (
      select from weft._statements as t
      where t.deployment_id = p_step.deployment_id and t.step = p_step.ordinal
        and weft._is_name_in(lower(t.statement collate "C"), b.bare))
  ) as m
  where p_step.options ? 'mark' and m.made is not null
$$;

comment on function weft._note_made_apart(weft._steps) is 'Lists what a repeatable file has made that ran statement by statement; null if that is nothing.';


-- The step has taken all the time since the previous one was over, including tries, pauses, and gaps between two sessions.
create or replace function weft._end_step(p_phase weft._phases, p_step weft._steps)
  returns void
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_lost     jsonb;
begin
  perform weft._record_steps(p_phase, array[(
    select row(p_step.ordinal, true, count(*), coalesce(sum(t.rows), 0)::bigint, greatest(p_phase.started_at, (
                 select max(e.finished_at) from weft._steps as e where e.deployment_id = p_phase.deployment_id and e.ordinal < p_step.ordinal)), clock_timestamp(),
               coalesce(array_agg(t.line order by t.number), '{}'), coalesce(array_agg(t.digest order by t.number), '{}'), weft._note_made_apart(p_step))::weft._step_record
    from weft._statements as t
    where t.deployment_id = p_phase.deployment_id and t.step = p_step.ordinal)]);
  if p_step.options ? 'mark' then
    update weft._steps as s set options = s.options - 'mark' where s.deployment_id = p_phase.deployment_id and s.ordinal = p_step.ordinal;
  end if;
  if p_step.had is not null then
    perform weft._give_back_apart(p_phase, p_step);
  end if;
  delete from weft._statements as t where t.deployment_id = p_phase.deployment_id and t.step = p_step.ordinal;
  if p_phase.has_repeatables then  -- what it has dropped of later files is made again in their place
    v_lost := (select jsonb_agg(jsonb_build_object('path', l.path, 'step', l.ordinal, 'missing', l.missing) order by l.ordinal) from weft._find_lost(p_phase) as l where l.ordinal > p_step.ordinal);
    if v_lost is not null then
      perform weft._call_back(p_phase, v_lost);
    end if;
  end if;
end
$$;

comment on function weft._end_step(weft._phases, weft._steps) is 'Records a step of which every statement is done.';
