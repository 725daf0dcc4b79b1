-- Compares the files of a bundle with the history: what has been applied, and what has become of it since. Nothing is guessed: if the
-- history does not say what a file is, the deployment is refused, with a reason.
--
-- An artifact is identified by bundle and path. The history keeps the digest, and which deployment brought the bytes. These are never
-- removed as long as the history names them, so that a change can be shown as a difference.

-- The entry of weft.yaml that a step comes from only matters for the order: entries lists how many steps each has, in order.
create or replace function weft._list_candidates(p_manifest jsonb)
  returns weft._candidate[]
  stable
  set search_path = pg_catalog, pg_temp
  set enable_nestloop = off
  set jit = off
  language sql
as $$
  with places as materialized (  -- one row for each place, to be joined by equality: ranges allow no hash join
    select p.ordinality as phase, e.ordinality as entry, row_number() over (partition by p.ordinality order by e.ordinality) as place
    from jsonb_array_elements(p_manifest -> 'phases') with ordinality as p
    cross join jsonb_array_elements_text(p.value -> 'entries') with ordinality as e
    cross join generate_series(1, e.value::bigint)
  )
  select coalesce(array_agg(row(k.ordinal, k.phase, coalesce(e.entry, 1), k.path, decode(a.digest, 'hex'), k.repeat, k.kind in ('run', 'batch'))::weft._candidate order by k.ordinal), '{}')
  from (
    select row_number() over (order by p.ordinality, s.ordinality) as ordinal, p.ordinality as phase, s.ordinality as place,
           s.value ->> 'path' as path, s.value ->> 'kind' as kind, weft._repeat_of(s.value ->> 'kind', s.value) as repeat
    from jsonb_array_elements(p_manifest -> 'phases') with ordinality as p
    cross join jsonb_array_elements(p.value -> 'steps') with ordinality as s
  ) as k
  join jsonb_to_recordset(p_manifest -> 'artifacts') as a (path text, digest text) on a.path = k.path
  left join places as e on e.phase = k.phase and e.place = k.place
  where k.repeat is not null
$$;

comment on function weft._list_candidates(jsonb) is 'Lists the steps of a manifest that a history may know.';


-- The content of a file that is being judged: it came with the deployment, or with the query.
create or replace function weft._judged_text(p_deployment uuid, p_texts jsonb, p_path text, p_digest bytea)
  returns text
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select case when p_texts ? p_path then p_texts ->> p_path else weft._kept_text(p_deployment, p_path, p_digest) end
$$;

comment on function weft._judged_text(uuid, jsonb, text, bytea) is 'Reads the new content of a file: from the texts that came with a query, or from a deployment.';


-- Files that were applied with other bytes.
create or replace function weft._find_changes(p_bundle text, p_candidates weft._candidate[], p_deployment uuid, p_texts jsonb)
  returns setof weft._finding
  stable
  set search_path = pg_catalog, pg_temp
  set enable_nestloop = off  -- rows that were just written have no statistics
  set jit = off  -- such a plan looks expensive enough to be compiled
  language plpgsql
as $$
declare
  v_file    record;
  v_before  text;
  v_after   text;
  v_shown   integer := 0;
