-- A statement that PostgreSQL runs in no transaction: handed out, judged, repaired, or cleaned up.

-- An interrupted REINDEX CONCURRENTLY also leaves invalid indexes of TOAST tables, which only a superuser may drop.
create or replace function weft._tell_leftovers(p_statement weft._statements, p_phase weft._phases, p_path text)
  returns void
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_leftover  regclass;
begin
  if p_statement.judge ->> 'kind' <> 'reindex' or has_schema_privilege('pg_toast', 'usage') then
    return;
  end if;
  for v_leftover in
    select i.indexrelid
    from jsonb_array_elements_text(p_statement.judge -> 'tables') as j (oid)
    join pg_class as t on t.oid = j.oid::oid
    join pg_index as i on i.indrelid = t.reltoastrelid
    where not i.indisvalid
    order by i.indexrelid
  loop
    perform weft._tell(p_statement.deployment_id, 'leftover_out_of_reach', p_phase.name, p_path, jsonb_build_object(
      'index', v_leftover, 'hint', format('An interrupted REINDEX has left it; only a superuser may drop an index of TOAST: drop index concurrently %s', v_leftover)));
  end loop;
end
$$;

comment on function weft._tell_leftovers(weft._statements, weft._phases, text) is
  'Names the invalid indexes that an interrupted REINDEX CONCURRENTLY has left, and that this role may not drop.';


-- A statement that runs in no transaction, from the intent to the verdict. p_is_reported: the session says that it succeeded;
-- p_is_owed: it was sent in this session, which does not say so; p_report: in that case, the server's error.
create or replace function weft._pursue(
    p_statement weft._statements, p_path text, p_phase weft._phases, p_before jsonb, p_is_reported boolean, p_report jsonb, p_is_owed boolean, p_canceled weft._cancellations)
  returns weft._outcome
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_verdict   text;
  v_send      text;
  v_why       jsonb;
  v_about     oid;
  v_error     jsonb := p_statement.error;
  v_state     weft.statement_state := p_statement.state;
  v_tries     integer := p_statement.tries - case when p_is_reported and p_statement.is_repair then 1 else 0 end;
  v_refused   jsonb;  -- the server's error when it was removed
  v_judged    text;
  v_repairs   boolean;
  v_data      jsonb;
  v_text      text := weft._interpolate(p_statement.statement, p_phase.parameters, weft._mark(p_phase.parameters));
  v_judge     jsonb := weft._veil(p_statement.judge, p_phase.secrets);  -- in the form in which it is stored
