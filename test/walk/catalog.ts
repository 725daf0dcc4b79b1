/** What a database holds, by a look of the walk's own: the catalog, without the engine's eyes, and every row. A line for each thing. */
import { sql } from '../support/sql.ts';

const NAMESPACES = `select n.oid, n.nspname from pg_namespace as n where n.nspname = 'public' or n.nspname like 'hand%' or n.nspname like 'other%'`;

const CATALOG = `
with n as (${NAMESPACES}),
r as (select c.*, n.nspname from pg_class as c join n on n.oid = c.relnamespace)
select format('relation %s.%s %s rls %s', r.nspname, r.relname, r.relkind, r.relrowsecurity) as line from r where r.relkind in ('r', 'v', 'm', 'p', 'S')
union all
select format('column %s.%s %s %s null %s default %s', r.relname, row_number() over (partition by r.oid order by a.attnum), a.attname, format_type(a.atttypid, a.atttypmod), not a.attnotnull, pg_get_expr(d.adbin, d.adrelid))
from r join pg_attribute as a on a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped left join pg_attrdef as d on d.adrelid = a.attrelid and d.adnum = a.attnum
where r.relkind in ('r', 'v', 'm', 'p')
union all
select format('constraint %s on %s: %s valid %s', c.conname, r.relname, pg_get_constraintdef(c.oid), c.convalidated) from r join pg_constraint as c on c.conrelid = r.oid
union all
select format('index %s valid %s', pg_get_indexdef(i.indexrelid), i.indisvalid and i.indisready) from r join pg_index as i on i.indrelid = r.oid
union all
select format('view %s: %s', r.relname, pg_get_viewdef(r.oid)) from r where r.relkind in ('v', 'm')
union all
select format('function %s', pg_get_functiondef(p.oid)) from n join pg_proc as p on p.pronamespace = n.oid
union all
select format('trigger %s enabled %s', pg_get_triggerdef(t.oid), t.tgenabled) from r join pg_trigger as t on t.tgrelid = r.oid where not t.tgisinternal
union all
select format('policy %s on %s: %s %s', p.polname, r.relname, pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid)) from r join pg_policy as p on p.polrelid = r.oid
union all
select format('enum %s: %s', t.typname, (select string_agg(e.enumlabel, ',' order by e.enumsortorder) from pg_enum as e where e.enumtypid = t.oid)) from n join pg_type as t on t.typnamespace = n.oid where t.typtype = 'e'
union all
select format('comment on %s: %s', d.objoid::regclass, d.description) from r join pg_description as d on d.objoid = r.oid and d.classoid = 'pg_class'::regclass
order by 1`;

const RIGHTS = `
with n as (${NAMESPACES})
select format('rights on %s: %s', c.relname, x.acl) as line
from pg_class as c join n on n.oid = c.relnamespace
cross join lateral (select string_agg(a.acl::text, ' ' order by a.acl::text) as acl from unnest(coalesce(c.relacl, acldefault('r', c.relowner))) as a (acl)) as x
where c.relkind in ('r', 'v', 'm')
order by 1`;

export interface Seen {
  readonly catalog: readonly string[];
  readonly rights: readonly string[];
  readonly rows: readonly string[];
  /** The engine's own view of the catalog. */
  readonly fingerprint: string;
}

export async function seeDatabase(url: string): Promise<Seen> {
  const list = async (text: string): Promise<string[]> => (await sql(url, text)).map(({ line }) => line as string);
  const tables = await list(
    `select coalesce(string_agg(format('select %L || '' '' || t::text as line from %I.%I as t', c.relname, n.nspname, c.relname), ' union all '), 'select null where false') as line
     from pg_class as c join (${NAMESPACES}) as n on n.oid = c.relnamespace where c.relkind = 'r'`,
  );
  const [{ fingerprint }] = await sql(url, 'select weft.fingerprint() as fingerprint');
  return { catalog: await list(CATALOG), rights: await list(RIGHTS), rows: await list(`select line from (${tables[0]}) as t (line) order by 1`), fingerprint };
}

/** What one has and the other has not. */
export function differ(what: string, is: readonly string[], shall: readonly string[]): string[] {
  const left = new Map<string, number>();
  for (const line of shall) left.set(line, (left.get(line) ?? 0) + 1);
  const over: string[] = [];
  for (const line of is) {
    const count = left.get(line) ?? 0;
    if (count === 0) over.push(`${what}: there is, and should not be: ${line}`);
    else left.set(line, count - 1);
  }
  return [...over, ...[...left].flatMap(([line, count]) => (count > 0 ? [`${what}: there is not: ${line}`] : []))];
}
