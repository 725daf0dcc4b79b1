-- Drift that stays drift: what the catalog should be after a deployment that found drift, and how somebody says that a change is meant.
--
-- A deployment says nothing about what it has not touched. So after it, the catalog should be as it should have been before, plus what
-- the deployment itself has changed: object by object, and in tables column by column.

-- For tables that are in all three catalogs: their columns, and what is said about the table itself. Null if nothing is left of it.
create or replace function weft._expect_table(p_expected text, p_met text, p_left text)
  returns text
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  with parts as materialized (
    select v.side, p.place, p.part, case when p.place > 1 then coalesce(substring(p.part from '^"(?:[^"]|"")*"'), split_part(p.part, ' ', 1)) end as name
    from (values ('expected', p_expected), ('met', p_met), ('left', p_left)) as v (side, object)
    cross join lateral string_to_table(v.object, E'\x1d') with ordinality as p (part, place)
  ),
  columns as materialized (
    select p.name,
           max(p.part) filter (where p.side = 'expected') as expected, max(p.part) filter (where p.side = 'met') as met, max(p.part) filter (where p.side = 'left') as "left",
           max(p.place) filter (where p.side = 'expected') as place_expected, max(p.place) filter (where p.side = 'met') as place_met, max(p.place) filter (where p.side = 'left') as place_left
    from parts as p
    group by p.name
  ),
  orders as (
    select array_agg(c.name order by c.place_met) <> array_agg(c.name order by c.place_left) as is_reordered
    from columns as c
    where c.met is not null and c."left" is not null
  )
  select string_agg(k.part, E'\x1d' order by k.name is not null, case when o.is_reordered then coalesce(k.place_left, k.place_expected) else coalesce(k.place_expected, 10000 + k.place_left) end)
  from (select c.*, case when c.met is distinct from c."left" then c."left" else c.expected end as part from columns as c) as k
  cross join orders as o
  where k.part is not null
$$;

comment on function weft._expect_table(text, text, text) is 'Writes what a table should be after a deployment: what it should have been before, plus what the deployment has changed in it and its columns.';


-- Compares what a deployment met with what it left: objects, and the columns of those that are on both sides.
create or replace function weft._list_fallen(p_kind text, p_identity text, p_met text, p_left text)
  returns setof text
  immutable parallel safe
  rows 2
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
begin
  if p_left is null then
    return query select k.key from weft._list_own_keys(p_kind, p_identity, split_part(p_met, E'\x1f', 3)) as k (key);
  elsif p_met like E'%\x1d%' and p_kind not like '%view' then
    return query
    select weft._name_key('column', concat(p_identity, '.', c.name))
    from (
      select coalesce(substring(p.part from '^"(?:[^"]|"")*"'), split_part(p.part, ' ', 1)) as name from string_to_table(p_met, E'\x1d') with ordinality as p (part, place) where p.place > 1
      except
      select coalesce(substring(p.part from '^"(?:[^"]|"")*"'), split_part(p.part, ' ', 1)) from string_to_table(p_left, E'\x1d') with ordinality as p (part, place) where p.place > 1) as c;
  end if;
end
$$;

comment on function weft._list_fallen(text, text, text, text) is 'Lists by their keys what is gone of an object: itself, or its columns.';


-- p_was, p_undone: after an undo, what the deployment that it took back had met and left. If somebody has dropped what that one had made before the undo could do so,
-- or made what it had dropped, that is as the undo would have left it.
create or replace function weft._expect_catalog(p_expected text, p_met text, p_left text, p_was text default null, p_undone text default null)
  returns text
  immutable
  set search_path = pg_catalog, pg_temp
  set enable_nestloop = off
  set jit = off
  language sql