begin
  if v_state <> 'cleaning' then
    select j.verdict, j.statement, j.error, j.about into v_verdict, v_send, v_why, v_about
    from weft._judge(p_statement.judge, v_text, p_is_reported and not p_statement.is_repair, p_statement.sent_at, p_before) as j;
    v_why := weft._scrub(v_why, p_phase.secrets);
    if v_verdict = 'send' and p_is_owed and not p_is_reported and p_report is null then
      return row('report', p_path, null)::weft._outcome;
    elsif v_verdict = 'send' and p_canceled.deployment_id is not null then
      v_state := 'cleaning';
      v_tries := 0;
      v_error := weft._describe_cancellation(p_canceled);
    elsif v_verdict = 'interrupted' then
      return row('interrupted', p_path, v_why)::weft._outcome;
    elsif v_verdict = 'send' and p_report ->> 'sqlstate' = '57014' then
      return row('interrupted', p_path, p_report)::weft._outcome;
    elsif v_verdict = 'send' and not weft._may_pass(p_report ->> 'sqlstate', p_report ->> 'message')
        and not (p_report ->> 'sqlstate' = '42P07' and v_send <> v_text)  -- somebody else has begun it, and died
        and not (p_report ->> 'sqlstate' in ('42704', '42P01') and p_statement.is_repair) then  -- somebody else has repaired it
      v_state := 'cleaning';
      v_tries := 0;
      v_error := p_report;
    elsif v_verdict = 'send' and v_tries >= weft._limit('directive_attempts_count') then
      v_state := 'cleaning';
      v_tries := 0;
      v_error := coalesce(p_report, jsonb_build_object('sqlstate', 'WF018', 'message',
        format('It was handed out %s times, and never was it done when it came back (directive_attempts_count).', p_statement.tries), 'hint', 'Look into the server''s log at the times in weft.events; then deploy again.'));
    elsif v_verdict = 'send' and weft._may_pass(p_report ->> 'sqlstate', p_report ->> 'message') then  -- handed out again, after a pause
      return row('again', p_path, weft._describe_error(weft._add_blockers(p_report, p_statement.statement, 0), p_phase.name, p_path, weft._first_line(p_statement.statement, p_statement.line), p_statement.statement))::weft._outcome;
    end if;
  end if;

  if v_state = 'cleaning' then
    select r.statement, r.about into v_send, v_about from weft._find_remains(p_statement.judge) as r;
    v_why := v_error;
    if v_send is null then  -- it may have succeeded after all
      v_judged := (select j.verdict from weft._judge(p_statement.judge, v_text, false, p_statement.sent_at, p_before) as j);
    elsif p_statement.state = 'cleaning' then  -- it was tried before
      if p_is_owed and not p_is_reported and p_report is null then
        return row('report', p_path, null)::weft._outcome;
      end if;
      v_refused := p_report;
    end if;
    if v_refused ->> 'sqlstate' = '57014' then  -- a signal that came late, or from a stranger, does not count as a try
      v_tries := greatest(v_tries - 1, 0);
      if p_canceled.deployment_id is null then
        update weft._statements as s set tries = v_tries
        where s.deployment_id = p_statement.deployment_id and s.step = p_statement.step and s.number = p_statement.number;
        return row('interrupted', p_path, p_report)::weft._outcome;
      end if;
    end if;
    v_verdict := case
      when v_judged = 'done' then 'done'
      when v_send is null or v_refused ->> 'sqlstate' = '42501' or v_tries >= weft._limit('directive_attempts_count') then 'failed'
      when weft._may_pass(v_refused ->> 'sqlstate', v_refused ->> 'message') or weft._is_worked_on(v_about) then 'wait'
      else 'send'
    end;
    if v_verdict = 'failed' and v_refused is not null then
      v_why := v_why || jsonb_build_object('refused', v_refused);
    end if;
  end if;

  if v_verdict = 'done' then
    begin
      perform weft._check_dependents();
    exception when sqlstate 'WF016' then
      v_verdict := 'failed';
      v_why := jsonb_build_object('sqlstate', 'WF016', 'message', sqlerrm, 'hint', 'What the statement has done is in the database, because it ran in no transaction. Drop it, if it has made something, and take what names the schema weft out of the file.');
    end;
  end if;

  case v_verdict
    when 'done' then
      update weft._statements as s
      set state = 'done', judge = v_judge, finished_at = clock_timestamp(), error = null, session = weft._veil(p_before, p_phase.secrets),
          verdict = case when p_statement.state = 'pending' then 'adopted' else 'ran' end
      where s.deployment_id = p_statement.deployment_id and s.step = p_statement.step and s.number = p_statement.number;
      perform weft._tell(p_statement.deployment_id, case when p_statement.state = 'pending' then 'statement_found_done' else 'statement_done' end, p_phase.name, p_path,
        jsonb_build_object('statement', p_statement.number, 'line', weft._first_line(p_statement.statement, p_statement.line), 'kind', p_statement.judge -> 'kind', 'attempts', p_statement.attempts));
      perform weft._tell_leftovers(p_statement, p_phase, p_path);
      return row('done', null, null)::weft._outcome;
    when 'failed' then
      v_error := weft._describe_error(v_why, p_phase.name, p_path, weft._first_line(p_statement.statement, p_statement.line), p_statement.statement);
      update weft._statements as s set state = 'failed', judge = v_judge, error = v_error, finished_at = clock_timestamp()
      where s.deployment_id = p_statement.deployment_id and s.step = p_statement.step and s.number = p_statement.number;
      perform weft._tell_leftovers(p_statement, p_phase, p_path);
      return row(case when p_canceled.deployment_id is null then 'failed' else 'interrupted' end, p_path, v_error)::weft._outcome;
    when 'wait' then
      update weft._statements as s set state = v_state, judge = v_judge, error = v_error
      where s.deployment_id = p_statement.deployment_id and s.step = p_statement.step and s.number = p_statement.number;
      return row('wait', p_path, jsonb_build_object('table', v_about::regclass, 'pids', (select coalesce(jsonb_agg(w.pid), '[]') from weft._list_workers(v_about) as w)))::weft._outcome;
    else
      v_repairs := v_state = 'cleaning' or v_send <> v_text;
      v_data := jsonb_build_object(
        'statement', p_statement.number, 'line', weft._first_line(p_statement.statement, p_statement.line), 'attempt', p_statement.attempts + 1,
        'sent', left(weft._skip_comments(case when v_send = v_text then p_statement.statement else v_send end), weft._limit('statement_shown_characters')), 'waits_for', case when v_send ~ '^drop index concurrently ' then weft._list_users(v_about) else weft._list_old_snapshots() end);
      update weft._statements as s
      set state = case when v_state = 'pending' then 'sent' else v_state end, judge = v_judge, error = v_error,
          attempts = s.attempts + 1, tries = v_tries + 1, is_repair = v_repairs, sent_at = clock_timestamp()
      where s.deployment_id = p_statement.deployment_id and s.step = p_statement.step and s.number = p_statement.number;
      perform weft._tell(p_statement.deployment_id, case when v_state = 'cleaning' then 'remains_being_dropped' when v_send = v_text then 'statement_sent' else 'statement_repaired' end,
        p_phase.name, p_path, v_data);
      return row('directive', p_path, v_data || jsonb_build_object(
        'deployment', p_statement.deployment_id, 'path', p_path, 'kind', p_statement.judge ->> 'kind', 'whole', v_send,
        'report', format('select pg_catalog.set_config(''weft.reported'', ''%s/%s/%s/%s'', false)', p_statement.deployment_id, p_statement.step, p_statement.number, p_statement.attempts + 1)))::weft._outcome;
  end case;
end
$$;

comment on function weft._pursue(weft._statements, text, weft._phases, jsonb, boolean, jsonb, boolean, weft._cancellations) is
  'Asks the judge of a statement, and decides what follows: done, failed, wait, hand it out, or ask what the server said.';


create or replace function weft._is_reported(p_deployment uuid, p_step integer, p_reported text)
  returns boolean
  stable
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
begin
  return exists (
    select from weft._statements as t
    where t.deployment_id = p_deployment and t.step = p_step and t.state in ('sent', 'cleaning')
      and format('%s/%s/%s/%s', t.deployment_id, t.step, t.number, t.attempts) = p_reported);
end
$$;

comment on function weft._is_reported(uuid, integer, text) is 'Tells whether a session says that the statement which was handed out last is done.';
