-- The record of an error: the server's words kept whole, where it was, and what to do.

-- Only the server's error decides whether a statement may run in a transaction.
create or replace function weft._is_refused_in_transaction(p_error jsonb)
  returns boolean
  immutable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  -- these words come from the statement itself, so they are the same in every language
  select (p_error ->> 'sqlstate' = '25001' and strpos(p_error ->> 'message', 'SET TRANSACTION') = 0) or p_error ->> 'sqlstate' = '2D000'
$$;

comment on function weft._is_refused_in_transaction(jsonb) is 'Tells whether the server refused a statement because it runs it in no transaction.';


-- The last condition is about a conflict in the catalog: two GRANTs on one object, say. The server never translates that message.
create or replace function weft._may_pass(p_state text, p_message text)
  returns boolean
  immutable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select p_state in ('55P03', '40P01', '40001') or p_state = 'XX000' and p_message ~ '^tuple concurrently (updated|deleted)$'
$$;

comment on function weft._may_pass(text, text) is 'Tells whether an error is about what others were doing at the same time, so that the same may succeed in another try.';


-- All of GET STACKED DIAGNOSTICS. Of the context, only the user's part, up to the engine's own functions. A transaction that was made read-only is raised as
-- WF014 without a text, even under the role of a file, which may call nothing of the engine; the text is here.
create or replace function weft._account_of_error(p_caught weft._caught)
  returns jsonb
  immutable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select jsonb_strip_nulls(jsonb_build_object(
    'sqlstate', p_caught.state, 'detail', nullif(p_caught.detail, ''),
    'message', case when r.is_read_only then 'The statement made the transaction read-only, so that nothing could be recorded.' else p_caught.message end,
    'hint', case when r.is_read_only then 'Take SET TRANSACTION READ ONLY, or default_transaction_read_only, out of the file.' else nullif(p_caught.hint, '') end,
    'context', nullif(left(split_part(p_caught.context, 'PL/pgSQL function weft._', 1), weft._limit('statement_shown_characters')), ''),
    'schema', nullif(p_caught.schema_name, ''), 'table', nullif(p_caught.table_name, ''), 'column', nullif(p_caught.column_name, ''),
    'constraint', nullif(p_caught.constraint_name, ''), 'datatype', nullif(p_caught.datatype_name, '')))
  from (select p_caught.state = 'WF014' and p_caught.message = 'WF014' as is_read_only) as r
$$;

comment on function weft._account_of_error(weft._caught) is 'Keeps an error whole, without empty fields.';


-- A file that raises query_canceled itself has failed. A signal may also arrive while the engine itself raises an error, to find out whether a text parses, say.
create or replace function weft._is_interruption(p_state text, p_context text)
  returns boolean
  immutable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select p_state = '57014' and (p_context !~ '^[^\n]*RAISE(\n|$)' or p_context ~ '^[^\n]*\mweft\._')
$$;

comment on function weft._is_interruption(text, text) is 'Tells whether somebody cancelled the statement that was running.';


-- No server accepts a backslash outside of quotes, so it must be a command of psql.
create or replace function weft._advise_for_psql(p_statement text)
  returns text
  immutable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select format('\%s is a command of psql, and there is no psql here. ', c.name) || case
    when c.name in ('i', 'ir', 'include', 'include_relative') then 'Name the file in a step of its own in weft.yaml, in its place.'
    when c.name in ('set', 'unset', 'getenv', 'gset', 'prompt') then 'Values come in as parameters of the bundle.'
    when c.name = 'copy' then 'Load the file with "load:" in weft.yaml, or put the rows behind COPY ... FROM STDIN;.'
    when c.name in ('if', 'elif', 'else', 'endif') then 'A condition stands in weft.yaml, as "when" of a step or a phase.'
    when c.name in ('gexec', 'watch', 'crosstabview', 'bind', 'parse', 'g', 'gx', 'gdesc') then 'End the statement with a semicolon; what a query writes a DO block can execute.'
    when c.name in ('c', 'connect') then 'A deployment goes to one database, and its role stands in weft.yaml.'
    else 'Take it out.'
  end
  from (select coalesce(substring(p_statement from '^\s*\\([A-Za-z!?]\w*)'), substring(p_statement from '\\([A-Za-z!?]\w*)')) as name) as c