as $$
  with recursive
  "left" as materialized (
    select split_part(o.object, E'\x1f', 1) as kind, split_part(o.object, E'\x1f', 2) as identity, o.object from string_to_table(p_left, E'\x1e') as o (object)),
  drifted as materialized (select p.kind, p.identity, p.before as expected, p.after as met from weft._pair_differing(p_expected, p_met) as p),
  taken_back as materialized (
    select p.kind, p.identity, p.before from weft._pair_differing(p_was, p_undone) as p
    where p_was is not null and p_undone is not null and (p.before is null or p.after is null)),
  missing as materialized (
    select d.kind, d.identity, split_part(d.expected, E'\x1f', 3) as definition, row_number() over () as number from drifted as d where d.met is null
  ),
  own as materialized (select m.number, k.key from missing as m cross join lateral weft._list_own_keys(m.kind, m.identity, m.definition) as k (key)),
  held as materialized (select m.number, h.holder from missing as m cross join lateral weft._list_holders(m.kind, m.identity, m.definition) as h (holder)),
  -- what the deployment has dropped, missing objects that depended on it, and those that depended on these in turn
  fallen (key) as (
    select f.key
    from weft._pair_differing(p_met, p_left) as p cross join lateral weft._list_fallen(p.kind, p.identity, p.before, p.after) as f (key)
    where p.before is not null and exists (select from missing)
    union
    select o.key from fallen as f join held as h on h.holder = f.key join own as o on o.number = h.number
  ),
  gone_along as materialized (
    select m.kind, m.identity from missing as m where m.number in (select o.number from own as o join fallen as f on f.key = o.key)
  ),
  settled as materialized (
    select d.kind, d.identity, l.object as "left",
           case
             when t.kind is not null and l.object is not distinct from t.before then l.object
             when a.kind is not null and l.object is null then null
             when d.met is null and d.kind = 'index' and d.expected like '% INVALID%' then l.object  -- half-made and dropped since: nobody misses it
             when l.object is not distinct from d.met then d.expected
             when d.met is null or l.object is null or d.met not like E'%\x1d%' or d.kind like '%view' then l.object  -- the deployment has made it what it is
             when d.expected is not null then weft._expect_table(d.expected, d.met, l.object)
             when split_part(d.met, E'\x1d', 1) <> split_part(l.object, E'\x1d', 1) then l.object
           end as object
    from drifted as d
    left join "left" as l on l.kind = d.kind and l.identity = d.identity
    left join taken_back as t on t.kind = d.kind and t.identity = d.identity
    left join gone_along as a on a.kind = d.kind and a.identity = d.identity
  )
  select case when not exists (select from settled as s where s.object is distinct from s."left") then p_left else (
    select string_agg(u.object, E'\x1e' order by u.identity collate "C", u.kind collate "C")
    from (
      select l.kind, l.identity, l.object from "left" as l where not exists (select from settled as s where s.kind = l.kind and s.identity = l.identity)
      union all
      select s.kind, s.identity, s.object from settled as s where s.object is not null
    ) as u
  ) end
$$;

comment on function weft._expect_catalog(text, text, text, text, text) is
  'Writes what the catalog should be after a deployment: what it should have been before, plus everything that the deployment has changed.';


create or replace function weft._name_undone(p_undo weft._deployments, p_state weft.deployment_state)
  returns uuid
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select p_undo.undoes
  where p_state = 'succeeded' and not exists (
    select s.path from weft._steps as s
    where s.deployment_id = p_undo.undoes and s.state = 'succeeded' and s.kind <> 'check' and s.options ->> 'repeat' is distinct from 'always'
    except
    select u.undoes from weft._steps as u where u.deployment_id = p_undo.id and u.state = 'succeeded')
$$;

comment on function weft._name_undone(weft._deployments, weft.deployment_state) is 'Names the deployment that an undo has taken back; null if something of that one stays applied.';


-- p_state: the one in which the deployment ends.
create or replace function weft._expect_behind(p_expected text, p_met text, p_left text, p_deployment weft._deployments, p_state weft.deployment_state)
  returns text
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_undone    weft._deployments;
  v_expected  text;
  v_catalog   text;
