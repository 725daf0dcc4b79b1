-- Who held a lock that was not granted. By the time that this can be asked, the wait is over and the server has forgotten it. So the
-- lock table is searched for what others hold on anything that the statement, or the server's message about it, names. That is certain
-- if one session holds a conflicting lock, and has done so since before the wait; otherwise the answer is marked as a guess, or says
-- that nobody can be named.

-- This is only a guess: it narrows down whom to name, and decides nothing else.
create or replace function weft._guess_mode(p_statement text)
  returns text
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select case
    when s.flat ~* '^lock\M' then coalesce((
      select replace(initcap(m.words[1] collate "C"), ' ', '') || 'Lock'
      from regexp_match(s.flat, '\min ((?:access |row )?(?:share|exclusive|share update exclusive|share row exclusive)) mode\M', 'i') as m (words)), 'AccessExclusiveLock')
    when s.flat ~* '^(insert|update|delete|merge|copy)\M' or s.flat ~* '^with\M.*\m(insert|update|delete|merge)\M' then 'RowExclusiveLock'
    when s.flat ~* '^(select|with|table|values)\M' then case when s.flat ~* '\mfor (no key )?(update|share|key share)\M' then 'RowShareLock' else 'AccessShareLock' end
    when s.flat ~* '\mconcurrently\M' or s.flat ~* '^(vacuum(?!.*\mfull\M)|analyze|analyse)\M' or s.flat ~* '^alter table .* validate constraint\M' then 'ShareUpdateExclusiveLock'
    when s.flat ~* '^create (unique )?index\M' then 'ShareLock'
    when s.flat ~* '^create (or replace )?(constraint )?trigger\M' or s.flat ~* '^alter table .* (add|references)\M.* references\M' then 'ShareRowExclusiveLock'
    else 'AccessExclusiveLock'
  end
  from (select weft._flatten(left(p_statement, weft._limit('statement_shown_characters'))) as flat) as s
$$;

comment on function weft._guess_mode(text) is 'Guesses from its first words which lock on a table a statement takes.';


-- Every table, index and view that a text may mean, and what a statement about them locks as well. Names are searched for everywhere, even
-- in strings, where a DO block names its tables.
create or replace function weft._list_named_relations(p_text text)
  returns table (relation oid, is_named boolean)
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  with recursive words as materialized (
    select distinct weft._fold_identifier(w.part[1])::name as schema, weft._fold_identifier(w.part[2])::name as name
    from regexp_matches(left(p_text, 20000),
      '(?:("(?:[^"]|"")+"|[A-Za-z_\u0080-\U0010ffff][A-Za-z0-9_$\u0080-\U0010ffff]*)\s*\.\s*)?("(?:[^"]|"")+"|[A-Za-z_\u0080-\U0010ffff][A-Za-z0-9_$\u0080-\U0010ffff]*)', 'g') as w (part)
  ),
  named as materialized (
    select distinct c.oid, c.relkind
    from words as w
    join pg_class as c on c.relname = w.name
    join pg_namespace as n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p', 'i', 'I', 'v', 'm', 'f', 'S') and (w.schema is null or w.schema = n.nspname) and n.nspname not in ('pg_catalog', 'information_schema', 'weft')
  ),
  tables as materialized (
    select coalesce(i.indrelid, n.oid) as oid from named as n left join pg_index as i on i.indexrelid = n.oid
    union
    select d.refobjid from named as n
    join pg_rewrite as r on r.ev_class = n.oid
    join pg_depend as d on d.classid = 'pg_rewrite'::regclass and d.objid = r.oid and d.refclassid = 'pg_class'::regclass and d.refobjid <> n.oid
    where n.relkind in ('v', 'm')
  ),
  family (oid) as (
    select t.oid from tables as t
    union
    select i.inhrelid from family as f join pg_inherits as i on i.inhparent = f.oid
  )
  select r.oid, bool_or(r.is_named)
  from (
    select t.oid, true from tables as t
    union all
    select f.oid, false from family as f
    union all
    select i.inhparent, false from tables as t join pg_inherits as i on i.inhrelid = t.oid
    union all
    select unnest(array[k.conrelid, k.confrelid]), false
    from tables as t join pg_constraint as k on k.contype = 'f' and t.oid in (k.conrelid, k.confrelid)
  ) as r (oid, is_named)
  group by r.oid
$$;

comment on function weft._list_named_relations(text) is
  'Lists the relations whose names occur in a text, in any schema, and those that a statement about them locks too: tables of indexes and views, partitions, the other side of foreign keys.';


