/**
 * The rights on the engine: what is installed gets none from the default privileges of whoever installs it, which are meant for that
 * role's own tables. What somebody has granted by hand since survives an upgrade.
 */

/** Before anything is laid: what is there already. */
export const noteWhatIsThere = `
do $note$
begin
  perform set_config('weft.is_there', coalesce((
    select string_agg(o.class::oid || '/' || o.id, ',')
    from (
      select 'pg_namespace'::regclass as class, n.oid as id from pg_namespace as n where n.nspname = 'weft'
      union all
      select 'pg_class'::regclass, c.oid from pg_class as c join pg_namespace as n on n.oid = c.relnamespace where n.nspname = 'weft'
      union all
      select 'pg_proc'::regclass, p.oid from pg_proc as p join pg_namespace as n on n.oid = p.pronamespace where n.nspname = 'weft'
      union all
      select 'pg_type'::regclass, t.oid from pg_type as t join pg_namespace as n on n.oid = t.typnamespace where n.nspname = 'weft'
    ) as o), ''), true);
end
$note$;
`;

/** After the installation: nobody else has rights on the new objects. Rights for everybody (weft.parameter) are granted by the floors themselves. */
export const keepOthersOut = `
do $close$
declare
  v_revoke text;
begin
  for v_revoke in
    select format('revoke all on %s %s from %s', o.kind, o.name, quote_ident(pg_get_userbyid(a.grantee)))
    from (
      select 'pg_namespace'::regclass as class, n.oid as id, 'schema' as kind, quote_ident(n.nspname) as name, n.nspacl as acl, n.nspowner as owner from pg_namespace as n where n.nspname = 'weft'
      union all
      select 'pg_class'::regclass, c.oid, case c.relkind when 'S' then 'sequence' else 'table' end, c.oid::regclass::text, c.relacl, c.relowner
      from pg_class as c where c.relnamespace = 'weft'::regnamespace and c.relkind in ('r', 'v', 'S')
      union all
      select 'pg_proc'::regclass, p.oid, 'routine', p.oid::regprocedure::text, p.proacl, p.proowner from pg_proc as p where p.pronamespace = 'weft'::regnamespace
      union all
      select 'pg_type'::regclass, t.oid, 'type', t.oid::regtype::text, t.typacl, t.typowner
      from pg_type as t where t.typnamespace = 'weft'::regnamespace and t.typcategory <> 'A'
    ) as o
    cross join lateral aclexplode(o.acl) as a
    where a.grantee not in (0, o.owner) and o.class::oid || '/' || o.id <> all (string_to_array(current_setting('weft.is_there'), ','))
    group by o.kind, o.name, a.grantee
  loop
    execute v_revoke;
  end loop;
end
$close$;
`;
