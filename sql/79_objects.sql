-- What a repeatable file needs, and what it makes.
--
-- Objects that come into being with a file that runs again and again, so that they can be missed when they are gone: a view that a
-- DROP ... CASCADE took along is made again by the file that made it, although that file has not changed.
--
-- What was made since a moment is what has a higher OID. After four billion objects of a cluster that number begins anew: then
-- something may be missed that could have been noticed, and nothing else goes wrong.

create or replace function weft._mark_objects()
  returns oid[]
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select array[(select max(c.oid) from pg_class as c), (select max(f.oid) from pg_proc as f), (select max(t.oid) from pg_trigger as t), (select max(p.oid) from pg_policy as p)]
$$;

comment on function weft._mark_objects() is 'Marks which objects there are; weft._list_made lists the ones that came later.';


create or replace function weft._list_made(p_mark oid[])
  returns jsonb
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select jsonb_agg(jsonb_strip_nulls(jsonb_build_object('kind', m.kind, 'name', m.name, 'on', m.place)) order by m.kind, m.name, m.place)
  from (
    select 'relation' as kind, format('%I.%I', n.nspname, c.relname) as name, null::text as place
    from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
    where c.oid > coalesce(p_mark[1], 0) and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S') and c.relpersistence <> 't' and n.nspname <> 'weft' and n.nspname !~ '^pg_'
    union all
    select 'function', f.oid::regprocedure::text, null
    from pg_proc as f join pg_namespace as n on n.oid = f.pronamespace
    where f.oid > coalesce(p_mark[2], 0) and n.nspname <> 'weft' and n.nspname !~ '^pg_'
    union all
    select 'trigger', t.tgname::text, t.tgrelid::regclass::text from pg_trigger as t where t.oid > coalesce(p_mark[3], 0) and not t.tgisinternal
    union all
    select 'policy', p.polname::text, p.polrelid::regclass::text from pg_policy as p where p.oid > coalesce(p_mark[4], 0)
  ) as m
$$;

comment on function weft._list_made(oid[]) is 'Lists relations, functions, triggers and policies that came into being since a mark; null when there are none.';


create or replace function weft._is_object_there(p_object jsonb)
  returns boolean
  stable
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
begin
  return case p_object ->> 'kind'
    when 'relation' then to_regclass(p_object ->> 'name') is not null
    when 'function' then to_regprocedure(p_object ->> 'name') is not null
    when 'trigger' then exists (select from pg_trigger as t where t.tgrelid = to_regclass(p_object ->> 'on') and t.tgname = p_object ->> 'name')
    when 'policy' then exists (select from pg_policy as p where p.polrelid = to_regclass(p_object ->> 'on') and p.polname = p_object ->> 'name')
  end;
exception when undefined_object or invalid_schema_name then  -- a type among the arguments is gone
  return false;
end
$$;

comment on function weft._is_object_there(jsonb) is 'Tells whether an object that a file made is there, by its name.';


create or replace function weft._list_missing(p_made jsonb)
  returns jsonb
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select jsonb_agg(o.value order by o.ordinality) from jsonb_array_elements(p_made) with ordinality as o where not weft._is_object_there(o.value)
$$;

comment on function weft._list_missing(jsonb) is 'Lists those of the objects that a file made which are gone; null when none is.';


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

comment on function weft._merge_made(jsonb, jsonb) is 'Adds to the objects that a file made before, as far as they are there, those that it has made now.';


-- What the server says when something is not there yet; or when something else must let go first.
create or replace function weft._is_lack(p_error jsonb)
  returns boolean
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select p_error ->> 'sqlstate' in ('42P01', '42883', '42704', '42703', '3F000', '2BP01')
$$;

comment on function weft._is_lack(jsonb) is 'Tells whether a file failed because something is not there, or still in use, so that it may succeed behind other files.';


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

comment on function weft._add_hint_of_group(jsonb, integer[]) is 'Adds what can be done when an object cannot be replaced alone.';


-- Nothing moves any more: every file that is left, each with its own error.
create or replace function weft._describe_stuck(p_errors jsonb)
  returns weft._outcome
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select row('failed', k.first ->> 'path', k.first || jsonb_build_object(
      'detail', concat_ws(E'\n', k.first ->> 'detail', case when k.many > 1 then format('No order of the group works. Each of these %s files lacks something that no other file of the group makes first:', k.many)
        || (select string_agg(format(E'\n%s: %s: %s', concat_ws(':', e.value ->> 'path', e.value ->> 'line'), e.value ->> 'sqlstate', e.value ->> 'message'), '' order by e.value ->> 'path' collate "C") from jsonb_array_elements(p_errors) as e) end),
      'left', p_errors))::weft._outcome
  from (
    select (select e.value from jsonb_array_elements(p_errors) as e order by e.value ->> 'path' collate "C" limit 1) as first, jsonb_array_length(p_errors) as many
  ) as k
$$;

comment on function weft._describe_stuck(jsonb) is 'Makes the account of a group for which there is no order: each file that is left, with what it lacks.';
