-- Words that tell what stays in the database of a file or a batch that stopped half-way, and how it continues.

-- For a step that runs statement by statement: how many of its statements are done, and whether one that is not done may have committed
-- something all the same. The step itself remembers both, because a later deployment takes over the statements.
create or replace function weft._count_statements(p_deployment uuid)
  returns table (step integer, done integer, runs_again boolean)
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select t.step, (count(*) filter (where t.state = 'done'))::integer, bool_or(t.state <> 'done' and t.attempts > 0 and t.judge ->> 'kind' = 'expression')
  from weft._statements as t
  where t.deployment_id = p_deployment
  group by t.step
$$;

comment on function weft._count_statements(uuid) is
  'Counts the statements that are done in steps that run statement by statement, and tells whether one that is not done has run and will run again.';


-- The same for a step of an undo, whose reader asks about the file that it takes back.
create or replace function weft._tell_what_is_undone(p_step weft._steps, p_done integer, p_runs_again boolean, p_is_over boolean)
  returns text
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select concat_ws(' ',
    case when p_done > 0 then concat(p_step.undoes, ' is taken back in part: ',
      case p_done when 1 then 'statement 1 of ' || p_step.path || ' has run' else format('statements 1 to %s of %s have run', p_done, p_step.path) end,
      case when p_step.state = 'failed' and p_step.error ? 'line' then format(' (the %s, line %s, failed)', to_char(p_done + 1, 'FM999999999th'), p_step.error ->> 'line') end, '.') end,
    case when p_runs_again then format(
      'Statement %s of %s ran outside of a transaction: what it has committed is in the database, and it is run again as long as its done_when is not true. So it must do no harm when it runs twice.',
      p_done + 1, p_step.path) end,
    case when p_is_over then format('"weft undo %s" goes on there, with a corrected %s too, if what stands before is as it was.', d.undoes, p_step.path) end)
  from weft._deployments as d
  where d.id = p_step.deployment_id and (p_done > 0 or p_runs_again)
$$;

comment on function weft._tell_what_is_undone(weft._steps, integer, boolean, boolean) is
  'Says how much of its file a step of an undo has taken back, if that is not all of it; null if there is nothing to say.';


