-- Whose turn it is, and how a deployment begins or continues. Every function here is one transition: lock, read, write, record.

-- open -> staged, when everything has arrived, and the approval is there if one is needed. Only now it gets its place in line: a waiting deployment holds up nobody.
create or replace function weft._settle_staged(p_deployment uuid)
  returns weft.deployment_state
  volatile
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan  -- called often, and only looks up keys
  language plpgsql
as $$
declare
  v_state  weft.deployment_state;
begin
  select d.state into v_state from weft._deployments as d where d.id = p_deployment for no key update;
  if v_state is distinct from 'open' then
    return v_state;
  end if;
  -- held until the commit, so that chunks found here are not swept meanwhile
  perform pg_advisory_xact_lock_shared(hashtextextended('weft: kept chunks', 0));
  if exists (select weft._missing_chunks(p_deployment)) then  -- not in FROM, where all would be listed before the first is seen
    null;
  elsif (select weft._lacks_approval(p.deployment_id) from weft._protections as p where p.deployment_id = p_deployment) then
    perform weft._ask_for_approval(p_deployment);
  else
    perform pg_advisory_xact_lock(hashtextextended('weft: places in line', 0));  -- held until the commit, so that places become visible in order
    update weft._deployments as d
    set state = 'staged', staged_at = clock_timestamp(),
        -- logical replication, say, brings rows without the state of sequences, so the sequence may be behind
        place = greatest(nextval('weft._places'), (select max(o.place) from weft._deployments as o) + 1)
    where d.id = p_deployment
    returning d.state into v_state;
    perform weft._tell(p_deployment, 'staged');
  end if;
  return v_state;
end
$$;

comment on function weft._settle_staged(uuid) is 'Gives a deployment its place in line as soon as all of its artifacts have arrived, and its approval, if it needs one.';


create or replace function weft._missing_chunks(p_deployment uuid)
  returns table (digest bytea)
  stable
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan  -- asked again and again, by keys alone
  set enable_seqscan = off  -- even if the table was empty when this was planned
  language sql
as $$
  select u.digest
  from (select unnest(a.chunks) as digest from weft._artifacts as a where a.deployment_id = p_deployment) as u
  where (select true from weft._chunks as c where c.digest = u.digest) is null  -- by its key, one after another, because there may be very many chunks
$$;

comment on function weft._missing_chunks(uuid) is 'Lists the chunks of a deployment that are not in the database; one that its files have several times is listed as often.';


-- A client may vanish silently in the middle of a request. Until the network notices, its session would hold locks, for which a repeated request
-- would wait, or at least a snapshot, for which each concurrent index build would wait. Every trigger ends such sessions, and so does whoever
-- follows a deployment: nobody else may come for hours, and a running deployment cannot look for itself.
create or replace function weft.end_lost_sessions()
  returns void
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
begin
  perform pg_terminate_backend(a.pid)
  from pg_stat_get_activity(null) as a
  where a.datid = (select d.oid from pg_database as d where d.datname = current_database()) and a.usesysid = to_regrole(quote_ident(current_user)) and a.pid <> pg_backend_pid()
    and a.query ^@ any (array[  -- in the form in which Weft sends them
      'select weft.', 'call weft.', 'select set_config(''weft.', 'select pg_catalog.set_config(''weft.',
      'select current_setting(''server_version_num'')', 'select pg_catalog.current_setting(''server_version_num'')'])
    and a.state = 'active' and a.wait_event = 'ClientRead' and coalesce(a.backend_xid, a.backend_xmin) is not null
    and a.query_start < clock_timestamp() - make_interval(secs => weft._limit('client_silence_seconds'));
end
$$;

comment on function weft.end_lost_sessions() is
  'Ends sessions of this role whose client has vanished in the middle of a request to Weft, and which may be in the way of a deployment.';


