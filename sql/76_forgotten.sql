-- Somebody declares that nothing of a file which stopped half-way is left in the database. Weft remembers what was done, so that nothing runs
-- twice; from then on that would be wrong, so it is forgotten. Who said so, and why, is kept with the step.

create or replace function weft._refuse_to_forget(p_path text, p_bundle text)
  returns void
  stable
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_undo     weft._deployments;
  v_applied  text;
begin
  select d.* into v_undo
  from weft._find_begun(p_bundle) as f cross join lateral (select o.* from weft._deployments as o where o.id = f.deployment_id and o.undoes is not null offset 0) as d
  where f.path = p_path limit 1;
  if found then
    raise exception '% is an undo file: what it has taken back is known, and so what is left to be taken back.', p_path
      using errcode = 'WF093', hint = format('Nothing was forgotten. To take back the rest: weft undo %s. Or bring all of its file about again by hand, and say so with weft baseline.', v_undo.undoes);
  end if;
  v_applied := (select min(h.bundle) from weft._history as h where h.path = p_path and h.bundle = coalesce(p_bundle, h.bundle));
  raise exception 'No file % % has stopped half-way.', p_path, case when p_bundle is null then 'of any bundle' else 'of the bundle ' || p_bundle end
    using errcode = 'WF093', hint = concat('Nothing was forgotten. ',
      case when v_applied is not null then format('It was applied as a whole (bundle %s): weft undo takes that back. ', v_applied) end,
      'The view weft.begun, and weft history, list what stopped half-way.');
end
$$;

comment on function weft._refuse_to_forget(text, text) is 'Says why nothing can be forgotten about a file that did not stop half-way.';


-- All that is remembered about a file is deleted: a deployment that was passed may have left more than the newest one.
create or replace function weft._forget_half(p_bundle text, p_path text, p_word jsonb)
  returns void
  volatile
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  update weft._steps as s
  set statements = c.done, error = case when c.runs_again then s.error || '{"runs_again": true}' else s.error end
  from weft._deployments as d
  cross join lateral weft._count_statements(d.id) as c
  where d.bundle = p_bundle and d.undoes is null and d.mode = 'apply' and s.deployment_id = d.id and s.ordinal = c.step and s.path = p_path and s.state <> 'succeeded'
    and (c.done > 0 or c.runs_again);
  update weft._steps as s
  set result = coalesce(s.result, '{}') || jsonb_build_object('continued',
    jsonb_strip_nulls(to_jsonb(b) - '{deployment_id,step,statement,line,start_cursor,cursor,parameters,is_begun,sweeps,throttled_by,quiet_rounds,is_uneven,lag_since}'::text[]))
  from weft._deployments as d
  join weft._batches as b on b.deployment_id = d.id and b.rounds + b.rounds_before + b.rounds_replaced > 0
  where d.bundle = p_bundle and d.mode = 'apply' and s.deployment_id = d.id and s.ordinal = b.step and s.path = p_path and s.state <> 'succeeded';
  update weft._steps as s
  set result = coalesce(s.result, '{}') || jsonb_build_object('forgotten', p_word)
  from weft._deployments as d
  where d.bundle = p_bundle and d.undoes is null and d.mode = 'apply' and s.deployment_id = d.id and s.path = p_path and s.state <> 'succeeded'
    and (exists (select from weft._statements as t where t.deployment_id = d.id and t.step = s.ordinal) and (s.statements > 0 or coalesce((s.error ->> 'runs_again')::boolean, false))
      or exists (select from weft._batches as b where b.deployment_id = d.id and b.step = s.ordinal and b.rounds + b.rounds_before + b.rounds_replaced > 0));
  delete from weft._statements as t
  using weft._steps as s
  where t.deployment_id = s.deployment_id and t.step = s.ordinal and s.path = p_path and s.result -> 'forgotten' = p_word;
  delete from weft._batches as b
  using weft._steps as s
  where b.deployment_id = s.deployment_id and b.step = s.ordinal and s.path = p_path and s.result -> 'forgotten' = p_word
$$;

comment on function weft._forget_half(text, text, jsonb) is 'Forgets what deployments have committed of a file that stopped half-way, and keeps with their steps how much that was and who said so.';


-- p_caller: who says so; by default the role of the session. p_bundle: by default, the only one of which such a file stopped half-way.
create or replace function weft.forget(p_path text, p_why text, p_bundle text default null, p_caller text default null)
  returns jsonb
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_bundles  text[];
  v_found    record;
  v_other    uuid;
  v_word     jsonb := jsonb_build_object('by', coalesce(p_caller, 'role ' || session_user), 'at', clock_timestamp(), 'why', p_why);
begin
  if p_path is null or coalesce(btrim(p_why, E' \t\n\r'), '') = '' then
    raise exception 'What of which file is gone, and why, has to be said.' using errcode = 'WF093', hint = 'Nothing was forgotten. select weft.forget(''path'', ''why nothing of it is there any more'')';
  end if;
  perform from weft._lease as l for update;
  v_bundles := array(
    select distinct f.bundle from weft._find_begun(p_bundle) as f cross join lateral (select from weft._deployments as o where o.id = f.deployment_id and o.undoes is null offset 0) as d where f.path = p_path order by f.bundle);
  if cardinality(v_bundles) = 0 then
    perform weft._refuse_to_forget(p_path, p_bundle);
  elsif cardinality(v_bundles) > 1 then
    raise exception '% stopped half-way in several bundles, and none of them was named: %.', p_path, array_to_string(v_bundles, ', ')
      using errcode = 'WF093', hint = format('Nothing was forgotten. Say which: weft forget %s --bundle %s. In SQL: p_bundle => %L.', p_path, v_bundles[1], v_bundles[1]);
  end if;
  select d.id into v_other from weft._deployments as d
  where d.bundle = v_bundles[1] and d.state = 'running' and exists (select from weft._steps as s where s.deployment_id = d.id and s.path = p_path) limit 1;
  if found then
    raise exception 'Deployment % of the bundle % has begun and is not over, and % is one of its files.', v_other, v_bundles[1], p_path
      using errcode = 'WF093', hint = format('Nothing was forgotten. Let it come to its end (weft resume %s), or cancel it (weft cancel %1$s), then say it again.', v_other);
  end if;
  select f.* into v_found from weft._find_begun(v_bundles[1]) as f where f.path = p_path;
  perform from weft._deployments as d where d.id = v_found.deployment_id for no key update;
  perform weft._forget_half(v_bundles[1], p_path, v_word);
  perform weft._tell(v_found.deployment_id, 'forgotten', p_path => p_path, p_data => v_word - 'at' || jsonb_strip_nulls(jsonb_build_object('statements', v_found.statements, 'rounds', v_found.rounds)));
  return v_word || jsonb_build_object('bundle', v_found.bundle, 'path', v_found.path, 'deployment', v_found.deployment_id, 'statements', v_found.statements, 'rounds', v_found.rounds);
end
$$;

comment on function weft.forget(text, text, text, text) is
  'Declares that nothing of a file that stopped half-way is left in the database, and why: from then on nothing of it counts as done, and a deployment that brings it runs it from its beginning.';
