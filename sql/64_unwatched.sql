-- Objects that bundles leave to something else (a job that creates partitions, a platform with its own schemas). They may differ from what
-- deployments have left: for them, whatever is there counts as what should be there.

create or replace function weft._as_pattern(p_glob text)
  returns text
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select concat('^', replace(replace(regexp_replace(p_glob, '([^[:alnum:]_*?])', '\\\1', 'g'), '*', '.*'), '?', '.'), '$')
$$;

comment on function weft._as_pattern(text) is 'Writes a name with * and ? in it as a regular expression.';


-- Each table that is a partition in one of several catalogs, with the tables it is a partition of, at any depth.
create or replace function weft._list_partitions(p_catalogs text[])
  returns table (child text, parent text)
  immutable parallel safe
  rows 1000
  set search_path = pg_catalog, pg_temp
  set enable_nestloop = off
  set jit = off
  language sql
as $$
  with recursive
  attached as materialized (
    select distinct split_part(o.object, E'\x1f', 2) as child, m.found[1] as parent
    from string_to_table(array_to_string(p_catalogs, E'\x1e'), E'\x1e') as o (object)
    cross join lateral regexp_match(split_part(split_part(o.object, E'\x1f', 3), E'\x1d', 1), concat(', partition of (', weft._plain_name(), '\.', weft._plain_name(), ') (?:FOR VALUES|DEFAULT)')) as m (found)
    where o.object like '%, partition of %' and split_part(o.object, E'\x1f', 1) like '%table' and m.found is not null
  ),
  partitions as (
    select a.child, a.parent from attached as a
    union
    select p.child, a.parent from partitions as p join attached as a on a.child = p.parent
  )
  select p.child, p.parent from partitions as p
$$;

comment on function weft._list_partitions(text[]) is 'Lists the tables that are partitions in one of several catalogs, with what they are partitions of.';


-- Removes differences of unwatched objects: returns p_expected with these objects as they are now or, with p_in_what_is, p_is with them as they should be.
-- unwatched: these differences, by name; null if there are none.
create or replace function weft._settle_unwatched(p_expected text, p_is text, p_in_what_is boolean default false, out settled text, out unwatched jsonb)
  stable
  set search_path = pg_catalog, pg_temp
  set enable_nestloop = off
  set jit = off
  language plpgsql
