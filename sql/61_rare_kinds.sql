-- Kinds of objects that hardly any database has of its own: operators, casts, text search, foreign data, replication, and what belongs
-- to the database as a whole.

create or replace function weft._list_rare_objects(p_schemas oid[], p_kinds text[])
  returns table (kind text, identity text, definition text)
  stable
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
begin
  if 'pg_operator' = any (p_kinds) then
    return query
    select 'operator', format('%s.%s(%s, %s)', o.oprnamespace::regnamespace, o.oprname, coalesce(format_type(nullif(o.oprleft, 0), null), 'none'), format_type(o.oprright, null)),
           concat_ws(', ', 'owner ' || quote_ident(pg_get_userbyid(o.oprowner)), 'function ' || o.oprcode, 'returns ' || format_type(o.oprresult, null),
             'commutator ' || nullif(o.oprcom, 0)::regoperator, 'negator ' || nullif(o.oprnegate, 0)::regoperator, 'restrict ' || nullif(o.oprrest, 0)::regproc, 'join ' || nullif(o.oprjoin, 0)::regproc,
             case when o.oprcanmerge then 'merges' end, case when o.oprcanhash then 'hashes' end)
    from pg_operator as o
    where o.oprnamespace = any (p_schemas) and o.oprcode <> 0
      and not exists (select from pg_depend as m where m.classid = o.tableoid and m.objid = o.oid and m.deptype = 'e');
  end if;

  if array['pg_opclass', 'pg_opfamily'] && p_kinds then
    return query
    select 'operator class', format('%s.%I using %I', o.opcnamespace::regnamespace, o.opcname, a.amname),
           concat_ws(', ', 'owner ' || quote_ident(pg_get_userbyid(o.opcowner)), case when o.opcdefault then 'default' end, 'for ' || format_type(o.opcintype, null),
             'family ' || f.opfnamespace::regnamespace || '.' || quote_ident(f.opfname), 'storage ' || format_type(nullif(o.opckeytype, 0), null))
    from pg_opclass as o
    join pg_am as a on a.oid = o.opcmethod
    join pg_opfamily as f on f.oid = o.opcfamily
    where o.opcnamespace = any (p_schemas)
      and not exists (select from pg_depend as m where m.classid = o.tableoid and m.objid = o.oid and m.deptype = 'e');
    return query
    select 'operator family', format('%s.%I using %I', f.opfnamespace::regnamespace, f.opfname, a.amname),
           concat_ws(E'\n', 'owner ' || quote_ident(pg_get_userbyid(f.opfowner)),
             (select string_agg(format('operator %s %s%s', o.amopstrategy, o.amopopr::regoperator,
                  case o.amoppurpose when 'o' then (select format(' for order by %s.%I', y.opfnamespace::regnamespace, y.opfname) from pg_opfamily as y where y.oid = o.amopsortfamily) end), E'\n'
                order by o.amopstrategy, o.amopopr::regoperator::text collate "C") from pg_amop as o where o.amopfamily = f.oid),
             (select string_agg(format('function %s (%s, %s) %s', p.amprocnum, format_type(p.amproclefttype, null), format_type(p.amprocrighttype, null), p.amproc::oid::regprocedure), E'\n'
                order by p.amprocnum, format_type(p.amproclefttype, null) collate "C", format_type(p.amprocrighttype, null) collate "C") from pg_amproc as p where p.amprocfamily = f.oid))
    from pg_opfamily as f
    join pg_am as a on a.oid = f.opfmethod
    where f.opfnamespace = any (p_schemas)
      and not exists (select from pg_depend as m where m.classid = f.tableoid and m.objid = f.oid and m.deptype = 'e');
  end if;

  if 'pg_cast' = any (p_kinds) then
    return query
    select 'cast', format('%s as %s', format_type(c.castsource, null), format_type(c.casttarget, null)),
           concat_ws(', ', case c.castmethod when 'f' then 'with function ' || c.castfunc::regprocedure when 'i' then 'with inout' else 'without function' end,
             case c.castcontext when 'i' then 'implicit' when 'a' then 'in assignments' else 'explicit' end)
    from pg_cast as c
    where c.oid >= 16384 and not exists (select from pg_depend as m where m.classid = c.tableoid and m.objid = c.oid and m.deptype in ('e', 'i'));  -- i: of a range
  end if;

  if 'pg_collation' = any (p_kinds) then
    return query
    select 'collation', format('%s.%I', c.collnamespace::regnamespace, c.collname),
           concat_ws(', ', 'owner ' || quote_ident(pg_get_userbyid(c.collowner)),
             'provider ' || case c.collprovider when 'c' then 'libc' when 'i' then 'icu' when 'b' then 'builtin' else c.collprovider::text end,
             case when not c.collisdeterministic then 'not deterministic' end,
             -- their names differ between versions of the server
             (select string_agg(format('%s %s', substr(j.key, 5), j.value), ', ' order by j.key collate "C")
              from jsonb_each_text(to_jsonb(c)) as j where j.key in ('collcollate', 'collctype', 'colllocale', 'colliculocale', 'collicurules') and j.value is not null))
    from pg_collation as c
    where c.collnamespace = any (p_schemas)
      and not exists (select from pg_depend as m where m.classid = c.tableoid and m.objid = c.oid and m.deptype = 'e');
  end if;

  if 'pg_conversion' = any (p_kinds) then
    return query
    select 'conversion', format('%s.%I', c.connamespace::regnamespace, c.conname),
           concat_ws(', ', 'owner ' || quote_ident(pg_get_userbyid(c.conowner)), case when c.condefault then 'default' end,
             format('from %s to %s', pg_encoding_to_char(c.conforencoding), pg_encoding_to_char(c.contoencoding)), 'function ' || c.conproc)
    from pg_conversion as c
    where c.connamespace = any (p_schemas)
      and not exists (select from pg_depend as m where m.classid = c.tableoid and m.objid = c.oid and m.deptype = 'e');
  end if;

  if array['pg_ts_config', 'pg_ts_dict', 'pg_ts_template', 'pg_ts_parser'] && p_kinds then
    return query
    select 'text search configuration', format('%s.%I', c.cfgnamespace::regnamespace, c.cfgname),
           concat_ws(E'\n', 'owner ' || quote_ident(pg_get_userbyid(c.cfgowner)), 'parser ' || p.prsnamespace::regnamespace || '.' || quote_ident(p.prsname),
             (select string_agg(format('%s: %s', k.alias, k.dictionaries), E'\n' order by k.alias collate "C")
              from (select t.alias, string_agg(m.mapdict::regdictionary::text, ', ' order by m.mapseqno) as dictionaries
                    from pg_ts_config_map as m join ts_token_type(c.cfgparser) as t on t.tokid = m.maptokentype
                    where m.mapcfg = c.oid group by t.alias) as k))
    from pg_ts_config as c
    join pg_ts_parser as p on p.oid = c.cfgparser
    where c.cfgnamespace = any (p_schemas)
      and not exists (select from pg_depend as m where m.classid = c.tableoid and m.objid = c.oid and m.deptype = 'e');
    return query
    select 'text search dictionary', format('%s.%I', d.dictnamespace::regnamespace, d.dictname),
           concat_ws(', ', 'owner ' || quote_ident(pg_get_userbyid(d.dictowner)), 'template ' || t.tmplnamespace::regnamespace || '.' || quote_ident(t.tmplname), d.dictinitoption)
    from pg_ts_dict as d
    join pg_ts_template as t on t.oid = d.dicttemplate
    where d.dictnamespace = any (p_schemas)
      and not exists (select from pg_depend as m where m.classid = d.tableoid and m.objid = d.oid and m.deptype = 'e');
    return query
    select 'text search template', format('%s.%I', t.tmplnamespace::regnamespace, t.tmplname), concat_ws(', ', 'lexize ' || t.tmpllexize, 'init ' || nullif(t.tmplinit, 0)::regproc)
    from pg_ts_template as t
    where t.tmplnamespace = any (p_schemas)
      and not exists (select from pg_depend as m where m.classid = t.tableoid and m.objid = t.oid and m.deptype = 'e');
    return query
    select 'text search parser', format('%s.%I', p.prsnamespace::regnamespace, p.prsname),
           concat_ws(', ', 'start ' || p.prsstart, 'token ' || p.prstoken, 'end ' || p.prsend, 'lextypes ' || p.prslextype, 'headline ' || nullif(p.prsheadline, 0)::regproc)
    from pg_ts_parser as p
    where p.prsnamespace = any (p_schemas)
      and not exists (select from pg_depend as m where m.classid = p.tableoid and m.objid = p.oid and m.deptype = 'e');
  end if;

  if array['pg_language', 'pg_transform'] && p_kinds then
    return query
    select 'language', quote_ident(l.lanname),
           concat_ws(', ', 'owner ' || quote_ident(pg_get_userbyid(l.lanowner)), case when l.lanpltrusted then 'trusted' end, 'handler ' || nullif(l.lanplcallfoid, 0)::regproc,
             'inline ' || nullif(l.laninline, 0)::regproc, 'validator ' || nullif(l.lanvalidator, 0)::regproc, weft._describe_rights(l.lanacl, 'l', l.lanowner))
    from pg_language as l
    where l.oid >= 16384 and not exists (select from pg_depend as m where m.classid = l.tableoid and m.objid = l.oid and m.deptype = 'e');
    return query
    select 'transform', format('for %s language %I', format_type(t.trftype, null), l.lanname),
           concat_ws(', ', 'from sql ' || nullif(t.trffromsql, 0)::regprocedure, 'to sql ' || nullif(t.trftosql, 0)::regprocedure)
    from pg_transform as t
    join pg_language as l on l.oid = t.trflang
    where t.oid >= 16384 and not exists (select from pg_depend as m where m.classid = t.tableoid and m.objid = t.oid and m.deptype = 'e');
    return query
    select 'access method', quote_ident(a.amname), format('%s, handler %s', case a.amtype when 'i' then 'index' else 'table' end, a.amhandler)
    from pg_am as a
    where a.oid >= 16384 and not exists (select from pg_depend as m where m.classid = a.tableoid and m.objid = a.oid and m.deptype = 'e');
  end if;

  if 'pg_foreign_data_wrapper' = any (p_kinds) then
    return query
    select 'foreign data wrapper', quote_ident(w.fdwname),
           concat_ws(', ', 'owner ' || quote_ident(pg_get_userbyid(w.fdwowner)), 'handler ' || nullif(w.fdwhandler, 0)::regproc, 'validator ' || nullif(w.fdwvalidator, 0)::regproc,
             weft._describe_foreign_options(w.fdwoptions), weft._describe_rights(w.fdwacl, 'F', w.fdwowner))
    from pg_foreign_data_wrapper as w
    where not exists (select from pg_depend as m where m.classid = w.tableoid and m.objid = w.oid and m.deptype = 'e');
    return query
    select 'foreign server', quote_ident(s.srvname),
           concat_ws(', ', 'owner ' || quote_ident(pg_get_userbyid(s.srvowner)), 'wrapper ' || quote_ident(w.fdwname), 'type ' || quote_literal(s.srvtype), 'version ' || quote_literal(s.srvversion),
             weft._describe_foreign_options(s.srvoptions), weft._describe_rights(s.srvacl, 'S', s.srvowner))
    from pg_foreign_server as s
    join pg_foreign_data_wrapper as w on w.oid = s.srvfdw
    where not exists (select from pg_depend as m where m.classid = s.tableoid and m.objid = s.oid and m.deptype = 'e');
    return query
    select 'user mapping', format('%s on server %I', case u.umuser when 0 then 'public' else quote_ident(u.usename) end, u.srvname), ''
    from pg_user_mappings as u;
    return query
    select 'foreign table options', format('%s.%I', c.relnamespace::regnamespace, c.relname), concat_ws(', ', 'server ' || quote_ident(s.srvname), weft._describe_foreign_options(t.ftoptions))
    from pg_foreign_table as t
    join pg_class as c on c.oid = t.ftrelid
    join pg_foreign_server as s on s.oid = t.ftserver
    where c.relnamespace = any (p_schemas)
      and not exists (select from pg_depend as m where m.classid = c.tableoid and m.objid = c.oid and m.deptype = 'e');
  end if;
