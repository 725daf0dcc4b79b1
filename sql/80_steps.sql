-- One block: the statements of one step or of several, and the record of them. Either all of it commits, or nothing.
--
-- While a file runs, the session is the file's: its search_path, its role, its settings. Between two statements the engine
-- touches no table, evaluates nothing that is not qualified, and keeps the wire silent. At the end of the file everything is
-- reset, so that nothing leaks into the next.

-- For a login role that is called "weft".
create or replace function weft._leave_out_user(p_path text)
  returns text
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select regexp_replace(p_path, '"?\$user"?\s*(,\s*|$)', '', 'g')
$$;

comment on function weft._leave_out_user(text) is 'Takes "$user" out of a search_path where it would lead into the schema weft.';


-- No SET clause here, nor in the next ones: it would undo the work.
create or replace function weft._settle_settings()
  returns void
  volatile
  language plpgsql
as $$
begin
  perform
    pg_catalog.set_config('client_min_messages', 'error', false),
    pg_catalog.set_config('statement_timeout', '0', false),
    pg_catalog.set_config('idle_in_transaction_session_timeout', '0', false),
    case when pg_catalog.current_setting('transaction_timeout', true) is not null then pg_catalog.set_config('transaction_timeout', '0', false) end,  -- from 17 on
    pg_catalog.set_config('client_connection_check_interval', '0', false),
    pg_catalog.set_config('standard_conforming_strings', 'on', false),  -- as the engine's own patterns are written
    pg_catalog.set_config('default_transaction_isolation', 'read committed', false);  -- else nobody's request would be seen
end
$$;

comment on function weft._settle_settings() is 'Gives the session the settings without which a run would end early, or hang on its client.';


-- What the engine needs of a session that has the role and the search_path it began with. Asked for every file: so it looks first,
-- because mostly the connection has brought the settings along.
create or replace function weft._settle_path()
  returns text
  volatile
  language plpgsql
as $$
declare
  v_path  pg_catalog.text := pg_catalog.current_setting('search_path');
  v_set   pg_catalog.text := pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', false);
begin
  if concat_ws(' ', current_setting('client_min_messages'), current_setting('statement_timeout'), current_setting('idle_in_transaction_session_timeout'),
       current_setting('client_connection_check_interval'), current_setting('standard_conforming_strings'), current_setting('default_transaction_isolation'),
       current_setting('transaction_timeout', true)) not in ('error 0 0 0 on read committed', 'error 0 0 0 on read committed 0') then
    perform weft._settle_settings();
  end if;
  return case session_user when 'weft' then weft._leave_out_user(v_path) else v_path end;
end
$$;

comment on function weft._settle_path() is 'Gives the session the search_path and the settings that the engine needs; returns the search_path that a file starts with.';


-- Whoever had the session before.
create or replace function weft._settle_session()
  returns text
  volatile
  language plpgsql
as $$
begin
  execute 'reset session authorization; reset role; reset search_path';
  return weft._settle_path();
end
$$;

comment on function weft._settle_session() is
  'Gives the session the role, search_path and settings that the engine needs; returns the search_path that a file starts with.';


-- Back to what the session began with.
create or replace function weft._reset_session()
  returns text
  volatile
  language plpgsql
as $$
begin
  execute 'reset session authorization; reset role; reset all; close all; discard temp; discard sequences; deallocate all; unlisten *';
  return weft._settle_path();
end
$$;

comment on function weft._reset_session() is
  'Takes role, settings, cursors, temporary tables, prepared statements and listeners back to the session''s beginning; returns the search_path that a file starts with.';


-- Shown by pg_stat_activity at once, also from inside an open transaction: 'weft 47/52 schema'.
create or replace function weft._show_progress(p_step integer, p_steps integer, p_phase text)
  returns text
  volatile
  language sql
as $$
  select pg_catalog.set_config('application_name', pg_catalog.format('weft %s/%s %s', p_step, p_steps, p_phase), false)
$$;

comment on function weft._show_progress(integer, integer, text) is 'Shows other sessions where an uncommitted phase is, through application_name.';


-- A chunk as text. A character may be cut in two by the end of the chunk: its first bytes are handed on.
create or replace function weft._read_chunk(p_digest bytea, p_carry bytea, p_is_first boolean, p_is_last boolean, out text text, out carry bytea)
  stable
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_content  bytea;
  v_length   integer;
  v_cut      integer := 0;
  v_byte     integer;