-- The server says which row it waited for, and the row itself names the transaction that changes it. The server gives the table without its schema, so all
-- tables of that name are read. A policy on one of them would run its owner's code as us, so the server is told to refuse tables with policies for us.
create or replace function weft._find_row_holders(p_words text)
  returns table (transaction xid, relation oid)
  volatile
  set search_path = pg_catalog, pg_temp
  set row_security = off
  language plpgsql
as $$
declare
  v_place  text[] := regexp_match(p_words, '(\([0-9]+,[0-9]+\))[^\n"\u00AB\u201E\u201C]*["\u00AB\u201E\u201C] ?([^"\u00BB\u201C\u201D\n]+)["\u00BB\u201C\u201D]');
  v_xid    xid;
begin
  if v_place is null then
    return;
  end if;
  for relation in
    select c.oid from pg_class as c
    where c.relname = btrim(v_place[2])::name and c.relkind in ('r', 'm') and exists (
      select from pg_locks as l where l.locktype = 'relation' and l.relation = c.oid and l.pid is distinct from pg_backend_pid())
  loop
    begin
      execute format('select t.xmax from only %s as t where t.ctid = %L', relation::regclass, v_place[1]) into v_xid;
    exception when others then  -- not readable for this role, or gone
      v_xid := null;
    end;
    transaction := v_xid;
    return next;
    begin  -- several transactions hold it together
      for transaction in select m.xid from pg_get_multixact_members(v_xid) as m loop
        return next;
      end loop;
    exception when others then
      null;  -- it was no multixact
    end;
  end loop;
end
$$;

comment on function weft._find_row_holders(text) is 'Reads from the row that the server''s message names which transactions change or lock it.';


-- p_waited_ms: whoever began after the wait did not cause it.
create or replace function weft._find_blockers(p_error jsonb, p_statement text, p_waited_ms bigint default 0)
  returns jsonb
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_since     timestamptz := clock_timestamp() - make_interval(secs => case p_error ->> 'sqlstate' when '40P01' then 0 else p_waited_ms end / 1000.0);
  v_wanted    text[] := weft._conflicting_modes(weft._guess_mode(p_statement));
  v_words     text := concat_ws(E'\n', p_error ->> 'message', p_error ->> 'detail', p_error ->> 'context');
  v_text      text := concat_ws(' ', p_statement, v_words);
  v_blockers  jsonb;
begin
  perform pg_stat_clear_snapshot();
  with locks as materialized (
    select l.locktype, l.database, l.relation, l.transactionid, l.classid, l.objid, l.virtualtransaction, l.pid, l.mode, l.granted
    from pg_locks as l
    where l.pid is distinct from pg_backend_pid()
  ),
  found as (
    -- a deadlock: the server has named them
    select 1 as rank, true as is_sure, l.pid, l.virtualtransaction, 'transaction' as object, 'a lock that waits for one of this deployment' as mode, true as granted
    from locks as l
    join regexp_matches(p_error ->> 'detail', '\m[0-9]+\M', 'g') as m (numbers) on m.numbers[1] = l.pid::text
    where l.locktype = 'virtualxid' and p_error ->> 'sqlstate' = '40P01'
    union all
    -- a row
    select 1, true, t.pid, t.virtualtransaction, 'a row of ' || r.relation::regclass, 'row lock', true
    from weft._find_row_holders(v_words) as r
    join locks as t on t.locktype = 'transactionid' and t.transactionid = r.transaction and t.granted
    union all
    -- a table: locked, or requested earlier, so that nobody gets past
    select case when not l.granted then 2 when r.is_named then 1 else 2 end, l.mode = any (v_wanted), l.pid, l.virtualtransaction, l.relation::regclass::text, l.mode, l.granted
    from weft._list_named_relations(v_text) as r
    join locks as l on l.locktype = 'relation' and l.relation = r.relation
    where l.database = (select d.oid from pg_database as d where d.datname = current_database())
      and (l.mode = any (v_wanted)
        -- the wait may be for a row or a key: then whoever has written something counts
        or l.granted and l.mode in ('RowExclusiveLock', 'RowShareLock') and exists (
          select from locks as t where t.locktype = 'transactionid' and t.granted and t.virtualtransaction = l.virtualtransaction)
        or l.granted and l.mode in ('ShareUpdateExclusiveLock', 'ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock'))
    union all
    -- a schema, a type, a function
    select 2, l.mode = any (v_wanted), l.pid, l.virtualtransaction, i.identity, l.mode, l.granted
    from locks as l
    cross join lateral pg_identify_object(l.classid, l.objid, 0) as i
    where l.locktype = 'object' and l.database = (select d.oid from pg_database as d where d.datname = current_database())
      and i.name is not null and case when weft._unquote(i.name) ~ '^\w+$' then v_text ~* ('\m' || weft._unquote(i.name) || '\M') else weft._is_name_in(v_text, weft._unquote(i.name)) end
    union all
    select 3, false, l.pid, l.virtualtransaction, 'an advisory lock', l.mode, l.granted
    from locks as l
    where l.locktype = 'advisory' and l.granted and l.database = (select d.oid from pg_database as d where d.datname = current_database()) and v_text ~* 'advisory'
  ),
  judged as (
    select f.*, p.gid, coalesce(p.prepared, a.xact_start) as since, p.owner,
           f.is_sure and coalesce(coalesce(p.prepared, a.xact_start) <= v_since, true) as is_certain
    from found as f
    left join pg_stat_activity as a on a.pid = f.pid
    left join locks as x on f.pid is null and x.locktype = 'transactionid' and x.granted and x.virtualtransaction = f.virtualtransaction
    left join pg_prepared_xacts as p on f.pid is null and p.transaction = x.transactionid and p.database = current_database()
    where f.pid is not null or p.gid is not null
  ),
  chosen as (
    select distinct on (j.pid, j.gid) j.*
    from judged as j
    where j.is_certain or not exists (select from judged as o where o.is_certain)
    order by j.pid, j.gid, j.is_certain desc, j.granted desc, j.rank, array_position(weft._conflicting_modes('AccessExclusiveLock'), j.mode) desc
  ),
  listed as (
    select c.* from chosen as c order by c.is_certain desc, c.granted desc, c.rank, c.since nulls last, c.pid limit weft._limit('blockers_shown_count')
  )
  select jsonb_agg(
    case when l.gid is null then weft._describe_sessions(array[l.pid]) -> 0
      else jsonb_build_object('prepared', l.gid, 'role', l.owner, 'transaction_seconds', round(extract(epoch from clock_timestamp() - l.since)::numeric, 1)) end
    || jsonb_build_object('object', l.object, 'mode', l.mode, 'granted', l.granted, 'is_certain', l.is_certain)
    || case when l.granted then '{}' else jsonb_build_object('behind', weft._describe_holders(l.pid, array_remove(pg_blocking_pids(l.pid), pg_backend_pid()))) end
    order by l.is_certain desc, l.granted desc, l.rank, l.since nulls last, l.pid)
  into v_blockers
  from listed as l;
  return coalesce(v_blockers, '[]');
