-- A batch: one statement, run again and again until it touches no row. Each run is a round: a transaction of its own that includes its
-- record, so that after any interruption the next round follows the last committed one.
--
-- The statement uses :size as its limit, and may use :'cursor' for where the last round ended. Nothing is held between two rounds.

-- The state of a batch that has not begun. What weft.yaml says about it is in the options of its step.
create or replace function weft._new_batch(p_step weft._steps)
  returns weft._batches
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_batch  weft._batches;
  v_split  record;
  v_lines  text;
begin
  select f.statements, f.lines into v_split from weft._split_file(p_step.deployment_id, p_step.path) as f;
  if cardinality(v_split.statements) is distinct from 1 then
    select string_agg(weft._first_line(s.statement, s.line)::text, ', ' order by s.line) into v_lines
    from unnest(v_split.statements[:10], v_split.lines[:10]) as s (statement, line);
    raise exception 'A batch is a file with one statement, and this one has %.',
        case when v_split.statements is null then 'more bytes than one may have' when v_lines is null then 'none' else format('%s (lines %s)', cardinality(v_split.statements), v_lines) end
      using errcode = 'WF051', hint = 'Put what is to happen once, before or afterwards, into files of their own that are run.';
  end if;
  v_batch.deployment_id := p_step.deployment_id;
  v_batch.step := p_step.ordinal;
  v_batch.statement := v_split.statements[1];
  v_batch.line := v_split.lines[1];
  v_batch.start_cursor := p_step.options ->> 'cursor';
  v_batch.cursor := v_batch.start_cursor;
  v_batch.size := coalesce((p_step.options ->> 'size')::integer, weft._limit('batch_size_default'));
  v_batch.rounds := 0;
  v_batch.rows := 0;
  v_batch.is_begun := false;
  v_batch.rounds_before := 0;
  v_batch.rows_before := 0;
  v_batch.rounds_replaced := 0;
  v_batch.rows_replaced := 0;
  v_batch.parameters := weft._digest_parameters(array(select p from weft._parameters as p where p.deployment_id = p_step.deployment_id), v_batch.statement);
  v_batch.sweeps := 0;
  v_batch.quiet_rounds := 0;
  v_batch.is_uneven := false;
  v_batch.worked_ms := 0;
  v_batch.paused_ms := 0;
  v_batch.started_at := clock_timestamp();

  if weft._fill_in(v_batch.statement, 1, null) = v_batch.statement then
    raise exception 'The statement of a batch says where it limits itself to so many rows (limit :size), and this one does not.'
      using errcode = 'WF051', hint = 'update t set ... where id in (select id from t where ... order by id limit :size)';
  elsif weft._says_cursor(v_batch.statement) and v_batch.start_cursor is null then
    raise exception 'The statement says :''cursor'', and weft.yaml does not say where the batch begins.'
      using errcode = 'WF051', hint = 'Give the step a cursor that is smaller than all: cursor: 0, say.';
  elsif not weft._says_cursor(v_batch.statement) and v_batch.start_cursor is not null then
    raise exception 'weft.yaml says where the batch begins (cursor: %), and the statement does not say :''cursor''.', v_batch.start_cursor
      using errcode = 'WF051', hint = 'update t set ... where id in (select id from t where id > :''cursor'' order by id limit :size) returning id as cursor';
  end if;
  return v_batch;
end
$$;

comment on function weft._new_batch(weft._steps) is 'Reads the file of a batch; refuses one that is not one statement with :size in it, or whose cursor has no beginning.';


create or replace function weft._mark_plain(p_names text)
  returns text
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select format('(:+)(?:($.)|($.)|($.)|(%s)(?![A-Za-z0-9_\u0080-\U0010ffff]))', p_names)
$$;

comment on function weft._mark_plain(text) is 'Makes the pattern of names after a colon without quotes.';


-- As psql does it, so that the statement can be tried there (\set size 10); but a cursor is a value from a table, so it becomes a
-- literal even if it is written as :cursor.
create or replace function weft._fill_in(p_statement text, p_size integer, p_cursor text)
  returns text
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select weft._interpolate(
    weft._interpolate(p_statement, jsonb_build_object('size', p_size::text, 'cursor', coalesce(quote_literal(p_cursor), ':cursor')), weft._mark_plain('size|cursor')),
    jsonb_build_object('cursor', p_cursor), case when p_cursor is not null then weft._mark('{"cursor": null}') end)
