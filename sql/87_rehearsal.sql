-- A rehearsal: everything that a deployment would do, statement by statement, in one transaction that is rolled back, with a report on
-- each: locks, rows, time, what was rewritten; what the checks say; how the catalog would differ. What one transaction cannot show is
-- named.
--
-- The locks are the real ones, for as long as it runs. A second session that looks from time to time tells who had to wait.

-- Lists them from one of its steps on.
create or replace function weft._list_pending(p_phase weft._phases, p_from integer)
  returns weft._steps[]
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select array(select s from weft._steps as s where s.deployment_id = p_phase.deployment_id and s.phase = p_phase.ordinal and s.state = 'pending' and s.ordinal >= p_from order by s.ordinal)
$$;

comment on function weft._list_pending(weft._phases, integer) is 'Lists the steps of a phase that are still to run, as rows.';


-- Runs everything in one block that is always rolled back. A savepoint is only set where the server may refuse a statement. What else fails is
-- remembered, and the block begins anew.
create or replace function weft._rehearse(p_deployment uuid, p_start_path text, p_fence bigint, p_parameters jsonb, p_secrets jsonb)
  returns weft._outcome
  volatile
  language plpgsql
as $$
declare
  v_steps       pg_catalog.int4;
  v_is_undo     pg_catalog.bool;
  v_passes      pg_catalog.int4 := 0;
  v_surprises   pg_catalog.jsonb := '{}';  -- what other passes have found out
  v_learned     pg_catalog.jsonb;
  v_began       pg_catalog.timestamptz;
  v_steps_done  pg_catalog.jsonb[];
  v_measured    record;  -- the last entry, and what is known and held after it
  v_catalog     pg_catalog.text;
  v_phase       weft._phases;
  v_phases      weft._phases[];
  v_of_phase    weft._steps[];
  v_place       pg_catalog.int4;
  v_step        weft._steps;
  v_step_began  pg_catalog.timestamptz;
  v_entries     pg_catalog.jsonb[];
  v_entry       pg_catalog.jsonb;
  v_state       pg_catalog.text;
  v_path        pg_catalog.text;
  v_condition   pg_catalog.text;
  v_is_wanted   pg_catalog.bool;
  v_row         weft._statements;
  v_laid        weft._statements;  -- the same, with the rows of a COPY
  v_ran         record;
  v_rows        pg_catalog.int8;
  v_values      pg_catalog.jsonb;  -- of the file's parameters
  v_before      pg_catalog.jsonb;
  v_inside      pg_catalog.jsonb;  -- settings that last until the deployment would commit
  v_ended       pg_catalog.jsonb;  -- the session as the last file has left it
  v_is_behind   pg_catalog.bool;   -- something was left out, which may be what a later statement lacks
  v_block       pg_catalog.int4;
  v_number      pg_catalog.int4;
  v_last        pg_catalog.int4;
  v_set         pg_catalog.text;
  v_count_at    pg_catalog.int4;
  v_enums       pg_catalog.int8;
  v_enums_last  pg_catalog.int8;
  v_lost        pg_catalog.jsonb;
  v_outcome     weft._outcome;
  v_caught      weft._caught;
