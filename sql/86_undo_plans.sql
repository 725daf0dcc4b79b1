-- What an undo would run, shown in advance, and what would make it fail, as far as the catalog tells: in the same words as the later
-- error.

-- Finds a name anywhere in a file, even in the body of a function or in a comment. A file that cannot be read here may contain any name.
create or replace function weft._list_secrets_needed(p_undone uuid, p_held weft._history[] default null, p_later uuid[] default '{}')
  returns jsonb
  stable
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_givers  uuid[];
begin
  if not exists (select from weft._parameters as p where p.is_secret) then
    return '[]';
  end if;
  v_givers := weft._list_givers(p_undone, p_held, p_later);
  if not exists (select from weft._list_secrets_of(p_undone, v_givers) as p where p.is_needed) then
    return '[]';
  end if;
  return (
    with files as materialized (
      select distinct s.path, s.given_by, case when s.kind <> 'load' then weft._kept_text(s.given_by, s.path, s.digest)
        else coalesce((select string_agg(o.options ->> 'where', ' ') from weft._steps as o where o.deployment_id in (p_undone, s.given_by) and o.path = s.path and o.kind = 'load'), '') end as text
      from weft._list_undo_steps(p_undone, p_held, p_later) as s
    )
    select coalesce(jsonb_agg(jsonb_build_object('name', n.name, 'paths', n.paths) order by n.name), '[]')
    from (
      select p.name, jsonb_agg(distinct f.path) as paths
      from weft._list_secrets_of(p_undone, v_givers) as p
      -- files that are new in a deployment do not matter to others
      join files as f on (f.text is null or f.text ~ concat('\m', p.name, '\M')) and (p.declared_by = p_undone or f.given_by = any (v_givers))
      where p.is_needed
      group by p.name
    ) as n);
end
$$;

comment on function weft._list_secrets_needed(uuid, weft._history[], uuid[]) is 'Lists the secret parameters that a deployment was given, or that came with an undo file, and that files of its undo name, with the paths of those files.';


-- A role as which nothing can be run.
create or replace function weft._foresee_roles(p_undone uuid)
  returns jsonb
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select coalesce(jsonb_agg(jsonb_build_object('phase', k.phase, 'sqlstate', 'WF009', 'message', k.message, 'hint', k.hint) order by k.place), '[]')
  from (
    select p.name as phase, min(s.place) as place,
           format(case when r.oid is null then 'Phase %s of the undo would run as "%s", and there is no such role.' else 'Phase %s of the undo would run as "%s", which this role may not become.' end, p.name, p.role) as message,
           format(case when r.oid is null then 'As an administrator: create role %1$I; grant %1$I to %2$I' else 'As an administrator: grant %1$I to %2$I' end, p.role, current_user) as hint
    from weft._list_undo_steps(p_undone) as s
    join weft._phases as p on p.deployment_id = p_undone and p.ordinal = s.phase
    left join pg_roles as r on r.rolname = p.role
    where p.role is not null and not s.is_kept
      and (r.oid is null or not pg_has_role(r.oid, case when current_setting('server_version_num')::integer >= 160000 then 'set' else 'member' end))
    group by p.name, p.role, r.oid
  ) as k
$$;

comment on function weft._foresee_roles(uuid) is 'Lists phases of an undo that would run as a role that does not exist, or that this role may not take.';


-- Only the server can say whether the older content of a file can replace what is there, when it runs. If not, what is there must be dropped
-- first; the consequences of that can be seen now.
create or replace function weft._foresee_drops(p_undone uuid)
  returns jsonb
  stable
  set search_path = pg_catalog, pg_temp
  set jit = off
  language sql
