-- What one pass of a rehearsal finds out by failing, so that the next pass knows it from the beginning. One entry for the phase, the
-- step, or the statement:
--
--   lost/PHASE       objects of other files that its steps drop; these files then run again
--   group/PHASE      its groups of repeatable files run as wholes, as in the deployment
--   STEP             the error of a file that may fail, and did
--   STEP/whole       it is read as it runs (true), or laid out after all (false)
--   STEP/way         in an undo: it runs with its group, because something is in its way
--   STEP/STATEMENT   why the server refused it in a transaction

-- If deferred checks fail at the end of an all-or-nothing phase, they may belong to a step that may fail: then only that step fails, as in a deployment.
create or replace function weft._expect_owed(p_phase weft._phases, p_steps weft._steps[], p_surprises jsonb)
  returns jsonb
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select jsonb_object_agg(k.word, true)
  from (
    select case when s.options ? 'repeat' then concat('group/', p_phase.ordinal) else concat(s.ordinal, '/whole') end as word
    from unnest(p_steps) as s
    where p_phase.transaction = 'single' and s.kind = 'run' and s.on_error = 'continue') as k
  where not p_surprises ? k.word
$$;

comment on function weft._expect_owed(weft._phases, weft._steps[], jsonb) is
  'Says what the next pass must know about files that may fail: that the deferred checks of each run separately; null if it is known already.';


-- p_statement: the one that was running, if any. p_condition: the one that was being evaluated.
create or replace function weft._account_for_pass(p_caught weft._caught, p_phase weft._phases, p_path text, p_statement weft._statements, p_condition text, p_secrets jsonb)
  returns weft._outcome
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_error  jsonb := weft._scrub(weft._account_of_error(p_caught), p_secrets);
  v_line   integer := weft._first_line(p_statement.statement, p_statement.line);
begin
  if weft._is_interruption(p_caught.state, p_caught.context) then
    return row('interrupted', p_path, v_error)::weft._outcome;
  elsif weft._may_pass(p_caught.state, p_caught.message) then
    v_error := weft._add_blockers(v_error, coalesce(p_statement.statement, p_condition), weft._lock_budget_ms(p_phase, coalesce(weft._name_lock_kind(p_statement.statement), 'data')));
    return row('again', p_path, weft._describe_error(v_error, p_phase.name, p_path, v_line, p_statement.statement))::weft._outcome;
  elsif p_condition is not null then
    return row('failed', p_path, weft._describe_condition_error(v_error, p_phase.name, p_path, p_condition))::weft._outcome;
  end if;
  return row('failed', p_path, weft._describe_error(v_error, p_phase.name, p_path, v_line, p_statement.statement))::weft._outcome;
end
$$;

comment on function weft._account_for_pass(weft._caught, weft._phases, text, weft._statements, text, jsonb) is 'Says how a pass of a rehearsal ended that an error has stopped.';


-- p_outcome: how the pass ended, with the error; its path is null after the steps of a phase. p_lost: files whose objects its steps have dropped.
-- p_is_value_old: no step before this one has added a value to an enum.
create or replace function weft._learn_from_pass(
    p_outcome weft._outcome, p_caught weft._caught, p_phase weft._phases, p_steps weft._steps[], p_step weft._steps, p_number integer, p_entries jsonb[], p_began timestamptz,
    p_condition text, p_is_undo boolean, p_is_value_old boolean, p_lost jsonb, p_surprises jsonb)
  returns jsonb
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  c_group      constant text := concat('group/', p_phase.ordinal);
  c_whole      constant text := concat(p_step.ordinal, '/whole');
  c_way        constant text := concat(p_step.ordinal, '/way');
  c_statement  constant text := concat(p_step.ordinal, '/', p_number);
  c_is_loose   constant boolean := p_phase.transaction in ('auto', 'none');
begin
  if p_caught.state = 'WF002' and p_lost is not null then  -- files whose objects others drop run again with them
    return jsonb_build_object(concat('lost/', p_phase.ordinal), p_lost);
  elsif p_caught.state = 'WF002' and p_outcome.path is null and not p_surprises ? c_group then
    return jsonb_build_object(c_group, true);
  elsif p_outcome.verdict = 'interrupted' then
    return null;
  elsif p_number is not null and not p_surprises ? c_statement
      and (c_is_loose and weft._is_refused_in_transaction(p_outcome.error) or p_caught.state = '55P04' and (c_is_loose or p_is_value_old)) then
    return jsonb_build_object(c_statement, jsonb_build_object('sqlstate', p_caught.state, 'message', p_caught.message));
  elsif p_caught.state = 'WF086' and p_phase.transaction <> 'none' and p_surprises -> c_whole is distinct from 'false' then  -- rows after a COPY: read as in a deployment
    return jsonb_build_object(c_whole, not p_surprises ? c_whole);
  elsif p_outcome.verdict = 'again' then
    return null;
  elsif p_outcome.path is null then
    return weft._expect_owed(p_phase, p_steps, p_surprises);
  elsif p_condition is null and p_step.options ? 'repeat' and p_phase.transaction <> 'none' and not p_surprises ? c_group then
    return jsonb_build_object(c_group, true);
  elsif p_condition is null and p_is_undo and p_phase.has_repeatables and p_phase.transaction <> 'none' and weft._is_in_the_way(p_outcome.error)
      and not p_step.options ? 'repeat' and not p_surprises ? c_way then
    return jsonb_build_object(c_way, true);
  elsif p_step.on_error = 'continue' then
    return jsonb_build_object(p_step.ordinal, weft._close_entry(p_phase, p_step, 'tolerated', p_entries, null, p_began) || jsonb_build_object('error', p_outcome.error));
  end if;
  return null;
end
$$;

comment on function weft._learn_from_pass(weft._outcome, weft._caught, weft._phases, weft._steps[], weft._steps, integer, jsonb[], timestamptz, text, boolean, boolean, jsonb, jsonb) is
  'Says what the next pass of a rehearsal must know because of what this one met; null if it would meet the same again.';