$$;

comment on function weft._fill_in(text, integer, text) is 'Writes a round''s size and cursor into the statement of a batch; without a cursor, only the size.';


create or replace function weft._says_cursor(p_statement text)
  returns boolean
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select weft._fill_in(p_statement, 1, 'a') <> weft._fill_in(p_statement, 1, null)
$$;

comment on function weft._says_cursor(text) is 'Tells whether the statement of a batch uses the cursor of the last round.';


create or replace function weft._write_round(p_phase weft._phases, p_batch weft._batches)
  returns text
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select weft._interpolate(weft._fill_in(p_batch.statement, p_batch.size, p_batch.cursor), p_phase.parameters, weft._mark(p_phase.parameters))
$$;

comment on function weft._write_round(weft._phases, weft._batches) is 'Writes the statement of the next round, with the parameters of the deployment.';


-- The same batch in a deployment that is over, or was passed, and that did not finish it.
create or replace function weft._find_earlier_batch(p_bundle text, p_deployment uuid, p_path text)
  returns weft._batches
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select b
  from weft._batches as b
  cross join lateral (select o.* from weft._deployments as o where o.id = b.deployment_id offset 0) as d
  cross join lateral (select from weft._steps as o where o.deployment_id = b.deployment_id and o.ordinal = b.step and o.path = p_path and o.state <> 'succeeded' offset 0) as s
  where b.rounds + b.rounds_before > 0 and d.bundle = p_bundle and d.id is distinct from p_deployment and (d.finished_at is not null or d.state = 'running')
  order by d.place desc nulls last
  limit 1
$$;

comment on function weft._find_earlier_batch(text, uuid, text) is 'Finds a batch of which an earlier deployment has committed rounds, and that it did not finish.';


create or replace function weft._tell_other(p_earlier weft._batches, p_statement text, p_parameters jsonb)
  returns text
  immutable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select case when not weft._is_same_statement((p_earlier).statement, p_statement) then 'the statement was another one then'
    when (p_earlier).parameters <> p_parameters then (
      select format('parameters that it names had other values then: %s', string_agg(k.name, ', ' order by k.name))
      from jsonb_object_keys((p_earlier).parameters || p_parameters) as k (name)
      where (p_earlier).parameters -> k.name is distinct from p_parameters -> k.name)
  end
$$;

comment on function weft._tell_other(weft._batches, text, jsonb) is 'Tells what has changed since an earlier deployment committed rounds of a batch: the statement, or values of parameters; otherwise null.';


-- From now on, the batch belongs to this deployment: whoever continues it later looks here, so that a cursor is in one row only, and is gone
-- with that row.
create or replace function weft._take_over(p_batch weft._batches, p_step weft._steps, p_phase text)
  returns weft._batches
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_earlier  weft._batches;
  v_other    text;  -- what has changed
  v_wish     text := p_step.options ->> 'on_change';
  v_refusal  jsonb;
  v_is_anew  boolean;
