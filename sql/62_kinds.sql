-- Kinds of objects that most databases have few or none of: each kind is read only if there is something of it.
--
-- In scope are objects in a schema of the user's, and objects in no schema that were not there from the beginning (oids below 16384 are
-- the system's own), unless they belong to an extension.

create or replace function weft._find_kinds(p_schemas oid[])
  returns text[]
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  -- pg_depend has the objects of each schema
  select array(
      select d.classid::regclass::text
      from (select distinct d.classid from pg_depend as d where d.refclassid = 'pg_namespace'::regclass and d.refobjid = any (p_schemas)) as d)
  -- the system itself has none of the others, and a table that was never written to has no bytes
    || array(
      select c::text from unnest(array['pg_policy', 'pg_transform', 'pg_foreign_data_wrapper', 'pg_event_trigger', 'pg_publication', 'pg_subscription', 'pg_default_acl',
                                 'pg_seclabel']::regclass[]) as c
      where pg_relation_size(c) > 0)
  -- and of these it has some from the beginning
    || array_remove(array[
      case when exists (select from pg_rewrite as w where w.rulename <> '_RETURN' and w.oid >= 16384) then 'pg_rewrite' end,
      case when exists (select from pg_aggregate as a where a.aggfnoid::oid >= 16384) then 'pg_aggregate' end,
      case when exists (select from pg_cast as c where c.oid >= 16384) then 'pg_cast' end,
      case when exists (select from pg_depend as d where d.refclassid = 'pg_extension'::regclass and d.deptype = 'x') then 'pg_extension' end,
      case when exists (select from pg_language as l where l.oid >= 16384) or exists (select from pg_am as m where m.oid >= 16384) then 'pg_language' end,
      case when exists (select from (select t.reloptions from pg_class as t where t.relkind = 't' and t.oid >= 16384 offset 0) as t where t.reloptions is not null) then 'toast' end,
      case when exists (
          select from pg_depend as u
          where u.refclassid = 'pg_namespace'::regclass and u.refobjid = any (p_schemas) and u.classid = 'pg_proc'::regclass
            and exists (select from pg_description as d where d.objoid = u.objid and d.classoid = u.classid offset 0))
        or exists (
          select from pg_description as d
          where d.objoid >= 16384 and d.classoid not in ('pg_class'::regclass, 'pg_proc'::regclass, 'pg_namespace'::regclass, 'pg_extension'::regclass, 'pg_largeobject'::regclass)
            and case d.classoid  -- without the engine's own
              when 'pg_type'::regclass then d.objoid::regtype::text not like 'weft.%'
              when 'pg_trigger'::regclass then (select t.tgrelid from pg_trigger as t where t.oid = d.objoid)::regclass::text not like 'weft.%'
              else true
            end)
        then 'pg_description' end], null)
$$;

comment on function weft._find_kinds(oid[]) is 'Tells in which catalogs there may be something of the less common kinds.';


create or replace function weft._list_uncommon_objects(p_schemas oid[], p_kinds text[])
  returns table (kind text, identity text, definition text)
  stable
  set search_path = pg_catalog, pg_temp
  set enable_nestloop = on
  language plpgsql
