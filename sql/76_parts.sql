-- Weft leaves when asked, and stays intact until then: nothing of the user's may be in the schema weft or depend on it, and no file may
-- change the engine. Whoever owns the schema could do all of that by hand; a dump of a database that has Weft in it does it by mistake.

-- Counts the rows of pg_depend for the schema, for each object in it, and for their row types and array types. Indexes, triggers, constraints and defaults
-- depend on their table there, so nothing of any kind comes or goes without changing the number.
-- In PL/pgSQL, like the functions below, because each block calls it, and before PostgreSQL 18 a function in SQL is planned for each call.
create or replace function weft._count_parts(out parts bigint, out dependents bigint, out relations oid[], out types oid[], out functions oid[])
  stable
  set search_path = pg_catalog, pg_temp
  set enable_sort = off  -- so that the rows are grouped by a hash
  language plpgsql
as $$
begin
  -- class by class: one condition with two lists would compare all their pairs
  with recursive held (is_held, classid, objects, parts, dependents) as (
    select true, d.classid, array_agg(d.objid), count(*), 0::bigint
    from pg_depend as d
    where d.refclassid = 'pg_namespace'::regclass and d.refobjid = 'weft'::regnamespace
    group by d.classid
    union all
    select false, 'pg_type'::regclass, o.types, o.parts, o.dependents
    from held as h
    cross join lateral (
      select count(*) filter (where d.deptype <> 'n') as parts, count(*) filter (where d.deptype = 'n') as dependents,
             array_agg(d.objid) filter (where d.classid = 'pg_type'::regclass and d.deptype = 'i') as types
      from pg_depend as d where d.refclassid = h.classid and d.refobjid = any (h.objects)) as o
    where h.objects is not null
  )
  select sum(h.parts), sum(h.dependents), min(h.objects) filter (where h.is_held and h.classid = 'pg_class'::regclass),
         min(h.objects) filter (where h.is_held and h.classid = 'pg_type'::regclass), min(h.objects) filter (where h.is_held and h.classid = 'pg_proc'::regclass)
  into parts, dependents, relations, types, functions
  from held as h;
end
$$;

comment on function weft._count_parts() is 'Counts what schema weft holds, with what belongs to that, and how many dependencies on it there are. Also lists its relations, types and functions.';


-- What a statement can change about a part of the engine, except what is up to the owner (rights, comments, storage options).
create or replace function weft._define_part(p_classid oid, p_objid oid)
  returns text
  stable
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
begin
  return case p_classid
    when 'pg_proc'::regclass then (
      select md5(concat_ws(E'\n', f.prosrc, f.proconfig::text, f.prokind, f.prosecdef, f.provolatile, f.proisstrict, f.prorettype::regtype)) from pg_proc as f where f.oid = p_objid)
    when 'pg_trigger'::regclass then (select concat_ws(' ', t.tgenabled, t.tgtype, t.tgfoid::regproc) from pg_trigger as t where t.oid = p_objid)
    when 'pg_constraint'::regclass then (select concat_ws(' ', k.contype, k.convalidated, k.condeferrable) from pg_constraint as k where k.oid = p_objid)
    when 'pg_class'::regclass then (
      select concat_ws(' ', c.relkind, c.relpersistence, c.relrowsecurity, c.relforcerowsecurity, (
        select string_agg(concat_ws(' ', a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.atthasdef), ', ' order by a.attnum)
        from pg_attribute as a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped))
      from pg_class as c where c.oid = p_objid)
    else '' end;
end
$$;

comment on function weft._define_part(oid, oid) is 'Tells what a statement could change about a part of the engine.';


