-- What a repeatable file needs, and what it makes.
--
-- Objects that a repeatable file has created are recorded, so that they are missed when they are gone: if a DROP ... CASCADE takes a view
-- along, the file that made it makes it again, although that file has not changed.
--
-- Objects that were created after a certain moment have higher OIDs, as long as the counter has not wrapped around. The whole cluster uses that
-- counter, and so does every long value that is stored out of line. The last checkpoint tells whether it may have wrapped around; in
-- that case everything that exists is noted first, and what was created is the rest.

create or replace function weft._list_makeable(p_above bigint[])
  returns table (catalog integer, oid oid, made_by xid)
  stable
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off  -- only few objects came later, which no statistics show, and this runs for each repeatable file
  language sql
as $$
  select 1, c.oid, c.xmin from pg_class as c where c.oid > p_above[1]::oid and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S', 'i')
  union all
  select 2, f.oid, f.xmin from pg_proc as f where f.oid > p_above[2]::oid
  union all
  select 3, t.oid, t.xmin from pg_trigger as t where t.oid > p_above[3]::oid and not t.tgisinternal
  union all
  select 4, p.oid, p.xmin from pg_policy as p where p.oid > p_above[4]::oid
$$;

comment on function weft._list_makeable(bigint[]) is 'Lists what a repeatable file may have made: objects above a given OID in each catalog.';


create or replace function weft._mark_objects()
  returns bigint[]
  stable
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  c_any   constant bigint[] := '{16383,16383,0,0}';  -- the OIDs of initdb end there
  v_mark  bigint[];
  v_next  bigint;
begin
  if has_function_privilege('pg_catalog.pg_control_checkpoint()', 'execute') then
    v_mark := array[coalesce((select max(c.oid) from pg_class as c), 0), coalesce((select max(f.oid) from pg_proc as f), 0),
      coalesce((select max(t.oid) from pg_trigger as t), 0), coalesce((select max(p.oid) from pg_policy as p), 0)];
    v_next := (select k.next_oid from pg_control_checkpoint() as k);
  end if;
  if (greatest(v_mark[1], v_mark[2], v_mark[3], v_mark[4]) <= v_next + weft._limit('oids_since_checkpoint_count')) is not true then
    v_mark := c_any || array(select c.catalog * 4294967296 + c.oid::bigint from weft._list_makeable(c_any) as c);
  end if;
  raise exception using errcode = 'WF003';
exception when sqlstate 'WF003' then  -- this releases the locks on catalogs: otherwise VACUUM FULL of one would wait for them, and everybody who connects would wait behind it
  return v_mark;
end
$$;

comment on function weft._mark_objects() is
  'Marks which objects there are, by the highest OID of each catalog, or all of them; weft._list_made lists the ones that came later.';


create or replace function weft._list_made(p_mark bigint[], p_is_one_transaction boolean)
  returns jsonb
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  with later as materialized (
    select c.catalog, c.oid from weft._list_makeable(p_mark[1:4]) as c
    where c.catalog * 4294967296 + c.oid::bigint not in (select m.number from unnest(p_mark[5:]) as m (number))
      and (not p_is_one_transaction or weft._is_of_this_transaction(c.made_by))
  )
  select jsonb_agg(jsonb_strip_nulls(jsonb_build_object('kind', m.kind, 'name', m.name, 'on', m.place)) order by m.kind, m.name, m.place)
  from (
    select 'relation' as kind, format('%I.%I', n.nspname, c.relname) as name, null::text as place
    from later as l join pg_class as c on c.oid = l.oid join pg_namespace as n on n.oid = c.relnamespace
    where l.catalog = 1 and c.relkind <> 'i' and c.relpersistence <> 't' and n.nspname <> 'weft' and n.nspname !~ '^pg_'
    union all  -- such as the index of a materialized view, which goes with it; indexes of keys and partitions are never listed by themselves
    select 'index', format('%I.%I', n.nspname, c.relname), i.indrelid::regclass::text
    from later as l join pg_class as c on c.oid = l.oid join pg_index as i on i.indexrelid = c.oid join pg_namespace as n on n.oid = c.relnamespace
    where l.catalog = 1 and c.relkind = 'i' and c.relpersistence <> 't' and n.nspname <> 'weft' and n.nspname !~ '^pg_' and not c.relispartition
      and not exists (select from pg_constraint as k where k.conindid = c.oid and k.contype in ('p', 'u', 'x'))
    union all
    select 'function', f.oid::regprocedure::text, null
    from later as l join pg_proc as f on f.oid = l.oid join pg_namespace as n on n.oid = f.pronamespace
    where l.catalog = 2 and n.nspname <> 'weft' and n.nspname !~ '^pg_'
    union all
    select 'trigger', t.tgname::text, t.tgrelid::regclass::text from later as l join pg_trigger as t on t.oid = l.oid
    where l.catalog = 3 and t.tgparentid = 0  -- triggers of partitions come and go with the one of their table
    union all
    select 'policy', p.polname::text, p.polrelid::regclass::text from later as l join pg_policy as p on p.oid = l.oid where l.catalog = 4
  ) as m