$$;

comment on function weft._advise_for_psql(text) is 'Says what to use instead of a command of psql.';


create or replace function weft._advise_on_own_schema()
  returns text
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select 'Make what is yours in a schema of your own. If the file is a dump of a database with Weft in it: pg_dump -N weft leaves that out.'
$$;

comment on function weft._advise_on_own_schema() is 'Says what to do if a file uses something in schema weft.';


-- The message names no schema: if a table or function of the user's has the same name, it may be about that one.
create or replace function weft._is_of_engine(p_message text)
  returns boolean
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select coalesce(bool_and(o.schema = 'weft'::regnamespace), false)
  from (select substring(p_message from '^permission denied for \w+ (\S+)$') as name) as m
  cross join lateral (
    select c.relnamespace as schema from pg_class as c where c.relname = m.name
    union all
    select p.pronamespace from pg_proc as p where p.proname = m.name
  ) as o
$$;

comment on function weft._is_of_engine(text) is 'Tells whether permission was denied to a table or function of the engine, whose name exists in no other schema.';


-- What can be reported about a failed block: all of GET STACKED DIAGNOSTICS, and where it was.
create or replace function weft._describe_error(
    p_error jsonb, p_phase text, p_path text, p_line integer, p_statement text, p_parameters jsonb default null, p_search_path text default 'pg_catalog, pg_temp')
  returns jsonb
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_state    text := p_error ->> 'sqlstate';
  v_message  text := p_error ->> 'message';
  v_hint     text;
  -- messages may be in any language
  v_is_transaction  boolean := v_state = '0A000' and (v_message ilike '%transaction command%'
    or weft._skip_comments(p_statement) ~* '^(?:begin|start|commit|end|rollback|abort|savepoint|release)\M');
  v_place    jsonb := case when p_error ->> 'line' is null and p_line is not null and v_message !~ '^Lines? \d' then weft._find_place(p_error, p_statement, p_line, p_parameters, p_search_path) end;
