-- What may be shown of other sessions: who they are, what they do and since when, and their statements without the values in them. For
-- sessions of another role, the server shows pid, application and role to everybody, the rest only to pg_read_all_stats.

-- Values in other people's statements are not ours to show: strings, numbers and comments are removed, names stay. If a quote does not end,
-- because the server has cut the statement, everything after it is removed.
create or replace function weft._strip_literals(p_statement text)
  returns text
  immutable strict parallel safe
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_rest   text := left(p_statement, weft._limit('statement_shown_characters'));
  v_out    text := '';
  v_token  text;
  v_depth  integer;
begin
  while v_rest <> '' loop
    if v_rest ~ '^(?:\s|--)' then
      v_token := substring(v_rest from '^(?:\s|--[^\n\r]*)+');
      v_out := v_out || ' ';
    elsif left(v_rest, 2) = '/*' then
      v_token := '/*';
      v_depth := 1;
      while v_depth > 0 and length(v_token) < length(v_rest) loop
        v_token := v_token || coalesce(substring(substr(v_rest, length(v_token) + 1) from '^(?:[^*/]|\*(?!/)|/(?!\*))+'), '');
        v_depth := v_depth + case substr(v_rest, length(v_token) + 1, 2) when '/*' then 1 else -1 end;
        v_token := left(v_rest, length(v_token) + 2);
      end loop;
      v_out := v_out || ' ';
    elsif v_rest ~ '^(?:[bBxXnN]|[uU]&)?''' then
      v_token := substring(v_rest from '^(?:[bBxXnN]|[uU]&)?''(?:[^'']|'''')*''');
      if v_token ~ '\\''' then  -- where the string ends depends on a setting of their session
        v_token := null;
      end if;
      v_out := v_out || '?';
    elsif v_rest ~ '^[eE]''' then
      v_token := substring(v_rest from '^[eE]''(?:[^''\\]|\\.|'''')*''');
      v_out := v_out || '?';
    elsif v_rest ~ '^\$(?:[A-Za-z_\u0080-\U0010ffff][A-Za-z0-9_\u0080-\U0010ffff]*)?\$' then
      v_token := substring(v_rest from '^\$[^$]*\$');
      v_depth := strpos(substr(v_rest, length(v_token) + 1), v_token);
      v_token := case when v_depth > 0 then left(v_rest, 2 * length(v_token) + v_depth - 1) end;
      v_out := v_out || '?';
    elsif v_rest ~ '^\.?[0-9]' then
      v_token := substring(v_rest from '^(?:[0-9.][A-Za-z0-9_.]*(?:(?<=[eE])[-+][0-9]+)?)');
      v_out := v_out || '?';
    else  -- a name, a parameter, or a mark
      v_token := substring(v_rest from '^(?:"(?:[^"]|"")*"|[A-Za-z_\u0080-\U0010ffff][A-Za-z0-9_$\u0080-\U0010ffff]*|\$[0-9]+|.)');
      v_out := v_out || v_token;
    end if;
    exit when v_token is null;
    v_rest := substr(v_rest, length(v_token) + 1);
  end loop;
  return btrim(regexp_replace(v_out, ' +', ' ', 'g'));
end
$$;

comment on function weft._strip_literals(text) is 'Writes a statement without its literals and comments: each string and number is a question mark.';


create or replace function weft._say_seconds(p_seconds numeric)
  returns text
  immutable strict parallel safe
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select case
    when p_seconds < 10 then format('%s s', greatest(round(p_seconds, 1), 0))
    when p_seconds < 120 then format('%s s', round(p_seconds))
    when p_seconds < 7200 then format('%s min', round(p_seconds / 60))
    when p_seconds < 172800 then format('%s h', round(p_seconds / 3600))
    else format('%s days', round(p_seconds / 86400))
  end
$$;

comment on function weft._say_seconds(numeric) is 'Writes a length of time for people.';


-- Call pg_stat_clear_snapshot() first, if what was seen earlier in the transaction is too old.
create or replace function weft._describe_sessions(p_pids integer[])
  returns jsonb
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select coalesce(jsonb_agg(
    jsonb_build_object('pid', u.pid, 'application', nullif(a.application_name, ''), 'role', a.usename)
    || jsonb_strip_nulls(jsonb_build_object(
      'kind', nullif(a.backend_type, 'client backend'),
      'state', a.state,
      'state_seconds', round(extract(epoch from clock_timestamp() - a.state_change)::numeric, 1),
      'transaction_seconds', round(extract(epoch from clock_timestamp() - a.xact_start)::numeric, 1),
      'waits_for', case when a.state = 'active' and a.wait_event_type = 'Lock' then concat(a.wait_event_type, ': ', a.wait_event) end,
      'query', nullif(left(weft._strip_literals(case when a.state is not null then a.query end), weft._limit('query_shown_characters')), '')))
    order by u.place), '[]')
  from unnest(p_pids) with ordinality as u (pid, place)
  left join pg_stat_activity as a on a.pid = u.pid
$$;

comment on function weft._describe_sessions(integer[]) is
  'Names sessions by pid, application and role, and says what they do and since when, as far as this role may see it. Statements are shown without their literals.';