create or replace function weft._tell_of_forgetting(p_step weft._steps)
  returns text
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select format('%s said at %s that nothing of it is there any more: %s', w.by, to_char(w.at at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS"Z"'), rtrim(w.why, '. ') || '.')
  from jsonb_to_record(p_step.result -> 'forgotten') as w (by text, at timestamptz, why text)
  where p_step.result ? 'forgotten'
$$;

comment on function weft._tell_of_forgetting(weft._steps) is 'Says who declared that nothing of a file that stopped half-way is left in the database, and why; null if nobody did.';


-- For a step that is pending or failed. p_is_over: nothing of this deployment runs any more.
create or replace function weft._tell_what_stays(p_step weft._steps, p_done integer, p_runs_again boolean, p_is_over boolean)
  returns text
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select case
    when p_step.undoes is not null then weft._tell_what_is_undone(p_step, p_done, p_runs_again, p_is_over)
    when p_step.result ? 'forgotten' then
      format('%s of %s %s committed. ', case p_done when 0 then 'A part' when 1 then 'Statement 1' else 'Statements 1 to ' || p_done end, p_step.path, case when p_done > 1 then 'were' else 'was' end)
        || weft._tell_of_forgetting(p_step)
    else nullif(concat_ws(' ',
    case when p_done > 0 then concat(
      case p_done when 1 then 'Statement 1 of ' || p_step.path || ' stays' else format('Statements 1 to %s of %s stay', p_done, p_step.path) end, ' in the database',
      case
        when p_runs_again then '.'
        when p_step.state = 'failed' and not p_step.error ? 'line' then ', and the rest of it has not run.'
        when p_step.state = 'failed' then format(' (the %s%s, failed). A corrected file goes on there, if what stands before is as it was, but for comments and white space; "weft plan" says whether it is.',
          to_char(p_done + 1, 'FM999999999th'), ', line ' || (p_step.error ->> 'line'))
        when p_is_over then '. Deploy it again and it goes on behind them.'
        else '.'
      end) end,
    case when p_runs_again then format(
      'Statement %s%s ran outside of a transaction: what it has committed is in the database, and the next deployment runs it again as long as its done_when is not true. So it must do no harm when it runs twice.',
      p_done + 1, ', line ' || (p_step.error ->> 'line') || ',') end), '') end
$$;

comment on function weft._tell_what_stays(weft._steps, integer, boolean, boolean) is
  'Says how much of a step that ran statement by statement is in the database without the rest of it; null if there is nothing to say.';


create or replace function weft._count_rounds(p_rounds integer)
  returns text
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select format(case p_rounds when 1 then '%s round' else '%s rounds' end, p_rounds)
$$;

comment on function weft._count_rounds(integer) is 'Writes a number of rounds.';


create or replace function weft._count_rows(p_rows bigint)
  returns text
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select format(case p_rows when 1 then '%s row' else '%s rows' end, p_rows)
$$;

comment on function weft._count_rows(bigint) is 'Writes a number of rows.';


create or replace function weft._tell_of_rounds(p_batch weft._batches)
  returns text
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select nullif(concat_ws(' ',
    case when n.rounds > 0 then format('%s of it, with %s, %s in the database.', weft._count_rounds(n.rounds), weft._count_rows(n.rows), case n.rounds when 1 then 'is' else 'are' end) end,
    case when p_batch.rounds_replaced > 0 then format('Before it began anew, %s, with %s, had been committed: what %s done is there where it has not come to since.',
      weft._count_rounds(p_batch.rounds_replaced), weft._count_rows(p_batch.rows_replaced), case p_batch.rounds_replaced when 1 then 'that one has' else 'those have' end) end), '')
  from (select p_batch.rounds + p_batch.rounds_before as rounds, p_batch.rows + p_batch.rows_before as rows) as n
$$;

comment on function weft._tell_of_rounds(weft._batches) is 'Says how much of a batch is in the database, including the work of earlier deployments; null if nothing is.';


-- Without a cursor, the rows themselves tell any statement what is left to do.
create or replace function weft._tell_how_on(p_options jsonb)
  returns text
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select case
    when not p_options ? 'cursor' then ' Deploy it again, as it is or corrected, and it goes on with what is left.'
    when p_options ? 'on_change' then format(' Deploy it as it is and it goes on behind them; a corrected statement %s, as weft.yaml says (on_change: %s).',
      case p_options ->> 'on_change' when 'continue' then 'too' else 'begins anew' end, p_options ->> 'on_change')
    else ' Deploy it as it is and it goes on behind them. A corrected statement is refused until weft.yaml says beside it "on_change: continue" (it goes on behind them) or "on_change: restart" (it begins anew).' end
$$;

comment on function weft._tell_how_on(jsonb) is 'Says how a batch that stopped half-way continues, unchanged or corrected.';


-- If another deployment has continued the batch, the step remembers how far it was (without the cursor).
create or replace function weft._recall_batch(p_step weft._steps)
  returns weft._batches
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select case when p_step.result ? 'continued' then
    jsonb_populate_record(null::weft._batches, p_step.result -> 'continued' || jsonb_build_object('deployment_id', p_step.deployment_id, 'step', p_step.ordinal))
    else (select b from weft._batches as b where b.deployment_id = p_step.deployment_id and b.step = p_step.ordinal) end
$$;

comment on function weft._recall_batch(weft._steps) is 'Tells how far the batch of a step is, or was when another deployment continued it.';


-- Without the cursor, which is a value from a table; the view weft.batches has it.
create or replace function weft._describe_batch(p_batch weft._batches)
  returns jsonb
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select jsonb_build_object(
    'rounds', p_batch.rounds, 'rows', p_batch.rows, 'size', p_batch.size,
    'table', p_batch.table_name, 'table_rows_estimate', p_batch.table_rows,
    'rows_per_second', round(p_batch.rows * 1000 / nullif(p_batch.worked_ms + p_batch.paused_ms, 0), 1),
    'last_round', case when p_batch.rounds > 0 then jsonb_build_object('rows', p_batch.last_rows, 'milliseconds', round(p_batch.last_ms, 1), 'at', p_batch.last_round_at) end,
    'worked_ms', round(p_batch.worked_ms), 'paused_ms', round(p_batch.paused_ms), 'throttled_by', p_batch.throttled_by)
  where p_batch.step is not null
$$;

comment on function weft._describe_batch(weft._batches) is 'Shows how far a batch is; null when there is none.';


create or replace function weft._describe_batch_of(p_deployment uuid, p_step integer)
  returns jsonb
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select weft._describe_batch(weft._recall_batch(s)) from weft._steps as s where s.deployment_id = p_deployment and s.ordinal = p_step
$$;

comment on function weft._describe_batch_of(uuid, integer) is 'Shows how far the batch of a step is; null when there is none.';


create or replace function weft._tell_of_step(p_deployment uuid, p_step integer, p_done integer, p_runs_again boolean, p_is_over boolean)
  returns text
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select case
    when s.kind = 'batch' and (s.state = 'failed' or s.state = 'pending' and p_is_over) then
      s.path || ': ' || weft._tell_of_rounds(weft._recall_batch(s))
        || coalesce(' Deployment ' || (s.result #>> '{continued,by}') || ' has gone on behind them.', ' ' || weft._tell_of_forgetting(s), weft._tell_how_on(s.options))
    when p_done is not null then weft._tell_what_stays(s, p_done, p_runs_again, p_is_over) end
  from weft._steps as s
  where s.deployment_id = p_deployment and s.ordinal = p_step
$$;

comment on function weft._tell_of_step(uuid, integer, integer, boolean, boolean) is 'Says what part of the file or batch of a pending or failed step is in the database without the rest; null if there is nothing to say.';


create or replace function weft._describe_changed_batch(p_earlier weft._batches, p_other text)
  returns jsonb
  immutable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select jsonb_build_object(
    'sqlstate', 'WF021',
    'message', format('%s of this batch %s in the database already, and %s.', n.rounds, case n.count when 1 then 'is' else 'are' end, p_other),
    'detail', format('An earlier deployment (%s) has committed %s, up to the cursor %s. The statement was: %s', p_earlier.deployment_id, case n.count when 1 then 'it' else 'them' end, p_earlier.cursor,
      left(weft._skip_comments(p_earlier.statement), weft._limit('statement_shown_characters'))),
    'hint', format('Nothing was run. Say in weft.yaml, with the step of this batch, what is meant: on_change: continue goes on behind the cursor %s; on_change: restart begins anew from the cursor %s, and touches what has been done once more. Or put the statement back as it was.',
      p_earlier.cursor, p_earlier.start_cursor))
  from (select p_earlier.rounds + p_earlier.rounds_before as count, weft._count_rounds(p_earlier.rounds + p_earlier.rounds_before) as rounds) as n
$$;

comment on function weft._describe_changed_batch(weft._batches, text) is 'Makes the refusal of a batch that differs from the one whose rounds were committed.';


-- Which round it was, what stays, and the ways forward. Errors before the first round (weft.yaml, the statement itself) belong to no round.
create or replace function weft._describe_round_error(p_error jsonb, p_kept weft._batches, p_batch weft._batches, p_is_round boolean, p_options jsonb)
  returns jsonb
  immutable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select p_error || jsonb_strip_nulls(jsonb_build_object(
    'detail', nullif(concat_ws(' ', p_error ->> 'detail',
      case when r.is_round then format('It was round %s%s, of up to %s rows, and is rolled back.', r.done + 1, ' behind the cursor ' || b.cursor, b.size) end, weft._tell_of_rounds(k.batch)), ''),
    'hint', nullif(concat_ws(' ', p_error ->> 'hint',
      case when r.is_round then concat('If rows are the cause, correct them and deploy again: the batch ',
        case when b.cursor is null then 'goes on with what is left. Its statement may be changed.'
          when r.done = 0 then 'begins, as no round of it is committed. Its statement may be changed.'
          when p_options ? 'on_change' then format('goes on behind the cursor %s. If the statement is, correct it and deploy again: it %s, as weft.yaml says (on_change: %s).', b.cursor,
            case p_options ->> 'on_change' when 'continue' then 'goes on there too' else format('begins anew from the cursor %s', b.start_cursor) end, p_options ->> 'on_change')
          else format('goes on behind the cursor %s. If the statement is, correct it, and say in weft.yaml, beside the batch, from where: on_change: continue (behind that cursor) or on_change: restart (from the cursor %s).', b.cursor, b.start_cursor) end) end), '')))
  from (select case when (p_kept).step is null then jsonb_populate_record(p_batch, '{"rounds": 0, "rows": 0}') else p_kept end as batch) as k  -- what it took over is still there
  cross join lateral (select (k.batch).*) as b
  cross join lateral (select b.rounds + b.rounds_before as done, p_is_round and b.statement is not null as is_round) as r
$$;

comment on function weft._describe_round_error(jsonb, weft._batches, weft._batches, boolean, jsonb) is 'Adds to an error of a batch which round it was, how much is in the database, and how the batch continues.';