begin
  select p_carry || c.content into strict v_content from weft._chunks as c where c.digest = p_digest;
  if p_is_first and substr(v_content, 1, 3) = '\xefbbbf' then
    v_content := substr(v_content, 4);
  end if;
  v_length := length(v_content);
  if not p_is_last then
    -- look back for the first byte of the last character, at most three bytes
    for v_back in 1 .. least(3, v_length) loop
      v_byte := get_byte(v_content, v_length - v_back);
      continue when v_byte between 128 and 191;
      v_cut := case when v_byte >= 240 and v_back < 4 or v_byte >= 224 and v_back < 3 or v_byte >= 192 and v_back < 2 then v_back else 0 end;
      exit;
    end loop;
  end if;
  carry := substr(v_content, v_length - v_cut + 1);
  text := convert_from(substr(v_content, 1, v_length - v_cut), 'UTF8');
end
$$;

comment on function weft._read_chunk(bytea, bytea, boolean, boolean) is 'Reads a chunk of an artifact as text in the encoding of this database.';


-- A whole artifact as text. No SET clause: it is called for every small file, from where the path is safe already.
create or replace function weft._read_text(p_content bytea)
  returns text
  stable
  language plpgsql
as $$
begin
  if pg_catalog.substr(p_content, 1, 3) operator(pg_catalog.=) '\xefbbbf' then
    return pg_catalog.convert_from(pg_catalog.substr(p_content, 4), 'UTF8');
  end if;
  return pg_catalog.convert_from(p_content, 'UTF8');
end
$$;

comment on function weft._read_text(bytea) is 'Reads an artifact of one chunk as text in the encoding of this database, without a byte-order mark.';


-- The server says of SELECT INTO that EXECUTE has not implemented it, and takes it with something behind it.
create or replace function weft._prepare_statements(p_statements text[], out digests bytea[], out executables text[])
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select
    coalesce(array_agg(sha256(convert_to(s.statement, 'UTF8')) order by s.ordinal), '{}'),
    coalesce(array_agg(
      case when left(ltrim(s.statement, E' \t\n\r\f\v'), 1) in ('s', 'S', 'w', 'W', '-', '/')
             and s.statement ~* '\minto\M' and weft._skip_comments(s.statement) ~* '^(select|with)\M'
             and regexp_replace(s.statement, '\minsert\s+into\M', '', 'gi') ~* '\minto\M'
           then s.statement || E'\n;select where false'
           else s.statement
      end order by s.ordinal), '{}')
  from unnest(p_statements) with ordinality as s (statement, ordinal)
$$;

comment on function weft._prepare_statements(text[]) is
  'Digests statements, each by itself, and writes them so that EXECUTE takes them, also what may be a SELECT INTO.';


-- What weft.yaml says of the session in which each file of a phase begins. As the files might do it themselves: first the role, then
-- the settings, under that role. No SET clause: it would undo the work.
create or replace function weft._enter_file(p_phase weft._phases, p_path text)
  returns text
  volatile
  language plpgsql
as $$
declare
  v_path  pg_catalog.text := coalesce(p_phase.settings ->> 'search_path', p_path);
begin
  if session_user = 'weft' then
    v_path := weft._leave_out_user(v_path);
  end if;
  if p_phase.role is not null then
    perform set_config('role', p_phase.role, false);
  end if;
  perform pg_catalog.set_config(s.key, s.value, false)
  from pg_catalog.jsonb_each_text(p_phase.settings) as s where s.key operator(pg_catalog.<>) 'search_path';
  return v_path;
end
$$;

comment on function weft._enter_file(weft._phases, text) is 'Gives the session the role and the settings of a phase; returns the search_path that its files start with.';


-- A condition is asked where its step would begin, in its transaction, but as the role that deploys and under its search_path. What asking
-- leaves in the session is taken back. No SET clause: it would undo the work.
create or replace function weft._evaluate(p_condition text, p_path text)
  returns boolean
  volatile
  language plpgsql
as $$
declare
  v_question  pg_catalog.text := pg_catalog.concat('select (', p_condition, E'\n)::pg_catalog.bool');
  v_set       pg_catalog.text := pg_catalog.set_config('search_path', p_path, false);
  v_is_true   pg_catalog.bool;
begin
  execute v_question into strict v_is_true;
  v_set := pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', false);
  perform weft._reset_session();
  return coalesce(v_is_true, false);
end
$$;

comment on function weft._evaluate(text, text) is 'Tells whether a condition is true, under the search_path that a file starts with. Null is not true.';


-- The condition of a phase, in the transaction of the first thing that it does; afterwards what it came to then.
create or replace function weft._is_phase_wanted(p_phase weft._phases, p_path text)
  returns boolean
  volatile
  language plpgsql
as $$
declare
  v_is_wanted  pg_catalog.bool := (select p.is_wanted from weft._phases as p where p.deployment_id = p_phase.deployment_id and p.ordinal = p_phase.ordinal);