create or replace function weft._describe_prepared(p_transactions text[])
  returns jsonb
  volatile
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select coalesce(jsonb_agg(
    jsonb_build_object('prepared', p.gid, 'role', p.owner, 'transaction_seconds', round(extract(epoch from clock_timestamp() - p.prepared)::numeric, 1))
    order by p.prepared, p.gid), '[]')
  from pg_prepared_xacts as p
  where p.transaction in (
    select l.transactionid from pg_locks as l
    where l.locktype = 'transactionid' and l.granted and l.pid is null and l.virtualtransaction = any (p_transactions))
$$;

comment on function weft._describe_prepared(text[]) is 'Names prepared transactions, which no longer belong to a session, by their name in pg_locks (virtualtransaction).';


-- Everybody may read pg_locks and the names in the catalog. Whoever waits for a row waits for the end of its transaction, and holds the place at
-- the row meanwhile, or waits for that place.
create or replace function weft._describe_wanted(p_pid integer)
  returns jsonb
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select jsonb_build_object('mode', w.mode, 'object', coalesce(
    case when w.relation is not null then concat(case w.locktype when 'tuple' then 'a row of ' when 'extend' then 'room in ' end, w.relation::regclass) end,
    case w.locktype
      when 'transactionid' then (
        select concat('a row of ', t.relation::regclass) from pg_locks as t
        where t.pid = p_pid and t.locktype = 'tuple' and t.granted and t.database = (select d.oid from pg_database as d where d.datname = current_database()) limit 1)
      when 'object' then (select concat_ws(' ', i.type, i.identity) from pg_identify_object(w.classid, w.objid, w.objsubid) as i where i.identity is not null)
    end))
  from pg_locks as w
  where w.pid = p_pid and not w.granted and (w.database is null or w.database in (0, (select d.oid from pg_database as d where d.datname = current_database())))
  limit 1
$$;

comment on function weft._describe_wanted(integer) is 'Names the lock that a backend waits for: its mode, and the object, or null where the server does not tell; null if it waits for none.';


-- PostgreSQL manual, table 13.2.
create or replace function weft._conflicting_modes(p_mode text)
  returns text[]
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select array(
    select m.mode || 'Lock'
    from unnest('{AccessShare,RowShare,RowExclusive,ShareUpdateExclusive,Share,ShareRowExclusive,Exclusive,AccessExclusive}'::text[]) with ordinality as m (mode, place)
    -- which of the eight modes conflict with it, as bits
    where substr(case p_mode
      when 'AccessShareLock'          then '00000001'
      when 'RowShareLock'             then '00000011'
      when 'RowExclusiveLock'         then '00001111'
      when 'ShareUpdateExclusiveLock' then '00011111'
      when 'ShareLock'                then '00110111'
      when 'ShareRowExclusiveLock'    then '00111111'
      when 'ExclusiveLock'            then '01111111'
      else '11111111'
    end, m.place::integer, 1) = '1')
$$;

comment on function weft._conflicting_modes(text) is 'Lists the modes of locks on a table that conflict with one.';


-- pg_blocking_pids() says 0 for a prepared transaction, which has no session; the lock table tells which one it is.
create or replace function weft._describe_holders(p_waiter integer, p_pids integer[])
  returns jsonb
  volatile
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select weft._describe_sessions(array(select p.pid from unnest(p_pids) with ordinality as p (pid, place) where p.pid <> 0 order by p.place))
    || case when 0 = any (p_pids) then weft._describe_prepared(array(
      select h.virtualtransaction
      from pg_locks as w
      join pg_locks as h on h.granted and h.pid is null and h.locktype = w.locktype and h.mode = any (weft._conflicting_modes(w.mode))
        and (h.database, h.relation, h.page, h.tuple, h.transactionid::text, h.virtualxid, h.classid, h.objid, h.objsubid)
          is not distinct from (w.database, w.relation, w.page, w.tuple, w.transactionid::text, w.virtualxid, w.classid, w.objid, w.objsubid)
      where w.pid = p_waiter and not w.granted)) else '[]' end
$$;

comment on function weft._describe_holders(integer, integer[]) is 'Names the holders of the locks that a session waits for, as pg_blocking_pids() lists them: sessions, and prepared transactions.';


create or replace function weft._say_session(p_session jsonb)
  returns text
  immutable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select case when p_session ->> 'prepared' is not null
    then format('the prepared transaction %s (role %s, prepared %s ago)', quote_literal(p_session ->> 'prepared'), p_session ->> 'role', weft._say_seconds((p_session ->> 'transaction_seconds')::numeric))
    else concat(coalesce(nullif(p_session ->> 'kind', 'client backend'), 'backend'), ' ', p_session ->> 'pid',
      (select ' (' || string_agg(f.fact, ', ' order by f.place) || ')'
       from (values
         (1, 'application ' || (p_session ->> 'application')),
         (2, 'role ' || (p_session ->> 'role')),
         (3, case when p_session ->> 'state' is null then 'what it does is not shown to this role'
               when p_session ->> 'state' like 'idle in transaction%' then concat(p_session ->> 'state', ' for ' || weft._say_seconds((p_session ->> 'state_seconds')::numeric))
               else concat(p_session ->> 'state', ' for ' || weft._say_seconds((p_session ->> 'state_seconds')::numeric)) end),
         (4, case when (p_session ->> 'transaction_seconds')::numeric > (p_session ->> 'state_seconds')::numeric + 1
               then 'its transaction is ' || weft._say_seconds((p_session ->> 'transaction_seconds')::numeric) || ' old' end)
       ) as f (place, fact)
       where f.fact is not null))
  end
$$;

comment on function weft._say_session(jsonb) is 'Writes for people who a session is and what it does, without its statement.';
