-- Checks before and after the work: whether a phase or a step is wanted, and whether what was done may stay. (Floor parts checks whether it
-- has changed the engine.)

-- A condition is evaluated when its step would begin, in the step's transaction, but as the role that deploys and under its search_path.
-- What it leaves in the session is reset. No SET clause: it would undo the work.
create or replace function weft._evaluate(p_condition text, p_path text, p_parameters jsonb)
  returns boolean
  volatile
  language plpgsql
as $$
declare
  v_question  pg_catalog.text := pg_catalog.concat('select (', p_condition, E'\n)::pg_catalog.bool');
  v_set       pg_catalog.text := pg_catalog.set_config('search_path', p_path, false);
  v_is_true   pg_catalog.bool;
begin
  if p_parameters is not null then
    v_set := pg_catalog.set_config('weft.values', p_parameters::pg_catalog.text, false);
  end if;
  execute v_question into strict v_is_true;
  v_set := pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', false);
  perform weft._reset_session();
  return coalesce(v_is_true, false);
end
$$;

comment on function weft._evaluate(text, text, jsonb) is 'Tells whether a condition is true, under the search_path that a file starts with. Null is not true.';


-- The condition of a phase is evaluated in the transaction of the first thing that the phase does; after that, the stored result counts.
create or replace function weft._is_phase_wanted(p_phase weft._phases, p_path text)
  returns boolean
  volatile
  language plpgsql
as $$
declare
  v_is_wanted  pg_catalog.bool := (select p.is_wanted from weft._phases as p where p.deployment_id = p_phase.deployment_id and p.ordinal = p_phase.ordinal);
begin
  if v_is_wanted is null then
    v_is_wanted := weft._evaluate(p_phase.condition, p_path, p_phase.parameters);
    update weft._phases as p set is_wanted = v_is_wanted where p.deployment_id = p_phase.deployment_id and p.ordinal = p_phase.ordinal;
  end if;
  return v_is_wanted;
end
$$;

comment on function weft._is_phase_wanted(weft._phases, text) is 'Tells whether the condition of a phase is true, or was when the phase began.';


create or replace function weft._leave_out_phase(p_phase weft._phases)
  returns void
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
begin
  update weft._steps as s set state = 'skipped', finished_at = clock_timestamp()
  where s.deployment_id = p_phase.deployment_id and s.phase = p_phase.ordinal and s.state = 'pending';
  perform weft._tell(p_phase.deployment_id, 'phase_left_out', p_phase.name, p_data => jsonb_build_object('when', p_phase.condition));
end
$$;

comment on function weft._leave_out_phase(weft._phases) is 'Skips the remaining steps of a phase whose condition is not true.';


-- A rehearsal is one transaction, whatever the rule of the phase (p_rehearsed). Counting walks through the whole lock table, so the next count comes halfway to where the limit would be reached at this pace.
create or replace function weft._check_lock_table(p_steps integer, p_rehearsed text default null)
  returns integer
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_size   bigint := current_setting('max_locks_per_transaction')::bigint * (current_setting('max_connections')::bigint + current_setting('max_prepared_transactions')::bigint);
  v_limit  bigint := v_size * weft._limit('lock_table_percent_max') / 100;
  v_held   bigint;
begin
  select count(*) into v_held from pg_locks as l where l.pid = pg_backend_pid() and not l.fastpath;
  if v_held > v_limit then
    raise exception 'This one transaction holds % of the % places in the server''s lock table; other sessions would soon get none.', v_held, v_size
      using errcode = 'WF015', hint = case when p_rehearsed <> 'single'
        then format('The phase is "transaction: %s": the deployment gives the locks back step by step, and need not come to this. A rehearsal holds them all in one transaction: for it, raise max_locks_per_transaction.', p_rehearsed)
        else 'Use "transaction: per-step" for this phase, cut it into several, or raise max_locks_per_transaction.' end;
  end if;
  return p_steps + greatest(weft._limit('steps_between_lock_counts'), least(p_steps, p_steps * (v_limit - v_held) / greatest(v_held, 1) / 2))::integer;