end
$$;

comment on function weft._find_blockers(jsonb, text, bigint) is
  'Lists, after a lock could not be had, the sessions and prepared transactions that were in the way, with what they hold; uncertain ones only if nobody else is found.';


create or replace function weft._say_blockers(p_blockers jsonb)
  returns text
  immutable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select case when p_blockers = '[]'
    then 'Who had the lock cannot be told: when it was looked for, nobody had one on anything that the statement names.'
    else string_agg(concat(
      case when b.value ->> 'granted' = 'false' then concat(weft._say_session(b.value), ' asked before for ', b.value ->> 'mode', ' on ', b.value ->> 'object',
          (select ' and waits behind ' || string_agg(weft._say_session(x.value), ', ') from jsonb_array_elements(b.value -> 'behind') as x))
        when b.value ->> 'object' = 'transaction' then concat('In a deadlock with ', weft._say_session(b.value))
        else concat(case when b.value ->> 'is_certain' = 'true' then 'Held by ' else 'Perhaps held by ' end, weft._say_session(b.value), ', which has ', b.value ->> 'mode', ' on ', b.value ->> 'object') end,
      ': ' || (b.value ->> 'query'), '.'), ' ' order by b.ordinality)
  end
  from jsonb_array_elements(p_blockers) with ordinality as b
$$;

comment on function weft._say_blockers(jsonb) is 'Writes for people who was in the way.';


create or replace function weft._add_blockers(p_error jsonb, p_statement text, p_waited_ms bigint)
  returns jsonb
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_blockers  jsonb;
begin
  if p_error ->> 'sqlstate' not in ('55P03', '40P01') then
    return p_error;
  end if;
  v_blockers := weft._find_blockers(p_error, p_statement, p_waited_ms);
  return p_error || jsonb_build_object('blockers', v_blockers, 'detail', concat_ws(' ', p_error ->> 'detail', weft._say_blockers(v_blockers)));
exception when others then  -- rights on a function were revoked from everybody, say: the account must not fail because of that
  return p_error || jsonb_build_object('detail', concat_ws(' ', p_error ->> 'detail', format('Who had the lock could not be looked up: %s.', sqlerrm)));
end
$$;

comment on function weft._add_blockers(jsonb, text, bigint) is 'Adds to the account of a lock that could not be had, or of a deadlock, who was in the way; every other account stays as it is.';