begin
  if v_is_wanted is null then
    v_is_wanted := weft._evaluate(p_phase.condition, p_path);
    update weft._phases as p set is_wanted = v_is_wanted where p.deployment_id = p_phase.deployment_id and p.ordinal = p_phase.ordinal;
  end if;
  return v_is_wanted;
end
$$;

comment on function weft._is_phase_wanted(weft._phases, text) is 'Tells whether the condition of a phase is true, or was when the phase began.';


create or replace function weft._leave_out_phase(p_phase weft._phases)
  returns void
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
begin
  update weft._steps as s set state = 'skipped', finished_at = clock_timestamp()
  where s.deployment_id = p_phase.deployment_id and s.phase = p_phase.ordinal and s.state = 'pending';
  perform weft._tell(p_phase.deployment_id, 'phase_left_out', p_phase.name, p_data => jsonb_build_object('when', p_phase.condition));
end
$$;

comment on function weft._leave_out_phase(weft._phases) is 'Skips what is left of a phase whose condition is not true.';


-- Steps are read some at a time: what one artifact costs is then a row, not a dozen statements. No more than about a chunk, or one step.
create or replace function weft._read_scripts(p_deployment uuid, p_first integer, p_last integer)
  returns weft._script[]
  stable
  set search_path = pg_catalog, pg_temp
  set enable_nestloop = off  -- rows that were just written have no statistics
  set jit = off  -- which such a plan looks dear enough for
  language sql
as $$
  select coalesce(array_agg(row(
           b.ordinal, b.path, b.in_one_piece, b.chunks, b.size, b.condition, t.statements is null, t.statements, coalesce(t.lines, '{}'), coalesce(p.digests, '{}'), p.executables)::weft._script order by b.ordinal), '{}')
  from (
    select s.ordinal, s.path, s.in_one_piece, s.condition, a.chunks, a.size, sum(a.size) over (order by s.ordinal) as bytes, row_number() over (order by s.ordinal) as place
    from weft._steps as s
    join weft._artifacts as a on a.deployment_id = s.deployment_id and a.path = s.path
    where s.deployment_id = p_deployment and s.ordinal between p_first and p_last and s.state = 'pending'
  ) as b
  left join weft._chunks as c on c.digest = b.chunks[1] and cardinality(b.chunks) = 1
  left join lateral (
    select array[weft._read_text(c.content)] as statements, array[1] as lines where c.content is not null and b.in_one_piece
    union all
    select x.statements, x.lines from weft._split(weft._new_scanner(), weft._read_text(c.content), true) as x where c.content is not null and not b.in_one_piece
  ) as t on true
  left join lateral weft._prepare_statements(t.statements) as p on t.statements is not null
  where b.place = 1 or b.bytes <= weft._limit('scripts_read_bytes')
$$;

comment on function weft._read_scripts(uuid, integer, integer) is 'Reads pending steps from p_first on, some at a time, with the statements of those whose artifact is one chunk.';


-- Who of several cannot be read, found after they were read together.
create or replace function weft._find_unreadable(p_deployment uuid, p_first integer, p_last integer)
  returns text
  stable
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_step  record;
begin
  for v_step in
    select s.path, c.content
    from weft._steps as s
    join weft._artifacts as a on a.deployment_id = s.deployment_id and a.path = s.path and cardinality(a.chunks) = 1
    join weft._chunks as c on c.digest = a.chunks[1]
    where s.deployment_id = p_deployment and s.ordinal between p_first and p_last and s.state = 'pending'
    order by s.ordinal
  loop
    begin
      perform weft._read_text(v_step.content);
    exception when others then
      return v_step.path;
    end;
  end loop;
  return null;
end
$$;

comment on function weft._find_unreadable(uuid, integer, integer) is 'Names the first of several steps whose artifact is no text in the encoding of this database.';


-- The one thing that decides the lane: what the server said.
create or replace function weft._is_refused_in_transaction(p_error jsonb)
  returns boolean
  immutable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select (p_error ->> 'sqlstate' = '25001' and p_error ->> 'message' not ilike 'set transaction%') or p_error ->> 'sqlstate' = '2D000'
$$;

comment on function weft._is_refused_in_transaction(jsonb) is 'Tells whether the server refused a statement because it runs it in no transaction.';


-- All of GET STACKED DIAGNOSTICS; of the context, what is inside of p_runner, the function that runs the file's statements.
create or replace function weft._account_of_error(
    p_runner text, p_state text, p_message text, p_detail text, p_hint text, p_context text,
    p_schema text, p_table text, p_column text, p_constraint text, p_type text)
  returns jsonb
  immutable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select jsonb_strip_nulls(jsonb_build_object(
    'sqlstate', p_state, 'message', p_message, 'detail', nullif(p_detail, ''), 'hint', nullif(p_hint, ''),
    'context', nullif(left(split_part(p_context, 'PL/pgSQL function weft.' || p_runner, 1), weft._limit('statement_shown_characters')), ''),
    'schema', nullif(p_schema, ''), 'table', nullif(p_table, ''), 'column', nullif(p_column, ''),
    'constraint', nullif(p_constraint, ''), 'datatype', nullif(p_type, '')))
