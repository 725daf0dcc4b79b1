-- Records the steps of a block in their rows, the history and the journal, in the transaction of their effects.

-- p_records: in the order of the steps.
create or replace function weft._record_steps(p_phase weft._phases, p_records weft._step_record[])
  returns void
  volatile
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan  -- this runs for each block
  language plpgsql
as $$
declare
  v_bundle  text;
  v_undoes  uuid;
begin
  -- so that nobody deletes it before the commit: the records name it
  select d.bundle, d.undoes into v_bundle, v_undoes from weft._deployments as d where d.id = p_phase.deployment_id for key share;
  with recorded as (
    update weft._steps as s
    set state = case when r.is_wanted then 'succeeded' else 'skipped' end::weft.step_state, is_wanted = case when s.condition is not null then r.is_wanted or coalesce(r.result ? 'same_table', false) end,
        statements = case when r.is_wanted then r.statements end, rows = case when r.is_wanted then r.rows end, finished_at = r.finished_at,
        milliseconds = round((extract(epoch from r.finished_at - r.started_at) * 1000)::numeric, 3),
        replaced = case when r.is_wanted and (s.options ? 'repeat' or s.kind = 'load') then (
          select weft._keep_row(h) from weft._history as h where h.bundle = v_bundle and h.path = s.path) end,
        statement_lines = r.lines, statement_digests = r.digests, result = case when r.result is null then s.result else coalesce(s.result, '{}') || (r.result - '{table,table_oid}'::text[]) end
    from unnest(p_records) as r
    where s.deployment_id = p_phase.deployment_id and s.ordinal between (p_records[1]).ordinal and (p_records[cardinality(p_records)]).ordinal and s.ordinal = r.ordinal
    returning s.ordinal, s.path, s.kind, s.options, s.condition, weft._repeat_of(s.kind, s.options) as repeat, r.is_wanted, r.statements, r.rows, r.finished_at, r.result
  ),
  applied as (
    insert into weft._history as h (bundle, path, digest, deployment_id, applied_at, bytes_in, applied_path, place, made, table_name, table_oid, words)
    select v_bundle, r.path, a.digest, p_phase.deployment_id, r.finished_at, p_phase.deployment_id, r.path, case when r.repeat <> 'once' then r.ordinal end, r.result -> 'made',
           r.result ->> 'table', coalesce((r.result ->> 'table_oid')::oid, case when r.result ? 'table' then weft._find_table(r.result ->> 'table') end), case when r.kind <> 'run' then weft._words_of(r.kind, r.options) end
    from recorded as r
    -- each by its key: rows that were just written have no statistics, and a plan that joins them would be quadratic
    cross join lateral (select k.digest from weft._artifacts as k where k.deployment_id = p_phase.deployment_id and k.path = r.path offset 0) as a
    where v_undoes is null and r.is_wanted and r.repeat is not null
    on conflict on constraint an_artifact_is_applied_once do update
    -- a file that runs once must not be recorded twice: its digest would become null, which is refused
    set digest = case when excluded.place is not null then excluded.digest end, deployment_id = excluded.deployment_id,
        applied_at = excluded.applied_at, bytes_in = excluded.bytes_in, applied_path = excluded.applied_path, place = excluded.place,
        made = weft._merge_made(h.made, excluded.made), table_name = excluded.table_name, table_oid = excluded.table_oid, words = excluded.words
  )
  insert into weft._events (deployment_id, number, at, kind, phase, path, data)
  select p_phase.deployment_id, l.number + row_number() over (order by r.ordinal), r.finished_at, case when r.is_wanted then 'step_succeeded' else 'step_left_out' end, p_phase.name, r.path,
         case when r.is_wanted then jsonb_build_object('step', r.ordinal, 'statements', r.statements, 'rows', r.rows) || coalesce(r.result - '{table,table_oid}'::text[], '{}')
           when r.result ? 'same_table' then jsonb_build_object('step', r.ordinal, 'same_table', r.result -> 'same_table')
           else jsonb_build_object('step', r.ordinal, 'when', r.condition) end
  from recorded as r
  cross join (select coalesce(max(e.number), 0) as number from weft._events as e where e.deployment_id = p_phase.deployment_id) as l;

  if v_undoes is not null then
    perform weft._take_back_history(p_phase.deployment_id, p_records);
  elsif p_phase.has_repeatables then
    update weft._history as h set place = s.ordinal  -- for all of them, because places are compared with each other
    from weft._deployments as d
    join weft._steps as s on s.deployment_id = d.id and s.options ? 'repeat'
    where d.id = p_phase.deployment_id and h.bundle = d.bundle and h.path = s.path and h.place is distinct from s.ordinal;
  end if;
end
$$;

comment on function weft._record_steps(weft._phases, weft._step_record[]) is
  'Records the steps of a block, the history and the journal included, in the transaction of their effects. A step that its condition left out is not in the history: the next deployment evaluates it again.';


create or replace function weft._tell_of_wrapper(p_deployment uuid, p_phase text, p_path text, p_line integer)
  returns void
  volatile
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select weft._tell(p_deployment, 'wrapper_left_out', p_phase, p_path, jsonb_build_object('line', p_line))
$$;

comment on function weft._tell_of_wrapper(uuid, text, text, integer) is 'Tells that BEGIN and COMMIT around a file were left out: its transaction is Weft''s.';


-- A file that an undo calls back (keeps) may only fail because something that it needs is gone: otherwise its objects would be lost.
create or replace function weft._is_tolerated(p_deployment uuid, p_phase integer, p_path text, p_error jsonb)
  returns boolean
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select exists (
    select from weft._steps as s
    where s.deployment_id = p_deployment and s.phase = p_phase and s.path = p_path and s.on_error = 'continue' and (not s.options ? 'keeps' or weft._is_lack(p_error)))
$$;

comment on function weft._is_tolerated(uuid, integer, text, jsonb) is 'Tells whether a step may fail in this way without failing its phase.';


-- A tolerated failure is recorded like any other result of a step.
create or replace function weft._tolerate(p_phase weft._phases, p_outcome weft._outcome)
  returns void
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
begin
  update weft._steps as s set state = 'failed', error = p_outcome.error, result = coalesce(p_outcome.error -> 'check', s.result), finished_at = clock_timestamp()
  where s.deployment_id = p_phase.deployment_id and s.phase = p_phase.ordinal and s.path = p_outcome.path;
  perform weft._tell(p_phase.deployment_id, 'step_tolerated', p_phase.name, p_outcome.path, p_outcome.error);
  delete from weft._history as h  -- the undo has dropped the file's objects, and nothing makes them again
  using weft._deployments as d, weft._steps as s
  where d.id = p_phase.deployment_id and d.undoes is not null and h.bundle = d.bundle and h.path = p_outcome.path and h.deployment_id = d.undoes
    and s.deployment_id = d.id and s.phase = p_phase.ordinal and s.path = h.path and s.options ? 'keeps' and s.state = 'failed';
end
$$;

comment on function weft._tolerate(weft._phases, weft._outcome) is 'Records that a step failed whose failure the manifest tolerates.';