begin
  p_batch.is_begun := true;
  v_earlier := weft._find_earlier_batch((select d.bundle from weft._deployments as d where d.id = p_batch.deployment_id), p_batch.deployment_id, p_step.path);
  if v_earlier.step is null then
    return p_batch;
  end if;
  -- without a cursor, the rows themselves tell what is done; a new beginning in weft.yaml says where to start
  if p_batch.start_cursor is not null and (v_earlier.start_cursor = p_batch.start_cursor or p_step.result ? 'continued') then
    v_other := weft._tell_other(v_earlier, p_batch.statement, p_batch.parameters);
    if v_other is not null and v_wish is null then
      v_refusal := weft._describe_changed_batch(v_earlier, v_other);
      raise exception using errcode = 'WF021', message = v_refusal ->> 'message', detail = v_refusal ->> 'detail', hint = v_refusal ->> 'hint';
    elsif v_other is null or v_wish = 'continue' then
      p_batch.cursor := v_earlier.cursor;
    end if;
    v_is_anew := v_other is not null and v_wish = 'restart';
  else
    v_is_anew := p_batch.start_cursor is not null;
  end if;
  p_batch.rounds_before := case when v_is_anew then 0 else v_earlier.rounds + v_earlier.rounds_before end;
  p_batch.rows_before := case when v_is_anew then 0 else v_earlier.rows + v_earlier.rows_before end;
  p_batch.rounds_replaced := v_earlier.rounds_replaced + case when v_is_anew then v_earlier.rounds + v_earlier.rounds_before else 0 end;
  p_batch.rows_replaced := v_earlier.rows_replaced + case when v_is_anew then v_earlier.rows + v_earlier.rows_before else 0 end;
  update weft._steps as s set result = nullif(s.result - 'continued', '{}') where s.deployment_id = p_batch.deployment_id and s.ordinal = p_batch.step and s.result ? 'continued';
  update weft._steps as s  -- from now on, this is all that the earlier deployment can tell
  set result = coalesce(s.result, '{}') || jsonb_build_object('continued',
    jsonb_build_object('by', p_batch.deployment_id) || jsonb_strip_nulls(to_jsonb(v_earlier) - '{deployment_id,step,statement,line,start_cursor,cursor,parameters,is_begun,sweeps,throttled_by,quiet_rounds,is_uneven,lag_since}'::text[]))
  where s.deployment_id = v_earlier.deployment_id and s.ordinal = v_earlier.step;
  delete from weft._batches as b where b.deployment_id = v_earlier.deployment_id and b.step = v_earlier.step;
  perform weft._tell(p_batch.deployment_id, 'continued', p_phase, p_step.path,
    jsonb_build_object('rounds_done_before', v_earlier.rounds + v_earlier.rounds_before, 'rows_done_before', v_earlier.rows + v_earlier.rows_before, 'by', v_earlier.deployment_id)
      || case when v_other is not null then jsonb_build_object('on_change', v_wish) else '{}' end);
  return p_batch;
end
$$;

comment on function weft._take_over(weft._batches, weft._steps, text) is
  'Begins a batch: where an earlier deployment stopped that ran the same statement with the same values from the same beginning, otherwise where weft.yaml says. The work of the earlier one is accounted for here from now on.';


-- The same question before there is a deployment, with the plain values that it would be given. Unknown values count as unchanged.
create or replace function weft._foresee_batches(p_manifest jsonb, p_texts jsonb, p_values jsonb)
  returns jsonb
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  with declared as materialized (
    select d.name, (null::uuid, d.name, d.type, coalesce(d.secret, false), false, null::bytea,
        case when d.secret is null then weft._accept_value(d.name, d.type, coalesce(p_values ->> d.name, d."default"), false) end)::weft._parameters as parameter
    from jsonb_to_recordset(coalesce(p_manifest -> 'parameters', '[]')) as d (name text, type text, "default" text, required boolean, secret boolean)
    where p_values is not null and (p_values ? d.name or d.secret or d.required is null)
  )
  select coalesce(jsonb_agg(jsonb_build_object(
    'path', f.path, 'rounds', (f.earlier).rounds + (f.earlier).rounds_before, 'rows', (f.earlier).rows + (f.earlier).rows_before,
    'goes_on', case when f.begins_elsewhere then 'anew' when f.other is null or f.wish = 'continue' then 'behind' when f.wish = 'restart' then 'anew' else 'refused' end,
    'refusal', case when f.other is not null and f.wish is null then weft._describe_changed_batch(f.earlier, f.other) || jsonb_build_object('path', f.path) end)), '[]')
  from (
    select s.value ->> 'path' as path, s.value ->> 'on_change' as wish, e as earlier,
      s.value ? 'cursor' and (e).start_cursor is distinct from s.value ->> 'cursor' as begins_elsewhere,
      case when (e).start_cursor = s.value ->> 'cursor' then weft._tell_other(e, t.statement,
        weft._digest_parameters(array(select d.parameter from declared as d), t.statement)
          || coalesce((select jsonb_object_agg(k.key, k.value) from jsonb_each((e).parameters) as k where k.key not in (select d.name from declared as d)), '{}')) end as other
    from jsonb_path_query(p_manifest, '$.phases[*].steps[*]') as s (value)
    cross join lateral weft._find_earlier_batch(p_manifest ->> 'bundle', null, s.value ->> 'path') as e
    cross join lateral weft._split(weft._new_scanner(), coalesce(p_texts ->> (s.value ->> 'path'), ''), true) as x
    cross join lateral (select case when p_texts ? (s.value ->> 'path') then coalesce(x.statements[1], '') else (e).statement end as statement) as t
    where s.value ->> 'kind' = 'batch' and (e).step is not null
      and exists (select from weft._find_begun(p_manifest ->> 'bundle') as b where b.path = s.value ->> 'path' and b.rounds is not null)
  ) as f