$$;

comment on function weft._list_made(bigint[], boolean) is 'Lists relations, indexes, functions, triggers and policies that came into being since a mark; null if there are none. p_is_one_transaction: only what the current transaction has made.';


create or replace function weft._is_object_there(p_object jsonb)
  returns boolean
  stable
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
begin
  return case p_object ->> 'kind'
    when 'relation' then to_regclass(p_object ->> 'name') is not null
    when 'index' then to_regclass(p_object ->> 'name') is not null
    when 'function' then to_regprocedure(p_object ->> 'name') is not null
    when 'trigger' then exists (select from pg_trigger as t where t.tgrelid = to_regclass(p_object ->> 'on') and t.tgname = p_object ->> 'name')
    when 'policy' then exists (select from pg_policy as p where p.polrelid = to_regclass(p_object ->> 'on') and p.polname = p_object ->> 'name')
  end;
exception when undefined_object or invalid_schema_name then  -- a type among the arguments is gone
  return false;
end
$$;

comment on function weft._is_object_there(jsonb) is 'Tells whether an object that a file made exists, by its name.';


create or replace function weft._list_missing(p_made jsonb)
  returns jsonb
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select jsonb_agg(o.value order by o.ordinality) from jsonb_array_elements(p_made) with ordinality as o where not weft._is_object_there(o.value)
$$;

comment on function weft._list_missing(jsonb) is 'Lists the objects that a file made and that are gone; null if none is.';


create or replace function weft._merge_made(p_before jsonb, p_now jsonb)
  returns jsonb
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select jsonb_agg(distinct o.value)
  from (
    select b.value from jsonb_array_elements(p_before) as b where weft._is_object_there(b.value)
    union all
    select n.value from jsonb_array_elements(p_now) as n
  ) as o
$$;

comment on function weft._merge_made(jsonb, jsonb) is 'Adds the objects that a file has made now to those that it made before and that still exist.';


-- The objects of a file that has run again: those that it has created now, and those that it had made before and that still exist.
create or replace function weft._note_made(p_deployment uuid, p_step integer, p_mark bigint[], p_statements text[])
  returns jsonb
  stable
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_made  jsonb;
begin
  select weft._merge_made(case when s.replaced ? 'made_before' then nullif(s.replaced -> 'made_before', 'null') when u.ordinal is null then h.made else nullif(u.replaced -> 'made', 'null') end, nullif(coalesce(weft._list_made(p_mark, p_statements is not null), '[]') || coalesce(weft._list_replaced(p_statements), '[]'), '[]')) into v_made
  from weft._steps as s
  join weft._deployments as d on d.id = s.deployment_id
  -- by its whole key, which the server would not use without statistics
  left join lateral (select k.made from weft._history as k where k.bundle = d.bundle and k.path = s.path offset 0) as h on true
  left join lateral (  -- from the deployment that is undone; an undo stores it for all its files when it is opened
    select k.ordinal, k.replaced from weft._steps as k
    where s.path = s.undoes and not coalesce(s.replaced ? 'made_before', false) and k.deployment_id = d.undoes and k.path = s.undoes and k.kind = s.kind offset 0) as u on true
  where s.deployment_id = p_deployment and s.ordinal = p_step;
  raise exception using errcode = 'WF003';
exception when sqlstate 'WF003' then  -- releases the locks on catalogs, as after weft._mark_objects
  return v_made;
end
$$;

comment on function weft._note_made(uuid, integer, bigint[], text[]) is 'Lists the objects of a repeatable file that has just run; if an undo brought it back, those of its older content. p_statements: what it has run in this transaction; null if it took several.';


-- What ALTER has set on an object, and its file may not mention (floor 79 traits).
create or replace function weft._list_traits(p_classid oid, p_objid oid)
  returns jsonb
  stable
  set search_path = pg_catalog, pg_temp
  language plpgsql  -- which keeps its plans, because it is called for many objects
