-- The session between two statements of a file. Anything may happen in between, so whatever the file has set in its session (role,
-- settings, search_path) is kept with each statement, and the next one starts with it, in this backend or in another.

-- The session as a file has left it. No view shows settings of classes that no module has defined ("app.tenant"), so they are collected from
-- those that were known before, and those that the statement names.
create or replace function weft._capture_session(p_before jsonb, p_statement text, p_outside jsonb, p_lock_timeout_ms integer)
  returns jsonb
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
begin
  return (
    select p_outside - 'unsettled' || jsonb_build_object('settings', coalesce(jsonb_object_agg(s.name, s.setting), '{}'))
    from (
      select n.name, current_setting(n.name, true) as setting
      from (
        select k.name from jsonb_object_keys(p_before -> 'settings') as k (name) where k.name ~ '\.'
        union
        select lower(m.names[1] collate "C") from regexp_matches(p_statement, '\mset(?:\s+session|_config\s*\(\s*'')?\s*([a-z_][\w$]*(?:\.[a-z_][\w$]*)+)', 'gi') as m (names)
      ) as n
      where n.name not like 'weft.%' and current_setting(n.name, true) is not null and not exists (select from pg_settings as g where g.name = n.name)
      union all
      select s.name, current_setting(s.name) as setting
      from pg_settings as s
      where s.source = 'session'
        and s.name not in ('search_path', 'standard_conforming_strings', 'role', 'session_authorization', 'application_name', 'client_min_messages', 'client_connection_check_interval',
                           'exit_on_error', 'statement_timeout', 'idle_in_transaction_session_timeout', 'transaction_timeout', 'default_transaction_isolation', 'weft.reported', 'weft.opened')
        and s.name not like 'transaction\_%' and (s.name <> 'lock_timeout' or s.setting <> p_lock_timeout_ms::text)
    ) as s);
end
$$;

comment on function weft._capture_session(jsonb, text, jsonb, integer) is 'Stores how a file has changed its session.';


-- What the next statement of a step begins with.
create or replace function weft._session_before(p_phase weft._phases, p_step integer, p_start_path text)
  returns jsonb
  stable
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
begin
  return (
    select coalesce(
      (select weft._unveil(t.session, p_phase.secrets) from weft._statements as t where t.deployment_id = p_phase.deployment_id and t.step = p_step and t.state = 'done' order by t.number desc limit 1),
      jsonb_build_object(
        'search_path', case session_user when 'weft' then weft._leave_out_user(p.search_path) else p.search_path end,
        'role', coalesce(p_phase.role, 'none'), 'authorization', session_user, 'conforming', current_setting('standard_conforming_strings'),
        'settings', p_phase.settings - 'search_path'))
    from (select coalesce(p_phase.settings ->> 'search_path', p_start_path) as search_path) as p);
end
$$;

comment on function weft._session_before(weft._phases, integer, text) is 'Tells the role, settings and search_path that the last statement of a step has left.';


-- Called in the session in which the statement ran, after its transaction: by then the server has ended SET LOCAL.
create or replace function weft._settle_captured(p_phase weft._phases, p_step integer, p_before jsonb, p_fence bigint)
  returns jsonb
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_session  jsonb := weft._capture_session(p_before, '', p_before, (p_before ->> 'unsettled')::integer);
begin
  perform weft._check_fence(p_fence, p_until_commit => true);
  update weft._statements as t set session = weft._veil(v_session, p_phase.secrets)
  where t.deployment_id = p_phase.deployment_id and t.step = p_step
    and t.number = (select max(d.number) from weft._statements as d where d.deployment_id = t.deployment_id and d.step = t.step and d.state = 'done');
  return v_session;
end
$$;

comment on function weft._settle_captured(weft._phases, integer, jsonb, bigint) is 'Stores which settings a session has kept after a statement that changed some.';


