-- What is not as deployments have left it, and is nobody's business here: bundles say that something else sees to it (a job that makes partitions,
-- a platform with schemas of its own). What should be there is then what is there.

create or replace function weft._unquote(p_name text)
  returns text
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select case when p_name like '"%' then replace(substr(p_name, 2, length(p_name) - 2), '""', '"') else p_name end
$$;

comment on function weft._unquote(text) is 'Returns a name without the quotes that the catalog''s text has around it.';


create or replace function weft._as_pattern(p_glob text)
  returns text
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select concat('^', replace(replace(regexp_replace(p_glob, '([^[:alnum:]_*?])', '\\\1', 'g'), '*', '.*'), '?', '.'), '$')
$$;

comment on function weft._as_pattern(text) is 'Writes a name with * and ? in it as a regular expression.';


-- On which object of the catalog something hangs, by the name that it has there: an index on its table, a comment on what it is about.
create or replace function weft._name_home(p_kind text, p_identity text, p_definition text)
  returns text
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select case
    when p_kind in ('comment', 'security label', 'goes with an extension') then case
      when s.subject ~ '^(?:table constraint|domain constraint|trigger|policy|rule) ' then regexp_replace(s.subject, '^.* on ', '')
      when s.subject ~ '^(?:[a-z]+ )*column ' then regexp_replace(regexp_replace(s.subject, '^(?:[a-z]+ )+', ''), n.last_part, '')
      else regexp_replace(s.subject, '^(?:[a-z]+ )+', '') end
    when p_kind in ('constraint', 'trigger', 'policy', 'rule') then regexp_replace(p_identity, n.last_part, '')
    when p_kind = 'index' then coalesce(substring(p_definition from concat(' ON (?:ONLY )?(', n.qualified, ') USING ')), p_identity)
    when p_kind = 'statistics' then coalesce(substring(p_definition from concat(' FROM (', n.qualified, ')(?:, |$)')), p_identity)
    when p_kind = 'sequence' then coalesce(substring(p_definition from concat(', (?:of|owned by) (', n.qualified, ')\.')), p_identity)
    when p_kind in ('table of a publication', 'schema of a publication') then regexp_replace(p_identity, '^(?:"(?:[^"]|"")*"|[^":]+): ', '')
    when p_kind = 'default privileges' then coalesce(substring(p_identity from concat(' in (', n.plain, ')$')), p_identity)
    else p_identity end
  from (
    select '(?:"(?:[^"]|"")*"|[^\s".(,]+)' as plain, '(?:"(?:[^"]|"")*"|[^\s".(,]+)\.(?:"(?:[^"]|"")*"|[^\s".(,]+)' as qualified, '\.("(?:[^"]|"")*"|[^".]*)$' as last_part) as n
  cross join lateral (select case p_kind when 'comment' then p_identity else regexp_replace(p_identity, ': (?:"(?:[^"]|"")*"|[^":]+)$', '') end as subject) as s
$$;

comment on function weft._name_home(text, text, text) is 'Names the object on which another one hangs, as the catalog has it; of what hangs on none, itself.';


-- Tables by what they are partitions of, at any depth. p_rules: parents.
create or replace function weft._list_partitions(p_catalogs text[], p_schema text, p_name text)
  returns setof text
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  set enable_nestloop = off
  set jit = off
  language sql
as $$
  with recursive
  attached as materialized (
    select distinct split_part(o.object, E'\x1f', 2) as child, m.found[1] as parent, m.found[2] as parent_schema, m.found[3] as parent_name
    from string_to_table(array_to_string(p_catalogs, E'\x1e'), E'\x1e') as o (object)
    cross join lateral regexp_match(split_part(split_part(o.object, E'\x1f', 3), E'\x1d', 1),
      ', partition of (("(?:[^"]|"")*"|[^\s".]+)\.("(?:[^"]|"")*"|[^\s".]+)) (?:FOR VALUES|DEFAULT)') as m (found)
    where o.object like '%, partition of %' and m.found is not null
  ),
  partitions as (
    select a.child from attached as a where weft._unquote(a.parent_schema) ~ weft._as_pattern(p_schema) and weft._unquote(a.parent_name) ~ weft._as_pattern(p_name)
    union
    select a.child from partitions as p join attached as a on a.parent = p.child
  )
  select p.child from partitions as p
$$;

comment on function weft._list_partitions(text[], text, text) is 'Lists the tables that one of several catalogs has as partitions of a table, or of one of its partitions.';


-- What differs on objects that nobody here watches is taken over from what is there. unwatched: what that is, by name; null where there is none.
create or replace function weft._settle_unwatched(p_expected text, p_is text, out expected text, out unwatched jsonb)
  stable
  set search_path = pg_catalog, pg_temp
  set jit = off
  language plpgsql