as $$
begin
  return (
    select coalesce(jsonb_object_agg(t.name, t.value), '{}')
    from (
      select k.name, k.value
      from pg_proc as f
      cross join lateral (values
        ('volatility', case f.provolatile when 'i' then 'immutable' when 's' then 'stable' else 'volatile' end),
        ('answer to null', case when f.proisstrict then 'strict' else 'called on null input' end),
        ('leaks', case when f.proleakproof then 'leakproof' else 'not leakproof' end),
        ('security', case when f.prosecdef then 'security definer' else 'security invoker' end),
        ('parallel', case f.proparallel when 's' then 'parallel safe' when 'r' then 'parallel restricted' else 'parallel unsafe' end),
        ('cost', 'cost ' || f.procost), ('rows', case when f.proretset then 'rows ' || f.prorows end), ('support', case when f.prosupport <> 0 then 'support ' || f.prosupport end),
        ('settings', f.proconfig::text)) as k (name, value)
      where p_classid = 'pg_proc'::regclass and f.oid = p_objid
      union all
      select 'firing', case t.tgenabled when 'D' then 'disable' when 'R' then 'enable replica' when 'A' then 'enable always' else 'enable' end
      from pg_trigger as t where p_classid = 'pg_trigger'::regclass and t.oid = p_objid
      union all
      select k.name, k.value
      from pg_policy as p
      cross join lateral (values
        ('command', p.polcmd::text), ('kind', case when p.polpermissive then 'permissive' else 'restrictive' end),
        ('roles', (select string_agg(case r.oid when 0 then 'public' else r.oid::regrole::text end, ', ' order by 1) from unnest(p.polroles) as r (oid))),
        ('condition', pg_get_expr(p.polqual, p.polrelid)), ('check', pg_get_expr(p.polwithcheck, p.polrelid))) as k (name, value)
      where p_classid = 'pg_policy'::regclass and p.oid = p_objid
      union all
      select k.name || quote_ident(a.attname), k.value
      from pg_class as c
      join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
      cross join lateral (values
        ('statistics of ', nullif(a.attstattarget, -1)::text), ('storage of ', case when a.attstorage <> (select t.typstorage from pg_type as t where t.oid = a.atttypid) then
          case a.attstorage when 'p' then 'plain' when 'e' then 'external' when 'm' then 'main' else 'extended' end end),
        ('compression of ', case a.attcompression when 'p' then 'pglz' when 'l' then 'lz4' end), ('options of ', array_to_string(a.attoptions, ', '))) as k (name, value)
      where p_classid = 'pg_class'::regclass and c.oid = p_objid and c.relkind = 'm'
      union all
      select 'cluster', quote_ident(i.relname) from pg_index as x join pg_class as i on i.oid = x.indexrelid where p_classid = 'pg_class'::regclass and x.indrelid = p_objid and x.indisclustered
      union all
      select 'tablespace', quote_ident(s.spcname) from pg_class as c join pg_tablespace as s on s.oid = c.reltablespace where p_classid = 'pg_class'::regclass and c.oid = p_objid and c.relkind = 'm'
    ) as t
    where t.value is not null);
end
$$;

comment on function weft._list_traits(oid, oid) is 'Lists what ALTER can set on a function, a policy, a trigger or a materialized view, by name.';


-- The server's errors when something does not exist yet, or something else still depends on it.
create or replace function weft._is_lack(p_error jsonb)
  returns boolean
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select p_error ->> 'sqlstate' in ('42P01', '42883', '42704', '42703', '3F000', '2BP01')
$$;

comment on function weft._is_lack(jsonb) is 'Tells whether a file failed because something is missing or still in use, so that it may succeed after other files.';


create or replace function weft._may_run_later(p_deployment uuid, p_step integer, p_error jsonb)
  returns boolean
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select weft._is_lack(p_error) and not s.is_order_found from weft._steps as s where s.deployment_id = p_deployment and s.ordinal = p_step
$$;

comment on function weft._may_run_later(uuid, integer, jsonb) is 'Tells whether a repeatable file failed because it lacks something, and no order has been searched yet.';


create or replace function weft._add_hint_of_group(p_error jsonb, p_group integer[])
  returns jsonb
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select case
    when p_error ->> 'sqlstate' in ('42P16', '42P13', '2BP01') and cardinality(p_group) > 0 then p_error || jsonb_build_object('hint', concat_ws(' ', p_error ->> 'hint',
      'If the file drops what it makes before it makes it anew, with CASCADE, the files of its group whose objects go with that run again in the same transaction, changed or not.'))
    else p_error
  end
