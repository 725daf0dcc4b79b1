-- One block: the statements of one step or of several, and the record of them. Either all of it commits, or nothing.
--
-- While a file runs, the session is the file's: its search_path, its role, its settings. Between two statements the engine
-- touches no table, evaluates nothing that is not qualified, and keeps the wire silent. At the end of the file everything is
-- reset, so that nothing leaks into the next.

-- Runs the pending steps p_first to p_last of a deployment in one block.
--
-- There is one EXCEPTION block, whatever the number of steps: each is a subtransaction, and more than 64 that commit together
-- slow other sessions down. The variables outside of it keep the place of an error.
--
-- A step among several that may fail without failing them is a block within the block (p_is_within): this function calls itself for it.
-- p_is_last_try: a lock that cannot be had fails that step, instead of making the whole block try again. p_may_owe: its deferred checks may wait.
create or replace function weft._run_steps(
    p_deployment uuid, p_phase weft._phases, p_first integer, p_last integer, p_fence bigint, p_is_last_try boolean default false, p_is_within boolean default false,
    p_may_owe boolean default false)
  returns weft._outcome
  volatile
  language plpgsql
as $$
declare
  v_steps        pg_catalog.int4;
  v_scripts      weft._script[];
  v_script       weft._script;
  v_next         pg_catalog.int4 := p_first;
  v_path         pg_catalog.text;
  v_statement    pg_catalog.text;
  v_count        pg_catalog.int4;
  v_rows         pg_catalog.int8;
  v_changes      pg_catalog.int8;
  v_affected     pg_catalog.int8;
  v_reader       weft._reader;
  v_is_first     pg_catalog.bool;
  v_started      pg_catalog.timestamptz;
  v_look_at      pg_catalog.timestamptz;
  v_condition    pg_catalog.text;     -- that is being evaluated
  v_is_wanted    pg_catalog.bool;
  v_is_settled   pg_catalog.bool;     -- no check is left that was deferred before the step
  v_ended        pg_catalog.jsonb;    -- the session as a step has left it
  v_settle_at    pg_catalog.int4;     -- the last step that is not a check
  v_result       pg_catalog.jsonb;
  v_within       weft._outcome;
  v_mark         pg_catalog.int8[];
  v_values       pg_catalog.jsonb := p_phase.parameters;
  v_their_path   pg_catalog.text;
  v_set          pg_catalog.text;
  v_their_name   pg_catalog.text;
  v_their_role   pg_catalog.text;
  v_our_role     pg_catalog.name;
  v_is_weft      pg_catalog.bool;
  v_is_admitted  pg_catalog.bool;
  v_has_room     pg_catalog.bool;
  v_patience     pg_catalog.text;
  v_budgets      pg_catalog.text[];   -- if they differ by kind of statement
  v_budget       pg_catalog.text;     -- the one that was set last, as the server shows it
  v_records      weft._step_record[];
  v_index        pg_catalog.int4;
  v_had          pg_catalog.jsonb;    -- p_prints of weft._note_had_anew; null if it has to look at everything
  v_count_at     pg_catalog.int4;
  v_error        pg_catalog.jsonb;
  v_caught       weft._caught;
