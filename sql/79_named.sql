-- The objects that the statements of a file name, as the catalog has them. Tokens give the names to look up; the catalog decides.

-- What a statement creates, or null. This is read from its tokens; the caller looks into the catalog.
create or replace function weft._name_created(p_flat text)
  returns jsonb
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  c_ident  constant text := weft._ident_pattern();
  c_name   constant text := weft._name_pattern();
  v_match  text[];
begin
  if p_flat !~* '^(create|alter table)\M' or p_flat ~* '^create (or replace )?((global|local) )?temp(orary)?\M' then
    return null;
  end if;
  v_match := regexp_match(p_flat, '^create (?:or replace )?(?:unlogged |foreign |recursive |materialized )*(table|view|sequence) (?:if not exists )?(' || c_name || ')', 'i');
  if v_match is not null then
    return jsonb_build_object('kind', 'relation', 'name', v_match[2]);
  end if;
  v_match := regexp_match(p_flat, '^create (?:unique )?index (?:concurrently )?(?:if not exists )?(' || c_ident || ') on ', 'i');
  if v_match is not null then
    return jsonb_build_object('kind', 'relation', 'name', v_match[1]);
  end if;
  v_match := regexp_match(p_flat, '^create (?:or replace )?(function|procedure|aggregate) (' || c_name || ') ?\(', 'i');
  if v_match is not null then
    return jsonb_build_object('kind', 'function', 'name', v_match[2]);
  end if;
  v_match := regexp_match(p_flat, '^create (?:or replace )?(?:trusted )?(?:constraint )?(schema|type|domain|extension|trigger|policy) (?:if not exists )?(' || c_name || ')', 'i');
  if v_match is not null and lower(v_match[2] collate "C") <> 'authorization' then
    return jsonb_build_object('kind', case lower(v_match[1] collate "C") when 'domain' then 'type' else lower(v_match[1] collate "C") end, 'name', v_match[2]);
  end if;
  v_match := regexp_match(p_flat, '^alter table (?:if exists )?(?:only )?(' || c_name || ') add (?:column )?(?:if not exists )?(?!(?:constraint|primary|foreign|unique|check|exclude)\M)(' || c_ident || ') ', 'i');
  if v_match is not null then
    return jsonb_build_object('kind', 'column', 'name', v_match[2], 'on', v_match[1]);
  end if;
  return null;
end
$$;

comment on function weft._name_created(text) is 'Names what a statement without comments creates: kind, name and, of a column, its table; null if it creates nothing that Weft looks up.';


-- What else in a statement can be looked up by name: constraints, columns after the first, and kinds that do not count as made by repeatable files.
create or replace function weft._name_added(p_flat text)
  returns setof jsonb
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  c_ident   constant text := weft._ident_pattern();
  c_name    constant text := weft._name_pattern();
  c_kept    constant text := '(?:check|primary key|unique|foreign key|exclude|references)\M';  -- NOT NULL has a name from version 18 on
  c_others  constant text := '^create (?:or replace )?(?:default |trusted |procedural )*(collation|publication|subscription|statistics|event trigger|text search (?:configuration|dictionary|parser|template)|server|'
    || 'foreign data wrapper|language|conversion|access method|operator class|operator family) (?:if not exists )?(?!on\M)(' || c_name || ')';
  v_code    text;  -- without the contents of strings
  v_match   text[];