-- One row for each part, by its name; without NOT NULL constraints, which only newer servers list.
create or replace function weft._list_parts()
  returns table (part text, definition text)
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  with recursive bonds as (
    select d.classid, d.objid from pg_depend as d where d.refclassid = 'pg_namespace'::regclass and d.refobjid = 'weft'::regnamespace
    union
    select d.classid, d.objid from bonds as b join pg_depend as d on d.refclassid = b.classid and d.refobjid = b.objid and d.deptype <> 'n'
  )
  select concat_ws(' ', i.type, i.identity), weft._define_part(b.classid, b.objid)
  from bonds as b
  cross join lateral pg_identify_object(b.classid, b.objid, 0) as i
  where not (b.classid = 'pg_constraint'::regclass and exists (select from pg_constraint as k where k.oid = b.objid and k.contype = 'n'))
    and not (b.classid = 'pg_trigger'::regclass and exists (select from pg_trigger as t where t.oid = b.objid and t.tgisinternal))
$$;

comment on function weft._list_parts() is 'Lists the parts of schema weft, each with what a statement could change about it.';


create or replace function weft._is_part_as_noted(p_classid oid, p_objid oid)
  returns boolean
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select coalesce((
    select n.parts ->> concat_ws(' ', i.type, i.identity) = weft._define_part(p_classid, p_objid)
    from (select l.parts from weft._installations as l order by l.version desc limit 1) as n, pg_identify_object(p_classid, p_objid, 0) as i), false)
$$;

comment on function weft._is_part_as_noted(oid, oid) is 'Tells whether a part of the engine is the same as when it was noted.';


-- Whether the current transaction has changed one of the parts, other than its rights. This finds what the numbers do not show: a file that replaces a function,
-- or disables a trigger. A row with an xmin of age 0 or less is from this transaction, or from one that began later.
create or replace function weft._has_written_parts(p_relations oid[], p_types oid[], p_functions oid[])
  returns boolean
  stable
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan  -- planning this takes longer than running it
  set enable_seqscan = off  -- starts from the engine's parts and never scans all objects of users, even if these were few when it was planned
  language plpgsql
as $$
begin
  return pg_current_xact_id_if_assigned() is not null and (
    exists (select from pg_class as c where c.oid = any (p_relations) and age(c.xmin) <= 0 and not weft._is_part_as_noted('pg_class'::regclass, c.oid))
    -- there are hundreds of functions, and most files replace none; a new one would change the number
    or (current_setting('track_counts') <> 'on' or pg_stat_get_xact_tuples_updated('pg_proc'::regclass) + pg_stat_get_xact_tuples_deleted('pg_proc'::regclass) > 0)
      and exists (select from pg_proc as f where f.oid = any (p_functions) and age(f.xmin) <= 0 and not weft._is_part_as_noted('pg_proc'::regclass, f.oid))
    or exists (select from pg_trigger as t where t.tgrelid = any (p_relations) and age(t.xmin) <= 0)
    or exists (select from pg_rewrite as w where w.ev_class = any (p_relations) and age(w.xmin) <= 0)
    or exists (select from pg_attribute as a where a.attrelid = any (p_relations) and age(a.xmin) <= 0 and not weft._is_part_as_noted('pg_class'::regclass, a.attrelid))
    or exists (select from pg_type as t where t.oid = any (p_types) and age(t.xmin) <= 0));
end
$$;

comment on function weft._has_written_parts(oid[], oid[], oid[]) is 'Tells whether the current transaction may have changed one of the given parts of the engine.';


create or replace function weft._find_dependent()
  returns text
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  with ours as materialized (
    select 'pg_class'::regclass as classid, c.oid from pg_class as c where c.relnamespace = 'weft'::regnamespace
    union all
    select 'pg_proc'::regclass, f.oid from pg_proc as f where f.pronamespace = 'weft'::regnamespace
    union all
    select 'pg_type'::regclass, t.oid from pg_type as t where t.typnamespace = 'weft'::regnamespace
  )
  select pg_describe_object(d.classid, d.objid, d.objsubid)
  from ours as o
  join pg_depend as d on d.refclassid = o.classid and d.refobjid = o.oid and d.deptype = 'n'
  where (d.classid, d.objid) not in (select x.classid::oid, x.oid from ours as x)
    and case d.classid
          when 'pg_rewrite'::regclass then not exists (select from pg_rewrite as w join ours as x on x.oid = w.ev_class where w.oid = d.objid)
          when 'pg_constraint'::regclass then not exists (select from pg_constraint as k join ours as x on x.oid in (k.conrelid, k.contypid) where k.oid = d.objid)
          when 'pg_attrdef'::regclass then not exists (select from pg_attrdef as k join ours as x on x.oid = k.adrelid where k.oid = d.objid)
          when 'pg_trigger'::regclass then not exists (select from pg_trigger as k join ours as x on x.oid = k.tgrelid where k.oid = d.objid)
          else true
        end
  limit 1