begin
  v_hint := case
    when v_state = '25001' and strpos(v_message, 'SET TRANSACTION') > 0 then
      'The transaction is Weft''s, has begun already, and is read committed: a file cannot choose that. Leave the statement out, and lock what must not change meanwhile (lock table ...).'
    when v_state = '25001' and v_message ~ '^(?:CREATE|DROP) DATABASE ' then
      'A deployment goes to one database, which is there. Make the dump without --create, or take CREATE DATABASE, DROP DATABASE and \connect out of the file.'
    when v_state = '25001' and p_error ->> 'hint' is null then
      'PostgreSQL runs this statement in no transaction. Put its file into a phase with "transaction: auto" or "transaction: none".'
    when v_state = '2D000' and p_error ->> 'hint' is null then
      'This DO block or procedure commits. Put its file into a phase with "transaction: auto" or "transaction: none", with a done_when that tells when it is done; or take COMMIT and ROLLBACK out of it.'
    when v_is_transaction and weft._skip_comments(p_statement) ~* '^(savepoint|release|rollback\s+(work\s+|transaction\s+)?to)\M' then
      'Savepoints are made by Weft: a file with "on_error: continue" in weft.yaml may fail without the rest of its "transaction: single". Within a file, a DO block can catch an error (exception when ...).'
    when v_is_transaction and weft._flatten(left(weft._skip_comments(p_statement), 200)) ~* '^(begin|start)\M.*\m(isolation|read\s+only|deferrable)\M' then
      'Weft''s transactions are read committed, read and write: a file cannot choose that. Write BEGIN alone, or leave it out with its COMMIT; and lock what must not change meanwhile (lock table ...).'
    when v_is_transaction then
      'Weft begins and ends the transactions. BEGIN and COMMIT around a whole file are left out; elsewhere they are for phases with "transaction: auto" or "none", where what stands between them is a transaction. Here, cut the file in two there, or take them out.'
    when v_state = '0A000' and v_message ilike '%copy%' then
      'COPY cannot talk to a client from inside the server. Rows for it stand in the file, in the lines behind "COPY ... FROM STDIN;", up to a line \.'
    when v_state = '42601' and p_statement ~ '\\[A-Za-z!?]' and (
        v_message like '%at or near "\\"%' or v_message !~ ' at or near ' and v_message ~ '[^\w\s''].?\\.?[^\w\s'']') then
      weft._advise_for_psql(p_statement)
    when v_state = '42601' and v_message like '%at or near ":"%' then
      'A name behind a colon stands for a parameter if it is declared' || coalesce(': here these are ' || (select string_agg(k.name, ', ' order by k.name) from jsonb_object_keys(p_parameters) as k (name)) || '.', '; here none is.')
    when v_state = '42601' and p_statement ~ '\$\{|\{\{' and v_message ~ '[^\w\s][${][^\w\s]' then
      'A placeholder such as ${name} or {{name}} was for the tool that filled it in. Here it is a parameter: declare it in weft.yaml, and write :name, :''name'' or :"name".'
    when v_state = '42601' and p_statement ~ '(^|\n)[ \t]*/[ \t\r]*(\n|$)' and v_message ~ '[^\w\s]/[^\w\s]' then
      'Each statement ends with a semicolon. A line with nothing but "/" ends one for other tools only: write ";" there.'
    when v_state = '42P06' and weft._flatten(left(weft._skip_comments(p_statement), 200)) ~* '^create schema "?weft"?( |$)' then
      weft._advise_on_own_schema()
    when v_state = '42P01' and exists (
        select from pg_class as c where c.relnamespace = 'weft'::regnamespace and c.relname like E'\\_%' and strpos(v_message, format('"%s"', c.relname)) > 0) then
      'A table of that name is Weft''s, in schema weft. If the file goes through the catalog, it has met that there: let it leave schema weft out, as it does pg_catalog.'
    when v_state in ('42P06', '42P07', '42710', '42723', '42701') and not exists (select from weft._history) then
      'The history of this database is empty. If another tool has run these files here, or somebody by hand, "weft baseline" records them as applied, and runs none.'
    when v_state = 'WF022' then
      'The transaction in which it was asked is rolled back. Correct the rows or the files, and deploy again; or give the check "severity: warn".'
    when v_state = '42501' and v_message = 'permission denied for schema weft' and weft._flatten(left(weft._skip_comments(p_statement), 200)) ~* '^reassign owned\M' then
      'REASSIGN OWNED gives away all that a role owns, and that is the engine in schema weft too, where its new owner may make nothing. Give away what is yours by its name: alter table ... owner to ...'
    when v_state = '42501' and v_message = 'permission denied for schema weft' then
      'weft.parameter() is for the role that deploys and for the role that the phase names in weft.yaml. A role that a file takes on by itself reads a parameter as :''name''. All else in schema weft is for the role that owns it.'
    when v_state = '42501' and weft._is_of_engine(v_message) then
      'That is the engine''s, in schema weft, and for the role that owns that. Let the file run as it, without "role"; of the engine, weft.parameter() is for others too.'
    when v_state = '55P04' then
      'A new value of an enum can be used only after a commit. Put its use into a later phase, or a later file of a per-step phase.'
    when v_state = 'XX000' and weft._may_pass(v_state, v_message) then
      'Another session was changing the same object at the same time (a GRANT or an ALTER of it, say), in each try. Let it end, and deploy again.'
    when v_state = '55P03' then concat(
      case when p_error -> 'blockers' -> 0 ->> 'pid' is not null
        then format('Let that session end (or end it: select pg_terminate_backend(%s)), raise', p_error -> 'blockers' -> 0 ->> 'pid')
        when p_error -> 'blockers' -> 0 ->> 'prepared' is not null
        then format('Have that transaction ended (rollback prepared %L, or commit it), raise', p_error -> 'blockers' -> 0 ->> 'prepared')
        else 'Another session holds the lock. Raise' end, ' the phase''s lock_timeout, or deploy when it is quiet.')
  end;
  return p_error || jsonb_strip_nulls(jsonb_build_object(
    'phase', p_phase,
    'path', p_path,
    'line', coalesce((p_error ->> 'line')::integer, (v_place ->> 'line')::integer, substring(case when v_state like 'WF08%' or v_state = '22P04' then v_message end from '^Line (\d+)')::integer, p_line),
    'statement', left(weft._skip_comments(p_statement), weft._limit('statement_shown_characters')),
    'hint', nullif(concat_ws(' ', p_error ->> 'hint', v_hint), ''))) || coalesce(v_place - 'line', '{}');