begin
  if not weft._are_comparable(p_expected, p_left) or not weft._are_comparable(p_met, p_left) then
    return p_left;
  end if;
  select d.* into v_undone from weft._deployments as d where d.id = (select weft._name_undone(p_deployment, p_state));
  v_catalog := weft._expect_catalog(
    (select s.catalog from weft._snapshots as s where s.fingerprint = p_expected), (select s.catalog from weft._snapshots as s where s.fingerprint = p_met),
    (select s.catalog from weft._snapshots as s where s.fingerprint = p_left),
    (select s.catalog from weft._snapshots as s where s.fingerprint = v_undone.fingerprint_before), (select s.catalog from weft._snapshots as s where s.fingerprint = v_undone.fingerprint_after));
  if v_catalog is null then
    return p_left;
  end if;
  v_expected := weft._hash_catalog(v_catalog);
  insert into weft._snapshots (fingerprint, catalog) values (v_expected, v_catalog) on conflict on constraint a_catalog_is_kept_once do nothing;
  return v_expected;
end
$$;

comment on function weft._expect_behind(text, text, text, weft._deployments, weft.deployment_state) is
  'Keeps what the catalog should be after a deployment that met drift, and tells its fingerprint; if the catalogs cannot be compared, the fingerprint of what the deployment left.';


-- If another deployment has ended since this one began, it says what should be; changes after its end count as this one's. p_last: the one that ended last.
create or replace function weft._recall_met(p_deployment weft._deployments, p_last weft._deployments, out expected text, out met text)
  stable
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_began  timestamptz := greatest(p_deployment.started_at, (select max(e.at) from weft._events as e where e.deployment_id = p_deployment.id and e.kind = 'reopened'));
begin
  if p_deployment.mode = 'baseline' then
    return;  -- what is there is what should be there
  elsif p_last.finished_at > v_began then
    expected := p_last.fingerprint_expected;
    met := coalesce(p_last.fingerprint_after, p_last.fingerprint_met);
  else
    expected := p_deployment.fingerprint_expected;
    met := p_deployment.fingerprint_met;
  end if;
end
$$;

comment on function weft._recall_met(weft._deployments, weft._deployments) is 'Tells what should have been there, and what was there, before a deployment that ends changed anything; nothing for a baseline.';


-- If a deployment ended without a look at the catalog, what is there now counts as what it left: nobody will know better later.
create or replace function weft._read_late(p_fingerprint text)
  returns weft._deployments
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_last  weft._deployments := weft._last_ended();
begin
  if p_fingerprint is null or v_last.id is null or v_last.fingerprint_after is not null then
    return v_last;
  end if;
  update weft._deployments as d
  set fingerprint_after = p_fingerprint, fingerprint_expected = case when d.fingerprint_expected <> d.fingerprint_met then
        weft._expect_behind(d.fingerprint_expected, d.fingerprint_met, p_fingerprint, d, d.state) else p_fingerprint end
  where d.id = v_last.id
  returning d.* into v_last;
  perform weft._tell(v_last.id, 'catalog_read_late', p_data => jsonb_build_object('fingerprint', p_fingerprint, 'seconds', round(extract(epoch from clock_timestamp() - v_last.finished_at))));
  return v_last;
end
$$;

comment on function weft._read_late(text) is
  'Takes the catalog as what the last deployment has left, if it could not be read at that one''s end, and writes an event about it; returns that deployment. Call it only under the lock of the lease.';


-- Drift that a deployment meets is reported, and stays drift after it. While another deployment has begun and is not over (this one passed it),
-- its changes cannot be told from anybody else's: then what it met counts.
create or replace function weft._tell_of_drift(p_deployment uuid, p_fingerprint text, p_is_reopened boolean default false)
  returns void
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_last      weft._deployments := weft._read_late(p_fingerprint);
  v_both      jsonb;
  v_other     weft._deployments;
  v_expected  text := p_fingerprint;
  v_met       text := p_fingerprint;
  v_is        text;
  v_settled   record;
  v_list      record;