end
$$;

comment on function weft._list_rare_objects(oid[], text[]) is 'Lists objects that hardly any database has of its own, of the kinds that were found.';


create or replace function weft._list_common_property(p_schemas oid[], p_kinds text[])
  returns table (kind text, identity text, definition text)
  stable
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
begin
  if 'pg_event_trigger' = any (p_kinds) then
    return query
    select 'event trigger', quote_ident(t.evtname),
           concat_ws(', ', 'owner ' || quote_ident(pg_get_userbyid(t.evtowner)), 'on ' || t.evtevent, 'when tag in (' || array_to_string(array(select unnest(t.evttags) order by 1), ', ') || ')',
             'function ' || t.evtfoid::regproc, weft._describe_firing(t.evtenabled))
    from pg_event_trigger as t
    where not exists (select from pg_depend as m where m.classid = t.tableoid and m.objid = t.oid and m.deptype = 'e');
  end if;

  if 'pg_publication' = any (p_kinds) then
    return query
    select 'publication', quote_ident(p.pubname),
           concat_ws(', ', 'owner ' || quote_ident(pg_get_userbyid(p.pubowner)), case when p.puballtables then 'all tables' end,
             'of ' || nullif(concat_ws(', ', case when p.pubinsert then 'insert' end, case when p.pubupdate then 'update' end, case when p.pubdelete then 'delete' end, case when p.pubtruncate then 'truncate' end), ''),
             case when p.pubviaroot then 'via the root of partitions' end,
             'generated columns ' || nullif(to_jsonb(p) ->> 'pubgencols', 'n'))
    from pg_publication as p
    where not exists (select from pg_depend as m where m.classid = p.tableoid and m.objid = p.oid and m.deptype = 'e');
    -- columns, conditions and schemas came with version 15: on older servers, these names resolve to the outermost query's
    return query
    select 'table of a publication', format('%I: %s.%I', p.pubname, c.relnamespace::regnamespace, c.relname),
           concat_ws(' ', 'columns (' || (select string_agg(quote_ident(a.attname), ', ' order by a.attnum) from pg_attribute as a where a.attrelid = c.oid and a.attnum = any (r.prattrs::smallint[])) || ')',
             'where ' || pg_get_expr(r.prqual, c.oid))
    from (select null::int2vector as prattrs, null::pg_node_tree as prqual) as before_15
    cross join lateral (select r.prpubid, r.prrelid, prattrs, prqual from pg_publication_rel as r) as r
    join pg_publication as p on p.oid = r.prpubid
    join pg_class as c on c.oid = r.prrelid;
    if to_regclass('pg_publication_namespace') is not null then
      return query execute $publication$
        select 'schema of a publication', format('%I: %s', p.pubname, n.pnnspid::regnamespace), ''
        from pg_publication_namespace as n join pg_publication as p on p.oid = n.pnpubid $publication$;
    end if;
  end if;

  if 'pg_subscription' = any (p_kinds) then
    return query  -- without the connection, which holds a password and may not be read
    select 'subscription', quote_ident(s.subname),
           concat_ws(', ', 'owner ' || quote_ident(pg_get_userbyid(s.subowner)), case when not s.subenabled then 'disabled' end,
             'to ' || array_to_string(array(select unnest(s.subpublications) order by 1), ', '), 'slot ' || quote_ident(s.subslotname), case when s.subbinary then 'binary' end,
             'streaming ' || s.substream::text, 'synchronous_commit ' || s.subsynccommit, s.remarks)
    -- columns that an older server lacks resolve to the outer query's
    from (select 'd'::"char" as subtwophasestate, false as subdisableonerr, true as subpasswordrequired, false as subrunasowner, 'any' as suborigin, false as subfailover) as before_17
    cross join lateral (
      select s.subdbid, s.subname, s.subowner, s.subenabled, s.subpublications, s.subslotname, s.subbinary, s.substream, s.subsynccommit,
             nullif(concat_ws(', ', case when subtwophasestate <> 'd' then 'two_phase' end, case when subdisableonerr then 'disable_on_error' end, case when not subpasswordrequired then 'password not required' end,
               case when subrunasowner then 'run_as_owner' end, 'origin ' || nullif(suborigin, 'any'), case when subfailover then 'failover' end), '') as remarks
      from pg_subscription as s
    ) as s
    where s.subdbid = (select d.oid from pg_database as d where d.datname = current_database());
  end if;

  if 'pg_default_acl' = any (p_kinds) then
    return query
    select 'default privileges',
           format('of %I for %s%s', pg_get_userbyid(d.defaclrole),
             case d.defaclobjtype when 'r' then 'tables' when 'S' then 'sequences' when 'f' then 'functions' when 'T' then 'types' when 'n' then 'schemas' else 'objects of kind ' || d.defaclobjtype::text end,
             case when d.defaclnamespace <> 0 then ' in ' || d.defaclnamespace::regnamespace else '' end),
           coalesce(weft._describe_rights(d.defaclacl, d.defaclobjtype, d.defaclrole), 'rights: as ever')
    from pg_default_acl as d
    where d.defaclnamespace = 0 or d.defaclnamespace = any (p_schemas);
  end if;

  if 'pg_seclabel' = any (p_kinds) then
    return query
    select 'security label', format('%s %s: %s', i.type, i.identity, l.provider), l.label
    from pg_seclabel as l
    cross join lateral pg_identify_object(l.classoid, l.objoid, l.objsubid) as i
    where l.objoid >= 16384 and i.identity !~ '(^|[ (])weft(\.|$)'
      and not exists (select from pg_depend as m where m.classid = l.classoid and m.objid = l.objoid and m.deptype = 'e');
  end if;

  if 'pg_extension' = any (p_kinds) then
    return query  -- ALTER ... DEPENDS ON EXTENSION
    select 'goes with an extension', format('%s %s: %I', i.type, i.identity, e.extname), ''
    from pg_depend as d
    join pg_extension as e on e.oid = d.refobjid
    cross join lateral pg_identify_object(d.classid, d.objid, d.objsubid) as i
    where d.refclassid = 'pg_extension'::regclass and d.deptype = 'x'
      and not exists (select from pg_depend as m where m.classid = d.classid and m.objid = d.objid and m.deptype = 'e');
  end if;