begin
  for v_file in
    select c.ordinal, c.path, c.digest, c.repeat, c.is_sql, h.digest as applied, h.bytes_in, h.deployment_id, h.applied_at
    from unnest(p_candidates) as c
    join weft._history as h on h.bundle = p_bundle and h.path = c.path and h.digest <> c.digest
    where c.repeat <> 'always'
    order by c.ordinal
  loop
    v_before := null;
    v_after := null;
    if v_file.is_sql or (v_file.repeat = 'once' and v_shown < weft._limit('differences_count')) then
      v_before := weft._kept_text(v_file.bytes_in, v_file.path, v_file.applied);
      v_after := weft._judged_text(p_deployment, p_texts, v_file.path, v_file.digest);
    end if;
    if v_file.is_sql and weft._is_same_content(v_before, v_after) then
      return next row(v_file.ordinal, v_file.path, 'unchanged',
        jsonb_build_object('digest_before', encode(v_file.applied, 'hex'), 'digest', encode(v_file.digest, 'hex')))::weft._finding;
    elsif v_file.repeat = 'once' then
      return next row(v_file.ordinal, v_file.path, 'changed', jsonb_build_object(
        'path', v_file.path, 'deployment', v_file.deployment_id, 'applied_at', v_file.applied_at,
        'digest_before', encode(v_file.applied, 'hex'), 'digest', encode(v_file.digest, 'hex'),
        'difference', case when v_before is not null and v_after is not null and v_shown < weft._limit('differences_count') then weft._difference(v_before, v_after) end))::weft._finding;
      v_shown := v_shown + 1;
    end if;
  end loop;
end
$$;

comment on function weft._find_changes(text, weft._candidate[], uuid, jsonb) is
  'Finds files that were applied with other bytes: unchanged, if only comments and white space differ; changed, for those that run once, with what differs.';


-- New files whose content was applied under a path that the bundle no longer has. Found by digest first, then by normalised content.
create or replace function weft._find_renames(p_bundle text, p_candidates weft._candidate[], p_paths text[], p_deployment uuid, p_texts jsonb)
  returns setof weft._finding
  stable
  set search_path = pg_catalog, pg_temp
  set enable_nestloop = off  -- rows that were just written have no statistics
  set jit = off  -- such a plan looks expensive enough to be compiled
  language plpgsql
as $$
declare
  v_gone  weft._history[];
  v_new   weft._candidate[];
begin
  v_gone := array(
    select h from weft._history as h
    where h.bundle = p_bundle and h.digest <> sha256('') and not exists (select from unnest(p_paths) as u (path) where u.path = h.path)
    order by h.path);
  if v_gone = '{}' then
    return;
  end if;
  v_new := array(
    select c from unnest(p_candidates) as c
    where c.repeat <> 'always' and c.digest <> sha256('') and not exists (select from weft._history as h where h.bundle = p_bundle and h.path = c.path)
    order by c.ordinal);
  if v_new = '{}' then
    return;
  end if;

  return query
  with of_digest as materialized (  -- each digest once: n files with the same content would make n * n pairs
    select n.digest, g.gone, n.others, jsonb_build_object('from', g.gone, 'to', n.others, 'digest', encode(n.digest, 'hex')) as data
    from (select u.digest, array_agg(u.path order by u.path) as others from unnest(v_new) as u group by u.digest) as n
    join (select u.digest, array_agg(u.path order by u.path) as gone from unnest(v_gone) as u group by u.digest) as g on g.digest = n.digest
  ),
  rest as materialized (
    select n.path as new, weft._judged_text(p_deployment, p_texts, n.path, n.digest) as text
    from unnest(v_new) as n
    where n.is_sql and not exists (select from of_digest as d where d.digest = n.digest)
      and cardinality(v_new) * cardinality(v_gone) <= weft._limit('renames_compared_count')
  ),
  left_over as materialized (
    select g.path as gone, weft._kept_text(g.bytes_in, g.path, g.digest) as text
    from unnest(v_gone) as g
    where exists (select from rest) and not exists (select from of_digest as d where d.digest = g.digest)
  ),
  same as materialized (
    select r.new, l.gone from rest as r cross join left_over as l where weft._is_same_content(r.text, l.text) and weft._has_statements(r.text)
  ),
  counted as (
    select n.path as new, d.gone, d.others, d.data from unnest(v_new) as n join of_digest as d on d.digest = n.digest
    union all
    select s.new, array_agg(s.gone order by s.gone), min(o.others), null
    from same as s
    join (select t.gone, array_agg(t.new order by t.new) as others from same as t group by t.gone) as o on o.gone = s.gone
    group by s.new
  )
  select c.ordinal, c.path, case when cardinality(m.gone) = 1 and cardinality(m.others) = 1 then 'renamed' else 'ambiguous' end,
         coalesce(m.data, jsonb_build_object('from', m.gone, 'to', m.others, 'digest', encode(c.digest, 'hex')))
  from unnest(v_new) as c
  join counted as m on m.new = c.path
  where c.repeat = 'once' or (cardinality(m.gone) = 1 and cardinality(m.others) = 1)
  order by c.ordinal;