$$;

comment on function weft._find_dependent() is 'Names an object of the user''s that depends on schema weft, as far as PostgreSQL records dependencies; null if there is none.';


-- Called when the engine was installed, and when a phase begins, if somebody has changed the engine between deployments: that is not the files' fault.
create or replace function weft._note_parts(p_version integer)
  returns void
  volatile
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  insert into weft._installations as i (version, parts_count, dependents_count, parts)
  select p_version, c.parts, case when weft._find_dependent() is null then c.dependents end, (select jsonb_object_agg(p.part, p.definition) from weft._list_parts() as p)
  from weft._count_parts() as c
  on conflict (version) do update set parts_count = excluded.parts_count, dependents_count = excluded.dependents_count, parts = excluded.parts
$$;

comment on function weft._note_parts(integer) is 'Stores that this version of the engine was installed, and what schema weft holds with it.';


create or replace function weft._note_other_parts()
  returns void
  volatile
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select weft._note_parts(coalesce(i.version, weft.version()))
  from (select) as always
  left join (select l.version, l.parts_count from weft._installations as l order by l.version desc limit 1) as i on true  -- a dump of the schema alone has none
  where i.parts_count is distinct from (weft._count_parts()).parts
$$;

comment on function weft._note_other_parts() is 'Stores what schema weft holds, if that differs from what was noted.';


-- Reading all dependencies takes longer than most statements. So whoever runs many of them compares, before and after, how often this session has written to the
-- catalogs that list objects. For inserts, pg_depend is enough: a new row in one of the others comes with one there.
create or replace function weft._count_dependency_changes()
  returns bigint
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
begin
  return case when current_setting('track_counts') = 'on' then
    pg_stat_get_xact_tuples_inserted('pg_depend'::regclass) + pg_stat_get_xact_tuples_updated('pg_depend'::regclass) + pg_stat_get_xact_tuples_deleted('pg_depend'::regclass)
    + pg_stat_get_xact_tuples_updated('pg_class'::regclass) + pg_stat_get_xact_tuples_updated('pg_proc'::regclass) + pg_stat_get_xact_tuples_updated('pg_type'::regclass)
    + pg_stat_get_xact_tuples_updated('pg_trigger'::regclass) + pg_stat_get_xact_tuples_updated('pg_attribute'::regclass) + pg_stat_get_xact_tuples_updated('pg_constraint'::regclass)
    + pg_stat_get_xact_tuples_updated('pg_rewrite'::regclass) end;
end
$$;

comment on function weft._count_dependency_changes() is
  'Counts how often this session has written to the catalogs that list objects, since it last reported its statistics, which never happens in the middle of a CALL; null if the server does not count.';


-- Once a file has dropped the engine, whatever the engine calls next is missing: the server reports that for the engine's own statement, and everything is rolled back.
create or replace function weft._is_taken_apart(p_caught weft._caught, p_statements text[])
  returns boolean
  immutable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select p_caught.state in ('3F000', '42883', '42P01', '42703', '42704', 'XX000') and (p_caught.state = 'XX000' or p_caught.message ~ '\mweft\M')
    and coalesce(substring(p_caught.context from 'PL/pgSQL function weft\._[^\n]*') !~ 'EXECUTE$', true)
    and array_to_string(p_statements, ' ') ~* '\m(weft|owned)\M'  -- DROP OWNED drops what a role owns
$$;