-- The next deployment to work on, so that p_deployment can end: those ahead of it in line, then itself. Without p_deployment: everything
-- that is staged or begun. Deployments ahead run under their own caller's grant: one whose caller is not among p_callers waits, and lets
-- others pass. So does one that needs secrets: only those of p_deployment came along, unless p_is_lacking.
create or replace function weft._next_in_line(
    p_deployment uuid, p_target text, p_fence bigint, p_callers text[], p_is_lacking boolean, p_secrets_of uuid,
    out id uuid, out is_undo boolean, out is_baseline boolean, out is_rehearsal boolean)
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_origin  jsonb;
begin
  perform weft._check_fence(p_fence, p_until_commit => true);
  loop
    select d.id, d.origin, d.undoes is not null, d.mode = 'baseline', d.mode = 'rehearse' into id, v_origin, is_undo, is_baseline, is_rehearsal
    from weft._deployments as d
    -- a place can become visible late: what has begun continues before anything else begins
    where d.state in ('staged', 'running')
      and (d.id = p_deployment or p_callers is null or case when d.undoes is null then d.caller else 'undo:' || d.caller end = any (p_callers))
      and case when d.id = coalesce(p_deployment, p_secrets_of) then not p_is_lacking
            else not exists (select from weft._parameters as s where s.deployment_id = d.id and s.is_secret and s.is_given) end
      and (p_deployment is null or d.state = 'running' or d.place <= (select m.place from weft._deployments as m where m.id = p_deployment))
    order by (d.state = 'running') desc, d.place
    limit 1;
    if not found then
      return;
    elsif weft._is_here(v_origin, p_target) then
      update weft._lease as l set deployment_id = _next_in_line.id where l.fence = p_fence and l.deployment_id is distinct from _next_in_line.id;
      return;
    end if;
    perform weft._end(id, 'cancelled', jsonb_build_object(
      'sqlstate', 'WF017',
      'message', 'This database is a copy of the one for which the deployment was opened; what was unfinished there is not continued here.',
      'detail', format('Opened in %s; this is %s.', v_origin, weft._origin(p_target))));
  end loop;
end
$$;

comment on function weft._next_in_line(uuid, text, bigint, text[], boolean, uuid) is 'Chooses the deployment whose turn it is, and points the lease at it; cancels what only a copied database brought along. All null if nothing is in line.';


-- Skips what is already in the history. If another deployment has done the beginning of a file, the rest is run in the same way. May end the deployment.
create or replace function weft._leave_out_applied(p_deployment weft._deployments)
  returns void
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  -- otherwise there is nothing to compare with: nothing of its bundle was ever applied here, not even a part of a file
  v_is_met   boolean := exists (select from weft._history as h where h.bundle = p_deployment.bundle) or exists (select from weft._statements as t where t.deployment_id <> p_deployment.id);
  v_quarrel  jsonb;
begin
  if p_deployment.undoes is null then  -- an undo is about what is in the history
    if v_is_met then
      v_quarrel := weft._settle_with_history(p_deployment);
      if v_quarrel is not null then
        perform weft._end(p_deployment.id, 'failed', v_quarrel);
        return;
      end if;
    end if;
    perform weft._leave_to_later(p_deployment.id, 'pending')
    where exists (select from weft._deployments as o where o.place > p_deployment.place and o.finished_at is not null);  -- one that has passed this one
    perform weft._claim_left_out(p_deployment), weft._arrange_groups(p_deployment)
    where p_deployment.state = 'staged' and exists (select from weft._phases as p where p.deployment_id = p_deployment.id and p.has_repeatables);
  end if;
  if v_is_met then
    perform weft._go_on_with_halves(p_deployment);
  end if;
end
$$;

comment on function weft._leave_out_applied(weft._deployments) is
  'Marks the steps whose artifacts the history has already, or of which another deployment has run a part; ends a deployment that the history does not allow.';


-- In the block of a rehearsal, the history is what it would be after a deployment; it is rolled back with everything else.
create or replace function weft._follow_for_now(p_deployment uuid)
  returns void
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_as_if  weft._deployments;
begin
  if exists (select from weft._steps as s where s.deployment_id = p_deployment and s.result ? 'history') then
    select d.* into strict v_as_if from weft._deployments as d where d.id = p_deployment;
    v_as_if.mode := 'apply';
    perform weft._follow_findings(v_as_if, array(select f from weft._judge_history(v_as_if.manifest, p_deployment, '{}') as f where f.verdict in ('unchanged', 'renamed', 'reworded') order by f.ordinal));
  end if;
end
$$;

comment on function weft._follow_for_now(uuid) is 'Lets the history follow renamed, reformatted and reworded files of a rehearsal, in the transaction that is rolled back.';


-- If another deployment has done the beginning of a file, the rest is run in the same way; in one transaction, the whole file would run again.
create or replace function weft._go_on_with_halves(p_deployment weft._deployments)
  returns void
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_refusal  jsonb;
  v_half     record;