end
$$;

comment on function weft._find_renames(text, weft._candidate[], text[], uuid, jsonb) is
  'Finds new files whose content was applied under a path that is gone from the bundle: renamed, or ambiguous if several could be meant.';


-- New files that stand before applied ones of the same entry: in a new database, they run in another order.
create or replace function weft._find_latecomers(p_bundle text, p_candidates weft._candidate[], p_renamed text[])
  returns setof weft._finding
  stable
  set search_path = pg_catalog, pg_temp
  set enable_nestloop = off  -- rows that were just written have no statistics
  set jit = off  -- such a plan looks expensive enough to be compiled
  language sql
as $$
  select l.ordinal, l.path, 'late', jsonb_build_object('behind', l.last_applied)
  from (
    select k.ordinal, k.path, k.is_applied,
           max(k.ordinal) filter (where k.is_applied) over w as last_ordinal,
           (array_agg(k.path) filter (where k.is_applied) over w) [1] as last_applied
    from (
      select c.ordinal, c.path, c.phase, c.entry, h.path is not null or c.path = any (p_renamed) as is_applied
      from unnest(p_candidates) as c
      left join weft._history as h on h.bundle = p_bundle and h.path = c.path
      where c.repeat = 'once'
    ) as k
    window w as (partition by k.phase, k.entry order by k.ordinal desc rows between unbounded preceding and unbounded following)
  ) as l
  where not l.is_applied and l.last_ordinal > l.ordinal
    and not weft._was_left_out(p_bundle, l.path)  -- otherwise it is not new: a condition left it out, or it failed and the others went on
$$;

comment on function weft._find_latecomers(text, weft._candidate[], text[]) is 'Finds new files whose place is before one that has been applied, among the files of one entry.';


-- All findings together. p_texts has the contents that came with a query, by path; those of a deployment are read from its artifacts.
create or replace function weft._judge_history(p_manifest jsonb, p_deployment uuid, p_texts jsonb)
  returns setof weft._finding
  stable
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_bundle      text := p_manifest ->> 'bundle';
  v_candidates  weft._candidate[];
  v_changes     weft._finding[];
  v_renames     weft._finding[] := '{}';
  v_has_words   boolean;  -- loads or batches were applied; null if nothing was
  v_has_places  boolean;  -- repeatable files were applied
begin
  select bool_or(h.words is not null), bool_or(h.place is not null) into v_has_words, v_has_places from weft._history as h where h.bundle = v_bundle;
  if v_has_words is not null then
    v_candidates := weft._list_candidates(p_manifest);
    v_changes := array(select f from weft._find_changes(v_bundle, v_candidates, p_deployment, p_texts) as f);
    v_renames := array(select f from weft._find_renames(v_bundle, v_candidates, weft._list_paths(p_manifest), p_deployment, p_texts) as f);
    return query select f.* from unnest(v_changes || v_renames) as f;
    if v_has_places then
      return query select f.* from weft._find_superseded(v_bundle, p_manifest, v_changes || v_renames) as f;
    end if;
    if v_has_words then
      return query select f.* from weft._find_reworded(v_bundle, p_manifest, v_renames) as f;
    end if;
    return query select f.* from weft._find_latecomers(v_bundle, v_candidates, array(select f.path from unnest(v_renames) as f)) as f;
  end if;
  if exists (select from weft._statements as t where t.deployment_id is distinct from p_deployment) then
    return query select f.* from weft._find_half_undone(v_bundle, coalesce(v_candidates, weft._list_candidates(p_manifest)), v_renames) as f;
  end if;
