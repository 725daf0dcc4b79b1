-- A rehearsal: everything that a deployment would do, statement by statement, in one transaction that is rolled back, with an account of
-- each: locks, rows, time, what was rewritten; what the checks say; how the catalog would differ. What one transaction cannot show is named.
--
-- The locks are the real ones, for as long as it runs. Whom it lets wait, a second session tells, which looks every now and then.

-- All of it, in one block that is always rolled back. There is one savepoint where the server may refuse a statement, and none elsewhere: what
-- is found out the hard way is remembered, and the block begins anew.
create or replace function weft._rehearse(p_deployment uuid, p_start_path text, p_fence bigint, p_parameters jsonb, p_secrets jsonb)
  returns weft._outcome
  volatile
  language plpgsql
as $$
declare
  v_steps       pg_catalog.int4;
  v_is_undo     pg_catalog.bool;
  v_passes      pg_catalog.int4 := 0;
  v_surprises   pg_catalog.jsonb := '{}';  -- what other passes have found out, by step and statement
  v_entries     pg_catalog.jsonb[];
  v_steps_done  pg_catalog.jsonb[];
  v_measured    record;  -- the entry that was made last, and what is known and held behind it
  v_catalog     pg_catalog.text;
  v_began       pg_catalog.timestamptz;
  v_phases      weft._phases[];
  v_phase       weft._phases;
  v_of_phase    weft._steps[];
  v_place       integer;
  v_step        weft._steps;
  v_within      weft._outcome;
  v_is_wanted   pg_catalog.bool;
  v_condition   pg_catalog.text;
  v_path        pg_catalog.text;
  v_number      pg_catalog.int4;
  v_last        pg_catalog.int4;
  v_row         weft._statements;
  v_laid         weft._statements;  -- with the rows of a COPY
  v_text        pg_catalog.text;
  v_as_run      pg_catalog.text;  -- the statement, with the values of parameters
  v_is_guarded  pg_catalog.bool;
  v_refusal     pg_catalog.jsonb;
  v_note        pg_catalog.jsonb;  -- of a statement that is rehearsed in another form, or not at all
  v_is_last     pg_catalog.bool;
  v_try         pg_catalog.int4;
  v_is_behind   pg_catalog.bool;  -- something was left out, and what lacks something may lack just that
  v_before      pg_catalog.jsonb;
  v_inside      pg_catalog.jsonb;  -- what holds until the commit that the deployment would make
  v_ended       pg_catalog.jsonb;  -- the session as the last file has left it
  v_block       pg_catalog.int4;
  v_rows        pg_catalog.int8;
  v_all_rows    pg_catalog.int8;
  v_step_began  pg_catalog.timestamptz;
  v_started     pg_catalog.timestamptz;
  v_set         pg_catalog.text;
  v_values      pg_catalog.jsonb;  -- of the parameters, that the file has
  v_count_at    pg_catalog.int4;
  v_enums       pg_catalog.int8;
  v_enums_last  pg_catalog.int8;
  v_lost        pg_catalog.jsonb;
  v_error       pg_catalog.jsonb;
  v_outcome     weft._outcome;
  v_caught      weft._caught;
