-- Role, search_path and settings: as the engine needs them, as a file finds them, and back again.

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


-- No SET clause here, nor in the next functions: it would undo their work.
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
    pg_catalog.set_config('exit_on_error', 'off', false),
    pg_catalog.set_config('standard_conforming_strings', 'on', false),  -- which the engine's own patterns assume
    pg_catalog.set_config('default_transaction_isolation', 'read committed', false);  -- otherwise, requests to cancel would not be seen
  reset client_encoding;  -- a file that sets it would garble directives and answers
end
$$;

comment on function weft._settle_settings() is 'Gives the session the settings without which a run would end early, or hang on its client.';


-- For a session that has the role and the search_path it began with. Called for every file, so it looks first: mostly the connection has
-- brought these settings along.
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
       current_setting('exit_on_error'), current_setting('transaction_timeout', true)) not in ('error 0 0 0 on read committed off', 'error 0 0 0 on read committed off 0') then
    perform weft._settle_settings();
  end if;
  return case session_user when 'weft' then weft._leave_out_user(v_path) else v_path end;
end
$$;

comment on function weft._settle_path() is 'Gives the session the search_path and the settings that the engine needs; returns the search_path that a file starts with.';


-- Whatever the session was used for before.
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


-- pg_stat_activity shows this at once, even from inside an open transaction: 'weft 47/52 schema'.
create or replace function weft._show_progress(p_step integer, p_steps integer, p_phase text)
  returns text
  volatile
  language sql
as $$
  select pg_catalog.set_config('application_name', pg_catalog.format('weft %s/%s %s', p_step, p_steps, p_phase), false)
$$;

comment on function weft._show_progress(integer, integer, text) is 'Shows other sessions where an uncommitted phase is, through application_name.';


-- A user's event trigger finds its tables by the search_path that the session began with, even when the engine is at work.
create or replace function weft._run_as_met(p_statement text)
  returns void
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_path  text := (select s.reset_val from pg_settings as s where s.name = 'search_path');
  v_set   text := set_config('search_path', case session_user when 'weft' then weft._leave_out_user(v_path) else v_path end, true);
begin
  execute p_statement;
  v_set := pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
end
$$;

comment on function weft._run_as_met(text) is 'Runs a statement of the engine''s that may fire event triggers, under the search_path that these expect.';


-- Other roles have no rights in schema weft, but weft.parameter() is there. So the role of a phase gets usage of the schema for the duration of
-- the transaction, and nobody ever sees that grant.
create or replace function weft._admit_role(p_role text)
  returns boolean
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
begin
  if p_role = 'none' or to_regrole(quote_ident(p_role)) is null or has_schema_privilege(p_role, 'weft', 'usage') or not pg_has_role(current_user, (select n.nspowner from pg_namespace as n where n.nspname = 'weft'), 'usage') then
    return false;
  end if;
  perform weft._run_as_met(format('grant usage on schema weft to %I', p_role));
  return true;
end
$$;

comment on function weft._admit_role(text) is 'Lets a role call weft.parameter() until it is dismissed, in the same transaction; tells whether that was needed and possible.';


create or replace function weft._dismiss_role(p_role text)
  returns void
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
begin
  perform weft._run_as_met(format('revoke usage on schema weft from %I', p_role));
end
$$;

comment on function weft._dismiss_role(text) is 'Takes back what weft._admit_role has granted.';


-- Sets up what weft.yaml says about the session in which each file of a phase begins. In the order in which files might do it themselves:
-- first the role, then the settings, under that role. No SET clause: it would undo the work.
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
  if p_phase.parameters is not null then
    perform set_config('weft.values', p_phase.parameters::text, false);
  end if;
  if p_phase.role is not null then
    perform set_config('role', p_phase.role, false);
  end if;
  perform pg_catalog.set_config(s.key, s.value, false)
  from pg_catalog.jsonb_each_text(p_phase.settings) as s where s.key operator(pg_catalog.<>) 'search_path';
  return v_path;
end
$$;

comment on function weft._enter_file(weft._phases, text) is 'Gives the session the parameters, the role and the settings of a phase; returns the search_path that its files start with.';