end
$$;

comment on function weft._describe_error(jsonb, text, text, integer, text, jsonb, text) is 'Makes the account of an error: the server''s words, path, line, statement, and what to do.';


create or replace function weft._describe_condition_error(p_error jsonb, p_phase text, p_path text, p_condition text)
  returns jsonb
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select p_error || jsonb_strip_nulls(jsonb_build_object(
    'message', format('The condition (when) cannot be evaluated: %s', p_error ->> 'message'),
    'phase', p_phase, 'path', p_path, 'statement', left(p_condition, weft._limit('statement_shown_characters')), 'in_bundle_file', true,
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
    'phase', p_phase.name, 'path', p_path, 'in_bundle_file', true,
    'hint', concat_ws(' ', p_error ->> 'hint', format('They stand in weft.yaml: role %s, settings %s. The role that deploys is %s.', coalesce(p_phase.role, 'none'), p_phase.settings, session_user))))
$$;

comment on function weft._describe_entry_error(jsonb, weft._phases, text) is 'Makes the account of an error in setting the role or a setting of a phase.';


-- The server's error is about the whole statement of a load. If the expression alone causes the same error, it is the culprit.
create or replace function weft._describe_where_error(p_error jsonb, p_phase weft._phases, p_step integer, p_search_path text)
  returns jsonb
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_step   weft._steps := (select s from weft._steps as s where s.deployment_id = p_phase.deployment_id and s.ordinal = p_step);
  v_where  text := v_step.options ->> 'where';
begin
  if v_where is null or p_error ->> 'sqlstate' !~ '^42'
      or p_error ->> 'message' <> weft._ask_grammar(format(E'select from %s where (%s\n)', v_step.options ->> 'into', v_where), 'sql', true, p_search_path) then
    return weft._describe_error(p_error, p_phase.name, v_step.path, null, null, p_phase.parameters, p_search_path);
  end if;
  return p_error || jsonb_build_object(
    'message', format('The "where" of the load cannot be evaluated: %s', p_error ->> 'message'),
    'phase', p_phase.name, 'path', v_step.path, 'statement', left(v_where, weft._limit('statement_shown_characters')), 'in_bundle_file', true,
    'hint', concat_ws(' ', p_error ->> 'hint', 'It stands in weft.yaml, with the step; it is an SQL expression of type boolean over the columns of the table.'));
end
$$;

comment on function weft._describe_where_error(jsonb, weft._phases, integer, text) is 'Makes the account of an error of a load, and says whether its "where" caused it.';


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
    'cancelled_by', p_cancellation.caller,
    'requested_at', p_cancellation.requested_at)
$$;

comment on function weft._describe_cancellation(weft._cancellations) is 'Says who asked to cancel, and when.';


create or replace function weft._list_some(p_names text[])
  returns text
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select array_to_string(p_names[1:5], ', ') || case when cardinality(p_names) > 5 then format(' and %s more', cardinality(p_names) - 5) else '' end
$$;

comment on function weft._list_some(text[]) is 'Writes the first five names of a list.';


create or replace function weft._quote_path(p_path text)
  returns text
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select case when p_path ~ '^[A-Za-z0-9._/-]+$' then p_path else quote_literal(p_path) end
$$;

comment on function weft._quote_path(text) is 'Quotes a path for a shell.';


create or replace function weft._texts_of(p_array jsonb)
  returns text[]
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select coalesce(array_agg(e.value order by e.ordinality), '{}') from jsonb_array_elements_text(p_array) with ordinality as e
$$;

comment on function weft._texts_of(jsonb) is 'Reads an array of texts.';