as $$
begin
  settled := case when p_in_what_is then p_is else p_expected end;
  if p_expected is null or p_is is null or not exists (select from weft._unwatched) then
    return;
  end if;
  with
  rules as materialized (
    select u.bundle, w.key as word, weft._as_pattern(coalesce(w.value ->> 0, w.value #>> '{}')) as first_pattern, weft._as_pattern(w.value ->> 1) as second_pattern
    from weft._unwatched as u
    cross join lateral jsonb_array_elements(u.rules) as r
    cross join lateral jsonb_each(r.value) as w
  ),
  pairs as materialized (
    select p.kind, p.identity, p.before, p.after, h.sort, h.home
    from weft._pair_differing(p_expected, p_is) as p
    cross join lateral weft._name_home(p.kind, p.identity, split_part(coalesce(p.after, p.before), E'\x1f', 3)) as h
  ),
  said as materialized (select p.kind, p.identity, p.sort, p.home from pairs as p where p.sort in ('index', 'sequence', 'statistics object')),
  -- the server makes a separate foreign key for each partition of the table that a key references
  references_of_keys as materialized (
    select p.kind, p.identity, k.before, k.after from pairs as p
    cross join lateral (select substring(p.before from r.pattern) as before, substring(p.after from r.pattern) as after
                        from concat(E'\x1f', 'FOREIGN KEY .* REFERENCES (', weft._plain_name(), '\.', weft._plain_name(), ')\(') as r (pattern)) as k
    where p.kind = 'constraint' and coalesce(k.before, k.after) is not null and (p.before is null) = (k.before is null) and (p.after is null) = (k.after is null)
  ),
  partitions as materialized (
    select t.child, t.parent from weft._list_partitions(array[p_expected, p_is]) as t
    where exists (select from rules as r where r.word = 'partitions_of') or exists (select from references_of_keys)
  ),
  homes as materialized (
    select p.kind, p.identity, p.sort, p.home from pairs as p where p.sort not in ('index', 'sequence', 'statistics object')
    union all
    select s.kind, s.identity, h.sort, h.home
    from (
      select o.kind, o.identity, o.definition, case o.kind when 'statistics' then 'statistics object' when 'constraint' then 'index' else o.kind end as sort,
             -- the index of a key has the name of the key
             case o.kind when 'constraint' then regexp_replace(o.identity, concat('^(', weft._plain_name(), '\.)', weft._plain_name(), '\.'), '\1') else o.identity end as name
      from (select split_part(o.object, E'\x1f', 1) as kind, split_part(o.object, E'\x1f', 2) as identity, split_part(o.object, E'\x1f', 3) as definition
            from string_to_table(case when exists (select from said) then concat_ws(E'\x1e', p_is, p_expected) end, E'\x1e') as o (object)) as o
      where o.kind in ('index', 'constraint', 'sequence', 'statistics')
    ) as o
    join said as s on s.sort = o.sort and s.home = o.name
    cross join lateral weft._name_home(o.kind, o.identity, o.definition) as h
    union all
    select p.kind, p.identity, 'publication', substring(p.identity from concat('^(', weft._plain_name(), '): ')) from pairs as p where p.kind in ('table of a publication', 'schema of a publication')
    union all
    select k.kind, k.identity, 'relation', coalesce(k.after, k.before) from references_of_keys as k
    where coalesce(k.before, k.after) in (select t.child from partitions as t) and coalesce(k.after, k.before) in (select t.child from partitions as t)
  ),
  targets as materialized (
    select h.sort, h.home, case when h.sort = 'schema' then weft._unquote(h.home) when p.parts[2] is not null and not o.is_alone then weft._unquote(p.parts[1]) end as schema,
           case when o.is_alone then weft._unquote(h.home) else weft._unquote(p.parts[2]) end as name
    from (select distinct h.sort, h.home from homes as h) as h
    cross join lateral (select h.sort in ('extension', 'publication', 'subscription', 'event trigger') as is_alone) as o
    cross join lateral (select regexp_match(h.home, '^("(?:[^"]|"")*"|[^".(]+)(?:\.("(?:[^"]|"")*"|[^".(]+))?') as parts offset 0) as p
  ),
  parents as materialized (
    select p.parent, weft._unquote(m.parts[1]) as schema, weft._unquote(m.parts[2]) as name
    from (select distinct t.parent from partitions as t) as p
    cross join lateral (select regexp_match(p.parent, concat('^(', weft._plain_name(), ')\.(', weft._plain_name(), ')$')) as parts offset 0) as m
  ),
  meant as materialized (  -- rule by rule, so that each pattern is compiled once
    select t.sort, t.home, r.bundle
    from rules as r
    cross join lateral (
      select t.sort, t.home from targets as t
      where case r.word
        when 'schema' then t.schema ~ r.first_pattern
        when 'table' then t.sort = 'relation' and t.schema ~ r.first_pattern and t.name ~ r.second_pattern
        when 'function' then t.sort = 'function' and t.schema ~ r.first_pattern and t.name ~ r.second_pattern
        else t.sort = replace(r.word, '_', ' ') and t.name ~ r.first_pattern  -- an object without a schema
      end
      offset 0) as t
    where r.word <> 'partitions_of'
    union
    select 'relation', t.child, r.bundle
    from rules as r
    cross join lateral (select p.parent from parents as p where p.schema ~ r.first_pattern and p.name ~ r.second_pattern offset 0) as p
    join partitions as t on t.parent = p.parent
    where r.word = 'partitions_of'
  ),
  spared as materialized (
    select p.kind, p.identity, case when p_in_what_is then p.after else p.before end as from_there, case when p_in_what_is then p.before else p.after end as instead,
           case when p.before is null then 'added' when p.after is null then 'missing' else 'changed' end as change, s.bundle
    from (select h.kind, h.identity, min(m.bundle) as bundle from homes as h join meant as m on m.sort = h.sort and m.home = h.home group by h.kind, h.identity) as s
    join pairs as p on p.kind = s.kind and p.identity = s.identity
  )
  select (select string_agg(u.object, E'\x1e' order by u.identity collate "C", u.kind collate "C")
          from (
            select split_part(o.object, E'\x1f', 1) as kind, split_part(o.object, E'\x1f', 2) as identity, o.object
            from string_to_table(settled, E'\x1e') as o (object) where not exists (select from spared as s where s.from_there = o.object)
            union all
            select s.kind, s.identity, s.instead from spared as s where s.instead is not null) as u),
         weft._as_answer(jsonb_build_object('count', count(*), 'objects', jsonb_agg(o.object order by o.number) filter (where o.number <= weft._limit('drift_told_count_max'))))
  into settled, unwatched
  from (
    select jsonb_build_object('change', s.change, 'kind', s.kind, 'identity', s.identity, 'bundle', s.bundle) as object,
           row_number() over (order by s.identity collate "C", s.kind collate "C") as number
    from spared as s) as o
  having count(*) > 0;
  if unwatched is null then
    settled := case when p_in_what_is then p_is else p_expected end;
  end if;
end
$$;

comment on function weft._settle_unwatched(text, text, boolean) is
  'Writes what the catalog should be, with unwatched objects as they are now; or what it is, with unwatched objects as they should be. Tells which of them differ, and which bundle leaves them to something else.';


-- Nobody has checked a manifest that was sent directly, and its rules are applied to every catalog from then on.
create or replace function weft._check_unwatched(p_rules jsonb)
  returns void
  immutable
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_rule     jsonb;
  v_word     text;
  v_names    jsonb;
  v_is_pair  boolean;
begin
  for v_rule in select r.value from jsonb_array_elements(case jsonb_typeof(p_rules) when 'array' then p_rules else '[null]' end) as r loop
    select min(w.key) into v_word from jsonb_each(case jsonb_typeof(v_rule) when 'object' then v_rule else '{}' end) as w having count(*) = 1;
    v_is_pair := v_word in ('table', 'partitions_of', 'function');
    v_names := case when v_is_pair then v_rule -> v_word else jsonb_build_array(v_rule -> v_word) end;
    if v_word is null or not v_is_pair and v_word not in ('schema', 'extension', 'publication', 'subscription', 'event_trigger')
        or jsonb_typeof(v_names) <> 'array' or not jsonb_path_exists(v_names, '$.size() ? (@ == $count)', jsonb_build_object('count', case when v_is_pair then 2 else 1 end))
        or exists (select from jsonb_path_query(v_names, 'strict $[*]') as n (name)
                   where jsonb_typeof(n.name) <> 'string' or length(n.name #>> '{}') not between 1 and weft._limit('pattern_characters')) then
      raise exception 'The request is not one to deploy: of what something else sees to, this is not understood: %', left(coalesce(v_rule, p_rules)::text, 200)
        using errcode = 'WF006', hint = 'unwatched is an array of objects of one word each: schema, extension, publication, subscription or event_trigger and a name, or table, partitions_of or function and an array of schema and name.';
    end if;
  end loop;
end
$$;

comment on function weft._check_unwatched(jsonb) is 'Refuses rules of a manifest about objects that something else manages, if they could not be read later on.';


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

comment on function weft._note_unwatched(weft._deployments) is 'Keeps what the bundle of a deployment that begins says about objects that something else manages.';