comment on function weft._is_taken_apart(weft._caught, text[]) is 'Tells whether an error is the engine''s own, in a file that names schema weft, or drops what a role owns.';


create or replace function weft._describe_taken_apart(p_caught weft._caught)
  returns weft._caught
  immutable
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
begin
  p_caught.detail := format('The server said: %s (%s).', p_caught.message, p_caught.state);
  p_caught.state := 'WF016';
  p_caught.message := 'The file has taken schema weft apart, in which the engine is that runs it.';
  p_caught.hint := weft._advise_on_own_schema() || ' DROP OWNED takes along all that a role owns, Weft''s schema too. Nothing of this transaction is in the database.';
  return p_caught;
end
$$;

comment on function weft._describe_taken_apart(weft._caught) is 'Makes the account of a file that has dropped what the engine needs.';


create or replace function weft._say_other_parts(p_noted jsonb)
  returns text
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select string_agg(concat_ws(' ', g.word, weft._list_some(g.parts)), '; ' order by g.place)
  from (
    select k.place, (array['without', 'with another', 'with'])[k.place] as word, array_agg(k.part order by k.part !~ '^(table|view|function|type|sequence) ', k.part ~ '^table constraint ', k.part) as parts
    from (
      select case when p.part is null then 1 when n.key is null then 3 else 2 end as place, coalesce(n.key, p.part) as part
      from jsonb_each_text(p_noted) as n
      full join weft._list_parts() as p on p.part = n.key
      where p.definition is distinct from n.value
      union all  -- the server shows it differently on another server
      select 2, concat_ws(' ', i.type, i.identity)
      from pg_class as c
      join pg_rewrite as w on w.ev_class = c.oid
      cross join lateral pg_identify_object('pg_class'::regclass, c.oid, 0) as i
      where pg_current_xact_id_if_assigned() is not null and c.relnamespace = 'weft'::regnamespace and c.relkind = 'v' and age(w.xmin) <= 0 and p_noted ? concat_ws(' ', i.type, i.identity)
    ) as k
    group by k.place
  ) as g
$$;

comment on function weft._say_other_parts(jsonb) is 'Says what schema weft lacks, has changed, or holds in addition; null if it is as it was noted.';


create or replace function weft._check_dependents(p_changes bigint default null)
  returns void
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_version   integer;
  v_is_other  boolean;
  v_is_tied   boolean;
  v_tied      text;
  v_other     text;
begin
  if weft._count_dependency_changes() = p_changes then
    return;
  end if;
  begin
    select i.version, c.parts <> i.parts_count or weft._has_written_parts(c.relations, c.types, c.functions), c.dependents is distinct from i.dependents_count
    into v_version, v_is_other, v_is_tied
    from (select l.version, l.parts_count, l.dependents_count from weft._installations as l order by l.version desc limit 1) as i
    cross join weft._count_parts() as c;
    if v_is_other or v_is_tied then
      v_tied := weft._find_dependent();
      v_other := case when v_is_other then weft._say_other_parts((select i.parts from weft._installations as i where i.version = v_version)) end;
    end if;
    raise exception using errcode = 'WF003';
  exception when sqlstate 'WF003' then
    null;  -- and releases the locks on catalogs: the files that follow may take long
  end;
  if v_tied is not null then
    raise exception 'After this, % would depend on Weft''s own schema, which could then not be dropped any more.', v_tied
      using errcode = 'WF016', hint = 'Take what names the schema weft out of it. Nothing of this transaction is in the database.';
  end if;
  if v_other is not null then
    raise exception 'After this, schema weft would hold something else than the engine: %.', v_other
      using errcode = 'WF016', detail = 'What is in there is needed by the engine, or goes when the engine goes.', hint = weft._advise_on_own_schema() || ' Nothing of this transaction is in the database.';
  end if;
end
$$;

comment on function weft._check_dependents(bigint) is
  'Refuses what would change the engine, put an object of the user''s into its schema, or make one depend on it, as far as PostgreSQL records dependencies; does nothing if p_changes says that nothing has changed.';