$$;

comment on function weft._add_hint_of_group(jsonb, integer[]) is 'Adds what to do if an object cannot be replaced alone.';


-- Which of several files that lack something waits for which other one that would make it. The object's name is in the server's message, in any
-- language. This only orders the report, and decides nothing else.
create or replace function weft._find_waits(p_deployment uuid, p_errors jsonb)
  returns table (path text, waits_for text)
  stable
  set search_path = pg_catalog, pg_temp
  set jit = off
  language sql
as $$
  with made as materialized (
    select distinct e.value ->> 'path' as path, lower(weft._last_of_name(c.object ->> 'name') collate "C") as name
    from jsonb_array_elements(p_errors) as e
    join weft._artifacts as a on a.deployment_id = p_deployment and a.path = e.value ->> 'path'
    cross join lateral weft._list_statements(weft._kept_text(p_deployment, a.path, a.digest)) as x
    cross join unnest(x.statements) as u (statement)
    cross join lateral weft._name_created(weft._flatten(weft._skip_comments(u.statement))) as c (object)
    where octet_length(u.statement) <= 65536 and c.object is not null and weft._kept_text(p_deployment, a.path, a.digest) is not null
  )
  select distinct e.value ->> 'path', m.path
  from jsonb_array_elements(p_errors) as e
  join made as m on m.path <> e.value ->> 'path'
    and lower((e.value ->> 'message') collate "C") ~ concat(
      -- the server puts names into quotes, and a name that has one at its end has it beside those
      case when m.name ~ '^\W' then '[^[:alnum:]_\s]\s?' else '(^|[^[:alnum:]_])' end, regexp_replace(m.name, '([^[:alnum:]_])', '\\\1', 'g'),
      case when m.name ~ '\W$' then '\s?[^[:alnum:]_\s]' else '($|[^[:alnum:]_])' end)
$$;

comment on function weft._find_waits(uuid, jsonb) is 'Tells which of several failed files lack something that another one of them would make.';


-- 1: lacks something that none of them makes. 2: waits for others that wait for it. 3: waits for one of those.
create or replace function weft._rank_stuck(p_deployment uuid, p_errors jsonb)
  returns table (error jsonb, path text, rank integer)
  stable
  set search_path = pg_catalog, pg_temp
  set jit = off
  language sql
as $$
  with recursive
  waits as materialized (select w.path, w.waits_for from weft._find_waits(p_deployment, p_errors) as w),
  reached as (
    select w.path, w.waits_for from waits as w
    union
    select r.path, w.waits_for from reached as r join waits as w on w.path = r.waits_for
  )
  select e.value, e.value ->> 'path',
         case when not exists (select from waits as w where w.path = e.value ->> 'path') then 1
           when exists (select from reached as r where r.path = e.value ->> 'path' and r.waits_for = r.path) then 2
           else 3 end
  from jsonb_array_elements(p_errors) as e
$$;

comment on function weft._rank_stuck(uuid, jsonb) is 'Orders failed files: those that failed by themselves come before those that wait for them.';


-- There is no more progress: lists every file that is left, each with its own error; those that wait for another one come after it.
create or replace function weft._describe_stuck(p_deployment uuid, p_errors jsonb)
  returns weft._outcome
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  with ranked as materialized (
    select r.error, r.path, r.rank, format(E'\n%s: %s: %s', concat_ws(':', r.path, r.error ->> 'line'), r.error ->> 'sqlstate', r.error ->> 'message') as line
    from weft._rank_stuck(p_deployment, p_errors) as r
  ),
  told as (
    select string_agg(concat(E'\n', (array['No file of it makes what is lacking here:', 'These wait for each other:', 'These wait for what failed:'])[g.rank], g.lines), '' order by g.rank) as words
    from (select r.rank, string_agg(r.line, '' order by r.path collate "C") as lines from ranked as r group by r.rank) as g
  )
  select row('failed', k.errors #>> '{0,path}', k.errors -> 0 || jsonb_build_object(
      'detail', concat_ws(E'\n', k.errors #>> '{0,detail}', case when k.count > 1 then format('No order of the group works: %s files are left.%s', k.count, t.words) end),
      'left', k.errors))::weft._outcome
  from (select jsonb_agg(r.error order by r.rank, r.path collate "C") as errors, count(*) as count from ranked as r) as k
  cross join told as t
$$;

comment on function weft._describe_stuck(uuid, jsonb) is 'Makes the account of a group for which no order works: each file that is left, with what it lacks.';
