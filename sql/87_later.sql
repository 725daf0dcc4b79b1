-- Going back over several deployments: which ones came after one, and must be undone to bring the database back to where that one left it.
--
-- Each is taken back by its own undo (floor 95), the newest first. Before the first, this tells whether all of them can be undone.

-- For each, the rows that the history would have of it: those that it has now, and those that undoing later ones would restore.
create or replace function weft._list_later(p_origin weft._deployments)
  returns table (id uuid, held weft._history[], later uuid[])
  stable
  set search_path = pg_catalog, pg_temp
  set enable_nestloop = off  -- rows that were just written have no statistics
  set jit = off
  language plpgsql
as $$
declare
  v_one     record;
  v_rows    weft._history[];
begin
  v_rows := array(select h from weft._history as h where h.bundle = p_origin.bundle);
  later := '{}';
  for v_one in
    select d.id, d.mode from weft._deployments as d
    -- a baseline keeps what it has replaced in the history, to restore it: so baselines that came after a baseline are withdrawn, too
    where d.bundle = p_origin.bundle and d.started_at > coalesce(p_origin.started_at, p_origin.finished_at) and d.undoes is null and (d.mode = 'apply' or d.mode = 'baseline' and p_origin.mode = 'baseline')
    order by d.started_at desc, d.id
  loop
    held := array(select r from unnest(v_rows) as r where r.deployment_id = v_one.id);
    if held <> '{}' or exists (select from weft._list_halves(v_one.id) as f where f.recorded_by is null or f.recorded_by = any (later)) then
      id := v_one.id;
      return next;
      later := later || id;
    end if;
    if held <> '{}' then
      v_rows := array(
        select r from unnest(v_rows) as r where r.deployment_id <> v_one.id
        union all
        select jsonb_populate_record(null::weft._history, s.replaced || jsonb_build_object('digest', '\x' || (s.replaced ->> 'digest')))
        from unnest(held) as r
        join weft._steps as s on s.deployment_id = v_one.id and s.path = r.applied_path and s.kind <> 'check' and s.replaced is not null
        where v_one.mode = 'baseline' or weft._comes_back(s.path, s.kind, s.options, s.replaced));
    end if;
  end loop;
end
$$;

comment on function weft._list_later(weft._deployments) is
  'Lists the deployments of the same bundle that came after this one and of which something is in the database, or comes back into it when newer ones are undone, the newest first; each with the rows that the history would have of it then (held), and those before it in the list (later). After a baseline the baselines too.';


create or replace function weft.list_later(p_deployment uuid)
  returns jsonb
  stable
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_origin  weft._deployments;
  v_undo    uuid;
begin
  select d.* into v_origin from weft._deployments as d where d.id = p_deployment;
  if not found then
    raise exception 'There is no deployment % in this database.', p_deployment using errcode = 'WF002', hint = 'select * from weft.deployments';
  elsif v_origin.undoes is not null then
    raise exception 'Deployment % is itself an undo, of deployment %.', v_origin.id, v_origin.undoes
      using errcode = 'WF070', hint = 'Name a deployment that has brought something: what came after it is taken back.';
  elsif v_origin.mode = 'rehearse' then
    raise exception 'Deployment % was a rehearsal: the database never stood as it would have left it.', v_origin.id
      using errcode = 'WF070', hint = 'Name a deployment that has brought something: what came after it is taken back.';
  elsif v_origin.finished_at is null then
    raise exception 'Deployment % is not over: it is %.', v_origin.id, v_origin.state
      using errcode = 'WF071', hint = 'Let it come to its end, or cancel it; then take back what came after it.';
  end if;
  v_undo := (select u.id from weft._deployments as u where u.undoes = v_origin.id and u.mode = 'apply' and u.state in ('succeeded', 'degraded') order by u.finished_at desc limit 1);
  if v_undo is not null then
    raise exception 'Deployment % was taken back itself, by deployment %: taking back more does not bring the database to where it stood.', v_origin.id, v_undo
      using errcode = 'WF070', hint = 'Name the deployment before it, or deploy what it has brought.';
  end if;
  return weft._as_answer(jsonb_build_object(
    'deployment', v_origin.id, 'bundle', v_origin.bundle, 'request_id', v_origin.request_id, 'mode', v_origin.mode, 'state', v_origin.state, 'finished_at', v_origin.finished_at,
    'later', (
      select coalesce(jsonb_agg(jsonb_build_object(
               'deployment', d.id, 'request_id', d.request_id, 'mode', d.mode, 'state', d.state, 'caller', d.caller, 'started_at', d.started_at, 'finished_at', d.finished_at,
               'lacking', case d.mode when 'baseline' then '[]' else (
                 select coalesce(jsonb_agg(e.path order by e.path collate "C"), '[]') from weft._list_effects(d.id, l.held, l.later) as e where e.undo is null) end,
               'secrets', case d.mode when 'baseline' then '[]' else weft._list_secrets_needed(d.id, l.held, l.later) end) order by l.number), '[]')
      from weft._list_later(v_origin) with ordinality as l (id, held, later, number)
      cross join lateral (select o.* from weft._deployments as o where o.id = l.id offset 0) as d)));
end
$$;

comment on function weft.list_later(uuid) is
  'Lists, as a document, what must be undone to bring the database back to where a deployment has left its bundle: the deployments of that bundle that came after it and are in the database, the newest first, each with its files that have no undo (lacking), and the secrets that its undo needs.';