$$;

comment on function weft._account_of_error(text, text, text, text, text, text, text, text, text, text, text) is 'Keeps an error whole, without what is empty.';


-- A file that raises query_canceled itself has failed.
create or replace function weft._is_interruption(p_runner text, p_state text, p_context text)
  returns boolean
  immutable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select p_state = '57014' and (p_context !~ '^[^\n]*RAISE(\n|$)' or p_context ~ ('^[^\n]*weft\.' || p_runner))
$$;

comment on function weft._is_interruption(text, text, text) is 'Tells whether somebody cancelled the statement that was at work.';


-- What a failed block leaves to be told: all of GET STACKED DIAGNOSTICS, and where it was.
create or replace function weft._describe_error(p_error jsonb, p_phase text, p_path text, p_line integer, p_statement text)
  returns jsonb
  stable
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_state    text := p_error ->> 'sqlstate';
  v_message  text := p_error ->> 'message';
  v_hint     text;
begin
  v_hint := case
    when v_state = '25001' and v_message ilike 'set transaction%' then
      'The transaction is Weft''s and has begun already. Set default_transaction_isolation for the role instead, or leave the statement out.'
    when v_state = '25001' and p_error ->> 'hint' is null then
      'PostgreSQL runs this statement in no transaction. Put its file into a phase with "transaction: auto" or "transaction: none".'
    when v_state = '2D000' and p_error ->> 'hint' is null then
      'This DO block or procedure commits. Put its file into a phase with "transaction: auto" or "transaction: none", with a done_when that tells when it is done; or take COMMIT and ROLLBACK out of it.'
    when v_state = '0A000' and v_message ilike '%transaction command%' then
      'Weft begins and ends the transactions. Take BEGIN, COMMIT and ROLLBACK out of the file; "transaction: single" in weft.yaml makes a phase all or nothing.'
    when v_state = '0A000' and v_message ilike '%copy%' or v_state = '42601' and p_statement ~* '^\s*copy\M' then
      'COPY FROM STDIN cannot run inside the server. Write the rows as INSERT.'
    when v_state = '55P04' then
      'A new value of an enum can be used only after a commit. Put its use into a later phase, or a later file of a per-step phase.'
    when v_state = '55P03' then
      'Another session holds the lock. Raise the phase''s lock_timeout, or deploy when it is quiet.'
  end;
  return p_error || jsonb_strip_nulls(jsonb_build_object(
    'phase', p_phase,
    'path', p_path,
    'line', p_line,
    'statement', left(weft._skip_comments(p_statement), weft._limit('statement_shown_characters')),
    'hint', nullif(concat_ws(' ', p_error ->> 'hint', v_hint), '')));
end
$$;

comment on function weft._describe_error(jsonb, text, text, integer, text) is 'Makes the account of an error: the server''s words, path, line, statement, and what to do.';


create or replace function weft._describe_condition_error(p_error jsonb, p_phase text, p_path text, p_condition text)
  returns jsonb
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select p_error || jsonb_strip_nulls(jsonb_build_object(
    'message', format('The condition (when) cannot be evaluated: %s', p_error ->> 'message'),
    'phase', p_phase, 'path', p_path, 'statement', left(p_condition, weft._limit('statement_shown_characters')),
    'hint', concat_ws(' ', p_error ->> 'hint', format('It stands in weft.yaml, with the %s; it is an SQL expression of type boolean, asked when that begins.',
      case when p_path is null then 'phase' else 'step' end))))
$$;

comment on function weft._describe_condition_error(jsonb, text, text, text) is 'Makes the account of an error in a condition.';


create or replace function weft._describe_entry_error(p_error jsonb, p_phase weft._phases, p_path text)
  returns jsonb
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select p_error || jsonb_strip_nulls(jsonb_build_object(
    'message', format('The file cannot begin with the role and settings of its phase: %s', p_error ->> 'message'),
    'phase', p_phase.name, 'path', p_path,
    'hint', concat_ws(' ', p_error ->> 'hint', format('They stand in weft.yaml: role %s, settings %s. The role that deploys is %s.', coalesce(p_phase.role, 'none'), p_phase.settings, session_user))))
$$;

comment on function weft._describe_entry_error(jsonb, weft._phases, text) is 'Makes the account of a role or a setting of a phase that could not be had.';


