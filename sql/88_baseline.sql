-- Baseline: somebody says that a database already is where a bundle leaves it, so that nothing of the bundle must run. This is compared
-- with the catalog as far as possible: the objects that the files create are looked up by name. What was not checked is reported.
--
-- Why the database cannot be where the bundle leaves it, or null; and what was looked at.
create or replace function weft._verify_baseline(p_deployment weft._deployments, out quarrel jsonb, out verdict jsonb)
  stable
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_request      jsonb := convert_from(p_deployment.request, 'UTF8')::jsonb;
  v_fingerprint  text;
  v_objects      jsonb;
  v_missing      jsonb;
  v_gone         jsonb;  -- files that create what a later statement removes again
  v_reached      text;  -- the last file before the first that lacks something
begin
  if v_request ->> 'fingerprint' is not null then
    v_fingerprint := weft.fingerprint();
    verdict := jsonb_build_object('by', 'fingerprint', 'fingerprint', v_fingerprint);
    if v_fingerprint <> v_request ->> 'fingerprint' then
      quarrel := jsonb_build_object(
        'sqlstate', 'WF063', 'message', 'The catalog has another fingerprint than the one that the bundle leaves.',
        'detail', format('Asked for %s; this database has %s. Nothing was recorded.', v_request ->> 'fingerprint', v_fingerprint),
        'hint', 'Compare weft.snapshot() here and in a database to which the bundle was deployed; both need the same major version of PostgreSQL.'
          || case when v_request #> '{manifest,unwatched}' is not null then ' What something else sees to (drift: ignore:) counts, too: where that comes and goes, leave the fingerprint out, and objects are looked for by their names.' else '' end);
    end if;
    return;
  elsif v_request ->> 'verify' = 'none' then
    verdict := '{"by": "nothing"}';
    return;
  end if;
  -- The order is written down: for the aggregate with "distinct", PostgreSQL 16 and later sort the rows by path for all of them.
  select coalesce(jsonb_agg(jsonb_build_object('path', l.path, 'line', l.line) || l.object order by l.place) filter (where not l.is_gone), '[]'),
         jsonb_agg(jsonb_build_object('path', l.path, 'line', l.line) || l.object order by l.place) filter (where not l.is_gone and not l.is_there),
         coalesce(jsonb_agg(distinct l.path) filter (where l.is_gone), '[]')
  into v_objects, v_missing, v_gone
  from weft._look_for_created(p_deployment.id) with ordinality as l (path, line, object, is_gone, is_there, place);
  verdict := jsonb_build_object('by', 'catalog', 'objects_found', jsonb_array_length(v_objects) - coalesce(jsonb_array_length(v_missing), 0), 'not_looked_at', (
    select coalesce(jsonb_agg(s.path order by s.ordinal), '[]') from weft._steps as s
    where s.deployment_id = p_deployment.id and s.kind <> 'check' and not exists (select from jsonb_array_elements(v_objects) as o where o.value ->> 'path' = s.path)),
    'gone_again', v_gone, 'too_large', (
    select coalesce(jsonb_agg(s.path order by s.ordinal), '[]') from weft._steps as s join weft._artifacts as a on a.deployment_id = s.deployment_id and a.path = s.path
    where s.deployment_id = p_deployment.id and s.kind = 'run' and a.size > weft._limit('compared_bytes')));
  if v_missing is not null then
    v_reached := (
      select s.path
      from weft._steps as s
      where s.deployment_id = p_deployment.id and s.kind <> 'check'
        and s.ordinal < (select min(f.ordinal) from weft._steps as f where f.deployment_id = s.deployment_id and f.path = v_missing -> 0 ->> 'path')
        and v_objects -> 0 <> v_missing -> 0
      order by s.ordinal desc
      limit 1);
    quarrel := jsonb_build_object(
      'sqlstate', 'WF062',
      'message', 'The database is not at this bundle: ' || case
        when jsonb_array_length(v_objects) = 1 then 'the one object that its files create is not there.'
        when jsonb_array_length(v_missing) = 1 then format('one of the %s objects that its files create is not there.', jsonb_array_length(v_objects))
        else format('%s of the %s objects that its files create are not there.', jsonb_array_length(v_missing), jsonb_array_length(v_objects)) end,
      'detail', 'Nothing was recorded. Not there: ' || (
        select string_agg(format('%s %s%s (%s:%s)', m.value ->> 'kind', m.value ->> 'name', ' of ' || (m.value ->> 'on'), m.value ->> 'path', m.value ->> 'line'), ', ' order by m.ordinality)
        from jsonb_array_elements(v_missing) with ordinality as m where m.ordinality <= weft._limit('baseline_missing_count'))
        || case when jsonb_array_length(v_missing) > weft._limit('baseline_missing_count') then format(' and %s more.', jsonb_array_length(v_missing) - weft._limit('baseline_missing_count')) else '.' end,
      'hint', case when v_reached is not null then format('Up to %s all is there: if that is how far the database is, say --up-to %s, and the next deployment runs the rest.', v_reached, weft._quote_path(v_reached))
        else 'None of the bundle''s files before that creates anything, so there may be nothing to record: if the database is not at the bundle at all, deploy it.' end
        || ' If what is missing has been dropped since, or is there by another name, --unverified records the files without a look.',
      'path', v_missing -> 0 ->> 'path', 'line', v_missing -> 0 -> 'line',
      'missing', v_missing);
  end if;
end
$$;

comment on function weft._verify_baseline(weft._deployments) is 'Compares a bundle with the catalog: by a fingerprint, if the request has one, otherwise by the names of what its files create.';


-- Withdraws a baseline that was a mistake: what it recorded leaves the history, or becomes what was recorded before it. Both the baseline and its withdrawal
-- stay in the journal, as two deployments.
create or replace function weft._withdraw_baseline(p_undo uuid)
  returns void
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_baseline  weft._deployments;
  v_paths     text[];
  v_before    text[];
begin
  select b.* into v_baseline
  from weft._deployments as d join weft._deployments as b on b.id = d.undoes
  where d.id = p_undo and d.state = 'running' and b.mode = 'baseline' for no key update of d;
  if not found then
    return;
  end if;
  v_paths := array(select h.applied_path from weft._history as h where h.bundle = v_baseline.bundle and h.deployment_id = v_baseline.id order by h.applied_path collate "C");
  with back as (
    update weft._history as h
    set path = s.replaced ->> 'path', digest = decode(s.replaced ->> 'digest', 'hex'), deployment_id = (s.replaced ->> 'deployment_id')::uuid, applied_at = (s.replaced ->> 'applied_at')::timestamptz,
        bytes_in = (s.replaced ->> 'bytes_in')::uuid, applied_path = s.replaced ->> 'applied_path', place = (s.replaced ->> 'place')::integer, made = nullif(s.replaced -> 'made', 'null'),
        words = nullif(s.replaced -> 'words', 'null'), table_name = s.replaced ->> 'table_name', table_oid = (s.replaced ->> 'table_oid')::oid
    from weft._steps as s
    where s.deployment_id = v_baseline.id and s.replaced is not null and h.bundle = v_baseline.bundle and h.deployment_id = v_baseline.id and h.applied_path = s.path
    returning s.path
  )
  select coalesce(array_agg(b.path order by b.path collate "C"), '{}') into v_before from back as b;
  delete from weft._history as h where h.bundle = v_baseline.bundle and h.deployment_id = v_baseline.id;
  perform weft._tell(p_undo, 'baseline_withdrawn', p_data => jsonb_build_object('files', cardinality(v_paths), 'paths', to_jsonb(v_paths), 'as_before', to_jsonb(v_before)));
  perform weft._end(p_undo, 'succeeded', null);
end
$$;

comment on function weft._withdraw_baseline(uuid) is 'Removes from the history what a baseline has recorded, as its undo; nothing is run, and nothing is dropped.';


-- A deployment with the mode baseline: everything it would run is recorded as applied, or nothing is.
create or replace function weft._take_as_applied(p_deployment uuid, p_fence bigint)
  returns void
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_deployment  weft._deployments;
  v_check       record;
  v_file        record;
  v_recorded    text[] := '{}';
  v_superseded  text[];  -- files that are not what was applied last
  v_made        jsonb;  -- by path, existing objects of repeatable files
  v_replaced    text[] := '{}';  -- files that were applied with other content
begin
  perform weft._check_fence(p_fence, p_until_commit => true);
  perform weft._withdraw_baseline(p_deployment);
  select d.* into v_deployment from weft._deployments as d where d.id = p_deployment and d.state = 'running' and d.mode = 'baseline' for no key update;
  if not found then
    return;
  end if;
  v_check := weft._verify_baseline(v_deployment);
  if v_check.quarrel is not null then
    perform weft._end(p_deployment, 'failed', v_check.quarrel);
    return;
  end if;

  if exists (select from weft._steps as s where s.deployment_id = p_deployment and s.kind = 'run' and s.options ? 'repeat') then
    -- recorded as if the files had made it, so that they are called back, and an undo can drop it to make it again
    v_made := (
      select jsonb_object_agg(m.path, m.made)
      from (
        select l.path, weft._list_claimed(array_agg(l.object)) as made
        from weft._look_for_created(p_deployment) as l
        join weft._steps as s on s.deployment_id = p_deployment and s.path = l.path and s.kind = 'run' and s.options ? 'repeat'
        where l.is_there and not l.is_gone
        group by l.path) as m
      where m.made is not null);
  end if;

  v_superseded := array(select f.path from weft._judge_history(v_deployment.manifest, p_deployment, '{}') as f where f.verdict = 'superseded');
  for v_file in
    select s.ordinal, s.path, a.digest, weft._repeat_of(s.kind, s.options) as repeat, h.digest as known, weft._words_of(s.kind, s.options) as words, t.oid as table_oid
    from weft._steps as s
    join weft._phases as p on p.deployment_id = s.deployment_id and p.ordinal = s.phase
    cross join lateral (select case s.kind when 'load' then weft._find_target(s.options ->> 'into', p.role, p.settings) end as oid offset 0) as t
    join weft._artifacts as a on a.deployment_id = s.deployment_id and a.path = s.path
    left join weft._history as h on h.bundle = v_deployment.bundle and h.path = s.path
    where s.deployment_id = p_deployment and weft._repeat_of(s.kind, s.options) in ('once', 'on-change')
      and (h.digest is distinct from a.digest or h.words is distinct from weft._words_of(s.kind, s.options) or s.path = any (v_superseded)
        or exists (select from weft._list_half_undone(v_deployment.bundle) as u where u.path = s.path))
    order by s.ordinal
  loop
    update weft._steps as s set replaced = weft._keep_row(h)  -- so that it can be withdrawn
    from weft._history as h
    where s.deployment_id = p_deployment and s.ordinal = v_file.ordinal and h.bundle = v_deployment.bundle and h.path = v_file.path;
    insert into weft._history as h (bundle, path, digest, deployment_id, applied_at, bytes_in, applied_path, place, made, words, table_name, table_oid)
    values (v_deployment.bundle, v_file.path, v_file.digest, p_deployment, clock_timestamp(), p_deployment, v_file.path, case when v_file.repeat <> 'once' then v_file.ordinal end, v_made -> v_file.path,
            v_file.words, weft._qualify_table(v_file.table_oid), v_file.table_oid)
    on conflict on constraint an_artifact_is_applied_once do update
    set digest = excluded.digest, deployment_id = excluded.deployment_id, applied_at = excluded.applied_at, bytes_in = excluded.bytes_in, applied_path = excluded.applied_path,
        place = case when excluded.place is not null then coalesce(h.place, excluded.place) end, made = case when excluded.place is not null then coalesce(excluded.made, h.made) end,
        words = excluded.words, table_name = excluded.table_name, table_oid = excluded.table_oid;
    v_recorded := v_recorded || v_file.path;
    if v_file.known <> v_file.digest then
      v_replaced := v_replaced || v_file.path;
      perform weft._tell(p_deployment, 'content_replaced', p_path => v_file.path, p_data => jsonb_build_object('digest_before', encode(v_file.known, 'hex'), 'digest', encode(v_file.digest, 'hex')));
    end if;
  end loop;
  update weft._steps as s
  set state = 'skipped', finished_at = clock_timestamp(),
      result = jsonb_build_object('recorded', case
        when s.kind = 'check' or weft._repeat_of(s.kind, s.options) = 'always' then 'never'  -- neither is ever in the history
        when s.path = any (v_recorded) then 'now'
        else 'before' end) || case when s.path = any (v_replaced) then '{"replaced": true}' else '{}' end::jsonb
  where s.deployment_id = p_deployment and s.state = 'pending';
  update weft._phases as p set state = 'skipped', finished_at = clock_timestamp() where p.deployment_id = p_deployment;
  perform weft._tell(p_deployment, 'baseline', p_data => jsonb_build_object('files', cardinality(v_recorded), 'replaced', to_jsonb(v_replaced), 'verified', v_check.verdict));
  perform weft._end(p_deployment, 'succeeded', null);
end
$$;

comment on function weft._take_as_applied(uuid, bigint) is 'Records the files of a deployment as applied without running them, if the database is where the bundle leaves one.';