as $$
begin
  if 'pg_type' = any (p_kinds) then
    return query
    select case t.typtype when 'e' then 'enum' when 'd' then 'domain' when 'r' then 'range' when 'p' then 'shell type' else 'base type' end,
           format('%s.%I', t.typnamespace::regnamespace, t.typname),
           concat_ws(', ', 'owner ' || quote_ident(pg_get_userbyid(t.typowner)), weft._describe_rights(t.typacl, 'T', t.typowner),
             case t.typtype
               when 'e' then 'values ' || (select string_agg(quote_literal(e.enumlabel), ', ' order by e.enumsortorder) from pg_enum as e where e.enumtypid = t.oid)
               when 'd' then concat_ws(' ', format_type(t.typbasetype, t.typtypmod),
                 case when t.typcollation <> (select b.typcollation from pg_type as b where b.oid = t.typbasetype) then 'collate ' || t.typcollation::regcollation end,
                 case when t.typnotnull then 'not null' end,
                 -- since version 17 it has a row of its own
                 (select 'constraint ' || quote_ident(n.conname) from pg_constraint as n where n.contypid = t.oid and n.contype = 'n' and n.conname <> t.typname || '_not_null'),
                 'default ' || pg_get_expr(t.typdefaultbin, 0),
                 (select string_agg(format('constraint %I %s', c.conname, pg_get_constraintdef(c.oid)), ' ' order by c.conname)
                  from pg_constraint as c where c.contypid = t.oid and c.contype = 'c'))
               when 'r' then (
                 select concat_ws(' ', 'of', format_type(g.rngsubtype, null), 'collate ' || nullif(g.rngcollation, 0)::regcollation,
                          'operator class ' || o.opcnamespace::regnamespace || '.' || quote_ident(o.opcname),
                          'canonical ' || nullif(g.rngcanonical, 0)::regprocedure, 'difference ' || nullif(g.rngsubdiff, 0)::regprocedure, 'multirange ' || g.rngmultitypid::regtype)
                 from pg_range as g join pg_opclass as o on o.oid = g.rngsubopc where g.rngtypid = t.oid)
               when 'b' then
                 concat_ws(', ', 'input ' || t.typinput, 'output ' || t.typoutput, 'receive ' || nullif(t.typreceive, 0)::regproc, 'send ' || nullif(t.typsend, 0)::regproc,
                      'modifiers ' || nullif(t.typmodin, 0)::regproc, 'modifiers out ' || nullif(t.typmodout, 0)::regproc, 'analyze ' || nullif(t.typanalyze, 0)::regproc,
                      'element ' || format_type(nullif(t.typelem, 0), null), 'length ' || t.typlen, case when t.typbyval then 'by value' end, 'alignment ' || t.typalign::text,
                      'storage ' || t.typstorage::text, 'category ' || t.typcategory::text, case when t.typispreferred then 'preferred' end, 'default ' || t.typdefault,
                      'delimiter ' || nullif(t.typdelim, ',')::text, case when t.typcollation <> 0 then 'collatable' end, 'subscript ' || nullif(t.typsubscript, 0)::regproc)
             end)
    from pg_type as t
    where t.typnamespace = any (p_schemas)
      -- an array belongs to its type (the server's test is IsTrueArrayType), and a shell type may stay one
      and (t.typtype in ('e', 'd', 'r') or t.typtype = 'b' and (t.typelem = 0 or t.typsubscript <> 'array_subscript_handler'::regproc) or t.typtype = 'p' and not t.typisdefined)
      and not exists (select from pg_depend as m where m.classid = t.tableoid and m.objid = t.oid and m.deptype = 'e');
  end if;

  if 'pg_rewrite' = any (p_kinds) then
    return query
    select 'rule', format('%s.%I.%I', c.relnamespace::regnamespace, c.relname, w.rulename),
           pg_get_ruledef(w.oid) || case w.ev_enabled when 'O' then '' else '; ' || weft._describe_firing(w.ev_enabled) end
    from pg_rewrite as w
    join pg_class as c on c.oid = w.ev_class
    where w.rulename <> '_RETURN' and c.relnamespace = any (p_schemas)
      and not exists (select from pg_depend as m where m.classid = c.tableoid and m.objid = c.oid and m.deptype = 'e');
  end if;

  if 'pg_policy' = any (p_kinds) then
    return query
    select 'policy', format('%s.%I.%I', c.relnamespace::regnamespace, c.relname, p.polname),
           concat_ws(' ', case when p.polpermissive then 'permissive' else 'restrictive' end, 'for',
             case p.polcmd when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update' when 'd' then 'delete' else 'all' end, 'to',
             (select string_agg(case when o.oid = 0 then 'public' else quote_ident(pg_get_userbyid(o.oid)) end, ', ' order by pg_get_userbyid(o.oid))
              from unnest(p.polroles) as o (oid)),
             'using (' || pg_get_expr(p.polqual, p.polrelid) || ')', 'with check (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')')
    from pg_policy as p
    join pg_class as c on c.oid = p.polrelid
    where c.relnamespace = any (p_schemas)
      and not exists (select from pg_depend as m where m.classid = c.tableoid and m.objid = c.oid and m.deptype = 'e');
  end if;

  if 'pg_statistic_ext' = any (p_kinds) then
    return query
    select 'statistics', format('%s.%I', x.stxnamespace::regnamespace, x.stxname),
           concat_ws(', ', pg_get_statisticsobjdef(x.oid), 'owner ' || quote_ident(pg_get_userbyid(x.stxowner)), 'target ' || nullif(x.stxstattarget, -1))
    from pg_statistic_ext as x
    where x.stxnamespace = any (p_schemas)
      and not exists (select from pg_depend as m where m.classid = x.tableoid and m.objid = x.oid and m.deptype = 'e');
  end if;

  if 'toast' = any (p_kinds) then
    return query
    select 'storage of large values', format('%s.%I', c.relnamespace::regnamespace, c.relname), weft._describe_options(t.reloptions)
    from pg_class as c
    join pg_class as t on t.oid = c.reltoastrelid
    where t.reloptions is not null and c.relnamespace = any (p_schemas)
      and not exists (select from pg_depend as m where m.classid = c.tableoid and m.objid = c.oid and m.deptype = 'e');
  end if;

  if 'pg_aggregate' = any (p_kinds) then
    return query
    select 'aggregate', format('%s.%I(%s)', f.pronamespace::regnamespace, f.proname, pg_get_function_identity_arguments(f.oid)),
           concat_ws(', ', 'owner ' || quote_ident(pg_get_userbyid(f.proowner)), weft._describe_rights(f.proacl, 'f', f.proowner),
             case a.aggkind when 'o' then 'ordered set' when 'h' then 'hypothetical set' end,
             'returns ' || format_type(f.prorettype, null), 'sfunc ' || a.aggtransfn, 'stype ' || format_type(a.aggtranstype, null), 'sspace ' || nullif(a.aggtransspace, 0),
             'initcond ' || quote_literal(a.agginitval), 'finalfunc ' || nullif(a.aggfinalfn, 0)::regproc, case when a.aggfinalextra then 'finalfunc extra' end, 'final ' || a.aggfinalmodify::text,
             'combine ' || nullif(a.aggcombinefn, 0)::regproc, 'serialize ' || nullif(a.aggserialfn, 0)::regproc, 'deserialize ' || nullif(a.aggdeserialfn, 0)::regproc,
             'moving: sfunc ' || nullif(a.aggmtransfn, 0)::regproc, 'moving: inverse ' || nullif(a.aggminvtransfn, 0)::regproc, 'moving: finalfunc ' || nullif(a.aggmfinalfn, 0)::regproc,
             'moving: stype ' || format_type(nullif(a.aggmtranstype, 0), null), 'moving: sspace ' || nullif(a.aggmtransspace, 0), 'moving: initcond ' || quote_literal(a.aggminitval),
             case when a.aggmfinalextra then 'moving: finalfunc extra' end, 'moving: final ' || case when a.aggmtransfn <> 0 then a.aggmfinalmodify::text end,
             'sort operator ' || nullif(a.aggsortop, 0)::regoperator, 'parallel ' || f.proparallel::text)
    from pg_aggregate as a
    join pg_proc as f on f.oid = a.aggfnoid
    where f.pronamespace = any (p_schemas)
      and not exists (select from pg_depend as m where m.classid = f.tableoid and m.objid = f.oid and m.deptype = 'e');
  end if;

  if array['pg_operator', 'pg_opclass', 'pg_opfamily', 'pg_cast', 'pg_collation', 'pg_conversion', 'pg_ts_config', 'pg_ts_dict', 'pg_ts_template', 'pg_ts_parser',
           'pg_language', 'pg_transform', 'pg_foreign_data_wrapper'] && p_kinds then
    return query select l.kind, l.identity, l.definition from weft._list_rare_objects(p_schemas, p_kinds) as l;
  end if;
  if array['pg_event_trigger', 'pg_publication', 'pg_subscription', 'pg_default_acl', 'pg_seclabel', 'pg_extension'] && p_kinds then
    return query select l.kind, l.identity, l.definition from weft._list_common_property(p_schemas, p_kinds) as l;
  end if;
  if 'pg_description' = any (p_kinds) then
    return query select 'comment', l.identity, l.definition from weft._list_comments(p_schemas) as l;
  end if;
end
$$;

comment on function weft._list_uncommon_objects(oid[], text[]) is 'Lists the objects that are neither relations, nor parts of one, nor functions.';