end
$$;

comment on function weft._judge_history(jsonb, uuid, jsonb) is
  'Compares the files of a manifest with the history: finds those that are neither simply new nor applied as they are.';


-- Why a deployment is refused: the first kind of finding that prevents it. p_is_begun: something of it has run.
create or replace function weft._describe_quarrel(p_findings weft._finding[], p_order text, p_is_begun boolean)
  returns jsonb
  stable
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_paths     text[];
  v_reworded  jsonb;
  v_stand     text := case when p_is_begun then ' Another deployment of the bundle has passed this one, which goes no further.' else ' Nothing of this deployment was run.' end;
begin
  if exists (select from unnest(p_findings) as f where f.verdict = 'half_undone') then
    return weft._describe_half_undone(array(select f from unnest(p_findings) as f where f.verdict = 'half_undone' order by f.ordinal), v_stand);
  end if;

  v_paths := array(select f.path from unnest(p_findings) as f where f.verdict = 'changed' order by f.ordinal);
  if v_paths <> '{}' then
    return jsonb_build_object(
      'sqlstate', 'WF013',
      'message', format('%s was applied before with other bytes.', weft._list_some(v_paths)),
      'detail', 'An artifact is applied once, by bundle and path.' || v_stand || (
        select string_agg(E'\n' || weft._show_change(f.data), '' order by f.ordinal) from (
          select k.* from unnest(p_findings) as k where k.verdict = 'changed' order by k.ordinal limit weft._limit('differences_count')) as f),
      'hint', case when p_is_begun then format('What that deployment brought is newer than this one. Deploy the bundle as it is meant now; where it changes %s, put the change into a new file.', v_paths[1]) else
        'Put the change into a new file, and give the old one its applied content back: weft.kept_file(bundle, path) has it. ' || format('If the database holds the change already, say so of this file alone: weft baseline FOLDER --only %s.', weft._quote_path(v_paths[1])) end,
      'path', v_paths[1],
      'changed', (select jsonb_agg(f.data order by f.ordinal) from unnest(p_findings) as f where f.verdict = 'changed'));
  end if;

  v_reworded := weft._describe_reworded(p_findings, v_stand);
  if v_reworded is not null then
    return v_reworded;
  end if;

  v_paths := array(select f.path from unnest(p_findings) as f where f.verdict = 'ambiguous' order by f.ordinal);
  if v_paths <> '{}' then
    return jsonb_build_object(
      'sqlstate', 'WF060',
      'message', format('%s has the content of a file that was applied and is gone, and which of them was renamed cannot be told.', weft._list_some(v_paths)),
      'detail', (
        select string_agg(format('Applied, and gone from the bundle: %s; new, with the same content: %s.', weft._list_some(k.gone), weft._list_some(k.come)), ' ' order by k.gone)
        from (select distinct weft._texts_of(f.data -> 'from') as gone, weft._texts_of(f.data -> 'to') as come from unnest(p_findings) as f where f.verdict = 'ambiguous') as k) || v_stand,
      'hint', 'Rename one file at a time: give the others their old paths back, or leave the new ones out, and deploy; then the next.',
      'path', v_paths[1]);
  end if;

  v_paths := array(select f.path from unnest(p_findings) as f where f.verdict = 'late' order by f.ordinal);
  if v_paths <> '{}' and p_order = 'strict' then
    return jsonb_build_object(
      'sqlstate', 'WF061',
      'message', format('%s would run behind files that come after it.', weft._list_some(v_paths)),
      'detail', (
        select string_agg(format('%s has been applied, and its place is behind %s.', f.data ->> 'behind', f.path), ' ' order by f.ordinal) from (
          select k.* from unnest(p_findings) as k where k.verdict = 'late' order by k.ordinal limit weft._limit('differences_count')) as f) || v_stand,
      'hint', 'The bundle says "order: strict": what is new comes behind what has been applied. Give the file a later name; or say "order: any".',
      'path', v_paths[1]);
  end if;
  return null;