begin
  if p_flat !~* '^(create|alter (foreign table|table|type))\M' or p_flat ~* '^create (or replace )?((global|local) )?temp(orary)?\M' then
    return;
  end if;
  v_code := regexp_replace(p_flat, '(?:[eE]''(?:[^''\\]|\\.|'''')*''|''[^'']*'')|("[^"]*")', '\1', 'g');
  v_match := regexp_match(v_code, '^create (?:unlogged |foreign )?table (?:if not exists )?(' || c_name || ') ?\(', 'i');
  if v_match is not null then
    return query select jsonb_build_object('kind', 'constraint', 'name', m[1], 'on', v_match[1]) from regexp_matches(v_code, '\mconstraint (' || c_ident || ') ' || c_kept, 'gi') as m;
    return;
  end if;
  v_match := regexp_match(v_code, '^alter (?:foreign )?table (?:if exists )?(?:only )?(' || c_name || ')(?: ?\*)? (add\M.*|.*, ?add\M.*)$', 'i');
  if v_match is not null then
    return query select jsonb_build_object('kind', 'constraint', 'name', m[1], 'on', v_match[1]) from regexp_matches(v_match[2], '\mconstraint (' || c_ident || ') ' || c_kept, 'gi') as m;
    return query
    select jsonb_build_object('kind', 'column', 'name', m[1], 'on', v_match[1])
    from regexp_matches(v_match[2], '(?:^|,) ?add (?:column )?(?:if not exists )?(?!(?:column|if|constraint|primary|foreign|unique|check|exclude|not)\M)(' || c_ident || ') ', 'gi') as m;
    return;
  end if;
  v_match := regexp_match(p_flat, '^alter type (' || c_name || ') add value (?:if not exists )?''((?:[^'']|'''')*)''', 'i');
  if v_match is not null then
    return next jsonb_build_object('kind', 'enum value', 'name', format('"%s"', replace(replace(v_match[2], '''''', ''''), '"', '""')), 'on', v_match[1]);
    return;
  end if;
  v_match := regexp_match(p_flat, '^create (?:or replace )?rule (' || c_ident || ') as on \w+ to (' || c_name || ')', 'i');
  if v_match is not null then
    return next jsonb_build_object('kind', 'rule', 'name', v_match[1], 'on', v_match[2]);
    return;
  end if;
  v_match := regexp_match(p_flat, '^create operator ((?:' || c_ident || ' ?\. ?)*)([-+*/<>=~!@#%^&|`?]+) ?\(', 'i');
  if v_match is not null then
    return next jsonb_build_object('kind', 'operator', 'name', format('%s"%s"', v_match[1], v_match[2]));
    return;
  end if;
  v_match := regexp_match(p_flat, c_others, 'i');
  if v_match is not null then
    return next jsonb_build_object('kind', lower(v_match[1] collate "C"), 'name', v_match[2]);
  end if;
end
$$;

comment on function weft._name_added(text) is 'Names what a statement without comments creates besides what weft._name_created names: each with its kind, and its table if it has one.';


create or replace function weft._fold_name(p_name text)
  returns text[]
  immutable strict parallel safe
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select array_agg(weft._fold_identifier(m.part[1]) order by m.place)
  from regexp_matches(p_name, '("(?:[^"]|"")*"|[^\s".]+)', 'g') with ordinality as m (part, place)
$$;

comment on function weft._fold_name(text) is 'Splits a name into its parts as the server reads it, without checking whether it is valid.';


create or replace function weft._last_of_name(p_name text)
  returns text
  immutable strict parallel safe
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select o.parts[cardinality(o.parts)] from (select weft._fold_name(p_name) as parts) as o
$$;

comment on function weft._last_of_name(text) is 'Tells a name without its schema, as the server reads it.';


-- Rows that other sessions have committed meanwhile are visible too, but belong to them. Transaction ids wrap around after four thousand million.
create or replace function weft._is_of_this_transaction(p_xid xid)
  returns boolean
  volatile parallel restricted
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select case when abs(age(p_xid)::bigint) < 2147483647 then
    coalesce(pg_xact_status((pg_current_xact_id()::text::bigint - age(p_xid))::text::xid8) = 'in progress', false) else false end
$$;

comment on function weft._is_of_this_transaction(xid) is 'Tells whether the current transaction, or a subtransaction of it, has written a visible row.';


-- A name without a schema may be in any schema: the search_path under which it was made is not known.
create or replace function weft._find_named(p_object jsonb, p_is_ours boolean)
  returns jsonb
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_parts   text[] := weft._fold_name(p_object ->> 'name');
  v_name    name := v_parts[cardinality(v_parts)];
  v_schema  name := case when cardinality(v_parts) > 1 then v_parts[cardinality(v_parts) - 1] end;
begin
  return case p_object ->> 'kind'
    when 'relation' then (
      select jsonb_agg(jsonb_strip_nulls(jsonb_build_object('kind', case when c.relkind = 'i' then 'index' else 'relation' end, 'name', format('%I.%I', n.nspname, c.relname),
          'on', (select i.indrelid::regclass::text from pg_index as i where i.indexrelid = c.oid))))
      from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
      where c.relname = v_name and (v_schema is null or n.nspname = v_schema) and n.nspname <> 'weft' and n.nspname !~ '^pg_' and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S', 'i') and c.relpersistence <> 't'
        -- replacing a view by one with the same columns only writes its rule
        and (not p_is_ours or weft._is_of_this_transaction(c.xmin) or exists (select from pg_rewrite as w where w.ev_class = c.oid and weft._is_of_this_transaction(w.xmin))))
    when 'function' then (
      select jsonb_agg(jsonb_build_object('kind', 'function', 'name', f.oid::regprocedure::text))
      from pg_proc as f join pg_namespace as n on n.oid = f.pronamespace
      where f.proname = v_name and (v_schema is null or n.nspname = v_schema) and n.nspname <> 'weft' and n.nspname !~ '^pg_' and (not p_is_ours or weft._is_of_this_transaction(f.xmin)))
    when 'trigger' then (
      select jsonb_agg(jsonb_build_object('kind', 'trigger', 'name', t.tgname, 'on', t.tgrelid::regclass::text))
      from pg_trigger as t where t.tgname = v_name and not t.tgisinternal and t.tgparentid = 0 and (not p_is_ours or weft._is_of_this_transaction(t.xmin)))
    when 'policy' then (
      select jsonb_agg(jsonb_build_object('kind', 'policy', 'name', p.polname, 'on', p.polrelid::regclass::text)) from pg_policy as p where p.polname = v_name and not p_is_ours)
  end;
end
$$;

comment on function weft._find_named(jsonb, boolean) is 'Finds what a statement names, in the form of weft._list_made: all objects of this name, or only those that the current transaction has written (p_is_ours); null if there are none.';


-- CREATE OR REPLACE makes no new object if there is one already, but from then on it belongs to the file.
create or replace function weft._list_replaced(p_statements text[])
  returns jsonb
  volatile
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select jsonb_agg(f.value)
  from unnest(p_statements) as u (statement)
  cross join lateral (select left(weft._skip_comments(u.statement), 1000) as head offset 0) as h
  cross join lateral (select weft._name_created(weft._flatten(h.head)) as object where h.head ~* '^create\s+or\s+replace\M' offset 0) as o
  cross join lateral jsonb_array_elements(weft._find_named(o.object, true)) as f
  where u.statement ~* '\mreplace\M'
$$;

comment on function weft._list_replaced(text[]) is 'Lists what the statements of a file have just made or replaced by CREATE OR REPLACE; null if there is nothing.';


-- What is renamed or dropped in a table goes the same way in its partitions and heirs, which no statement names. A sequence goes with the column that owns it.
create or replace function weft._name_heirs(p_flat text)
  returns table (parent text, heir text, is_over boolean, owner text)
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  c_ident  constant text := weft._ident_pattern();
  c_name   constant text := weft._name_pattern();
  c_made   constant text := '^create (?:(?:unlogged|foreign) )?table (?:if not exists )?(' || c_name || ')';
  c_start  constant text := '^alter (?:foreign )?(?:table|index) (?:if exists )?(?:only )?(' || c_name || ')(?: ?\*)? ';
begin
  if p_flat ~* '^create\M' then
    return query select m[2], m[1], false, null::text from regexp_matches(p_flat, c_made || ' partition of (' || c_name || ')', 'i') as m;
    return query select n[1], m[1], false, null::text from regexp_matches(p_flat, c_made || ' ?\(.*\) ?inherits ?\(([^()]*)\)', 'i') as m cross join regexp_matches(m[2], '(?:^|,) ?(' || c_name || ')', 'g') as n;
  else
    return query select m[1], m[3], lower(m[2] collate "C") = 'detach', null::text from regexp_matches(p_flat, c_start || '(attach|detach) partition (' || c_name || ')', 'i') as m;
    return query select m[3], m[1], m[2] is not null, null::text from regexp_matches(p_flat, c_start || '(no )?inherit (' || c_name || ')', 'i') as m;
  end if;
  return query select substring(m[2] from '^(.*\S) ?\. ?' || c_ident || '$'), m[1], false, substring(m[2] from c_ident || '$')
    from regexp_matches(p_flat, '^(?:alter|create(?: unlogged| temp| temporary)?) sequence (?:if (?:not )?exists )?(' || c_name || ') (?:.* )?owned by (' || c_name || ')', 'i') as m;
end
$$;

comment on function weft._name_heirs(text) is 'Names the partitions and heirs that a statement without comments gives a table or an index, or takes from it (is_over); and the sequence that it gives a column (owner).';


-- Objects that exist under a name that only one object has.
create or replace function weft._list_claimed(p_objects jsonb[])
  returns jsonb
  volatile
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select jsonb_agg(distinct f.found -> 0) from unnest(p_objects) as o (object) cross join lateral weft._find_named(o.object, false) as f (found) where jsonb_array_length(f.found) = 1
$$;

comment on function weft._list_claimed(jsonb[]) is 'Lists those of the objects that the statements of a file name which exist, and whose name no other object has.';


-- An unchanged file may have run before it got "repeat:", or was renamed since then: what it has made is not known then, and could not be missed. So its
-- objects are looked up by name, once.
create or replace function weft._claim_left_out(p_deployment weft._deployments)
  returns void
  volatile
  set search_path = pg_catalog, pg_temp
  set enable_nestloop = off  -- rows that were just written have no statistics
  set jit = off  -- such a plan looks expensive enough to be compiled
  language sql
as $$
  update weft._history as h
  set made = coalesce((
    select weft._list_claimed(array_agg(o.object))
    from weft._list_statements(weft._kept_text(h.bytes_in, h.path, h.digest)) as x
    cross join unnest(x.statements) as u (statement)
    cross join lateral (select weft._name_created(weft._flatten(weft._skip_comments(u.statement))) as object offset 0) as o
    where octet_length(u.statement) <= 65536 and o.object is not null), '[]')
  from weft._steps as s
  where s.deployment_id = p_deployment.id and h.bundle = p_deployment.bundle and h.path = s.path and h.made is null
    and s.kind = 'run' and s.state = 'skipped' and s.is_wanted is distinct from false and s.options ->> 'repeat' = 'on-change' and not s.options ? 'keeps'
$$;

comment on function weft._claim_left_out(weft._deployments) is 'Takes the objects that unchanged repeatable files name as those that they have made, if these are not known.';