create or replace function weft._describe_cancellation(p_cancellation weft._cancellations)
  returns jsonb
  immutable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select jsonb_build_object(
    'sqlstate', '57014',
    'message', format('Cancelled by %s.', p_cancellation.caller),
    'detail', 'Phases that had ended stay; the phase at work was rolled back as far as its transaction rule says.',
    'requested_at', p_cancellation.requested_at)
$$;

comment on function weft._describe_cancellation(weft._cancellations) is 'Says who asked for the end.';


-- Runs the pending steps p_first to p_last of a deployment in one block.
--
-- There is one EXCEPTION block, whatever the number of steps: each is a subtransaction, and more than 64 that commit together
-- slow other sessions down. The variables outside of it keep the place of an error.
create or replace function weft._run_steps(p_deployment uuid, p_phase weft._phases, p_first integer, p_last integer, p_fence bigint)
  returns weft._outcome
  volatile
  language plpgsql
as $$
declare
  c_user         constant pg_catalog.text := '"?\$user"?\s*(,\s*|$)';
  v_steps        pg_catalog.int4;
  v_scripts      weft._script[];
  v_script       weft._script;
  v_next         pg_catalog.int4 := p_first;
  v_path         pg_catalog.text;
  v_statement    pg_catalog.text;
  v_line         pg_catalog.int4;
  v_count        pg_catalog.int4;
  v_rows         pg_catalog.int8;
  v_affected     pg_catalog.int8;
  v_chunk        pg_catalog.int4;
  v_text         pg_catalog.text;
  v_rest         pg_catalog.text;
  v_carry        pg_catalog.bytea;
  v_scanner      weft._scanner;
  v_split        pg_catalog.record;
  v_prepared     pg_catalog.record;
  v_started      pg_catalog.timestamptz;
  v_look_at      pg_catalog.timestamptz := '-infinity';
  v_look_every   pg_catalog.interval := make_interval(secs => weft._limit('cancel_looked_for_ms') / 1000.0);
  v_condition    pg_catalog.text;     -- that is being asked
  v_is_wanted    pg_catalog.bool;
  v_is_entering  pg_catalog.bool := false;
  v_their_path   pg_catalog.text;
  v_set          pg_catalog.text;
  v_their_name   pg_catalog.text;
  v_their_role   pg_catalog.text;
  v_our_role     pg_catalog.name;
  v_is_weft      pg_catalog.bool;
  v_records      weft._step_record[] := '{}';
  v_index        pg_catalog.int4;
  v_count_at     pg_catalog.int4 := weft._limit('steps_between_lock_counts');
  v_error        pg_catalog.jsonb;
  e_state        pg_catalog.text;
  e_message      pg_catalog.text;
  e_detail       pg_catalog.text;
  e_hint         pg_catalog.text;
  e_context      pg_catalog.text;
  e_schema       pg_catalog.text;
  e_table        pg_catalog.text;
  e_column       pg_catalog.text;
  e_constraint   pg_catalog.text;
  e_type         pg_catalog.text;
