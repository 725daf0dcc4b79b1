-- What disappeared together with what a deployment has dropped with CASCADE, and nobody has made again. psql would show the server's
-- notice about it.

-- A column contains data, and often has the name of its type, so a mention of that name alone proves nothing. p_text: in lower case.
create or replace function weft._is_column_meant(p_text text, p_column text, p_table text[])
  returns boolean
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select p_text ~ concat('\m(drop|rename)\s+((column|attribute)\s+)?(if\s+exists\s+)?"?', n.of_column, '\M')
    -- its table was made anew
    or p_text ~ concat('\mdrop\s+(foreign\s+|materialized\s+)?(table|view)\M[^;]*\m', n.of_table, '\M')
    or p_text ~ concat('\malter\s+(foreign\s+|materialized\s+)?(table|view)\M[^;]*\m', n.of_table, '\M[^;]*\m(rename\s+to|set\s+schema)\M')
    or p_text ~ concat('\mrename\s+to\s+"?', n.of_table, '\M')
    or p_text ~ concat('\m(drop|alter)\s+schema\M[^;]*\m', n.of_schema, '\M')
  from (
    select regexp_replace(p_column, '([^[:alnum:]_])', '\\\1', 'g') as of_column, regexp_replace(lower(p_table[2] collate "C"), '([^[:alnum:]_])', '\\\1', 'g') as of_table,
           regexp_replace(lower(p_table[1] collate "C"), '([^[:alnum:]_])', '\\\1', 'g') as of_schema) as n
$$;

comment on function weft._is_column_meant(text, text, text[]) is 'Tells whether files drop a column on purpose: they name it, or its table, which they make anew.';


-- Lists objects that were there when the deployment began, are gone, and are named in no file that has run: whoever names what they drop knows about it.
-- What belongs to a dropped table or view is not listed separately.
create or replace function weft._list_gone_along(p_deployment weft._deployments)
  returns table (kind text, identity text)
  stable
  set search_path = pg_catalog, pg_temp
  set enable_nestloop = off  -- rows that were just written have no statistics
  set jit = off
  language plpgsql
as $$
declare
  v_text     text;
  v_before   text;
  v_after    text;
begin
  select lower(string_agg(weft._kept_text(s.deployment_id, s.path, a.digest), E';\n') collate "C") into v_text
  from weft._steps as s
  join weft._artifacts as a on a.deployment_id = s.deployment_id and a.path = s.path
  where s.deployment_id = p_deployment.id and s.kind = 'run' and s.state in ('succeeded', 'failed');
  if v_text is null or v_text !~ '\mcascade\M' then
    return;
  end if;
  select s.catalog into v_before from weft._snapshots as s where s.fingerprint = p_deployment.fingerprint_before;
  select s.catalog into v_after from weft._snapshots as s where s.fingerprint = p_deployment.fingerprint_after;
  return query
  with differences as materialized (
    select c.change, c.kind, c.identity, c.before, c.after, lower(coalesce(weft._bare_name(c.identity), '') collate "C") as bare
    from weft._compare_catalogs(v_before, v_after) as c
  ),
  changes as materialized (
    select d.*, h.sort, h.home, h.hangs
    from differences as d
    cross join lateral weft._name_home(d.kind, d.identity, d.before) as h
    where d.change = 'removed' or d.kind = 'column' and d.before ~* '\mdefault\M' and d.after !~* '\mdefault\M'
  ),
  words as materialized (  -- collected once from all files, not for each object again
    select distinct w.word
    from (select v_text as text where exists (select from changes)) as t
    cross join lateral string_to_table(regexp_replace(t.text, '[^[:alnum:]_]+', ' ', 'g'), ' ') as w (word)
  )
  select case when c.change = 'removed' then c.kind else 'default of column' end, c.identity
  from changes as c
  where c.kind not in ('comment', 'default privileges')
    and case when c.change = 'removed' and c.kind = 'column' then not weft._is_column_meant(v_text, c.bare, parse_ident(c.home))
      else not exists (select from words as w where w.word = c.bare) and case when c.bare ~ '[^[:alnum:]_]' then not weft._is_name_in(v_text, c.bare) else true end end
    -- an object that only moved to another schema still exists
    and not exists (select from differences as n where n.change = 'added' and n.kind = c.kind and n.bare = c.bare)
    and not exists (select from changes as t where t.change = 'removed' and not t.hangs and c.hangs and t.sort = c.sort and t.home = c.home)
  order by c.identity collate "C", c.kind;
end
$$;

comment on function weft._list_gone_along(weft._deployments) is 'Lists objects that were there when a deployment began, are gone now, and are named in no file that has run: they went with what was dropped.';


create or replace function weft._tell_gone_along(p_deployment weft._deployments)
  returns void
  volatile
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select weft._tell(p_deployment.id, 'gone_along', p_data => jsonb_build_object('count', k.count, 'objects', k.objects))
  from (
    select count(*) as count, coalesce(jsonb_agg(jsonb_build_object('kind', g.kind, 'identity', g.identity) order by g.ordinality) filter (where g.ordinality <= weft._limit('drift_told_count_max')), '[]') as objects
    from weft._list_gone_along(p_deployment) with ordinality as g
    where p_deployment.mode = 'apply' and p_deployment.fingerprint_before <> p_deployment.fingerprint_after
      and weft._are_comparable(p_deployment.fingerprint_before, p_deployment.fingerprint_after)
      -- most deployments have no CASCADE in any file, so the bytes are searched for it first, except those of files that were applied already
      and exists (
        select from weft._steps as s
        cross join lateral (select k.chunks, k.size from weft._artifacts as k where k.deployment_id = s.deployment_id and k.path = s.path offset 0) as a
        cross join lateral (select k.content from weft._chunks as k where k.digest = a.chunks[1] offset 0) as c
        where s.deployment_id = p_deployment.id and s.kind = 'run' and s.state in ('succeeded', 'failed') and cardinality(a.chunks) = 1 and a.size <= weft._limit('compared_bytes')
          -- a file that failed may not be valid text
          and strpos(lower(case s.state when 'succeeded' then convert_from(c.content, 'UTF8') else encode(c.content, 'escape') end collate "C"), 'cascade') > 0)
  ) as k
  where k.count > 0
$$;

comment on function weft._tell_gone_along(weft._deployments) is 'Writes into the journal of a deployment that has ended what disappeared together with what it dropped, and was not made again.';
