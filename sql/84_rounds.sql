-- The rounds of a batch: each a transaction with its record.

-- Runs one round in the session of the file: how many rows, and the greatest cursor among them. It uses the comparison of the cursor's type, so it is a
-- DO block, which is compiled for what the statement returns. Its answer comes through a setting, because the file's role may call nothing of ours.
-- p_full: the number of rows that was asked for. If the greatest cursor occurs twice among so many rows, more rows with it may lie beyond the limit, and no
-- round would reach them. Null if the number of rows does not tell.
create or replace function weft._execute_round(p_phase weft._phases, p_path text, p_statement text, p_cursor text, p_full integer, out rows bigint, out cursor text)
  volatile
  language plpgsql
as $$
declare
  c_loop constant pg_catalog.text := pg_catalog.replace($do$
do $weft_round$
declare
  v_row   pg_catalog.record;
  v_best  pg_catalog.record;
  v_json  pg_catalog.jsonb;
  v_seen  pg_catalog.int8 := 0;
  v_rows  pg_catalog.int8 := 0;
  v_is_shared   pg_catalog.bool := false;
  v_has_rows    pg_catalog.bool := false;
  v_has_cursor  pg_catalog.bool := false;
  v_type  pg_catalog.text;
  v_set   pg_catalog.text;
begin
  for v_row in execute %L loop
    v_seen := v_seen operator(pg_catalog.+) 1;
    if v_seen operator(pg_catalog.=) 1 then
      v_best := v_row;
      begin
        v_has_cursor := pg_catalog.pg_typeof(v_row.cursor) is not null;
      exception when undefined_column then null;
      end;
      begin
        v_has_rows := pg_catalog.pg_typeof(v_row.rows) is not null;
      exception when undefined_column then null;
      end;
    end if;
    if v_has_rows then
      v_rows := v_rows operator(pg_catalog.+) case when v_row.rows is null then 0 else pg_catalog.concat(v_row.rows)::pg_catalog.int8 end;
    else
      v_rows := v_rows operator(pg_catalog.+) 1;
    end if;
    exit when not v_has_cursor;
    if v_seen operator(pg_catalog.>) 1 then
      if array[v_row.cursor] operator(pg_catalog.>) array[v_best.cursor] then  -- so the type itself says how it is ordered, and no operator of anybody's
        v_best := v_row;
        v_is_shared := false;
      elsif not v_is_shared then
        v_is_shared := array[v_row.cursor] operator(pg_catalog.=) array[v_best.cursor];
      end if;
    end if;
  end loop;
  if v_has_cursor then
    if v_seen operator(pg_catalog.>) 1 then
      v_type := pg_catalog.pg_typeof(v_best.cursor)::pg_catalog.oid::pg_catalog.text;
    end if;
    v_set := pg_catalog.set_config('extra_float_digits', '1', true);  -- all digits: behind a rounded one rows are touched twice, or passed by
    if not v_best.cursor is null then
      if {is_plain} then
        v_json := pg_catalog.to_jsonb(v_best.cursor);
      end if;
      if v_json is null or pg_catalog.jsonb_typeof(v_json) operator(pg_catalog.=) any ('{object,array}'::pg_catalog.text[]) then
        -- of several columns, or of a type that somebody has made: as the type writes it, for a cast to JSON would be somebody's code
        v_json := pg_catalog.to_jsonb(pg_catalog.concat(v_best.cursor));
      end if;
    end if;
  end if;
  v_set := pg_catalog.set_config('weft.round', pg_catalog.jsonb_build_object('rows', v_rows, 'cursor', v_json, 'type', v_type, 'is_shared', v_is_shared and v_seen operator(pg_catalog.=) v_rows)::pg_catalog.text, true);
end $weft_round$
$do$, '{is_plain}', weft._write_is_plain('v_best.cursor'));
  v_set     pg_catalog.text := weft._enter_file(p_phase, p_path);
  v_answer  pg_catalog.jsonb;
