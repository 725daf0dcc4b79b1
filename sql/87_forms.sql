-- What a rehearsal does differently from the deployment: it runs statements in a form that a transaction allows, and groups as a whole.

-- The form of a statement that PostgreSQL runs in no transaction which does run in one; null if there is no such form.
create or replace function weft._write_in_transaction(p_statement text)
  returns text
  immutable strict parallel safe
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select case
    when w.flat ~* '^(create( unique)? index|drop index) concurrently\M' then regexp_replace(w.text, '^((?:create|drop)(?:\s+unique)?\s+index)\s+concurrently\M', '\1', 'i')
    when w.flat ~* '^reindex (\([^)]*\) ?)?(index|table) ' then regexp_replace(w.text, '^reindex\s*(?:\([^)]*\))?\s*(index|table)\s+(?:concurrently\s+)?', 'reindex \1 ', 'i')
    when w.flat ~* '^alter table .* detach partition .* concurrently$' then regexp_replace(w.text, '\s+concurrently\s*;?\s*$', '', 'i')
  end
  from (
    select f.flat, case when s.text ~* '^(create(\s+unique)?\s+index|drop\s+index)\s+concurrently\M|^reindex\M|^alter\M' then s.text else f.flat end as text
    from weft._skip_comments(p_statement) as s (text)
    cross join weft._flatten(p_statement) as f (flat)
  ) as w
$$;

comment on function weft._write_in_transaction(text) is
  'Writes a statement that PostgreSQL runs in no transaction as one that does the same in a transaction, with stronger locks; null if there is none.';


-- Words that make a savepoint worthwhile: if the server then refuses the statement in a transaction, only that statement is tried again.
-- A statement without one of these words that is refused costs another pass.
create or replace function weft._may_be_refused(p_statement text)
  returns boolean
  immutable strict parallel safe
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select left(weft._skip_comments(p_statement), 1000) ~* '^(do|call|vacuum|cluster|reindex)\M|^(create|drop|alter)\M.*\m(concurrently|database|tablespace|subscription|system)\M'
$$;

comment on function weft._may_be_refused(text) is 'Tells whether a statement looks like one that PostgreSQL runs in no transaction. This only decides where a savepoint is set.';


create or replace function weft._note_behind(p_error jsonb)
  returns jsonb
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select jsonb_build_object('why', 'behind', 'text', format('It failed here (%s: %s), behind a statement that was not rehearsed and may bring what it lacks.', p_error ->> 'sqlstate', p_error ->> 'message'))
$$;

comment on function weft._note_behind(jsonb) is 'Says that nothing is known about a statement that lacks something, after the rehearsal had to leave something out.';


-- Chooses the form of a statement that the server refuses in a transaction, if the catalog says that there is something to do. Raises the error
-- with which the deployment would fail.
create or replace function weft._choose_form(p_step weft._steps, p_statement text, p_refusal jsonb, p_before jsonb, p_try integer, out form text, out is_last boolean, out note jsonb)
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_judge  jsonb := weft._find_judge(p_statement, p_before);
  v_said   record;
begin
  is_last := true;
  if p_refusal ? 'behind' then
    note := weft._note_behind(p_refusal);
    return;
  elsif p_refusal ->> 'sqlstate' = '55P04' then
    note := jsonb_build_object('why', 'commit', 'text', 'It needs a commit before it: it uses a value of an enum that this deployment adds. The deployment commits in between; a rehearsal cannot.');
    return;
  elsif v_judge is null and p_step.done_when is null then
    raise exception using errcode = p_refusal ->> 'sqlstate', message = p_refusal ->> 'message',
      hint = 'PostgreSQL runs this statement in no transaction, and no catalog tells when it is done. Give the step a done_when in weft.yaml: an expression that is true once it is.';
  elsif v_judge ->> 'kind' in ('index', 'drop index') then
    v_said := weft._judge(v_judge, p_statement, false, null, p_before);
    if v_said.verdict = 'failed' then
      raise exception using errcode = v_said.error ->> 'sqlstate', message = v_said.error ->> 'message', detail = coalesce(v_said.error ->> 'detail', ''), hint = coalesce(v_said.error ->> 'hint', '');
    elsif v_said.verdict = 'done' then
      note := jsonb_build_object('why', 'done', 'text', 'It is done already: the deployment would find that out, and go on.');
      return;
    elsif v_said.verdict = 'wait' or p_try > 5 then
      note := jsonb_build_object('why', 'work', 'text', 'Somebody else is at work on it: the deployment would wait for that.');
      return;
    end if;
    form := weft._write_in_transaction(v_said.statement);
    is_last := v_said.statement = p_statement;
  else
    form := weft._write_in_transaction(p_statement);
  end if;
  note := case when form is null
    then jsonb_build_object('why', 'none', 'text', 'PostgreSQL runs it in no transaction, and it has no other form: it was not rehearsed.')
    else jsonb_build_object('why', 'form', 'text', 'Rehearsed in the form that a transaction takes, which locks more.', 'form', left(form, weft._limit('statement_shown_characters'))) end;