begin
  v_steps := (select count(*) from weft._steps as s where s.deployment_id = p_deployment);
  v_is_undo := (select d.undoes is not null from weft._deployments as d where d.id = p_deployment);
  loop
    v_passes := v_passes + 1;
    v_steps_done := '{}';
    v_count_at := weft._limit('steps_between_lock_counts');
    v_catalog := null;
    v_outcome := null;
    v_lost := null;
    v_row := null;
    v_path := null;
    v_condition := null;
    v_is_behind := false;
    begin
      perform weft._check_fence(p_fence), weft._follow_for_now(p_deployment);
      perform pg_advisory_unlock_all(), weft._reset_session();
      v_began := clock_timestamp();
      select null::jsonb as entry, r.known, weft._list_held_locks(r.known) as held into v_measured from (select weft._list_relations() as known offset 0) as r;
      if v_is_undo then  -- it goes back over groups as wholes, and has its own ways then
        v_surprises := v_surprises || (select coalesce(jsonb_object_agg(concat('group/', p.ordinal), true), '{}') from weft._phases as p where p.deployment_id = p_deployment and p.has_repeatables);
      end if;
      v_phases := array(select p from weft._phases as p where p.deployment_id = p_deployment order by p.ordinal);
      foreach v_phase in array v_phases loop  -- no FOR over a query: its cursor would stand in the way of a file's CLOSE ALL
        v_phase.parameters := p_parameters;
        v_phase.secrets := p_secrets;
        if p_parameters is not null and v_phase.role is not null then
          perform weft._admit_role(v_phase.role);  -- rolled back, as everything
        end if;
        v_enums := (select count(*) from pg_enum);
        v_enums_last := v_enums;
        if v_phase.has_repeatables then
          perform weft._call_back_lost(v_phase), weft._call_back(v_phase, v_surprises -> concat('lost/', v_phase.ordinal));
        end if;
        v_of_phase := array(select s from weft._steps as s where s.deployment_id = p_deployment and s.phase = v_phase.ordinal and s.state = 'pending' order by s.ordinal);
        v_path := null;
        if v_phase.condition is not null and cardinality(v_of_phase) > 0 then
          v_condition := v_phase.condition;
          v_set := set_config('lock_timeout', weft._lock_budget_ms(v_phase, 'data')::text, false);
          v_is_wanted := weft._is_phase_wanted(v_phase, p_start_path);
          v_condition := null;
          if not v_is_wanted then
            v_steps_done := v_steps_done || array(
              select jsonb_build_object('phase', v_phase.name, 'path', s.path, 'kind', s.kind, 'state', 'skipped', 'when', v_phase.condition) from unnest(v_of_phase) as s);
            continue;
          end if;
        end if;

        v_place := 0;
        v_ended := null;
        while v_place < cardinality(v_of_phase) loop
          v_place := v_place + 1;
          v_step := v_of_phase[v_place];
          if v_phase.has_repeatables and v_step.options ? 'repeat' and v_step.state = 'pending' and not v_step.is_order_found and not v_is_undo then
            perform weft._settle_order(v_phase, v_step.ordinal, p_fence);
            v_of_phase := v_of_phase[1:v_place - 1] || array(
              select s from weft._steps as s
              where s.deployment_id = p_deployment and s.phase = v_phase.ordinal and s.state = 'pending' and s.ordinal >= v_step.ordinal order by s.ordinal);
            v_step := v_of_phase[v_place];
          end if;
          if exists (select from weft._cancellations as c where c.deployment_id = p_deployment) then
            raise query_canceled;
          end if;
          v_path := v_step.path;
          v_row := null;
          v_entries := '{}';
          v_all_rows := 0;
          v_enums := case when v_phase.transaction = 'single' then v_enums else v_enums_last end;  -- what an earlier file has added, a commit would be behind
          v_step_began := clock_timestamp();
          perform weft._reset_session(), weft._show_progress(v_step.ordinal, v_steps, v_phase.name);
          v_set := set_config('lock_timeout', weft._lock_budget_ms(v_phase, 'data')::text, false);
          if (v_surprises ? concat('group/', v_phase.ordinal) and v_step.options ? 'repeat' or v_surprises ? concat(v_step.ordinal, '/way')) and v_phase.transaction <> 'none' then
            if v_step.state = 'pending' then
              v_within := weft._rehearse_group(v_phase, v_step.ordinal, p_fence);
              v_of_phase := v_of_phase[1:v_place - 1] || array(  -- they may have another order now; and what an undo puts off is at the end of the phase
                select s from weft._steps as s
                where s.deployment_id = p_deployment and s.phase = v_phase.ordinal and s.ordinal >= v_step.ordinal
                  and (s.state <> 'skipped' or not s.options ? 'keeps' and s.path in (select u.path from unnest(v_of_phase[v_place:]) as u)) order by s.ordinal);
              v_step := v_of_phase[v_place];
              v_path := v_step.path;
              if v_within.verdict <> 'done' then
                v_path := coalesce(v_within.path, v_path);
                v_outcome := v_within;
                raise exception using errcode = 'WF003';
              end if;
              v_measured := weft._measure_entry(v_measured.known, v_measured.held, case when v_is_undo
                then '{"instead": {"why": "group", "text": "With its group, as an undo goes back over one."}}' else '{"instead": {"why": "group", "text": "With its group, in an order that had to be found."}}' end::jsonb, v_step_began);
              v_entries := array_append(v_entries, v_measured.entry);
            end if;
            v_steps_done := array_append(v_steps_done, weft._close_entry(v_phase, v_step, case v_step.state when 'failed' then 'tolerated' else v_step.state::text end, v_entries, v_step.rows, v_step_began)
              || jsonb_strip_nulls(jsonb_build_object('error', v_step.error)));
            continue;
          end if;
          if v_surprises ? v_step.ordinal::text then  -- its failure is tolerated, and it failed in an earlier pass
            v_steps_done := array_append(v_steps_done, v_surprises -> v_step.ordinal::text);
            continue;
          end if;

          if v_step.kind <> 'run' or v_surprises -> concat(v_step.ordinal, '/whole') = 'true' then
            if v_step.kind = 'check' and v_phase.transaction = 'single' then
              v_path := null;
              perform weft._fire_deferred(v_phase, p_start_path, v_ended);
              v_path := v_step.path;
            end if;
            if v_step.kind = 'batch' then
              v_within := weft._run_round(v_phase, v_step.ordinal, p_fence, p_is_rehearsal => true);
            else
              v_within := weft._run_steps(p_deployment, v_phase, v_step.ordinal, v_step.ordinal, p_fence, p_is_within => true, p_may_owe => v_phase.transaction = 'single' and v_step.on_error <> 'continue');
            end if;
            select s.* into strict v_step from weft._steps as s where s.deployment_id = p_deployment and s.ordinal = v_step.ordinal;
            if v_within.verdict = 'done' then
              v_ended := case v_step.kind when 'check' then v_ended else v_within.error end;
              v_measured := weft._measure_entry(v_measured.known, v_measured.held, jsonb_strip_nulls(jsonb_build_object('rows', v_step.rows,
                'instead', case when v_step.kind = 'batch' and v_step.state = 'succeeded' then '{"why": "round", "text": "One round. A deployment runs as many as it takes until no row is touched, each in a transaction of its own."}'::jsonb end)), v_step_began);
              v_entries := array_append(v_entries, v_measured.entry);
              v_steps_done := array_append(v_steps_done, weft._close_entry(v_phase, v_step, v_step.state::text, v_entries, v_step.rows, v_step_began));
              continue;
            elsif v_within.verdict = 'failed' and v_is_behind and weft._is_lack(v_within.error) then
              v_measured := weft._measure_entry(v_measured.known, v_measured.held, jsonb_build_object('instead', weft._note_behind(v_within.error)), v_step_began);
              v_entries := array_append(v_entries, v_measured.entry);
              v_steps_done := array_append(v_steps_done, weft._close_entry(v_phase, v_step, 'skipped', v_entries, null, v_step_began));
              continue;
            elsif v_within.verdict = 'failed' and v_step.on_error = 'continue' then
              v_steps_done := array_append(v_steps_done, weft._close_entry(v_phase, v_step, 'tolerated', v_entries, null, v_step_began) || jsonb_build_object('error', v_within.error));
              continue;
            elsif v_within.verdict = 'apart' then
              raise exception using errcode = 'WF086';
            end if;
            if v_is_undo and v_within.verdict = 'failed' then
              v_within := weft._find_way(v_phase, v_within);
              if v_within.verdict = 'reordered' then  -- put off, perhaps to the end of this phase
                v_of_phase := v_of_phase[1:v_place] || array(
                  select s from weft._steps as s
                  where s.deployment_id = p_deployment and s.phase = v_phase.ordinal and s.ordinal > v_step.ordinal and s.state = 'pending' order by s.ordinal);
                v_steps_done := array_append(v_steps_done, weft._close_entry(v_phase, v_step, 'skipped', v_entries, null, v_step_began));
                continue;
              end if;
            end if;
            v_outcome := v_within;
            raise exception using errcode = 'WF003';
          end if;

          if v_step.condition is not null then
            v_condition := v_step.condition;
            v_is_wanted := weft._evaluate(v_condition, p_start_path, p_parameters);
            v_condition := null;
            v_measured := weft._measure_entry(v_measured.known, v_measured.held, jsonb_build_object('when', v_step.condition, 'is_wanted', v_is_wanted), v_step_began);
            v_entries := array_append(v_entries, v_measured.entry);
            if not v_is_wanted then
              v_steps_done := array_append(v_steps_done, weft._close_entry(v_phase, v_step, 'skipped', v_entries, null, v_step_began));
              continue;
            end if;
            perform weft._show_progress(v_step.ordinal, v_steps, v_phase.name);
            v_set := set_config('lock_timeout', weft._lock_budget_ms(v_phase, 'data')::text, false);
          end if;
          v_values := case when v_step.options ? 'values' then weft._values_of_step(p_deployment, v_step.ordinal, p_parameters) else p_parameters end;
          perform weft._lay_out_statements(p_deployment, v_phase.name, v_step, v_values);
          if v_phase.transaction <> 'none' and not v_surprises ? concat(v_step.ordinal, '/whole')
              and exists (select from weft._statements as t where t.deployment_id = p_deployment and t.step = v_step.ordinal and t.rows_at is not null) then
            raise exception using errcode = 'WF086';
          end if;
          perform weft._note_had_anew(p_deployment, v_phase.ordinal, true) from weft._statements as t where t.deployment_id = p_deployment and t.step = v_step.ordinal and t.statement ~* '\mdrop\M' limit 1;
          v_set := case when v_values is not null then set_config('weft.values', v_values::text, false) end;
          v_before := weft._session_before(v_phase, v_step.ordinal, p_start_path);
          perform weft._restore_role(v_before);
          perform pg_catalog.set_config(g.key, g.value, false) from pg_catalog.jsonb_each_text(v_before operator(pg_catalog.->) 'settings') as g;
          reset session authorization;
          reset role;
          select max(t.number) into v_last from weft._statements as t where t.deployment_id = p_deployment and t.step = v_step.ordinal;
          v_number := 0;
          v_inside := null;
          while v_number < v_last loop
            v_number := v_number + 1;
            select t.* into strict v_row from weft._statements as t where t.deployment_id = p_deployment and t.step = v_step.ordinal and t.number = v_number;
            continue when v_row.state = 'done';
            if v_inside is null or (v_phase.transaction = 'none' or v_step.is_apart) and (v_row.block is null or v_row.block is distinct from v_block) then
              v_inside := v_before;
            end if;
            v_block := v_row.block;
            v_laid := v_row;
            v_row.statement := weft._without_rows(v_row);
            v_text := (weft._prepare_statements(array[v_row.statement], v_values)).executables[1];
            v_as_run := case when v_values is null then v_row.statement else weft._interpolate(v_row.statement, v_values, weft._mark(v_values)) end;
            v_refusal := v_surprises -> concat(v_step.ordinal, '/', v_number);
            v_is_guarded := v_refusal is null and (v_is_behind or v_phase.transaction in ('auto', 'none') and weft._may_be_refused(v_row.statement));
            v_note := null;
            v_is_last := true;
            v_try := 0;
            loop
              v_rows := 0;
              v_try := v_try + 1;
              if v_refusal is not null then
                select c.form, c.is_last, c.note into v_text, v_is_last, v_note from weft._choose_form(v_step, v_as_run, v_refusal, v_before, v_try) as c;
              end if;
              v_started := clock_timestamp();
              if v_text is not null then
                if v_is_guarded and v_note is null and v_row.rows_at is null then
                  begin
                    select r.p_outside, r.p_inside, r.row_count into v_before, v_inside, v_rows from weft._run_inside(v_text, v_before, v_inside) as r;
                    v_caught.state := null;
                  exception when active_sql_transaction or invalid_transaction_termination or unsafe_new_enum_value_usage then
                    get stacked diagnostics v_caught.state = returned_sqlstate, v_caught.message = message_text;
                  when undefined_table or undefined_column or undefined_object or undefined_function or invalid_schema_name then
                    if not v_is_behind then
                      raise;
                    end if;
                    get stacked diagnostics v_caught.state = returned_sqlstate, v_caught.message = message_text;
                    v_refusal := jsonb_build_object('behind', true);
                  end;
                elsif v_row.rows_at is not null then
                  v_rows := weft._copy_rows(v_laid, v_text, v_before ->> 'authorization', v_inside);
                  v_caught.state := null;
                else
                  select r.p_outside, r.p_inside, r.row_count into v_before, v_inside, v_rows from weft._run_inside(v_text, v_before, v_inside) as r;
                  v_caught.state := null;
                end if;
                if current_setting('transaction_read_only') = 'on' then
                  raise exception 'The statement made the transaction read-only, so that nothing could be recorded.' using errcode = 'WF014', hint = 'Take SET TRANSACTION READ ONLY, or default_transaction_read_only, out of the file.';
                end if;
                if v_phase.transaction = 'none' or v_step.is_apart then
                  select r.p_outside, r.p_inside into v_before, v_inside from weft._run_inside('set constraints all immediate', v_before, v_inside) as r;
                  perform weft._reset_constraints();
                end if;
                if v_caught.state is not null then
                  v_refusal := coalesce(v_refusal, '{}') || jsonb_build_object('sqlstate', v_caught.state, 'message', v_caught.message);
                  continue;
                end if;
              end if;
              v_all_rows := v_all_rows + coalesce(v_rows, 0);
              v_measured := weft._measure_entry(v_measured.known, v_measured.held, jsonb_strip_nulls(jsonb_build_object(
                'number', v_number, 'line', weft._first_line(v_row.statement, v_row.line), 'statement', left(weft._skip_comments(v_row.statement), weft._limit('statement_shown_characters')),
                'rows', case when v_text is not null then v_rows end, 'instead', v_note)), v_started);
              v_entries := array_append(v_entries, v_measured.entry);
              v_enums_last := (select count(*) from pg_enum);
              v_is_behind := v_is_behind or coalesce(v_note ->> 'why' in ('none', 'commit', 'work', 'behind'), false)
                and weft._skip_comments(v_row.statement) !~* '^(vacuum|cluster|reindex|alter\s+system)\M';  -- which bring nothing that anything could lack
              exit when v_is_last;
            end loop;
          end loop;
          v_row := null;
          v_ended := v_before || coalesce(v_inside, '{}');

          if v_phase.transaction <> 'single' then
            perform weft._run_inside('set constraints all immediate', v_before, coalesce(v_inside, v_before));
            perform weft._reset_constraints(), weft._check_dependents();
          elsif exists (select from weft._statements as t where t.deployment_id = p_deployment and t.step = v_step.ordinal and t.statement ~* '\mconstraints\M') then
            perform weft._reset_constraints(v_ended);
          end if;
          if v_step.had is not null then
            perform weft._reset_session(), case when v_phase.transaction = 'none' or v_step.is_apart then weft._give_back_apart(v_phase, v_step) else weft._give_back_had(v_phase, v_step.ordinal) end;
          end if;
          if cardinality(v_steps_done) >= v_count_at then
            v_count_at := weft._check_lock_table(cardinality(v_steps_done));
          end if;
          v_steps_done := array_append(v_steps_done, weft._close_entry(v_phase, v_step, 'succeeded', v_entries, v_all_rows, v_step_began));
        end loop;
        v_path := null;
        if cardinality(v_of_phase) > 0 then
          perform weft._reset_session(), weft._fire_deferred(v_phase, p_start_path, v_ended);
          perform weft._reset_session(), weft._reset_constraints(), weft._check_dependents();
        end if;
        if v_is_undo and v_phase.transaction = 'single' then
          v_outcome := weft._look_after_returned(v_phase, 0, v_steps);
          if v_outcome.verdict <> 'done' then
            raise exception using errcode = 'WF003';  -- its steps have run, so the outcome alone names one
          end if;
          v_outcome := null;
        end if;
        if v_phase.has_repeatables and not v_surprises ? concat('lost/', v_phase.ordinal) then
          v_lost := (select jsonb_agg(jsonb_strip_nulls(jsonb_build_object('path', l.path, 'step', case when v_is_undo then l.ordinal end, 'missing', l.missing)) order by l.ordinal) from weft._find_lost(v_phase) as l);
          if v_lost is not null then
            raise exception using errcode = 'WF002';
          end if;
        end if;
        if v_phase.has_repeatables and v_phase.transaction <> 'none' and not v_surprises ? concat('group/', v_phase.ordinal) and weft._is_swallowing(v_phase, v_of_phase) then
          v_lost := null;
          raise exception using errcode = 'WF002';
        end if;
      end loop;
      perform weft._reset_session();
      v_catalog := weft._list_catalog();
      raise exception using errcode = 'WF000';

    exception when others or query_canceled or assert_failure then
      get stacked diagnostics
        v_caught.state = returned_sqlstate, v_caught.message = message_text, v_caught.detail = pg_exception_detail, v_caught.hint = pg_exception_hint,
        v_caught.context = pg_exception_context, v_caught.schema_name = schema_name, v_caught.table_name = table_name, v_caught.column_name = column_name,
        v_caught.constraint_name = constraint_name, v_caught.datatype_name = pg_datatype_name;
      perform pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', false), pg_catalog.set_config('client_min_messages', 'error', false);
      perform pg_advisory_unlock_all();
    end;

    -- nothing of it is in the database; what follows is the account
    perform weft._put_back_sequences(p_deployment);
    if v_caught.state = 'WF000' then
      perform weft._keep_report(p_deployment, v_steps_done, v_catalog, v_passes, v_began, null), weft._scrub_report(p_deployment, p_secrets);
      return row('done', null, null)::weft._outcome;
    elsif v_caught.state = 'WF003' and v_outcome.verdict is not null then
      null;
    elsif v_caught.state = 'WF002' and v_lost is not null then  -- what others take away runs again with them
      v_surprises := v_surprises || jsonb_build_object(concat('lost/', v_phase.ordinal), v_lost);
      continue;
    elsif v_caught.state = 'WF002' and v_path is null and not v_surprises ? concat('group/', v_phase.ordinal) then
      v_surprises := v_surprises || jsonb_build_object(concat('group/', v_phase.ordinal), true);
      continue;
    elsif v_caught.state = 'WF012' then
      raise exception using errcode = v_caught.state, message = v_caught.message, hint = v_caught.hint;
    else
      v_error := weft._scrub(weft._account_of_error(v_caught), p_secrets);
      if weft._is_interruption(v_caught.state, v_caught.context) then
        return row('interrupted', v_path, v_error)::weft._outcome;
      elsif v_row.number is not null and not v_surprises ? concat(v_step.ordinal, '/', v_row.number)
          and (v_phase.transaction in ('auto', 'none') and weft._is_refused_in_transaction(v_error)
            or v_caught.state = '55P04' and (v_phase.transaction in ('auto', 'none') or v_enums_last = v_enums)) then
        v_surprises := v_surprises || jsonb_build_object(concat(v_step.ordinal, '/', v_row.number), jsonb_build_object('sqlstate', v_caught.state, 'message', v_caught.message));
        continue;
      elsif v_caught.state = 'WF086' and v_phase.transaction <> 'none' and v_surprises -> concat(v_step.ordinal, '/whole') is distinct from 'false' then  -- rows behind a COPY: as a deployment reads them
        v_surprises := v_surprises || jsonb_build_object(concat(v_step.ordinal, '/whole'), not v_surprises ? concat(v_step.ordinal, '/whole'));
        continue;
      elsif v_caught.state in ('55P03', '40P01', '40001') then
        v_outcome := row('again', v_path, weft._describe_error(weft._add_blockers(v_error, coalesce(v_row.statement, v_condition), weft._lock_budget_ms(v_phase, coalesce(weft._name_lock_kind(v_row.statement), 'data'))), v_phase.name, v_path, weft._first_line(v_row.statement, v_row.line), v_row.statement))::weft._outcome;
      else
        v_error := case when v_condition is not null then weft._describe_condition_error(v_error, v_phase.name, v_path, v_condition)
          else weft._describe_error(v_error, v_phase.name, v_path, weft._first_line(v_row.statement, v_row.line), v_row.statement) end;
        if v_path is not null and v_condition is null and v_step.options ? 'repeat' and v_phase.transaction <> 'none' and not v_surprises ? concat('group/', v_phase.ordinal) then
          v_surprises := v_surprises || jsonb_build_object(concat('group/', v_phase.ordinal), true);
          continue;
        end if;
        if v_path is not null and v_condition is null and v_is_undo and v_phase.has_repeatables and v_phase.transaction <> 'none' and weft._is_in_the_way(v_error)
            and not v_step.options ? 'repeat' and not v_surprises ? concat(v_step.ordinal, '/way') then
          v_surprises := v_surprises || jsonb_build_object(concat(v_step.ordinal, '/way'), true);
          continue;
        end if;
        if v_path is not null and v_step.on_error = 'continue' then
          v_surprises := v_surprises || jsonb_build_object(v_step.ordinal::text, weft._close_entry(v_phase, v_step, 'tolerated', v_entries, null, v_step_began) || jsonb_build_object('error', v_error));
          continue;
        end if;
        if v_path is null and weft._expect_owed(v_phase, v_of_phase, v_surprises) is not null then
          v_surprises := weft._expect_owed(v_phase, v_of_phase, v_surprises);
          continue;
        end if;
        v_outcome := row('failed', v_path, v_error)::weft._outcome;
      end if;
    end if;
    if v_outcome.verdict = 'failed' then
      v_steps_done := case when v_path is null then v_steps_done else array_append(v_steps_done, weft._close_entry(v_phase, v_step, 'failed', v_entries, null, v_step_began) || jsonb_build_object('error', v_outcome.error)) end;
      perform weft._keep_report(p_deployment, v_steps_done, null, v_passes, v_began, v_outcome.error), weft._scrub_report(p_deployment, p_secrets);
    end if;
    return v_outcome;
  end loop;
end
$$;

comment on function weft._rehearse(uuid, text, bigint, jsonb, jsonb) is
  'Runs all that is pending of a deployment in one block, measures each statement, and takes everything back; the report is kept.';
