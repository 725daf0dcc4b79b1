-- The pace of a batch: how many rows the next round may touch, who makes it slow down, and when it has gone on for too long.

-- How many rows the next round may touch. With a target time, the size is adjusted until a round takes about that long. If others had to wait, it is
-- halved, and grows back to what weft.yaml says once they do not.
create or replace function weft._next_size(p_size integer, p_rows bigint, p_ms numeric, p_wanted integer, p_target_ms integer, p_is_hindrance boolean)
  returns integer
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select least(weft._limit('batch_size_max'), greatest(1, case
    when p_is_hindrance then p_size / 2
    when p_target_ms is null then least(p_wanted, p_size * 2)
    when p_ms > p_target_ms then p_size * greatest(p_target_ms / p_ms, 0.5)
    when p_rows < p_size / 2 then p_size  -- too few to tell
    else ceil(p_size * least(p_target_ms / greatest(p_ms, 0.001), 1.5))
  end))::integer
$$;

comment on function weft._next_size(integer, bigint, numeric, integer, integer, boolean) is 'Tells the size of the next round by how the last one went.';


-- The author of a batch that cannot end should not find out the next morning.
create or replace function weft._check_progress(p_batch weft._batches, p_max_rounds integer)
  returns void
  stable
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
begin
  if p_batch.rounds > coalesce(p_max_rounds, weft._limit('batch_rounds_count_max')) then
    raise exception '% rounds have touched rows, and the next one would again.', p_batch.rounds - 1
      using errcode = 'WF053', detail = case when p_max_rounds is null then 'No batch may have more (batch_rounds_count_max).' else format('weft.yaml allows for no more (max_rounds: %s).', p_max_rounds) end,
        hint = 'Does the statement leave out what it has done? If so, say a larger max_rounds in weft.yaml, or a larger size.';
  end if;
  -- if rows are added, or the table is unknown, there is nothing to compare with; greatest() would ignore the null
  if p_max_rounds is null and p_batch.start_cursor is null and p_batch.table_rows is not null
      and p_batch.rows > weft._limit('batch_touches_per_row_max') * greatest(p_batch.table_rows, weft._limit('batch_size_default')) then
    raise exception 'The rounds have touched % rows by now, and % had only about % of them: they seem to touch the same ones again and again.', p_batch.rows, p_batch.table_name, p_batch.table_rows
      using errcode = 'WF053', detail = 'Each row of the table may be touched that often (batch_touches_per_row_max), unless weft.yaml says max_rounds.',
        hint = 'Let the statement leave out what it has done (where total is null), or walk with a cursor. If it is right as it is, say max_rounds in weft.yaml.';
  end if;
end
$$;

comment on function weft._check_progress(weft._batches, integer) is 'Ends a batch that touches more rows, in more rounds, than one that can end would.';


-- Reported when it begins and when it ends, not each time, so that the journal does not grow with the rounds.
create or replace function weft._throttle(p_batch weft._batches, p_phase text, p_path text, p_why jsonb)
  returns weft._batches
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
begin
  if p_why is not null then
    if p_batch.throttled_by is null then
      perform weft._tell(p_batch.deployment_id, 'batch_throttled', p_phase, p_path, p_why || jsonb_build_object('rounds', p_batch.rounds, 'size', p_batch.size));
    end if;
    p_batch.throttled_by := p_why;
    p_batch.quiet_rounds := 0;
  elsif p_batch.throttled_by is not null then
    p_batch.quiet_rounds := p_batch.quiet_rounds + 1;
    if p_batch.quiet_rounds >= weft._limit('batch_quiet_rounds_count') then
      p_batch.throttled_by := null;
      perform weft._tell(p_batch.deployment_id, 'batch_unthrottled', p_phase, p_path, jsonb_build_object('rounds', p_batch.rounds, 'size', p_batch.size));
    end if;
  end if;
  return p_batch;
end
$$;

comment on function weft._throttle(weft._batches, text, text, jsonb) is 'Notes who makes a batch slow down, or that nobody does any more.';