end
$$;

comment on function weft._choose_form(weft._steps, text, jsonb, jsonb, integer) is
  'Says in which form a statement is rehearsed that PostgreSQL runs in no transaction, or why it is not rehearsed; is_last: nothing comes after it.';


create or replace function weft._scrub_report(p_deployment uuid, p_secrets jsonb)
  returns void
  volatile
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  update weft._reports as r set report = weft._scrub(r.report, p_secrets) where r.deployment_id = p_deployment and p_secrets is not null
$$;

comment on function weft._scrub_report(uuid, jsonb) is 'Takes secrets out of the report of a rehearsal, before it is committed.';


-- For a rehearsal, which runs file by file anyway: what comes before the group has already run in this transaction.
create or replace function weft._settle_order(p_phase weft._phases, p_step integer, p_fence bigint)
  returns void
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_members  integer[];
  v_search   record;
begin
  select array_agg(g.ordinal order by g.ordinal) into v_members
  from weft._list_groups(p_phase.deployment_id, p_phase.ordinal) as g
  where g.state = 'pending' and g.ordinal >= p_step
    and g.number = (select f.number from weft._list_groups(p_phase.deployment_id, p_phase.ordinal) as f where f.ordinal = p_step);
  if coalesce(cardinality(v_members), 0) < 2 then
    return;
  end if;
  p_phase.transaction := 'per-step';
  v_search := weft._search_order(p_phase, p_step, v_members, '{}', p_fence);
  if (v_search.outcome).verdict is not null then
    return;  -- the rehearsal will meet this error in its place
  end if;
  perform weft._reorder(p_phase.deployment_id,
    v_search.ordinals || array(select m.ordinal from unnest(v_members) as m (ordinal) where m.ordinal <> all (v_search.ordinals)), v_members);
  -- files without a possible order are reported by the search in their place
  update weft._steps as s set is_order_found = true
  where s.deployment_id = p_phase.deployment_id and s.ordinal = any (v_members[1:cardinality(v_search.ordinals)]);
end
$$;

comment on function weft._settle_order(weft._phases, integer, bigint) is 'Puts the files of a group into an order in which they can run, if there is one.';


create or replace function weft._is_swallowing(p_phase weft._phases, p_steps weft._steps[])
  returns boolean
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select count(*) > 1 and bool_or(weft._list_missing(h.made) is not null)
  from unnest(p_steps) as s
  join weft._deployments as d on d.id = p_phase.deployment_id
  left join weft._history as h on h.bundle = d.bundle and h.path = s.path and h.made is not null
  where s.options ? 'repeat'
$$;

comment on function weft._is_swallowing(weft._phases, weft._steps[]) is 'Tells whether one of several repeatable files that have run in a rehearsal may have dropped what another one made: then they are run as in the deployment.';


create or replace function weft._first_of_group(p_phase weft._phases, p_step integer)
  returns integer
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select coalesce(min(g.ordinal), p_step)
  from weft._list_groups(p_phase.deployment_id, p_phase.ordinal) as g
  where g.state <> 'skipped' and g.number = (select f.number from weft._list_groups(p_phase.deployment_id, p_phase.ordinal) as f where f.ordinal = p_step)
$$;

comment on function weft._first_of_group(weft._phases, integer) is 'Tells which step is the first of its group that runs, or has run; that step itself, if it is in no group.';


-- Runs a group of repeatable files after one of them has failed: as in the deployment, in one block, in an order that is searched for if necessary.
-- p_is_called_back: files whose objects this phase drops already run again in it; otherwise, the next pass does that, and only then gives everything back.
create or replace function weft._rehearse_group(p_phase weft._phases, p_first integer, p_fence bigint, p_is_called_back boolean)
  returns weft._outcome
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_last     integer := weft._end_of_group(p_phase, p_first);
  v_is_undo  boolean := (select d.undoes is not null from weft._deployments as d where d.id = p_phase.deployment_id);
  v_moved    jsonb;
  v_outcome  weft._outcome;