end
$$;

comment on function weft._describe_quarrel(weft._finding[], text, boolean) is 'Makes the account of why the history does not allow a deployment; null if it does.';


create or replace function weft._show_change(p_change jsonb)
  returns text
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select concat(
    format('--- %s, as deployment %s applied it on %s', p_change ->> 'path', p_change ->> 'deployment', to_char((p_change ->> 'applied_at')::timestamptz at time zone 'UTC', 'YYYY-MM-DD HH24:MI "UTC"')),
    format(E'\n+++ %s, as it is now', p_change ->> 'path'),
    E'\n', coalesce(p_change ->> 'difference', format('SHA-256 %s before, %s now. What differs is not shown: the file is larger than %s bytes (compared_bytes), no text, or not at hand.',
      p_change ->> 'digest_before', p_change ->> 'digest', weft._limit('compared_bytes'))))
$$;

comment on function weft._show_change(jsonb) is 'Writes what differs in a file that was applied, under who applied it and when.';


-- Skips what is already in the history. Returns why the deployment cannot continue, or null.
create or replace function weft._settle_with_history(p_deployment weft._deployments)
  returns jsonb
  volatile
  set search_path = pg_catalog, pg_temp
  set enable_nestloop = off  -- rows that were just written have no statistics
  set jit = off  -- such a plan looks expensive enough to be compiled
  language plpgsql
as $$
declare
  v_findings  weft._finding[];
  v_quarrel   jsonb;
  v_followed  text[] := '{}';  -- only in a rehearsal, in which the history does not follow
begin
  v_findings := array(select f from weft._judge_history(p_deployment.manifest, p_deployment.id, '{}') as f order by f.ordinal);
  if v_findings <> '{}' and p_deployment.state <> 'staged' then  -- another deployment may have brought something newer since this one has done these files
    v_findings := array(
      select f from unnest(v_findings) as f
      where f.verdict = 'half_undone' or exists (select from weft._steps as s where s.deployment_id = p_deployment.id and s.path = f.path and s.state = 'pending')
      order by f.ordinal);
  end if;
  perform weft._tell_gone(p_deployment, v_findings);
  if v_findings <> '{}' then
    v_quarrel := weft._describe_quarrel(v_findings, p_deployment.manifest ->> 'order', p_deployment.state <> 'staged');
    if v_quarrel is not null then
      return v_quarrel;
    end if;
    perform weft._follow_findings(p_deployment, array(select f from unnest(v_findings) as f where f.verdict <> 'late' or p_deployment.state = 'staged'));
    v_followed := array(select f.path from unnest(v_findings) as f where f.verdict in ('unchanged', 'renamed') and p_deployment.mode = 'rehearse');
  end if;

  update weft._steps as s
  set state = 'skipped', finished_at = clock_timestamp()
  from (
    select a.path from weft._artifacts as a
    join weft._history as h on h.path = a.path and h.digest = a.digest
    where a.deployment_id = p_deployment.id and h.bundle = p_deployment.bundle
    union all select u.path from unnest(v_followed) as u (path)) as k
  where s.deployment_id = p_deployment.id and s.state = 'pending' and k.path = s.path
    and weft._repeat_of(s.kind, s.options) in ('once', 'on-change')
    and not exists (select from unnest(v_findings) as f where f.path = s.path and (f.verdict = 'superseded' or f.verdict = 'reworded' and f.data ->> 'does' in ('runs', 'looks')));
  return null;
end
$$;

comment on function weft._settle_with_history(weft._deployments) is
  'Marks the steps whose artifacts the history has already, lets the history follow what was only renamed or reformatted, and tells why a deployment is refused.';