as $$
  with recursive undone as materialized (  -- read once
    select jsonb_object_agg(u.path, u.replaced -> 'made') as made from weft._steps as u where u.deployment_id = p_undone and u.kind = 'run'
  ),
  makers as materialized (
    select s.place, s.path, p.name as phase, p.role, s.restores and not s.is_kept as is_returning, m.made
    from weft._list_undo_steps(p_undone) as s
    cross join undone
    join weft._deployments as d on d.id = p_undone
    join weft._phases as p on p.deployment_id = p_undone and p.ordinal = s.phase
    left join lateral (select k.made from weft._history as k where k.bundle = d.bundle and k.path = s.path offset 0) as h on true
    cross join lateral (select coalesce(nullif(case when s.undoes is null then h.made else undone.made -> s.undoes end, 'null'), '[]') as made) as m
    where s.kind = 'run' and (s.restores or s.is_kept) and p.transaction <> 'none'
  ),
  remade as materialized (
    select distinct on (f.classid, f.objid) f.classid, f.objid, f.object ->> 'name' as name, m.path, m.role
    from makers as m cross join lateral weft._find_objects(m.made) as f
    order by f.classid, f.objid, m.place
  ),
  reached as (
    select m.place, m.phase, m.path, f.classid, f.objid, 0 as depth
    from makers as m cross join lateral weft._find_objects(m.made) as f
    where m.is_returning
    union
    select r.place, r.phase, r.path, k.classid, k.objid, r.depth + 1
    from reached as r
    join pg_depend as d on d.refclassid = r.classid and d.refobjid = r.objid and d.deptype in ('n', 'a', 'i')
    left join pg_rewrite as w on d.classid = 'pg_rewrite'::regclass and w.oid = d.objid
    cross join lateral (select case when w.oid is null then d.classid else 'pg_class'::regclass::oid end as classid, coalesce(w.ev_class, d.objid) as objid) as k
    where (k.classid, k.objid) <> (r.classid, r.objid) and r.depth < weft._limit('dependents_depth_max')
      and (d.deptype = 'i' or (k.classid, k.objid) in (select f.classid, f.objid from remade as f))  -- its own row type, or an object that a file makes again
  ),
  gone as materialized (
    select r.place, r.phase, r.path, r.classid, r.objid, f.name, f.path as made_by, f.role
    from (select distinct o.place, o.phase, o.path, o.classid, o.objid from reached as o) as r
    left join remade as f on f.classid = r.classid and f.objid = r.objid
  ),
  losses as (
    select g.place, g.phase, g.path, g.name, 'WF073' as sqlstate, weft._word_loss(g.name, g.made_by, k.lost) as message, null as detail, weft._advise_on_room() as hint, k.is_made_again
    from gone as g
    cross join lateral (
      select weft._refuse_drop(g.classid, g.objid, g.role) as lost, false as is_made_again
      union all
      select (select string_agg(a.value ->> 'what', '; ' order by a.value ->> 'what') from jsonb_array_elements(weft._list_attached(g.classid, g.objid)) as a), true
    ) as k
    where g.name is not null and k.lost is not null
  ),
  held as (
    select h.place, h.phase, h.path, null as name, '2BP01' as sqlstate, weft._word_dependents(h.path) as message,
           string_agg(distinct h.words, E'\n' order by h.words) as detail, weft._advise_on_dependents() as hint, false as is_made_again
    from (
      select g.place, g.phase, g.path,
             format('%s depends on %s', case when w.rulename = '_RETURN' then pg_describe_object('pg_class'::regclass, w.ev_class, 0) else pg_describe_object(d.classid, d.objid, d.objsubid) end,
               pg_describe_object(g.classid, g.objid, 0)) as words
      from gone as g
      join pg_depend as d on d.refclassid = g.classid and d.refobjid = g.objid and d.deptype = 'n'
      left join pg_rewrite as w on d.classid = 'pg_rewrite'::regclass and w.oid = d.objid
      where not exists (
        select from gone as o
        where o.place = g.place and o.classid = case when w.oid is null then d.classid else 'pg_class'::regclass::oid end and o.objid = coalesce(w.ev_class, d.objid))
    ) as h
    group by h.place, h.phase, h.path
  )
  select coalesce(jsonb_agg(jsonb_strip_nulls(jsonb_build_object('phase', k.phase, 'path', k.path, 'sqlstate', k.sqlstate, 'message', k.message, 'detail', k.detail, 'hint', k.hint,
           'if', 'dropped', 'unless_made_again', case when k.is_made_again then true end)) order by k.place, k.sqlstate, k.message), '[]')
  from (select l.* from losses as l union all select h.* from held as h) as k
$$;

comment on function weft._foresee_drops(uuid) is
  'Lists the errors of an undo that has to drop what is in the way of older content: for dependent objects that nobody makes again, and for what would be lost (unless_made_again: if the file does not make that again).';


create or replace function weft._foresee_undo(p_undone uuid)
  returns jsonb
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select weft._foresee_roles(p_undone) || weft._foresee_drops(p_undone)
$$;

comment on function weft._foresee_undo(uuid) is 'Lists the errors of an undo, as far as they can be known beforehand; if: the error depends on something that only shows when it runs.';