begin
  -- from here to the end of the statement the session is the file's
  v_set := pg_catalog.set_config('search_path', v_set, false);
  if p_cursor is null then
    execute p_statement;
    get diagnostics rows = row_count;
  else
    execute pg_catalog.format(c_loop, p_statement);
  end if;
  set constraints all immediate;
  v_set := pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', false);
  v_set := pg_catalog.set_config('client_min_messages', 'error', false);
  reset session authorization;
  reset role;
  if current_setting('transaction_read_only') = 'on' then
    raise exception using errcode = 'WF014';
  end if;
  if p_cursor is null then
    return;
  end if;
  v_answer := current_setting('weft.round');
  rows := (v_answer ->> 'rows')::bigint;
  if rows = 0 then
    return;
  end if;
  cursor := v_answer ->> 'cursor';
  if coalesce(jsonb_typeof(v_answer -> 'cursor'), 'null') not in ('string', 'number') then
    raise exception 'The round has touched rows, and no cursor came back with them: a column called "cursor" with one value, not null.'
      using errcode = 'WF052', column = 'cursor', hint = 'End the statement with: returning id as cursor';
  elsif (v_answer ->> 'type')::oid = 'record'::regtype then
    raise exception 'The cursor is a row without a type, so that nothing could read it again.'
      using errcode = 'WF052', column = 'cursor', hint = 'Give it one: create type shop.place as (a int, b int), in a file before; returning row(a, b)::shop.place as cursor; and where row(a, b)::shop.place > :''cursor''::shop.place order by a, b';
  elsif exists (
      select from pg_type as t where t.oid = (v_answer ->> 'type')::oid and (t.typcollation <> 0 or exists (
        select from pg_attribute as a join pg_type as p on p.oid = a.atttypid
        where a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped and (a.attcollation <> 0 or p.typtype in ('c', 'd'))))) then
    raise exception 'Which of several texts is the greatest depends on a collation that the rows do not bring along.'
      using errcode = 'WF052', column = 'cursor', hint = 'Let the statement return one row: with found as (select slug from t where slug > :''cursor'' order by slug limit :size), done as (update t ... from found ...) select max(slug) as cursor, count(*) as rows from found';
  elsif cursor = p_cursor then
    raise exception 'The round has touched rows, and the cursor has stayed where it was: the next one would touch the same again.'
      using errcode = 'WF052', column = 'cursor', hint = 'Take the rows in the order of the cursor: where id > :''cursor'' order by id limit :size';
  elsif rows = p_full and (v_answer ->> 'is_shared')::boolean then
    raise exception 'The round has touched as many rows as it may, and several of them have the greatest cursor: whether there are more of those nobody knows, and the next round begins behind them.'
      using errcode = 'WF052', column = 'cursor',
        hint = 'Let the cursor tell rows apart: order by id ... returning id as cursor. Or limit by its values, and return one row: with found as (select distinct k from t where k > :''cursor'' order by k limit :size), done as (update t ... from found ...) select max(k) as cursor, count(*) as rows from found';
  end if;
end
$$;

comment on function weft._execute_round(weft._phases, text, text, text, integer) is 'Runs the statement of a round; tells how many rows it has touched and how far the cursor has come.';


create or replace function weft._keep_batch(p_batch weft._batches)
  returns void
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
begin
  delete from weft._batches as b where b.deployment_id = p_batch.deployment_id and b.step = p_batch.step;
  insert into weft._batches select p_batch.*;
end
$$;

comment on function weft._keep_batch(weft._batches) is 'Stores how far a batch is.';


create or replace function weft._end_batch(p_phase weft._phases, p_batch weft._batches)
  returns void
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
begin
  perform weft._keep_batch(p_batch);
  perform weft._record_steps(p_phase, array[row(p_batch.step, true, 1, p_batch.rows, p_batch.started_at, clock_timestamp(), array[p_batch.line],
    array[sha256(convert_to(p_batch.statement, 'UTF8'))],
    jsonb_build_object('rounds', p_batch.rounds, 'size', p_batch.size, 'worked_ms', round(p_batch.worked_ms), 'paused_ms', round(p_batch.paused_ms)) || jsonb_strip_nulls(jsonb_build_object('table', p_batch.table_name)))::weft._step_record]);
end
$$;

comment on function weft._end_batch(weft._phases, weft._batches) is 'Records a batch that has no rows left to touch.';


-- The place in a file that keeps its statement from being a batch: the cursor that it uses, or what it returns; of several statements the second.
create or replace function weft._find_batch_place(p_step weft._steps, p_state text)
  returns jsonb
  stable
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_file   record;
  v_which  integer;
  v_text   text;
  v_line   integer;
  v_at     integer;
