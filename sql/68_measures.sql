-- What a transaction can see of its own statements: the locks that they took, and what they rewrote. And what can be compared afterwards:
-- the catalog, and the sequences, which no rollback restores.

-- The relations that others may use: name, kind and file of each, by oid.
create or replace function weft._list_relations()
  returns jsonb
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select coalesce(jsonb_object_agg(c.oid::text, jsonb_build_array(format('%I.%I', n.nspname, c.relname), c.relkind, c.relfilenode::bigint)), '{}')
  from pg_class as c
  join pg_namespace as n on n.oid = c.relnamespace
  where n.nspname not in ('weft', 'pg_catalog', 'information_schema', 'pg_toast') and n.nspname !~ '^pg_(toast_)?temp_' and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S', 'i', 'I')
$$;

comment on function weft._list_relations() is 'Lists the relations of this database, with their names, kinds and files, as one document.';


create or replace function weft._list_held_locks(p_known jsonb)
  returns jsonb
  volatile
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select coalesce(jsonb_object_agg(distinct concat(coalesce(l.relation::text, 'advisory ' || concat_ws('/', nullif(l.classid, 0), l.objid)), ' ', l.mode), true), '{}')
  from pg_locks as l
  where l.pid = pg_backend_pid() and l.granted
    and (l.locktype = 'relation' and p_known ? l.relation::text or l.locktype = 'advisory')
$$;

comment on function weft._list_held_locks(jsonb) is 'Lists the locks that this session holds on known relations, and its advisory locks.';


-- What a statement has locked and done, as the server's tables show it: locks on what was there before, and new files of relations. Weak locks
-- on indexes are left out: they say no more than those on their tables.
create or replace function weft._measure(p_known jsonb, p_held jsonb, out known jsonb, out held jsonb, out locks jsonb, out rewritten jsonb)
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_now  jsonb := weft._list_held_locks(p_known);
begin
  select coalesce(jsonb_agg(jsonb_build_object('object', t.object, 'mode', t.mode) order by t.object, t.mode), '[]') into locks
  from (
    select coalesce(p_known -> (m.words)[1] ->> 0, 'advisory lock ' || (m.words)[1]) as object, p_known -> (m.words)[1] ->> 1 as relkind, (m.words)[2] as mode
    from jsonb_object_keys(v_now - array(select jsonb_object_keys(p_held))) as k (name)
    cross join regexp_match(k.name, '^(?:advisory )?(\S+) (\w+)$') as m (words)
  ) as t
  where t.relkind is null or t.relkind not in ('i', 'I', 'S') or t.mode not in ('AccessShareLock', 'RowShareLock', 'RowExclusiveLock');

  with files as materialized (
    select c.oid, k.value ->> 0 as name, c.relkind, c.relfilenode, pg_relation_size(c.oid) as bytes
    from jsonb_object_keys(v_now) as h (name)
    join pg_class as c on c.oid = split_part(h.name, ' ', 1)::oid
    cross join lateral (select p_known -> c.oid::text as value) as k
    where h.name ~ '^\d+ AccessExclusiveLock$' and c.relfilenode <> 0 and (k.value ->> 2)::bigint <> c.relfilenode::bigint
  )
  select coalesce(jsonb_agg(jsonb_build_object(
           'object', f.name, 'kind', case when f.relkind = 'i' then 'index' when f.relkind = 'm' then 'materialized view' when f.relkind = 'S' then 'sequence' else 'table' end, 'bytes', f.bytes)
           order by f.name) filter (where not exists (select from pg_index as i join files as t on t.oid = i.indrelid where i.indexrelid = f.oid)), '[]'),  -- an index that is new together with its table is left out
         p_known || coalesce(jsonb_object_agg(f.oid::text, jsonb_build_array(f.name, f.relkind, f.relfilenode::bigint)), '{}')
  into rewritten, known
  from files as f;
  held := p_held || v_now;