create or replace function weft.plan_undo(p_deployment uuid default null, p_bundle text default null)
  returns jsonb
  stable
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_undone  weft._deployments := weft._choose_undone(p_deployment, p_bundle);
begin
  if v_undone.mode = 'baseline' then
    return jsonb_build_object(
      'deployment', v_undone.id, 'bundle', v_undone.bundle, 'mode', v_undone.mode, 'state', v_undone.state, 'caller', v_undone.caller, 'started_at', v_undone.started_at, 'finished_at', v_undone.finished_at,
      'phases', '[]'::jsonb, 'stand_by', '[]'::jsonb, 'lacking', '[]'::jsonb, 'secrets', '[]'::jsonb, 'foreseen', '[]'::jsonb,
      'withdraws', (
        select coalesce(jsonb_agg(jsonb_build_object('path', h.applied_path, 'as_before', s.replaced is not null) order by s.ordinal), '[]')
        from weft._history as h left join weft._steps as s on s.deployment_id = v_undone.id and s.path = h.applied_path
        where h.bundle = v_undone.bundle and h.deployment_id = v_undone.id));
  end if;
  return weft._as_answer((
    with steps as materialized (select s.* from weft._list_undo_steps(v_undone.id) as s),
    sizes as materialized (  -- reads only deployments that bring one, and each of them once, not for each file
      select g.id as deployment_id, a.digest, max(a.size) as size
      from (select distinct s.given_by as id from steps as s) as g
      cross join lateral (select k.digest, k.size from weft._artifacts as k where k.deployment_id = g.id offset 0) as a
      group by g.id, a.digest
    )
    select jsonb_build_object(
      'deployment', v_undone.id, 'mode', v_undone.mode, 'bundle', v_undone.bundle, 'state', v_undone.state, 'caller', v_undone.caller,
      'started_at', v_undone.started_at, 'finished_at', v_undone.finished_at,
      'phases', (
        select coalesce(jsonb_agg(jsonb_build_object(
          'name', case when g.is_again then weft._name_again(v_undone.id, p.name) else p.name end, 'transaction', p.transaction, 'steps', g.steps) order by g.place), '[]')
        from weft._phases as p
        join (
          select s.phase, s.is_again, min(s.place) as place, jsonb_agg(jsonb_build_object(
                   'path', s.undoes, 'kind', s.kind, 'undo', s.path, 'digest', encode(s.digest, 'hex'), 'size', a.size,
                   'given_by', case when s.is_given_by_other then s.given_by end, 'restores', s.restores, 'statements_done', s.done,
                   'may_wait', (s.path, s.undoes) in (select k.path, k.undoes from steps as k where k.is_kept and k.restores and k.undoes is not null)) order by s.place) as steps
          from steps as s
          left join sizes as a on a.deployment_id = s.given_by and a.digest = s.digest
          where not s.is_kept
          group by s.phase, s.is_again
        ) as g on g.phase = p.ordinal
        where p.deployment_id = v_undone.id),
      'secrets', weft._list_secrets_needed(v_undone.id),
      'foreseen', weft._foresee_undo(v_undone.id),
      -- files whose objects depend on something that is dropped are made again
      'stand_by', (
        select coalesce(jsonb_agg(distinct s.path), '[]') from steps as s
        where s.is_kept and not s.restores and s.path not in (select l.path from weft._list_effects(v_undone.id) as l where l.undo is null)),
      'lacking', (
        select coalesce(jsonb_agg(jsonb_build_object('phase', p.name, 'path', e.path, 'kind', e.kind, 'repeat', s.options -> 'repeat', 'statements_done', e.done,
          'ran_once', case when s.options ? 'repeat' and s.replaced is not null and s.replaced ->> 'place' is null then s.replaced -> 'deployment_id' end,
          'stands_by', e.path in (select k.path from steps as k where k.is_kept)) order by e.ordinal desc), '[]')
        from weft._list_effects(v_undone.id) as e
        cross join lateral (select o.options, o.replaced from weft._steps as o where o.deployment_id = v_undone.id and o.ordinal = e.ordinal offset 0) as s
        join weft._phases as p on p.deployment_id = v_undone.id and p.ordinal = e.phase
        where e.undo is null))));
end
$$;

comment on function weft.plan_undo(uuid, text) is
  'Shows what undoing a deployment would run, in order, which unchanged repeatable files wait to be called back, what of it has no undo and would stay (lacking), which secrets it needs, and its errors, as far as they can be known (foreseen). Without an id: the newest deployment of the bundle that is named, or of the only one.';