begin
  select f.statements, f.lines into v_file from weft._split_file(p_step.deployment_id, p_step.path) as f;
  v_which := least(cardinality(v_file.statements), 2);
  if coalesce(v_which, 0) = 0 then
    return jsonb_build_object('line', 1);
  end if;
  v_text := weft._skip_comments(v_file.statements[v_which]);
  v_line := weft._first_line(v_file.statements[v_which], v_file.lines[v_which]);
  if p_state = 'WF052' then
    v_at := (select max(t.at) from weft._read_tokens(v_text) as t where lower(t.token collate "C") = 'returning');
  elsif v_which = 1 and weft._says_cursor(v_text) then
    v_at := (select min(t.at) from weft._read_tokens(v_text) as t where t.token in ('cursor', '''cursor''', '"cursor"') and substr(concat(' ', v_text), t.at - 1, 2) ~ '[^:]:') - 1;
  end if;
  return weft._describe_place(v_text, v_line, coalesce(v_at, 1), v_at is not null)
    || jsonb_build_object('statement', left(v_text, weft._limit('statement_shown_characters')));
end
$$;

comment on function weft._find_batch_place(weft._steps, text) is 'Tells the place in a file for which its statement cannot be run as a batch.';


-- The next round of a batch, in one transaction with its record. Returns round if there is more to do, with the pause before that. A rehearsal runs
-- one round, in its single transaction, after which the step counts as done.
create or replace function weft._run_round(p_phase weft._phases, p_step integer, p_fence bigint, p_is_rehearsal boolean default false)
  returns weft._outcome
  volatile
  language plpgsql
as $$
declare
  v_step       weft._steps;
  v_batch      weft._batches;
  v_kept       weft._batches;     -- its state at the last commit
  v_steps      pg_catalog.int4;
  v_condition  pg_catalog.text;   -- that is being evaluated
  v_is_entering  pg_catalog.bool := false;
  v_is_admitted  pg_catalog.bool := false;
  v_path       pg_catalog.text;
  v_budget_ms  pg_catalog.int4 := weft._lock_budget_ms(p_phase, 'data');
  v_set        pg_catalog.text;
  v_statement  pg_catalog.text;
  v_started    pg_catalog.timestamptz;
  v_written    pg_catalog.record;
  v_rows       pg_catalog.int8;
  v_cursor     pg_catalog.text;
  v_ms         pg_catalog.numeric;
  v_others     pg_catalog.jsonb;  -- those who wait, or the standby that lags
  v_pause_ms   pg_catalog.int4;
  v_error      pg_catalog.jsonb;
  v_caught     weft._caught;