end
$$;

comment on function weft._measure(jsonb, jsonb) is
  'Tells the locks that were taken and the relations that got a new file since the last measurement, and what is known and held now.';


create or replace function weft._list_sequences()
  returns jsonb
  volatile
  set search_path = pg_catalog, pg_temp
  set lock_timeout = '1s'
  language plpgsql
as $$
begin
  return (select coalesce(jsonb_object_agg(format('%I.%I', s.schemaname, s.sequencename), s.last_value), '{}') from pg_sequences as s where s.schemaname <> 'weft');
exception when others then
  return null;
end
$$;

comment on function weft._list_sequences() is 'Lists the sequences that this role may read, with the last value of each; null if one is locked.';


-- No rollback undoes setval(), and a sequence that was set back gives out numbers that are in use. So it is set to where it was before, which
-- at worst leaves a gap.
create or replace function weft._put_back_sequences(p_deployment uuid)
  returns void
  volatile
  set search_path = pg_catalog, pg_temp
  set lock_timeout = '1s'
  language plpgsql
as $$
declare
  v_sequence  record;
  v_back      jsonb := '[]';
begin
  for v_sequence in
    select b.key as name, (b.value #>> '{}')::bigint as stood, s.last_value as stands
    from weft._reports as r
    cross join jsonb_each(r.sequences_before) as b
    join pg_sequences as s on format('%I.%I', s.schemaname, s.sequencename) = b.key
    where r.deployment_id = p_deployment and jsonb_typeof(b.value) = 'number'
      and (s.last_value is null or case when s.increment_by > 0 then s.last_value < (b.value #>> '{}')::bigint else s.last_value > (b.value #>> '{}')::bigint end)
    order by b.key
  loop
    begin
      perform setval(v_sequence.name::regclass, v_sequence.stood);
      v_back := v_back || jsonb_build_object('sequence', v_sequence.name, 'before', v_sequence.stood, 'after', v_sequence.stands, 'put_back', true);
    exception when others then
      null;  -- then the report shows the sequence with its present value
    end;
  end loop;
  if v_back <> '[]' then
    perform weft._tell(p_deployment, 'sequences_put_back', p_data => jsonb_build_object('sequences', v_back));
  end if;
end
$$;

comment on function weft._put_back_sequences(uuid) is 'Sets sequences that a rehearsal has moved backwards to where they were before it.';


create or replace function weft._list_catalog()
  returns text
  volatile
  set search_path = pg_catalog, pg_temp
  set lock_timeout = '1s'
  language plpgsql
as $$
begin
  return weft._read_catalog();
exception when others then
  return null;
end
$$;

comment on function weft._list_catalog() is 'Reads the catalog; null if that fails or would wait for a lock.';


-- It does not take the entries before it, because copying them each time would be quadratic in their number.
create or replace function weft._measure_entry(p_known jsonb, p_held jsonb, p_entry jsonb, p_started timestamptz, out entry jsonb, out known jsonb, out held jsonb)
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_ended     timestamptz := clock_timestamp();
  v_measured  record;
begin
  v_measured := weft._measure(p_known, p_held);
  known := v_measured.known;
  held := v_measured.held;
  entry := p_entry || jsonb_build_object(
    'started_at', p_started, 'milliseconds', round((extract(epoch from v_ended - p_started) * 1000)::numeric, 3),
    'locks', v_measured.locks, 'rewritten', v_measured.rewritten);
end
$$;

comment on function weft._measure_entry(jsonb, jsonb, jsonb, timestamptz) is 'Makes the entry of a rehearsal''s report about what was just done, with the locks that it took.';


create or replace function weft._close_entry(p_phase weft._phases, p_step weft._steps, p_state text, p_entries jsonb[], p_rows bigint, p_started timestamptz)
  returns jsonb
  volatile
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select jsonb_build_object(
    'phase', p_phase.name, 'transaction', p_phase.transaction, 'path', p_step.path, 'kind', p_step.kind, 'state', p_state, 'rows', p_rows,
    'milliseconds', round((extract(epoch from clock_timestamp() - p_started) * 1000)::numeric, 3), 'statements', to_jsonb(p_entries), 'result', p_step.result)
    || case when p_step.options ? 'repeat' then coalesce((
      select jsonb_build_object('called_back', e.data -> 'missing') from weft._events as e
      where e.deployment_id = p_step.deployment_id and e.kind = 'called_back' and e.path = p_step.path order by e.number desc limit 1), '{}') else '{}' end
$$;

comment on function weft._close_entry(weft._phases, weft._steps, text, jsonb[], bigint, timestamptz) is 'Makes the entry of a step from those of its statements.';


-- The deployment would hold each lock until the end of the transaction that takes it.
create or replace function weft._sum_up_locks(p_steps jsonb)
  returns jsonb
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  with taken as materialized (  -- materialized, or the sorts would carry the entry of the whole file with each row
    select t.place, s.ordinality as step, s.value ->> 'phase' as phase, s.value ->> 'transaction' as rule, s.value ->> 'path' as path, (t.value ->> 'line')::integer as line,
           (t.value ->> 'started_at')::timestamptz as started_at, (t.value ->> 'started_at')::timestamptz + (t.value ->> 'milliseconds')::numeric * interval '1 ms' as ended_at,
           t.value -> 'locks' as locks
    from jsonb_array_elements(p_steps) with ordinality as s
    cross join jsonb_array_elements(s.value -> 'statements') with ordinality as t (value, place)
  ),
  until as (
    select t.*, case t.rule
             when 'single' then max(t.ended_at) over (partition by t.phase)
             when 'none' then t.ended_at
             else max(t.ended_at) over (partition by t.step) end as released_at
    from taken as t
  )
  select coalesce(jsonb_agg(jsonb_build_object('object', l.object, 'mode', l.mode, 'path', l.path, 'line', l.line, 'held_milliseconds', l.held)
                            order by l.strength desc, l.held desc, l.object), '[]')
  from (
    select distinct on (k.value ->> 'object', k.value ->> 'mode')
           k.value ->> 'object' as object, k.value ->> 'mode' as mode, u.path, u.line,
           round((extract(epoch from u.released_at - u.started_at) * 1000)::numeric, 3) as held,
           array_position(array['AccessShareLock', 'RowShareLock', 'RowExclusiveLock', 'ShareUpdateExclusiveLock', 'ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock'],
                          k.value ->> 'mode') as strength
    from until as u
    cross join jsonb_array_elements(u.locks) as k
    order by k.value ->> 'object', k.value ->> 'mode', u.step, u.place
  ) as l
$$;

comment on function weft._sum_up_locks(jsonb) is 'Lists the locks that a deployment takes on what was there before it, the strongest first: which statement takes each, and how long it would be held.';


create or replace function weft._keep_report(p_deployment uuid, p_steps jsonb[], p_catalog text, p_passes integer, p_began timestamptz, p_error jsonb)
  returns void
  volatile
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  update weft._reports as r
  set reported_at = clock_timestamp(),
      report = jsonb_build_object(
        'milliseconds', round((extract(epoch from clock_timestamp() - p_began) * 1000)::numeric, 3), 'passes', p_passes, 'error', p_error,
        'steps', to_jsonb(p_steps), 'locks', weft._sum_up_locks(to_jsonb(p_steps)),
        'catalog', case when p_catalog is not null and r.catalog_before is not null then (select l.objects from weft._list_differences(r.catalog_before, p_catalog) as l) end)
  where r.deployment_id = p_deployment
$$;

comment on function weft._keep_report(uuid, jsonb[], text, integer, timestamptz, jsonb) is 'Stores what a rehearsal has shown, after its rollback.';