as $$
begin
  expected := p_expected;
  if p_expected is null or p_is is null or not exists (select from weft._unwatched) then
    return;
  end if;
  with
  rules as materialized (
    select u.bundle, w.key as word, w.value ->> 0 as schema, w.value ->> 1 as name, weft._as_pattern(coalesce(w.value ->> 0, w.value #>> '{}')) as first_pattern, weft._as_pattern(w.value ->> 1) as second_pattern
    from weft._unwatched as u
    cross join lateral jsonb_array_elements(u.rules) as r
    cross join lateral jsonb_each(r.value) as w
  ),
  partitions as materialized (
    select p.child, min(r.bundle) as bundle from rules as r cross join lateral weft._list_partitions(array[p_expected, p_is], r.schema, r.name) as p (child)
    where r.word = 'partitions_of' group by p.child
  ),
  homes as materialized (
    select p.kind, p.identity, p.before, p.after, weft._name_home(p.kind, p.identity, split_part(coalesce(p.after, p.before), E'\x1f', 3)) as home
    from weft._pair_differing(p_expected, p_is) as p
  ),
  pairs as materialized (
    select h.kind, h.identity, h.before, h.after, t.bundle as as_partition_of,
           h.kind in ('function', 'procedure', 'aggregate') or h.kind = 'comment' and h.identity ~ '^(?:function|procedure|aggregate) ' as is_function,
           h.kind ~ '(?:table|view|sequence|index|constraint|trigger|policy|rule|statistics|storage of large values|foreign table options)'
             or h.kind = 'comment' and h.identity ~ '^(?:[a-z]+ )*(?:table|view|sequence|index|column|constraint|trigger|policy|rule|statistics object) ' as is_relation,
           case when m.parts[2] is not null or h.kind in ('schema', 'default privileges', 'schema of a publication') or h.kind = 'comment' and h.identity like 'schema %' then weft._unquote(m.parts[1]) end as schema,
           weft._unquote(m.parts[2]) as name, weft._unquote(substring(h.identity from '^(?:"(?:[^"]|"")*"|[^":]+)')) as own_name
    from homes as h
    left join homes as i on h.kind = 'comment' and i.kind = 'index' and i.identity = h.home
    left join partitions as t on t.child = coalesce(i.home, h.home)
    cross join lateral (select regexp_match(coalesce(i.home, h.home), '^("(?:[^"]|"")*"|[^".(]+)(?:\.("(?:[^"]|"")*"|[^".(]+))?') as parts offset 0) as m
  ),
  spared as materialized (
    select distinct on (p.kind, p.identity) p.kind, p.identity, p.before, p.after, r.bundle
    from pairs as p
    join rules as r on case r.word
      when 'schema' then p.schema ~ r.first_pattern
      when 'table' then p.is_relation and p.schema ~ r.first_pattern and p.name ~ r.second_pattern
      when 'function' then p.is_function and p.schema ~ r.first_pattern and p.name ~ r.second_pattern
      when 'partitions_of' then p.as_partition_of = r.bundle
      when 'publication' then p.kind ~ 'publication$' and p.own_name ~ r.first_pattern
      else p.kind = replace(r.word, '_', ' ') and p.own_name ~ r.first_pattern  -- extension, subscription, event trigger
    end
    order by p.kind, p.identity, r.bundle
  )
  select (select string_agg(u.object, E'\x1e' order by u.identity collate "C", u.kind collate "C")
          from (
            select split_part(o.object, E'\x1f', 1) as kind, split_part(o.object, E'\x1f', 2) as identity, o.object
            from string_to_table(p_expected, E'\x1e') as o (object) where not exists (select from spared as s where s.before = o.object)
            union all
            select s.kind, s.identity, s.after from spared as s where s.after is not null) as u),
         jsonb_build_object('count', count(*), 'objects', jsonb_agg(o.object order by o.number) filter (where o.number <= weft._limit('drift_told_count_max')))
  into expected, unwatched
  from (
    select jsonb_build_object('change', case when s.before is null then 'added' when s.after is null then 'missing' else 'changed' end, 'kind', s.kind, 'identity', s.identity, 'bundle', s.bundle) as object,
           row_number() over (order by s.identity collate "C", s.kind collate "C") as number
    from spared as s) as o
  having count(*) > 0;
  if unwatched is null then
    expected := p_expected;
  end if;
end
$$;

comment on function weft._settle_unwatched(text, text) is
  'Writes what the catalog should be, where nobody here watches an object as it is now; and tells which differ, of which bundle says so.';


create or replace function weft._note_unwatched(p_deployment weft._deployments)
  returns void
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
begin
  if p_deployment.manifest ? 'unwatched' then
    insert into weft._unwatched as u (bundle, deployment_id, rules) values (p_deployment.bundle, p_deployment.id, p_deployment.manifest -> 'unwatched')
    on conflict (bundle) do update set deployment_id = excluded.deployment_id, rules = excluded.rules, said_at = excluded.said_at
    where u.rules <> excluded.rules;
  else
    delete from weft._unwatched as u where u.bundle = p_deployment.bundle;
  end if;
end
$$;

comment on function weft._note_unwatched(weft._deployments) is 'Keeps what the bundle of a deployment that begins says of objects that others see to.';