begin
  v_steps := (select count(*) from weft._steps as s where s.deployment_id = p_deployment);
  begin
    perform weft._check_fence(p_fence);
    perform pg_advisory_unlock_all();  -- walks through all locks of the transaction, so only where it has none yet
    v_their_path := weft._reset_session();
    v_our_role := current_user;
    v_is_weft := session_user = 'weft';
    if p_phase.condition is not null then
      v_condition := p_phase.condition;
      perform set_config('lock_timeout', p_phase.lock_timeout_ms::text, false);
      if not weft._is_phase_wanted(p_phase, v_their_path) then
        perform weft._check_dependents();
        perform weft._leave_out_phase(p_phase);
        perform weft._check_fence(p_fence, p_until_commit => true);
        return row('done', null, null)::weft._outcome;
      end if;
      v_condition := null;
    end if;

    while v_next <= p_last loop
      v_path := null;
      v_scripts := weft._read_scripts(p_deployment, v_next, p_last);
      exit when cardinality(v_scripts) = 0;
      if cardinality(v_scripts) >= weft._limit('scripts_before_plans_go') then
        discard plans;  -- every DDL statement walks through all plans of the session, and past invalid ones it runs
      end if;
      -- no FOR over a query: its cursor would stand in the way of a file's CLOSE ALL
      foreach v_script in array v_scripts loop
        v_path := v_script.path;
        v_started := clock_timestamp();
        if v_started >= v_look_at then
          if exists (select from weft._cancellations as c where c.deployment_id = p_deployment) then
            raise query_canceled;
          end if;
          v_look_at := v_started + v_look_every;
        end if;
        v_count := 0;
        v_rows := 0;
        v_set := weft._show_progress(v_script.ordinal, v_steps, p_phase.name);
        v_set := set_config('lock_timeout', p_phase.lock_timeout_ms::text, false);
        v_is_wanted := v_script.condition is null;
        if not v_is_wanted then
          v_condition := v_script.condition;
          v_is_wanted := weft._evaluate(v_condition, v_their_path);
          v_condition := null;
          v_set := weft._show_progress(v_script.ordinal, v_steps, p_phase.name);
          v_set := set_config('lock_timeout', p_phase.lock_timeout_ms::text, false);
        end if;

        for v_chunk in 1 .. case when v_is_wanted then cardinality(v_script.chunks) else 0 end loop
          if v_script.is_streamed then
            v_their_name := null;
            if v_chunk = 1 then
              v_scanner := weft._new_scanner();
              v_rest := '';
              v_carry := '';
            elsif current_user <> v_our_role then  -- the file has become a role that may not read our tables
              v_their_name := session_user;
              v_their_role := current_setting('role');
              reset session authorization;
              reset role;
            end if;
            select r.text, r.carry into v_text, v_carry
            from weft._read_chunk(v_script.chunks[v_chunk], v_carry, v_chunk = 1, v_chunk = cardinality(v_script.chunks)) as r;
            v_text := v_rest || v_text;
            v_rest := '';
            if v_chunk < cardinality(v_script.chunks) then  -- cut behind a line's end: no token holds one
              v_index := length(v_text) - coalesce(nullif(strpos(reverse(v_text), E'\n'), 0), length(v_text) + 1) + 1;
              v_rest := substr(v_text, v_index + 1);
              v_text := left(v_text, v_index);
            end if;
            v_split := weft._split(v_scanner, v_text, v_chunk = cardinality(v_script.chunks));
            v_prepared := weft._prepare_statements(v_split.statements);
            v_scanner := v_split.p_scanner;
            v_script.statements := v_split.statements;
            v_script.executables := v_prepared.executables;
            v_script.lines := v_script.lines || v_split.lines;
            v_script.digests := v_script.digests || v_prepared.digests;
            if v_their_name is not null then
              v_set := set_config('session_authorization', v_their_name, false);
              v_set := set_config('role', v_their_role, false);
            end if;
          end if;

          if v_chunk = 1 and (p_phase.role is not null or p_phase.settings <> '{}') then
            v_is_entering := true;
            v_their_path := weft._enter_file(p_phase, v_their_path);
            v_is_entering := false;
          end if;
          -- From here to the end of the loop the search_path is the file's: whatever is evaluated is qualified, operators too.
          v_set := pg_catalog.set_config('search_path', v_their_path, false);
          v_index := 0;
          foreach v_statement in array v_script.executables loop
            v_index := v_index operator(pg_catalog.+) 1;
            execute v_statement;
            get diagnostics v_affected = row_count;
            v_rows := v_rows operator(pg_catalog.+) v_affected;
            -- one question, because it is asked of every statement; an assignment costs a tenth of a PERFORM
            if v_is_weft or pg_catalog.current_setting('client_min_messages') operator(pg_catalog.<>) 'error'
              or pg_catalog.current_setting('transaction_read_only') operator(pg_catalog.=) 'on' then
              v_set := pg_catalog.set_config('client_min_messages', 'error', false);
              if v_is_weft then
                -- as weft._leave_out_user does, which the file's role may not call
                v_set := pg_catalog.set_config('search_path', pg_catalog.regexp_replace(pg_catalog.current_setting('search_path'), c_user, '', 'g'), false);
              end if;
              if pg_catalog.current_setting('transaction_read_only') operator(pg_catalog.=) 'on' then
                raise exception 'The statement made the transaction read-only, so that nothing could be recorded.'
                  using errcode = 'WF014', hint = 'Take SET TRANSACTION READ ONLY, or default_transaction_read_only, out of the file.';
              end if;
            end if;
          end loop;
          v_their_path := pg_catalog.current_setting('search_path');
          v_set := pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', false);
          v_statement := null;
          v_count := v_count + v_index;
        end loop;

        if v_script.ordinal = p_last then
          -- deferred constraints are looked at here, where an error can still be caught, and as the file would meet them at its end
          v_path := case when p_first = p_last then v_path end;
          v_set := pg_catalog.set_config('search_path', v_their_path, false);
          set constraints all immediate;
          v_set := pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', false);
          v_path := v_script.path;
        end if;
        if current_user <> v_our_role then
          reset session authorization;
          reset role;
        end if;
        v_their_path := weft._reset_session();
        v_records := array_append(v_records, row(v_script.ordinal, v_is_wanted, v_count, v_rows, v_started, clock_timestamp(), v_script.lines, v_script.digests)::weft._step_record);
        if cardinality(v_records) >= v_count_at then
          v_count_at := weft._check_lock_table(cardinality(v_records));
        end if;
        v_next := v_script.ordinal + 1;
      end loop;
    end loop;

    v_path := case when p_first = p_last then v_path end;
    perform pg_advisory_unlock_all();
    perform weft._check_dependents();
    perform weft._record_steps(p_deployment, p_phase.name, v_records);
    perform weft._check_fence(p_fence, p_until_commit => true);
    return row('done', null, null)::weft._outcome;

  exception when others or query_canceled or assert_failure then
    get stacked diagnostics
      e_state = returned_sqlstate, e_message = message_text, e_detail = pg_exception_detail, e_hint = pg_exception_hint,
      e_context = pg_exception_context, e_schema = schema_name, e_table = table_name, e_column = column_name,
      e_constraint = constraint_name, e_type = pg_datatype_name;
    perform pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', false), pg_catalog.set_config('client_min_messages', 'error', false);
    perform pg_advisory_unlock_all();  -- no rollback gives them back
  end;

  -- everything of the block is undone; what follows is the account of it
  if v_path is null then
    v_path := weft._find_unreadable(p_deployment, v_next, p_last);
  end if;
  if v_statement is not null then  -- as it stands in the file
    v_statement := v_script.statements[v_index];
    v_line := v_script.lines[v_count + v_index];
  end if;
  v_error := weft._account_of_error('_run_steps', e_state, e_message, e_detail, e_hint, e_context, e_schema, e_table, e_column, e_constraint, e_type);
  if e_state = 'WF012' then
    raise exception using errcode = e_state, message = e_message, hint = e_hint;
  elsif weft._is_interruption('_run_steps', e_state, e_context) then
    return row('interrupted', v_path, v_error)::weft._outcome;
  elsif p_phase.transaction = 'auto' and v_condition is null and (e_state = '55P04' or weft._is_refused_in_transaction(v_error)) then
    return row('apart', v_path, v_error)::weft._outcome;
  elsif e_state = '42601' and v_statement is not null and not v_script.in_one_piece and weft._is_split_wrong(v_statement, v_script.chunks, v_script.size) then
    return row('whole', v_path, null)::weft._outcome;
  end if;
  return row(
    case when e_state in ('55P03', '40P01') then 'again' else 'failed' end, v_path,
    case when v_condition is not null then weft._describe_condition_error(v_error, p_phase.name, v_path, v_condition)
      when v_is_entering then weft._describe_entry_error(v_error, p_phase, v_path)
      else weft._describe_error(v_error, p_phase.name, v_path, weft._first_line(v_statement, v_line), v_statement) end)::weft._outcome;