begin
  select d.* into v_other from weft._deployments as d
  where d.state = 'running' and d.mode = 'apply' and d.id <> p_deployment and (p_is_reopened or weft._has_committed(d, d.state, p_fingerprint))  -- it is half-way, or may be soon
  order by d.started_at desc limit 1;
  if found then
    v_expected := v_other.fingerprint_expected;
    v_met := v_other.fingerprint_met;
  elsif p_fingerprint is null then  -- changes after the last one count as this one's
    v_expected := v_last.fingerprint_expected;
    v_met := coalesce(v_last.fingerprint_after, v_last.fingerprint_met);
  elsif v_last.fingerprint_expected <> p_fingerprint and weft._are_comparable(v_last.fingerprint_expected, p_fingerprint)
      and exists (select from weft._snapshots as s where s.fingerprint = v_last.fingerprint_expected) then
    v_is := (select s.catalog from weft._snapshots as s where s.fingerprint = p_fingerprint);
    select u.settled, u.unwatched into v_settled from weft._snapshots as s cross join lateral weft._settle_unwatched(s.catalog, v_is) as u where s.fingerprint = v_last.fingerprint_expected;
    v_expected := v_last.fingerprint_expected;
    if v_settled.unwatched is not null then
      v_expected := weft._hash_catalog(v_settled.settled);
      insert into weft._snapshots (fingerprint, catalog) values (v_expected, v_settled.settled) on conflict on constraint a_catalog_is_kept_once do nothing;
    end if;
    v_both := jsonb_build_object('before', v_expected, 'after', p_fingerprint);
    if v_expected <> p_fingerprint and not exists (select from jsonb_array_elements(weft._recall_drift(p_deployment)) as d where d.value -> 'fingerprint' = v_both) then
      select l.count, l.objects into v_list from weft._list_differences(v_settled.settled, v_is, weft._limit('drift_told_count_max'), 'missing') as l;
      perform weft._tell(p_deployment, 'drift_found', p_data => jsonb_build_object('since', v_last.id, 'reopened', p_is_reopened, 'fingerprint', v_both, 'count', v_list.count,
        'objects', weft._by_name_alone(v_list.objects)));
    end if;
  end if;
  update weft._deployments as d set fingerprint_expected = v_expected, fingerprint_met = v_met
  where d.id = p_deployment and (d.fingerprint_expected is distinct from v_expected or d.fingerprint_met is distinct from v_met);
end
$$;

comment on function weft._tell_of_drift(uuid, text, boolean) is 'Writes the drift that a deployment meets, when it begins or is opened again, into its journal, unless another deployment is half-way; and keeps what the catalog should be.';


-- Most locks are gone soon. Between two looks the caller commits, so nothing is held.
create or replace function weft._read_behind_run(p_since timestamptz)
  returns boolean
  volatile
  set search_path = pg_catalog, pg_temp
  set lock_timeout = '1s'
  language plpgsql
as $$
declare
  v_read_at      timestamptz := clock_timestamp();
  v_fingerprint  text;
begin
  if not weft._is_unread() or v_read_at > p_since + make_interval(secs => weft._limit('catalog_read_again_ms') / 1000.0) then
    return false;
  end if;
  select k.fingerprint into v_fingerprint from weft._keep_snapshot() as k;
  if v_fingerprint is null then
    return true;
  end if;
  perform from weft._lease as l for update;
  if not exists (select from weft._deployments as o where o.state = 'running' or o.finished_at >= v_read_at) then
    perform weft._read_late(v_fingerprint);
  end if;
  return false;
exception when others or query_canceled or assert_failure then
  return false;
end
$$;

comment on function weft._read_behind_run(timestamptz) is 'Tries again to read what the last deployment has left, if nobody could at its end; tells whether to try once more.';