begin
  v_steps := (select count(*) from weft._steps as s where s.deployment_id = p_deployment);
  v_is_undo := (select d.undoes is not null from weft._deployments as d where d.id = p_deployment);
  if v_is_undo then  -- an undo takes back groups as wholes, and handles their failures itself
    v_surprises := (select coalesce(jsonb_object_agg(concat('group/', p.ordinal), true), '{}') from weft._phases as p where p.deployment_id = p_deployment and p.has_repeatables);
  end if;
  v_phases := array(select p from weft._phases as p where p.deployment_id = p_deployment order by p.ordinal);
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
      foreach v_phase in array v_phases loop  -- no FOR over a query: a file's CLOSE ALL would close its cursor
        v_phase.parameters := p_parameters;
        v_phase.secrets := p_secrets;
        if p_parameters is not null and v_phase.role is not null then
          perform weft._admit_role(v_phase.role);  -- rolled back, like everything
        end if;
        v_enums := (select count(*) from pg_enum);
        v_enums_last := v_enums;
        if v_phase.has_repeatables then
          perform weft._call_back_lost(v_phase), weft._call_back(v_phase, v_surprises -> concat('lost/', v_phase.ordinal));
        end if;
        v_of_phase := weft._list_pending(v_phase, 0);
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
            v_of_phase := v_of_phase[1:v_place - 1] || weft._list_pending(v_phase, v_step.ordinal);
            v_step := v_of_phase[v_place];
          end if;
          if exists (select from weft._cancellations as c where c.deployment_id = p_deployment) then
            raise query_canceled;
          end if;
          v_path := v_step.path;
          v_row := null;
          v_entries := '{}';
          v_enums := case when v_phase.transaction = 'single' then v_enums else v_enums_last end;  -- in the deployment, values of earlier files would be committed by now
          v_step_began := clock_timestamp();
          perform weft._reset_session(), weft._show_progress(v_step.ordinal, v_steps, v_phase.name);
          v_set := set_config('lock_timeout', weft._lock_budget_ms(v_phase, 'data')::text, false);

          -- its whole group runs at once
          if (v_surprises ? concat('group/', v_phase.ordinal) and v_step.options ? 'repeat' or v_surprises ? concat(v_step.ordinal, '/way')) and v_phase.transaction <> 'none' then
            if v_step.state = 'pending' then
              v_outcome := weft._rehearse_group(v_phase, v_step.ordinal, p_fence, v_surprises ? concat('lost/', v_phase.ordinal));
              v_of_phase := v_of_phase[1:v_place - 1] || weft._list_behind_group(v_phase, case when v_is_undo then v_step.ordinal else weft._first_of_group(v_phase, v_step.ordinal) end, v_of_phase[v_place:]);
              v_step := v_of_phase[v_place];
              v_path := v_step.path;
              if v_outcome.verdict <> 'done' then
                v_path := coalesce(v_outcome.path, v_path);
                raise exception using errcode = 'WF003';
              end if;
              v_outcome := null;
              v_measured := weft._measure_entry(v_measured.known, v_measured.held, weft._note_group(v_is_undo), v_step_began);
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

          -- run whole, as in the deployment
          if v_step.kind <> 'run' or v_surprises -> concat(v_step.ordinal, '/whole') = 'true' then
            if v_step.kind = 'check' and v_phase.transaction = 'single' then
              v_path := null;
              perform weft._fire_deferred(v_phase, p_start_path, v_ended);
              v_path := v_step.path;
            end if;
            if v_step.kind = 'batch' then
              v_outcome := weft._run_round(v_phase, v_step.ordinal, p_fence, p_is_rehearsal => true);
            else
              v_outcome := weft._run_steps(p_deployment, v_phase, v_step.ordinal, v_step.ordinal, p_fence, p_is_within => true, p_may_owe => v_phase.transaction = 'single' and v_step.on_error <> 'continue');
            end if;
            if v_outcome.verdict = 'apart' then
              v_outcome := null;
              raise exception using errcode = 'WF086';
            end if;
            select s.* into strict v_step from weft._steps as s where s.deployment_id = p_deployment and s.ordinal = v_step.ordinal;
            v_ended := case when v_outcome.verdict = 'done' and v_step.kind <> 'check' then v_outcome.error else v_ended end;
            select r.state, r.entry into v_state, v_entry from weft._weigh_piece(v_step, v_outcome, v_is_behind) as r;
            if v_state is null and v_is_undo and v_outcome.verdict = 'failed' then
              v_outcome := weft._find_way(v_phase, v_outcome);
              if v_outcome.verdict = 'reordered' then  -- it was put off, perhaps to the end of this phase
                v_of_phase := v_of_phase[1:v_place] || weft._list_pending(v_phase, v_step.ordinal + 1);
                v_state := 'skipped';
              end if;
            end if;
            if v_state is null then
              raise exception using errcode = 'WF003';
            end if;
            if v_entry is not null then
              v_measured := weft._measure_entry(v_measured.known, v_measured.held, v_entry, v_step_began);
              v_entries := array_append(v_entries, v_measured.entry);
            end if;
            v_steps_done := array_append(v_steps_done, weft._close_entry(v_phase, v_step, v_state, v_entries, case v_outcome.verdict when 'done' then v_step.rows end, v_step_began)
              || case v_state when 'tolerated' then jsonb_build_object('error', v_outcome.error) else '{}' end);
            v_outcome := null;
            continue;
          end if;

          -- statement by statement
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
          select e.given, e.session into v_values, v_before from weft._enter_rehearsed_file(v_phase, v_step, p_parameters, p_start_path, v_surprises) as e;
          select max(t.number) into v_last from weft._statements as t where t.deployment_id = p_deployment and t.step = v_step.ordinal;
          v_number := 0;
          v_rows := 0;
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
            v_ran := weft._rehearse_statement(v_phase, v_step, v_laid, v_values, v_surprises -> concat(v_step.ordinal, '/', v_number), v_before, v_inside, v_is_behind, v_measured.known, v_measured.held);
            v_before := v_ran.p_session;
            v_inside := v_ran.p_inside;
            v_is_behind := v_ran.p_is_behind;
            v_measured.known := v_ran.p_known;
            v_measured.held := v_ran.p_held;
            v_entries := v_entries || v_ran.entries;
            v_rows := v_rows + v_ran.row_count;
            v_enums_last := (select count(*) from pg_enum);
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
            v_count_at := weft._check_lock_table(cardinality(v_steps_done), v_phase.transaction);
          end if;
          v_steps_done := array_append(v_steps_done, weft._close_entry(v_phase, v_step, 'succeeded', v_entries, v_rows, v_step_began));
        end loop;

        v_path := null;
        if cardinality(v_of_phase) > 0 then
          perform weft._reset_session(), weft._fire_deferred(v_phase, p_start_path, v_ended);
          perform weft._reset_session(), weft._reset_constraints(), weft._check_dependents();
        end if;
        if v_phase.has_repeatables and not v_surprises ? concat('lost/', v_phase.ordinal) then
          v_lost := weft._list_lost(v_phase, v_is_undo);
          if v_lost is not null then
            raise exception using errcode = 'WF002';
          end if;
        end if;
        if v_is_undo and v_phase.transaction = 'single' then
          v_outcome := weft._look_after_returned(v_phase, 0, v_steps);
          if v_outcome.verdict <> 'done' then
            raise exception using errcode = 'WF003';  -- its steps have run, so only the outcome names one
          end if;
          v_outcome := null;
        end if;
        if v_phase.has_repeatables and v_phase.transaction <> 'none' and not v_surprises ? concat('group/', v_phase.ordinal) and weft._is_swallowing(v_phase, v_of_phase) then
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

    -- everything was rolled back; what follows is the account
    perform weft._put_back_sequences(p_deployment);
    if v_caught.state = 'WF000' then
      perform weft._keep_report(p_deployment, v_steps_done, v_catalog, v_passes, v_began, null), weft._scrub_report(p_deployment, p_secrets);
      return row('done', null, null)::weft._outcome;
    elsif v_caught.state = 'WF012' then
      raise exception using errcode = v_caught.state, message = v_caught.message, hint = v_caught.hint;
    elsif v_caught.state <> 'WF003' or v_outcome.verdict is null then
      v_outcome := weft._account_for_pass(v_caught, v_phase, v_path, v_row, v_condition, p_secrets);
      v_learned := weft._learn_from_pass(v_outcome, v_caught, v_phase, v_of_phase, v_step, v_row.number, v_entries, v_step_began, v_condition, v_is_undo, v_enums_last = v_enums, v_lost, v_surprises);
      if v_learned is not null then
        v_surprises := v_surprises || v_learned;
        continue;
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
  'Runs everything that is pending in a deployment in one block, measures each statement, and rolls everything back; the report is kept.';