end
$$;

comment on function weft._run_steps(uuid, weft._phases, integer, integer, bigint) is
  'Runs pending steps and records them, in one block: done, or nothing of it happened and the outcome says why.';


create or replace function weft._record_steps(p_deployment uuid, p_phase text, p_records weft._step_record[])
  returns void
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_last  integer := (select coalesce(max(e.number), 0) from weft._events as e where e.deployment_id = p_deployment);
begin
  update weft._steps as s
  set state = case when r.is_wanted then 'succeeded' else 'skipped' end::weft.step_state, is_wanted = case when s.condition is not null then r.is_wanted end,
      statements = case when r.is_wanted then r.statements end, rows = case when r.is_wanted then r.rows end, finished_at = r.finished_at,
      milliseconds = round((extract(epoch from r.finished_at - r.started_at) * 1000)::numeric, 3),
      statement_lines = r.lines, statement_digests = r.digests
  from unnest(p_records) as r
  where s.deployment_id = p_deployment and s.ordinal = r.ordinal;

  insert into weft._history (bundle, path, digest, deployment_id, applied_at)
  select d.bundle, a.path, a.digest, d.id, r.finished_at
  from weft._deployments as d
  cross join unnest(p_records) as r
  join weft._steps as s on s.deployment_id = d.id and s.ordinal = r.ordinal
  join weft._artifacts as a on a.deployment_id = d.id and a.path = s.path
  where d.id = p_deployment and r.is_wanted;

  insert into weft._events (deployment_id, number, at, kind, phase, path, data)
  select p_deployment, v_last + row_number() over (order by r.ordinal), r.finished_at, case when r.is_wanted then 'step_succeeded' else 'step_left_out' end, p_phase, s.path,
         case when r.is_wanted then jsonb_build_object('step', r.ordinal, 'statements', r.statements, 'rows', r.rows)
           else jsonb_build_object('step', r.ordinal, 'when', s.condition) end
  from unnest(p_records) as r
  join weft._steps as s on s.deployment_id = p_deployment and s.ordinal = r.ordinal;
end
$$;