create or replace function weft._is_unread()
  returns boolean
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select exists (select from weft._last_ended() as l where l.id is not null and l.fingerprint_after is null)
    and not exists (select from weft._deployments as d where d.state in ('staged', 'running'))  -- the next runner looks anyway
$$;

comment on function weft._is_unread() is 'Tells whether nobody knows what the last deployment has left, and nobody is going to look.';


-- p_fingerprint: of the catalog that was looked at, so that nobody accepts later changes. p_caller: who accepts; by default the role of the session.
create or replace function weft.accept_drift(p_fingerprint text default null, p_caller text default null)
  returns jsonb
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_last     weft._deployments;
  v_running  uuid;
  v_kept     record;
  v_list     record;
  v_read_at  timestamptz := clock_timestamp();
begin
  select k.fingerprint, k.error into v_kept from weft._keep_snapshot() as k;  -- before any lock is taken
  perform from weft._lease as l for update;
  select d.id into v_running from weft._deployments as d where d.state = 'running' and d.mode = 'apply' order by d.started_at desc limit 1;
  if found then
    raise exception 'Deployment % has begun and is not over: what it has changed so far cannot be told from what was changed by hand.', v_running
      using errcode = 'WF088', hint = 'Nothing was accepted. Let it come to its end first (weft resume), then look again.';
  end if;
  if exists (select from weft._deployments as o where o.finished_at >= v_read_at) then  -- one has ended while the catalog was being read
    select k.fingerprint, k.error into v_kept from weft._keep_snapshot() as k;
  end if;
  v_last := weft._last_ended();
  if v_last.id is null then
    raise exception 'No deployment has left anything in this database yet, so nothing can differ from it.' using errcode = 'WF088';
  elsif v_kept.fingerprint is null then
    raise exception 'The catalog could not be read: %', v_kept.error ->> 'message' using errcode = 'WF088', hint = 'Nothing was accepted. Try it again.';
  elsif v_kept.fingerprint <> p_fingerprint and not exists (  -- unwatched objects may have changed since then
      select from weft._snapshots as b join weft._snapshots as a on a.fingerprint = v_kept.fingerprint
      cross join lateral weft._settle_unwatched(b.catalog, a.catalog, true) as u
      where b.fingerprint = v_last.fingerprint_expected and weft._are_comparable(b.fingerprint, a.fingerprint) and weft._hash_catalog(u.settled) = p_fingerprint) then
    raise exception 'The catalog is not any more what was looked at.' using errcode = 'WF088', hint = 'Nothing was accepted. Look at the drift again.';
  end if;
  perform from weft._deployments as d where d.id = v_last.id for no key update;
  v_last := weft._read_late(v_kept.fingerprint);
  if v_last.fingerprint_expected <> v_kept.fingerprint then
    select l.count, l.objects into v_list
    from weft._snapshots as b
    join weft._snapshots as a on a.fingerprint = v_kept.fingerprint
    cross join lateral weft._settle_unwatched(b.catalog, a.catalog) as u
    cross join lateral weft._list_differences(u.settled, a.catalog, weft._limit('drift_told_count_max'), 'missing') as l
    where b.fingerprint = v_last.fingerprint_expected and weft._are_comparable(b.fingerprint, a.fingerprint);
    perform weft._tell(v_last.id, 'drift_accepted', p_data => jsonb_build_object('by', coalesce(p_caller, 'role ' || session_user),
      'fingerprint', jsonb_build_object('before', v_last.fingerprint_expected, 'after', v_kept.fingerprint), 'count', v_list.count, 'objects', weft._by_name_alone(v_list.objects)))
    where v_list.count is distinct from 0;  -- otherwise, only unwatched objects differed
    update weft._deployments as d set fingerprint_expected = v_kept.fingerprint where d.id = v_last.id;
  end if;
  return weft.describe_drift();
end
$$;

comment on function weft.accept_drift(text, text) is
  'Accepts the catalog as it is: from now on, drift is what changes after this. With the fingerprint of what was looked at (describe_drift), only if the catalog is still the same.';