$$;

comment on function weft._foresee_batches(jsonb, jsonb, jsonb) is 'Tells of which batches an earlier deployment has committed rounds, and whether they would continue after those, begin anew, or be refused.';


-- The server's plan says which table a statement writes to, and so whether the number of its rows can be compared. Null if the plan names no
-- such table, because a function writes, say.
create or replace function weft._find_written(p_phase weft._phases, p_path text, p_statement text, out table_name text, out is_growing boolean)
  volatile
  language plpgsql
as $$
declare
  v_set   pg_catalog.text;
  v_plan  pg_catalog.json;
  v_node  pg_catalog.jsonb;
  v_said  pg_catalog.text;
begin
  begin
    v_set := weft._enter_file(p_phase, p_path);
    v_set := pg_catalog.set_config('search_path', v_set, false);
    execute pg_catalog.concat('explain (format json, verbose) ', p_statement) into v_plan;
    v_set := pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', false);
    reset session authorization;
    reset role;
  exception  -- which resets the session
    when syntax_error then
      v_said := sqlerrm;
    when others then
      return;  -- running the statement will report the error
  end;
  if v_said is not null then
    if weft._parses(p_statement) then
      raise exception 'PostgreSQL does not tell of this statement how many rows it touches: a batch of it would end at once, or never.'
        using errcode = 'WF051', hint = 'A batch is an INSERT, UPDATE, DELETE or MERGE, or a SELECT that returns a row for each one that it touches.';
    end if;
    return;
  end if;
  v_node := jsonb_path_query_first(v_plan::jsonb, 'strict $.** ? (@."Node Type" == "ModifyTable")', silent => true);
  table_name := case when v_node is not null then format('%I.%I', v_node ->> 'Schema', v_node ->> 'Relation Name') end;
  is_growing := v_node ->> 'Operation' in ('Insert', 'Merge');
end
$$;

comment on function weft._find_written(weft._phases, text, text) is 'Names the table that a statement writes to, according to its plan, and tells whether rows are added to it; refuses a statement for which PostgreSQL makes no plan.';


-- Estimated like the planner does: the density at the last ANALYZE times the present number of pages. For a partitioned table, the sum of its partitions.
create or replace function weft._estimate_rows(p_table text)
  returns bigint
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select sum(case
    when c.relpages > 0 and c.reltuples >= 0 then c.reltuples / c.relpages * s.pages
    else s.pages * 291  -- the most that fit: 8192 bytes a page, 28 for the smallest row
  end)::bigint
  from (select to_regclass(p_table)::oid union select t.relid::oid from pg_partition_tree(to_regclass(p_table)) as t) as r (oid)
  join pg_class as c on c.oid = r.oid and c.relkind in ('r', 'm')
  cross join lateral (select pg_relation_size(c.oid) / current_setting('block_size')::bigint as pages) as s
$$;

comment on function weft._estimate_rows(text) is 'Estimates how many rows a table has, without looking at them.';


-- Who waits for locks of this transaction, whose commit will release them.
create or replace function weft._list_waiting()
  returns jsonb
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_pids  integer[] := array(
    select distinct l.pid from pg_locks as l where not l.granted and pg_backend_pid() = any (pg_blocking_pids(l.pid)) order by l.pid limit weft._limit('blockers_shown_count'));
begin
  if v_pids = '{}' then
    return null;
  end if;
  perform pg_stat_clear_snapshot();
  return weft._describe_sessions(v_pids);
end
$$;

comment on function weft._list_waiting() is 'Lists the sessions that wait for locks of this one; null if nobody does.';


-- A role without pg_monitor sees standbys without their lag.
create or replace function weft._find_lagging(p_max_lag_ms integer)
  returns jsonb
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_lagging  jsonb;
begin
  perform pg_stat_clear_snapshot();
  select jsonb_build_object('standby', coalesce(nullif(r.application_name, ''), r.pid::text), 'lag_ms', round(extract(epoch from r.replay_lag) * 1000), 'max_lag_ms', p_max_lag_ms) into v_lagging
  from pg_stat_replication as r
  where r.state = 'streaming' and r.replay_lag > make_interval(secs => p_max_lag_ms / 1000.0)
  order by r.replay_lag desc
  limit 1;
  return v_lagging;
end
$$;

comment on function weft._find_lagging(integer) is 'Names the standby that lags behind most, if that is more than allowed; null if there is none, or this role may not see it.';