end
$$;

comment on function weft._list_common_property(oid[], text[]) is 'Lists what is in no schema: event triggers, publications and subscriptions, default privileges, security labels, what goes with an extension.';


create or replace function weft._is_of_the_user(p_relation oid)
  returns boolean
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select not exists (select from pg_depend as m where m.classid = 'pg_class'::regclass and m.objid = p_relation and m.deptype = 'e')
$$;

comment on function weft._is_of_the_user(oid) is 'Tells whether a relation belongs to no extension.';


-- Comments on schemas, relations and their columns are read together with the relations.
create or replace function weft._list_comments(p_schemas oid[])
  returns table (identity text, definition text)
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select format('%s %s', i.type, i.identity), d.description
  from pg_description as d
  cross join lateral pg_identify_object(d.classoid, d.objoid, d.objsubid) as i
  where d.objoid >= 16384 and d.classoid not in ('pg_class'::regclass, 'pg_namespace'::regclass, 'pg_extension'::regclass, 'pg_largeobject'::regclass)
    and case d.classoid  -- so that only objects in scope are looked up
      when 'pg_proc'::regclass then exists (select from pg_proc as f where f.oid = d.objoid and f.pronamespace = any (p_schemas))
      when 'pg_type'::regclass then exists (select from pg_type as t where t.oid = d.objoid and t.typnamespace = any (p_schemas))
      when 'pg_constraint'::regclass then exists (select from pg_constraint as c where c.oid = d.objoid and c.connamespace = any (p_schemas) and weft._is_of_the_user(c.conrelid))
      when 'pg_trigger'::regclass then exists (select from pg_trigger as t join pg_class as c on c.oid = t.tgrelid where t.oid = d.objoid and c.relnamespace = any (p_schemas) and weft._is_of_the_user(c.oid))
      when 'pg_policy'::regclass then exists (select from pg_policy as p join pg_class as c on c.oid = p.polrelid where p.oid = d.objoid and c.relnamespace = any (p_schemas) and weft._is_of_the_user(c.oid))
      when 'pg_rewrite'::regclass then exists (select from pg_rewrite as w join pg_class as c on c.oid = w.ev_class where w.oid = d.objoid and c.relnamespace = any (p_schemas) and weft._is_of_the_user(c.oid))
      else true
    end
    and not exists (select from pg_depend as m where m.classid = d.classoid and m.objid = d.objoid and m.deptype = 'e')
$$;

comment on function weft._list_comments(oid[]) is 'Lists comments on everything that is no relation.';