begin
  if not exists (select from weft._statements as t where t.deployment_id <> p_deployment.id) then
    return;
  end if;
  for v_half in
    select s.ordinal, s.path, p.transaction
    from weft._steps as s
    join weft._phases as p on p.deployment_id = s.deployment_id and p.ordinal = s.phase
    where s.deployment_id = p_deployment.id and s.state = 'pending' and p.transaction <> 'none' and not s.options ? 'repeat'
      and exists (
        select from weft._find_earlier(p_deployment.id, s.path) as e
        join weft._statements as t on t.deployment_id = e.deployment_id and t.step = e.ordinal and t.state = 'done')
    order by p.transaction = 'auto', s.ordinal  -- files that end the deployment come first
  loop
    if v_half.transaction <> 'auto' then
      v_refusal := weft._describe_half_in_one(v_half.path);
      perform weft._end(p_deployment.id, 'failed', v_refusal || jsonb_build_object('detail', concat(v_refusal ->> 'detail',
        case p_deployment.state when 'staged' then ' Nothing of this deployment was run.' else ' Another deployment of the bundle has passed this one, which goes no further.' end)));
      return;
    end if;
    update weft._steps as s set is_apart = true where s.deployment_id = p_deployment.id and s.ordinal = v_half.ordinal;
  end loop;
end
$$;

comment on function weft._go_on_with_halves(weft._deployments) is
  'Marks the steps of which another deployment has run a part, so that they continue where it stopped, and ends a deployment whose phases would run these files whole.';


-- staged -> running: notes the catalog and the WAL position before, and which artifacts are already in the history.
create or replace function weft._begin(p_deployment uuid, p_fence bigint)
  returns void
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_deployment   weft._deployments;
  v_fingerprint  text;
  v_unread       jsonb;
begin
  perform weft._check_fence(p_fence);
  select d.* into v_deployment from weft._deployments as d where d.id = p_deployment and d.state in ('staged', 'running');
  if not found then
    return;
  elsif v_deployment.state = 'running' then
    perform weft._check_fence(p_fence, p_until_commit => true);
    perform weft._leave_out_applied(v_deployment)
    where v_deployment.mode <> 'baseline' and exists (  -- one that has passed it, or has run since because it was opened again
      select from weft._deployments as o
      where o.bundle = v_deployment.bundle and o.id <> p_deployment and (o.started_at > v_deployment.started_at or o.finished_at > v_deployment.started_at or o.state = 'running'));
    return;
  end if;
  select k.fingerprint, k.error into v_fingerprint, v_unread from weft._keep_snapshot() as k;  -- before any lock is taken
  perform weft._check_fence(p_fence, p_until_commit => true);
  update weft._deployments as d
  set state = 'running', started_at = clock_timestamp(), wal_before = pg_current_wal_insert_lsn(), fingerprint_before = v_fingerprint, fingerprint_met = v_fingerprint,
      fingerprint_expected = v_fingerprint,
      engine_version = weft.version(), server_version = current_setting('server_version')
  where d.id = p_deployment and d.state = 'staged';
  if not found then
    return;
  end if;
  -- the manifest of an undo says what it takes back
  perform weft._note_unwatched(v_deployment)
  where v_deployment.mode <> 'rehearse' and v_deployment.undoes is null
    and (v_deployment.manifest ? 'unwatched' or exists (select from weft._unwatched as u where u.bundle = v_deployment.bundle));
  perform weft._tell(p_deployment, 'started', p_data => jsonb_build_object('fence', p_fence)),
    case when v_unread is not null then weft._tell(p_deployment, 'catalog_not_read', p_data => v_unread) end,
    weft._tell_of_drift(p_deployment, v_fingerprint),
    -- the row as it was read, still staged; a baseline exists to settle what the history does not allow
    case when v_deployment.mode <> 'baseline' then weft._leave_out_applied(v_deployment) end;
end
$$;

comment on function weft._begin(uuid, bigint) is 'Begins a deployment, with the fingerprint and the WAL position before; for one that was begun and then passed, skips what others have applied since.';


-- A cancel request and its signal travel separately: the signal may arrive before the row is visible.
create or replace function weft._is_cancelled(p_deployment uuid)
  returns boolean
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
begin
  for v_try in 1 .. 10 loop
    perform from weft._cancellations as c where c.deployment_id = p_deployment;
    if found then
      return true;
    end if;
    perform pg_sleep(0.05);
  end loop;
  return false;
end
$$;

comment on function weft._is_cancelled(uuid) is 'Tells whether somebody asked to cancel a deployment; waits half a second for the request after a signal.';


create or replace function weft._rest(p_seconds double precision)
  returns void
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
begin
  perform pg_sleep(p_seconds);
exception when query_canceled then
  null;  -- woken up: the caller looks for a request to cancel
end
$$;

comment on function weft._rest(double precision) is 'Sleeps, a second at most, so that waiting holds nothing for long.';