begin
  perform weft._check_fence(p_fence);
  select s.* into strict v_step from weft._steps as s where s.deployment_id = p_phase.deployment_id and s.ordinal = p_step;
  select b.* into v_batch from weft._batches as b where b.deployment_id = p_phase.deployment_id and b.step = p_step;
  if exists (select from weft._cancellations as c where c.deployment_id = p_phase.deployment_id) then
    return row('interrupted', v_step.path, null)::weft._outcome;
  end if;
  v_steps := (select count(*) from weft._steps as s where s.deployment_id = p_phase.deployment_id);
  v_pause_ms := coalesce((v_step.options ->> 'pause_ms')::integer, 0);
  if v_batch.rounds > 0 then
    v_others := weft._find_lagging(coalesce((v_step.options ->> 'max_lag_ms')::integer, weft._limit('batch_max_lag_ms_default')));
    if v_others is not null and (v_batch.lag_since is null or v_batch.lag_since > clock_timestamp() - make_interval(secs => weft._limit('batch_lag_wait_ms_max') / 1000.0)) then
      v_batch.lag_since := coalesce(v_batch.lag_since, clock_timestamp());
      v_batch.paused_ms := v_batch.paused_ms + 1000;
      perform weft._keep_batch(weft._throttle(v_batch, p_phase.name, v_step.path, v_others || '{"why": "a standby lags"}'));
      return row('round', v_step.path, '{"pause_ms": 1000}')::weft._outcome;
    end if;
  end if;

  begin
    if not p_is_rehearsal then
      perform pg_advisory_unlock_all();
    end if;
    v_path := weft._reset_session();
    perform weft._show_progress(p_step, v_steps, p_phase.name), set_config('lock_timeout', v_budget_ms::text, false);
    if v_batch.is_begun is not true then
      if p_phase.condition is not null then
        v_condition := p_phase.condition;
        if not weft._is_phase_wanted(p_phase, v_path) then
          perform weft._leave_out_phase(p_phase);
          perform weft._check_fence(p_fence, p_until_commit => true);
          return row('done', null, null)::weft._outcome;
        end if;
      end if;
      if v_step.condition is not null then
        v_condition := v_step.condition;
        perform set_config('lock_timeout', v_budget_ms::text, false);
        if not weft._evaluate(v_step.condition, v_path, p_phase.parameters) then
          perform weft._record_steps(p_phase, array[row(p_step, false, null, null, clock_timestamp(), clock_timestamp(), '{}', '{}', null)::weft._step_record]);
          perform weft._check_fence(p_fence, p_until_commit => true);
          return row('done', null, null)::weft._outcome;
        end if;
        update weft._steps as s set is_wanted = true where s.deployment_id = p_phase.deployment_id and s.ordinal = p_step;
      end if;
      v_condition := null;
      v_is_admitted := p_phase.parameters is not null and weft._admit_role(p_phase.role);
      if v_batch.step is null then
        v_batch := weft._new_batch(v_step);
      end if;
      v_batch := weft._take_over(v_batch, v_step, p_phase.name);
      v_is_entering := true;
      v_set := weft._enter_file(p_phase, v_path);
      reset session authorization;
      reset role;
      v_is_entering := false;
      v_path := weft._reset_session();
      perform weft._show_progress(p_step, v_steps, p_phase.name), set_config('lock_timeout', v_budget_ms::text, false);
      v_statement := weft._write_round(p_phase, v_batch);
      v_written := weft._find_written(p_phase, v_path, v_statement);
      v_batch.table_name := v_written.table_name;
      v_batch.table_rows := case when not v_written.is_growing then weft._estimate_rows(v_batch.table_name) end;
      perform weft._tell(p_phase.deployment_id, 'batch_started', p_phase.name, v_step.path, jsonb_build_object('step', p_step, 'size', v_batch.size, 'table', v_batch.table_name, 'table_rows', v_batch.table_rows));
    end if;

    v_is_admitted := v_is_admitted or p_phase.parameters is not null and weft._admit_role(p_phase.role);
    v_statement := weft._write_round(p_phase, v_batch);
    v_started := clock_timestamp();
    select r.rows, r.cursor into v_rows, v_cursor from weft._execute_round(p_phase, v_path, v_statement, v_batch.cursor, case when v_batch.is_uneven is not true then v_batch.size end) as r;
    v_ms := extract(epoch from clock_timestamp() - v_started) * 1000;
    if not p_is_rehearsal then
      perform pg_advisory_unlock_all();
      v_others := weft._list_waiting();
    end if;
    v_path := weft._reset_session();
    v_statement := null;
    if v_is_admitted then
      perform weft._dismiss_role(p_phase.role);
    end if;

    if v_rows = 0 then
      v_condition := v_step.done_when;
      if v_condition is not null and not weft._evaluate(v_condition, v_path, p_phase.parameters) then
        v_batch.sweeps := v_batch.sweeps + 1;
        if v_batch.sweeps >= weft._limit('batch_sweeps_count') then
          v_condition := null;
          raise exception 'No row is touched any more, and its done_when is not true: %', v_step.done_when
            using errcode = 'WF054', detail = format('It was tried %s times (batch_sweeps_count).', v_batch.sweeps),
              hint = 'Are rows locked all the time that the statement skips? Else the statement and the done_when do not mean the same rows.';
        end if;
        v_batch.cursor := v_batch.start_cursor;
        v_batch.is_uneven := false;
        v_pause_ms := least(weft._limit('lock_wait_between_ms') * 2 ^ v_batch.sweeps, weft._limit('lock_wait_between_ms_max'));
        perform weft._keep_batch(v_batch);
        perform weft._check_fence(p_fence, p_until_commit => true);
        return row('round', v_step.path, jsonb_build_object('pause_ms', v_pause_ms))::weft._outcome;
      end if;
      v_condition := null;
      perform weft._check_dependents();
      perform weft._end_batch(p_phase, v_batch);
      perform weft._check_fence(p_fence, p_until_commit => true);
      return row('done', null, null)::weft._outcome;
    end if;

    if p_is_rehearsal then
      v_batch.rounds := 1;
      v_batch.rows := v_rows;
      perform weft._end_batch(p_phase, v_batch);
      return row('done', null, null)::weft._outcome;
    end if;
    v_batch.rounds := v_batch.rounds + 1;
    v_batch.rows := v_batch.rows + v_rows;
    v_batch.sweeps := 0;
    v_batch.cursor := v_cursor;
    v_batch.is_uneven := v_batch.is_uneven or v_rows <> v_batch.size;
    perform weft._check_progress(v_batch, (v_step.options ->> 'max_rounds')::integer);
    v_batch.size := weft._next_size(v_batch.size, v_rows, v_ms, coalesce((v_step.options ->> 'size')::integer, weft._limit('batch_size_default')), (v_step.options ->> 'target_ms')::integer, v_others is not null);
    v_batch := weft._throttle(v_batch, p_phase.name, v_step.path, case when v_others is not null then jsonb_build_object('why', 'others wait', 'waiting', v_others) end);
    v_pause_ms := case when v_others is null then v_pause_ms else greatest(v_pause_ms, v_ms, weft._limit('batch_yield_ms')) end;
    v_batch.lag_since := null;
    v_batch.last_rows := v_rows;
    v_batch.last_ms := v_ms;
    v_batch.last_round_at := clock_timestamp();
    v_batch.worked_ms := v_batch.worked_ms + v_ms;
    v_batch.paused_ms := v_batch.paused_ms + v_pause_ms;
    perform weft._keep_batch(v_batch);
    perform weft._check_fence(p_fence, p_until_commit => true);
    return row('round', v_step.path, jsonb_build_object('pause_ms', v_pause_ms))::weft._outcome;

  exception when others or query_canceled or assert_failure then
    get stacked diagnostics
      v_caught.state = returned_sqlstate, v_caught.message = message_text, v_caught.detail = pg_exception_detail, v_caught.hint = pg_exception_hint,
      v_caught.context = pg_exception_context, v_caught.schema_name = schema_name, v_caught.table_name = table_name, v_caught.column_name = column_name,
      v_caught.constraint_name = constraint_name, v_caught.datatype_name = pg_datatype_name;
    perform pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', false), pg_catalog.set_config('client_min_messages', 'error', false);
    if not p_is_rehearsal then
      perform pg_advisory_unlock_all();  -- no rollback releases them
    end if;
  end;

  -- the round is rolled back; what follows is the account of it
  v_caught.context := regexp_replace(v_caught.context, 'PL/pgSQL function inline_code_block line \d+ at [^\n]*\nSQL statement "\s*do \$weft_round\$.*$', 'PL/pgSQL function weft._execute_round');
  v_error := weft._scrub(
    weft._account_of_error(v_caught), p_phase.secrets);
  if v_caught.state in ('WF051', 'WF052') then
    v_error := v_error || weft._find_batch_place(v_step, v_caught.state);
  end if;
  if v_caught.state = 'WF012' then
    raise exception using errcode = v_caught.state, message = v_caught.message, hint = v_caught.hint;
  elsif weft._is_interruption(v_caught.state, v_caught.context) then
    return row('interrupted', v_step.path, v_error)::weft._outcome;
  end if;
  select b.* into v_kept from weft._batches as b where b.deployment_id = p_phase.deployment_id and b.step = p_step;
  v_error := weft._add_blockers(v_error, coalesce(v_condition, v_statement), v_budget_ms);
  if v_condition is not null and v_condition is distinct from v_step.done_when then
    v_error := weft._describe_condition_error(v_error, p_phase.name, v_step.path, v_condition);
  elsif v_is_entering then
    v_error := weft._describe_entry_error(v_error, p_phase, v_step.path);
  else
    if v_condition is not null then
      v_error := v_error || jsonb_build_object('message', format('done_when cannot be evaluated: %s', v_error ->> 'message'));
    elsif weft._is_refused_in_transaction(v_error) then
      v_error := v_error || '{"hint": "A batch runs each round in a transaction of its own, and PostgreSQL runs this statement in none. Run its file as a step (run)."}';
    end if;
    v_error := weft._describe_error(v_error, p_phase.name, v_step.path, weft._first_line(v_batch.statement, v_batch.line), coalesce(v_condition, v_batch.statement),
      coalesce(p_phase.parameters, '{}') || jsonb_build_object('size', v_batch.size, 'cursor', v_batch.cursor), v_path);
  end if;
  v_error := weft._describe_round_error(v_error, v_kept, v_batch, v_condition is null and not v_is_entering and v_caught.state not like 'WF0%' and not weft._may_pass(v_caught.state, v_caught.message), v_step.options);
  if not weft._may_pass(v_caught.state, v_caught.message) then
    return row('failed', v_step.path, v_error)::weft._outcome;
  end if;
  v_kept := case when v_kept.step is null and v_batch.step is not null then weft._new_batch(v_step) else v_kept end;  -- taking over an earlier batch was rolled back, too
  v_kept.size := greatest(1, v_batch.size / 2);
  if v_kept.step is not null then
    perform weft._keep_batch(v_kept);
  end if;
  return row('again', v_step.path, v_error)::weft._outcome;
end
$$;

comment on function weft._run_round(weft._phases, integer, bigint, boolean) is
  'Runs the next round of a batch and records it, in one transaction: round with a pause if there may be more, done if it has touched no row.';