end
$$;

comment on function weft._check_lock_table(integer, text) is 'Stops a phase before it fills the shared lock table; returns the number of steps after which to look again.';


-- As a commit would do: each constraint is checked again when its definition says. Whatever is checked now sees the session that a file has left.
create or replace function weft._reset_constraints(p_ended jsonb default null)
  returns void
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_immediate  text;
  v_path       text := coalesce(p_ended ->> 'search_path', 'pg_catalog, pg_temp');
  v_set        text;
begin
  if not exists (select from pg_constraint as c where c.condeferrable) then
    return;
  end if;
  set constraints all deferred;
  select string_agg(k.name, ', ') into v_immediate
  from (
    select format('%I.%I', n.nspname, c.conname) as name
    from pg_constraint as c
    join pg_namespace as n on n.oid = c.connamespace
    where c.condeferrable
    group by n.nspname, c.conname
    having not bool_or(c.condeferred)
  ) as k;
  if v_immediate is null then
    return;
  end if;
  if p_ended is not null then
    perform set_config('session_authorization', p_ended ->> 'authorization', false), set_config('role', p_ended ->> 'role', false);
  end if;
  v_set := pg_catalog.set_config('search_path', v_path, false);
  execute pg_catalog.concat('set constraints ', v_immediate, ' immediate');
  v_set := pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', false);
  reset session authorization;
  reset role;
end
$$;

comment on function weft._reset_constraints(jsonb) is 'Lets deferrable constraints be checked when their definitions say, as at the beginning of a transaction.';


-- Runs deferred checks and triggers in the session that the last file has left (p_ended), as its commit would; or, if that is not known, in the session in which
-- a file of the phase begins, so that triggers find what they name, and wait no longer than the file would. The caller resets the session.
create or replace function weft._fire_deferred(p_phase weft._phases, p_path text, p_ended jsonb default null)
  returns void
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_path  text;
  v_set   text := set_config('lock_timeout', weft._lock_budget_ms(p_phase, 'data')::text, false);
begin
  v_path := weft._enter_file(p_phase, p_path);
  if p_ended is not null then
    reset role;
    perform set_config('session_authorization', p_ended ->> 'authorization', false), set_config('role', p_ended ->> 'role', false);
    v_path := p_ended ->> 'search_path';
  end if;
  v_set := pg_catalog.set_config('search_path', v_path, false);
  set constraints all immediate;
  v_set := pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', false);
  reset session authorization;
  reset role;
end
$$;

comment on function weft._fire_deferred(weft._phases, text, jsonb) is 'Makes everything that is deferred to the commit happen now, in the session of a phase or of a file.';


-- Checks what is deferred, and leaves it deferred: a private error rolls back the queue, the modes, and the session.
create or replace function weft._find_unmet_constraint(p_phase weft._phases, p_path text, p_ended jsonb default null)
  returns jsonb
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  e_state       text;
  e_message     text;
  e_detail      text;
  e_schema      text;
  e_table       text;
  e_constraint  text;
begin
  begin
    perform weft._fire_deferred(p_phase, p_path, p_ended);
    raise exception using errcode = 'WF003';
  exception when others or assert_failure then
    get stacked diagnostics e_state = returned_sqlstate, e_message = message_text, e_detail = pg_exception_detail,
      e_schema = schema_name, e_table = table_name, e_constraint = constraint_name;
  end;
  return case when e_state <> 'WF003' then jsonb_strip_nulls(jsonb_build_object(
    'sqlstate', e_state, 'message', e_message, 'detail', nullif(e_detail, ''),
    'schema', nullif(e_schema, ''), 'table', nullif(e_table, ''), 'constraint', nullif(e_constraint, ''))) end;
end
$$;

comment on function weft._find_unmet_constraint(weft._phases, text, jsonb) is 'Tells the error of a deferred constraint that would fail now; null if none would. Changes nothing.';