comment on function weft._record_steps(uuid, text, weft._step_record[]) is
  'Records the steps of a block, in history and journal too, in the transaction of their effects. What its condition left out is in no history: the next deployment asks again.';


-- The fallback of the split: the server's grammar decides, and only where the file is small enough to be run in one piece.
create or replace function weft._is_split_wrong(p_statement text, p_chunks bytea[], p_size bigint)
  returns boolean
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
begin
  return p_statement is not null
    and p_size <= weft._limit('whole_file_bytes')
    and cardinality(p_chunks) = 1
    and not weft._parses(p_statement)
    and weft._parses((select r.text from weft._read_chunk(p_chunks[1], '', true, true) as r));
end
$$;

comment on function weft._is_split_wrong(text, bytea[], bigint) is
  'Tells whether a statement is no SQL while the whole file is: then the scanner was wrong, not the author.';


-- Counting walks through the whole lock table. So the next count comes halfway to where this pace would reach the limit.
create or replace function weft._check_lock_table(p_steps integer)
  returns integer
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_size   bigint := current_setting('max_locks_per_transaction')::bigint * (current_setting('max_connections')::bigint + current_setting('max_prepared_transactions')::bigint);
  v_limit  bigint := v_size * weft._limit('lock_table_percent_max') / 100;
  v_held   bigint;
begin
  select count(*) into v_held from pg_locks as l where l.pid = pg_backend_pid() and not l.fastpath;
  if v_held > v_limit then
    raise exception 'This one transaction holds % of the % places in the server''s lock table; other sessions would soon get none.', v_held, v_size
      using errcode = 'WF015', hint = 'Use "transaction: per-step" for this phase, cut it into several, or raise max_locks_per_transaction.';
  end if;
  return p_steps + greatest(weft._limit('steps_between_lock_counts'), least(p_steps, p_steps * (v_limit - v_held) / greatest(v_held, 1) / 2))::integer;
end
$$;

comment on function weft._check_lock_table(integer) is 'Stops a phase before it fills the shared lock table; returns the number of steps after which to look again.';


create or replace function weft._count_objects()
  returns bigint
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select (select count(*) from pg_class as c where c.relnamespace = 'weft'::regnamespace)
       + (select count(*) from pg_proc as f where f.pronamespace = 'weft'::regnamespace)
       + (select count(*) from pg_type as t where t.typnamespace = 'weft'::regnamespace)
$$;

comment on function weft._count_objects() is 'Counts what schema weft holds.';


-- Weft leaves when asked: nothing of the user's may be in its schema, or depend on it.
create or replace function weft._check_dependents()
  returns void
  stable
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_dependent  text;
begin
  if weft._count_objects() <> (select i.objects_count from weft._installations as i order by i.version desc limit 1) then
    raise exception 'After this, schema weft would hold something else than the engine, which goes when the engine goes, or is needed by it.'
      using errcode = 'WF016', hint = 'Make it in a schema of your own. Nothing of this transaction is in the database.';
  end if;

  with ours as materialized (
    select 'pg_class'::regclass as classid, c.oid from pg_class as c where c.relnamespace = 'weft'::regnamespace
    union all
    select 'pg_proc'::regclass, f.oid from pg_proc as f where f.pronamespace = 'weft'::regnamespace
    union all
    select 'pg_type'::regclass, t.oid from pg_type as t where t.typnamespace = 'weft'::regnamespace
  )
  select pg_describe_object(d.classid, d.objid, d.objsubid) into v_dependent
  from ours as o
  join pg_depend as d on d.refclassid = o.classid and d.refobjid = o.oid and d.deptype = 'n'
  where not exists (select from ours as x where x.classid = d.classid and x.oid = d.objid)
    and case d.classid
          when 'pg_rewrite'::regclass then not exists (select from pg_rewrite as w join ours as x on x.oid = w.ev_class where w.oid = d.objid)
          when 'pg_constraint'::regclass then not exists (select from pg_constraint as k join ours as x on x.oid in (k.conrelid, k.contypid) where k.oid = d.objid)
          when 'pg_attrdef'::regclass then not exists (select from pg_attrdef as k join ours as x on x.oid = k.adrelid where k.oid = d.objid)
          when 'pg_trigger'::regclass then not exists (select from pg_trigger as k join ours as x on x.oid = k.tgrelid where k.oid = d.objid)
          else true
        end
  limit 1;
  if found then
    raise exception 'After this, % would depend on Weft''s own schema, which could then not be dropped any more.', v_dependent
      using errcode = 'WF016', hint = 'Take what names the schema weft out of it. Nothing of this transaction is in the database.';
  end if;
end
$$;

comment on function weft._check_dependents() is 'Refuses what would put an object of the user''s into schema weft, or tie one to it, as far as PostgreSQL records dependencies.';