begin
  begin
    if not p_is_within then
      perform weft._check_fence(p_fence), pg_advisory_unlock_all();  -- which walks through all locks of the transaction, so it is done before there are any
    end if;
    -- in one query, here and below: each expression that was evaluated is a saved plan, and every DDL statement of the files walks through all of them
    select (select max(s.ordinal) from weft._steps as s where s.deployment_id = p_deployment),
           case when p_first < p_last and not p_is_within then (
             select max(s.ordinal) from weft._steps as s where s.deployment_id = p_deployment and s.ordinal between p_first and p_last and s.state = 'pending' and s.kind <> 'check') end,
           weft._count_dependency_changes(), weft._reset_session(), current_user, session_user = 'weft', weft._lock_budget_ms(p_phase, 'data')::text, weft._limit('steps_between_lock_counts')
    into v_steps, v_settle_at, v_changes, v_their_path, v_our_role, v_is_weft, v_patience, v_count_at;
    v_is_settled := p_is_within and not p_may_owe and weft._find_unmet_constraint(p_phase, v_their_path) is null;
    if p_phase.condition is not null and not p_is_within then
      v_condition := p_phase.condition;
      perform set_config('lock_timeout', v_patience, false);
      if not weft._is_phase_wanted(p_phase, v_their_path) then
        perform weft._check_dependents();
        perform weft._leave_out_phase(p_phase);
        perform weft._check_fence(p_fence, p_until_commit => true);
        return row('done', null, null)::weft._outcome;
      end if;
      v_condition := null;
    end if;
    if p_phase.parameters is not null and p_phase.role is not null then
      v_is_admitted := weft._admit_role(p_phase.role);
    end if;

    while v_next <= p_last loop
      v_path := null;
      v_scripts := weft._read_scripts(p_deployment, v_next, p_last, v_values);
      exit when cardinality(v_scripts) = 0;
      if cardinality(v_scripts) >= weft._limit('scripts_before_plans_go') then
        discard plans;  -- every DDL statement walks through all plans of the session, which is faster if they are invalid
        -- Locks on catalogs are not held, although that would save a tenth: taking one again shows the server what others have committed, and whoever rewrites a catalog would block everybody.
      end if;
      -- no FOR over a query: a file's CLOSE ALL would close its cursor
      foreach v_script in array v_scripts loop
        select v_script.path, coalesce(v_script.parameters, v_values), clock_timestamp(), 0, 0, 0, true, true,
               weft._show_progress(v_script.ordinal, v_steps, p_phase.name), set_config('lock_timeout', v_patience, false)
        into v_path, p_phase.parameters, v_started, v_count, v_index, v_rows, v_is_wanted, v_is_first, v_set, v_set;
        if (v_started < v_look_at) is not true then
          if exists (select from weft._cancellations as c where c.deployment_id = p_deployment) then
            raise query_canceled;
          end if;
          v_look_at := v_started + make_interval(secs => weft._limit('cancel_looked_for_ms') / 1000.0);
        end if;
        -- here and below, one condition skips the questions that most files do not need
        if not v_script.is_plain or v_script.is_tolerated or v_script.may_drop or v_had is not null then
          if v_script.is_tolerated and p_first < p_last then
            perform weft._record_steps(p_phase, v_records);  -- so that the journal stays in order
            select null, weft._limit('steps_between_lock_counts') into v_records, v_count_at;
            v_within := weft._run_steps(p_deployment, p_phase, v_script.ordinal, v_script.ordinal, p_fence, p_is_last_try, p_is_within => true);
            if v_within.verdict = 'failed' and v_script.is_repeatable and weft._may_run_later(p_deployment, v_script.ordinal, v_within.error) then
              raise exception using errcode = 'WF003';
            elsif v_within.verdict = 'failed' and weft._is_tolerated(p_deployment, p_phase.ordinal, v_script.path, v_within.error) then
              perform weft._tolerate(p_phase, v_within);
            elsif v_within.verdict <> 'done' then
              raise exception using errcode = 'WF003';  -- the whole block is rolled back for it
            end if;
            v_their_path := weft._reset_session();
            if v_script.ordinal in (v_settle_at, p_last) and not p_is_within then
              v_path := null;
              perform weft._fire_deferred(p_phase, v_their_path, case v_within.verdict when 'done' then v_within.error end);
              v_their_path := weft._reset_session();
            end if;
            v_next := v_script.ordinal + 1;
            continue;
          end if;
          if v_script.may_drop and v_had is distinct from '{}' then
            v_had := weft._note_had_anew(p_deployment, p_phase.ordinal, p_is_within or v_records is not null, v_had, v_script.is_repeatable and p_first < p_last);
          elsif v_had <> '{}' and not v_script.is_repeatable then
            v_had := null;
          end if;
          v_result := null;
          if v_script.is_repeatable then
            v_mark := weft._mark_objects();
          end if;
          if v_script.condition is not null then
            v_condition := v_script.condition;
            v_is_wanted := weft._evaluate(v_condition, v_their_path, p_phase.parameters);
            v_condition := null;
            v_set := weft._show_progress(v_script.ordinal, v_steps, p_phase.name);
            v_set := set_config('lock_timeout', v_patience, false);
          end if;
          if v_is_wanted and v_script.kind = 'check' then
            v_result := weft._check(p_deployment, v_script.ordinal, p_phase, v_their_path);
          elsif v_is_wanted and v_script.kind = 'load' then
            v_result := weft._load(p_deployment, v_script.ordinal, p_phase, v_their_path);
            v_is_wanted := not v_result ? 'same_table';
            v_rows := (v_result ->> 'inserted')::int8 + (v_result ->> 'updated')::int8 + (v_result ->> 'deleted')::int8;
          end if;
          if v_script.makes_room then
            v_has_room := true;
            perform weft._make_room(p_phase, v_script.ordinal);
          end if;
          if v_script.begun_at is not null then
            perform weft._tell_of_wrapper(p_deployment, p_phase.name, v_script.path, v_script.begun_at);
          end if;
        end if;

        while v_is_wanted and v_script.kind = 'run' loop
          if v_script.is_streamed or p_phase.lock_timeouts is not null or p_phase.role is not null or p_phase.settings <> '{}' or p_phase.parameters is not null then
            if v_script.is_streamed then
              v_their_name := null;
              if v_is_first then
                v_reader := weft._open_reader(v_script.chunks, p_phase.parameters);
              elsif current_user <> v_our_role then  -- the file now has a role that may not read our tables
                v_their_name := session_user;
                v_their_role := current_setting('role');
                reset session authorization;
                reset role;
              end if;
              v_reader := weft._read_statements(v_reader);
              v_script.statements := v_reader.statements;
              v_script.executables := v_reader.executables;
              v_script.lines := v_script.lines || v_reader.lines;
              v_script.digests := v_script.digests || v_reader.digests;
              if v_is_first and v_reader.begun_at is not null or v_reader.told_at is not null then
                perform weft._tell_of_wrapper(p_deployment, p_phase.name, v_script.path, coalesce(v_reader.told_at, v_reader.begun_at));
                v_reader.told_at := null;
              end if;
              perform weft._become(v_their_name, v_their_role);
            end if;
            if p_phase.lock_timeouts is not null then
              v_budgets := weft._list_lock_budgets(p_phase, v_script.statements);
              v_budget := case when v_is_first then current_setting('lock_timeout') else v_budget end;
            end if;
            if v_is_first then
              v_their_path := weft._enter_file(p_phase, v_their_path);
            end if;
          end if;
          -- From here to the end of the loop the search_path is the file's: whatever is evaluated is qualified, operators too.
          v_set := pg_catalog.set_config('search_path', v_their_path, false);
          foreach v_statement in array v_script.executables loop
            v_index := v_index operator(pg_catalog.+) 1;
            if v_budgets is not null and pg_catalog.current_setting('lock_timeout') operator(pg_catalog.=) v_budget then  -- otherwise the file has set its own
              v_set := pg_catalog.set_config('lock_timeout', v_budgets[v_index], false);
              v_budget := pg_catalog.current_setting('lock_timeout');
            end if;
            execute v_statement;
            get diagnostics v_affected = row_count;
            v_rows := v_rows operator(pg_catalog.+) v_affected;
            -- one expression, because it runs for every statement; an assignment costs a tenth of a PERFORM
            if v_is_weft or pg_catalog.current_setting('client_min_messages') operator(pg_catalog.<>) 'error'
              or pg_catalog.current_setting('transaction_read_only') operator(pg_catalog.=) 'on' then
              v_set := pg_catalog.set_config('client_min_messages', 'error', false);
              if v_is_weft then
                -- as weft._leave_out_user does, which the file's role may not call
                v_set := pg_catalog.set_config('search_path', pg_catalog.regexp_replace(pg_catalog.current_setting('search_path'), '"?\$user"?\s*(,\s*|$)', '', 'g'), false);
              end if;
              if pg_catalog.current_setting('transaction_read_only') operator(pg_catalog.=) 'on' then
                raise exception using errcode = 'WF014';
              end if;
            end if;
          end loop;
          v_their_path := pg_catalog.current_setting('search_path');
          v_set := pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', false);
          exit when not v_script.is_streamed or v_reader.is_done;
          v_is_first := false;
          -- the last of these statements may be a COPY, and its rows are next
          v_their_name := null;
          if current_user <> v_our_role then
            v_their_name := session_user;
            v_their_role := current_setting('role');
            reset session authorization;
            reset role;
          end if;
          if v_reader.copy is not null then
            v_index := v_index + 1;
            v_statement := v_script.statements[v_index];
            v_reader := weft._begin_copy(v_reader, v_their_name, v_their_role, v_their_path);
            while not v_reader.rows_are_over loop
              v_reader := weft._read_rows(v_reader);
              v_rows := v_rows + weft._insert_rows(v_reader, v_their_name, v_their_role, v_their_path);
            end loop;
            v_reader.rows := null;
          end if;
          perform weft._become(v_their_name, v_their_role);
          select null, v_count + v_index, 0 into v_statement, v_count, v_index;  -- an error in reading on is not about the statements that have run
        end loop;
        v_statement := null;
        v_count := v_count + v_index;

        if v_script.ordinal in (v_settle_at, p_last) or p_is_within or v_script.may_set_modes or current_user <> v_our_role then
          if v_script.ordinal in (v_settle_at, p_last) and not p_is_within then
            -- Deferred work happens before a check runs, because it may break the rule; an error can still be caught here, and occurs in the session at the file's end
            v_path := case when p_first = v_script.ordinal then v_path end;
            if v_is_wanted and v_script.kind = 'run' then
              v_set := pg_catalog.set_config('search_path', v_their_path, false);
              set constraints all immediate;
              v_set := pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', false);
            else
              reset session authorization;
              reset role;
              perform weft._fire_deferred(p_phase, v_their_path);
            end if;
            v_path := v_script.path;
          end if;
          if (p_is_within or v_script.may_set_modes) and v_is_wanted and v_script.kind = 'run' then
            v_ended := jsonb_build_object('authorization', session_user, 'role', current_setting('role'), 'search_path', v_their_path);
          end if;
          reset session authorization;
          reset role;
          if v_script.may_set_modes and v_is_wanted and (p_is_within or v_script.ordinal not in (v_settle_at, p_last)) then
            perform weft._reset_constraints(v_ended);  -- SET CONSTRAINTS holds until the commit, and no RESET ends it: without this, it would also affect later files
          end if;
        end if;
        v_their_path := weft._reset_session();
        if v_has_room or v_script.is_repeatable then
          if v_has_room then
            perform weft._return_rights(p_phase);
          end if;
          if v_script.is_repeatable then
            v_result := jsonb_strip_nulls(jsonb_build_object('made', weft._note_made(p_deployment, v_script.ordinal, v_mark, coalesce(v_script.statements, '{}'))));
            if v_script.comes_back then
              perform weft._give_back_had(p_phase, v_script.ordinal);
            end if;
          end if;
        end if;
        v_records := array_append(v_records, row(v_script.ordinal, v_is_wanted, v_count, v_rows, v_started, clock_timestamp(), v_script.lines, v_script.digests,
          case when not v_script.is_plain then v_result end)::weft._step_record);
        if cardinality(v_records) >= v_count_at then
          v_count_at := weft._check_lock_table(cardinality(v_records));
        end if;
        v_next := v_script.ordinal + 1;
      end loop;
    end loop;

    v_path := case when p_first = p_last then v_path end;
    if p_is_within and v_is_settled then  -- otherwise, deferred checks may come from the steps before it
      v_error := weft._find_unmet_constraint(p_phase, v_their_path, v_ended);
      if v_error is not null then
        raise exception using errcode = v_error ->> 'sqlstate', message = v_error ->> 'message', detail = coalesce(v_error ->> 'detail', ''),
          schema = coalesce(v_error ->> 'schema', ''), table = coalesce(v_error ->> 'table', ''), constraint = coalesce(v_error ->> 'constraint', '');
      end if;
    end if;
    if not p_is_within then
      perform pg_advisory_unlock_all();
    end if;
    if v_is_admitted then
      perform weft._dismiss_role(p_phase.role);
    end if;
    perform weft._check_dependents(v_changes);
    perform weft._record_steps(p_phase, v_records);
    if not p_is_within then
      perform weft._check_fence(p_fence, p_until_commit => true);
    end if;
    return row('done', null, case when p_is_within then v_ended end)::weft._outcome;

  exception when others or query_canceled or assert_failure then
    get stacked diagnostics
      v_caught.state = returned_sqlstate, v_caught.message = message_text, v_caught.detail = pg_exception_detail, v_caught.hint = pg_exception_hint,
      v_caught.context = pg_exception_context, v_caught.schema_name = schema_name, v_caught.table_name = table_name, v_caught.column_name = column_name,
      v_caught.constraint_name = constraint_name, v_caught.datatype_name = pg_datatype_name;
    perform pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', false), pg_catalog.set_config('client_min_messages', 'error', false);
    if not p_is_within then
      perform pg_advisory_unlock_all();  -- no rollback releases them
    end if;
  end;

  -- everything in the block is rolled back
  if v_caught.state = 'WF012' then
    raise exception using errcode = v_caught.state, message = v_caught.message, hint = v_caught.hint;
  elsif v_caught.state = 'WF003' then
    return v_within;
  end if;
  return weft._account_for_stop(p_deployment, p_phase, v_caught, row(
    v_script, v_reader, coalesce(v_path, weft._find_unreadable(p_deployment, v_next, p_last)), v_statement, v_index, v_count, v_condition, v_their_path)::weft._stop, p_is_within and p_is_last_try);
end
$$;

comment on function weft._run_steps(uuid, weft._phases, integer, integer, bigint, boolean, boolean, boolean) is
  'Runs pending steps and records them, in one block: done, or nothing of it happened and the outcome says why.';