-- The settings of a file are restored under the role that the file has taken, because it may be allowed more than the engine's.
create or replace function weft._enter_step(p_phase weft._phases, p_step integer, p_before jsonb, p_is_continuing boolean)
  returns weft._outcome
  volatile
  language plpgsql
as $$
declare
  v_path     pg_catalog.text := (select s.path from weft._steps as s where s.deployment_id = p_phase.deployment_id and s.ordinal = p_step);
  v_steps    pg_catalog.int4 := (select pg_catalog.max(s.ordinal) from weft._steps as s where s.deployment_id = p_phase.deployment_id);
  e_state    pg_catalog.text;
  e_message  pg_catalog.text;
begin
  if not p_is_continuing then
    perform weft._reset_session();
  end if;
  perform weft._show_progress(p_step, v_steps, p_phase.name);
  perform pg_catalog.set_config('lock_timeout', p_phase.lock_timeout_ms::pg_catalog.text, false);
  begin
    perform weft._restore_role(p_before);
    perform pg_catalog.set_config(s.key, s.value, false) from pg_catalog.jsonb_each_text(p_before operator(pg_catalog.->) 'settings') as s;
    reset session authorization;
    reset role;
  exception when others then
    get stacked diagnostics e_state = returned_sqlstate, e_message = message_text;
    e_message := weft._scrub(pg_catalog.to_jsonb(e_message), p_phase.secrets) operator(pg_catalog.#>>) '{}';
    if not exists (select from weft._statements as t where t.deployment_id = p_phase.deployment_id and t.step = p_step and t.state <> 'pending') then
      return row('failed', v_path, weft._describe_entry_error(pg_catalog.jsonb_build_object('sqlstate', e_state, 'message', e_message), p_phase, v_path))::weft._outcome;
    end if;
    return row('failed', v_path, pg_catalog.jsonb_build_object('sqlstate', e_state, 'message', e_message, 'phase', p_phase.name, 'path', v_path,
      'detail', 'The file cannot go on where it stopped: the role and the settings that it had by then could not be had again.',
      'hint', 'What it has done is in the database. Put the rest of it into a file that sets what it needs.'))::weft._outcome;
  end;
  return null;
end
$$;

comment on function weft._enter_step(weft._phases, integer, jsonb, boolean) is
  'Gives the session the state of a step that runs statement by statement; returns null, or why that failed.';


-- The session is lent to whoever runs the statement: as the file left it, but without a lock timeout if nobody has to wait behind its lock.
-- A statement that removes something half-made is the engine's own: it does not use the file's lock timeout.
create or replace function weft._lend_session(p_before jsonb, p_kind text, p_phase weft._phases)
  returns void
  volatile
  language plpgsql
as $$
begin
  perform weft._settle_settings();
  if exists (
      select from weft._lease as l join weft._statements as t on t.deployment_id operator(pg_catalog.=) l.deployment_id
      where t.state operator(pg_catalog.=) 'cleaning'::weft.statement_state) then
    perform pg_catalog.set_config('lock_timeout', '0', false);
  elsif not coalesce((p_before operator(pg_catalog.->) 'settings') operator(pg_catalog.?) 'lock_timeout', false) then
    perform pg_catalog.set_config('lock_timeout', case when p_kind operator(pg_catalog.=) any (array['index', 'drop index', 'reindex', 'detach', 'vacuum'])
      then coalesce(p_phase.lock_timeouts operator(pg_catalog.->>) 'concurrently', '0')
      else coalesce(p_phase.lock_timeouts operator(pg_catalog.->>) 'table', p_phase.lock_timeout_ms::pg_catalog.text) end, false);
  end if;
  perform pg_catalog.set_config('standard_conforming_strings', p_before operator(pg_catalog.->>) 'conforming', false);
  perform pg_catalog.set_config('search_path', p_before operator(pg_catalog.->>) 'search_path', false);
  perform weft._restore_role(p_before);
end
$$;

comment on function weft._lend_session(jsonb, text, weft._phases) is 'Prepares the session for a statement at top level.';