begin
  loop
    v_moved := null;
    begin
      v_outcome := weft._run_steps(p_phase.deployment_id, p_phase, p_first, v_last, p_fence, p_is_within => true, p_may_owe => p_phase.transaction = 'single'
        and (p_first < v_last or exists (select from weft._steps as s where s.deployment_id = p_phase.deployment_id and s.ordinal = p_first and s.on_error <> 'continue')));
      if v_outcome.verdict = 'done' then
        v_moved := weft._find_swallowed(p_phase, p_first, v_last);
        if v_moved is not null then
          raise exception using errcode = 'WF003';
        end if;
      end if;
    exception when sqlstate 'WF003' then
      perform weft._move_behind(p_phase, v_moved);
      continue;
    end;
    if v_outcome.verdict = 'failed' then
      v_outcome := weft._find_order(p_phase, p_first, p_fence, v_outcome);
      if v_is_undo and v_outcome.verdict = 'failed' then
        v_outcome := weft._find_way(p_phase, v_outcome);
      end if;
    elsif v_outcome.verdict = 'done' and v_is_undo and p_phase.transaction <> 'single' and (p_is_called_back or weft._list_lost(p_phase, true) is null) then  -- otherwise after the phase
      v_outcome := weft._look_after_returned(p_phase, p_first, v_last);
    end if;
    if v_outcome.verdict = 'failed' and weft._is_tolerated(p_phase.deployment_id, p_phase.ordinal, v_outcome.path, v_outcome.error) then
      perform weft._tolerate(p_phase, v_outcome);
      continue;  -- it runs with the others
    end if;
    exit when v_outcome.verdict <> 'reordered';
    if not v_is_undo then  -- unchanged files now run with the group, perhaps before this one
      p_first := weft._first_of_group(p_phase, p_first);
      v_last := greatest(v_last, weft._end_of_group(p_phase, p_first));
    end if;
  end loop;
  return v_outcome;
end
$$;

comment on function weft._rehearse_group(weft._phases, integer, bigint, boolean) is 'Runs a group of repeatable files as a whole, within a rehearsal.';


-- The steps may be in a new order afterwards; and what an undo puts off is at the end of the phase. Steps of p_steps that were skipped are in their place.
create or replace function weft._list_behind_group(p_phase weft._phases, p_from integer, p_steps weft._steps[])
  returns weft._steps[]
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select array(
    select s from weft._steps as s
    where s.deployment_id = p_phase.deployment_id and s.phase = p_phase.ordinal and s.ordinal >= p_from
      and (s.state <> 'skipped' or not s.options ? 'keeps' and s.path in (select u.path from unnest(p_steps) as u))
    order by s.ordinal)
$$;

comment on function weft._list_behind_group(weft._phases, integer, weft._steps[]) is 'Lists the steps of a phase from a group on that has run, as rows.';


create or replace function weft._note_group(p_is_undo boolean)
  returns jsonb
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select jsonb_build_object('instead', jsonb_build_object('why', 'group',
    'text', case when p_is_undo then 'With its group, as an undo goes back over one.' else 'With its group, in an order that had to be found.' end))
$$;

comment on function weft._note_group(boolean) is 'Says of a file that it was rehearsed together with others.';


-- The result of a step that runs as a whole in a rehearsal; state is null if the rehearsal fails because of it. entry: what the report says about it.
create or replace function weft._weigh_piece(p_step weft._steps, p_outcome weft._outcome, p_is_behind boolean, out state text, out entry jsonb)
  immutable
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
begin
  if p_outcome.verdict = 'done' then
    state := p_step.state::text;
    entry := jsonb_strip_nulls(jsonb_build_object('rows', p_step.rows, 'instead', case when p_step.kind = 'batch' and p_step.state = 'succeeded' then jsonb_build_object('why', 'round',
      'text', 'One round. A deployment runs as many as it takes until no row is touched, each in a transaction of its own.') end));
  elsif p_outcome.verdict = 'failed' and p_is_behind and weft._is_lack(p_outcome.error) then
    state := 'skipped';
    entry := jsonb_build_object('instead', weft._note_behind(p_outcome.error));
  elsif p_outcome.verdict = 'failed' and p_step.on_error = 'continue' then
    state := 'tolerated';
  end if;
end
$$;

comment on function weft._weigh_piece(weft._steps, weft._outcome, boolean) is 'Says what became of a step that a rehearsal has run as a whole, and what the report says about it.';


-- Called at the end of a phase.
create or replace function weft._list_lost(p_phase weft._phases, p_is_undo boolean)
  returns jsonb
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select jsonb_agg(jsonb_strip_nulls(jsonb_build_object('path', l.path, 'step', case when p_is_undo then l.ordinal end, 'missing', l.missing)) order by l.ordinal)
  from weft._find_lost(p_phase) as l
$$;

comment on function weft._list_lost(weft._phases, boolean) is 'Lists the repeatable files whose objects the steps of a phase have dropped; null if there are none.';
