-- BEGIN and COMMIT in a file that runs statement by statement: statements between them share a transaction, as in psql.

-- The rows of statements between a BEGIN and its COMMIT get the number of their block; BEGIN and COMMIT themselves have no row. In a phase whose files
-- are one transaction each, they stay, and the server refuses them. A rehearsal leaves out a pair around a whole file, as a deployment does.
create or replace function weft._gather_blocks(p_deployment uuid, p_step weft._steps)
  returns void
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_row      record;
  v_begun    integer;            -- the line of the BEGIN that is open
  v_block    integer := 0;
  v_kept     integer[] := '{}';  -- numbers, lines and blocks of the statements that are left
  v_blocks   integer[] := '{}';
  v_rule     text;
  v_is_whole boolean;
  v_left     record;
begin
  if not exists (select from weft._statements as t where t.deployment_id = p_deployment and t.step = p_step.ordinal and (weft._is_begin(t.statement) or weft._is_commit(t.statement))) then
    return;
  end if;
  select case when d.mode = 'rehearse' and p.transaction <> 'none' then p.transaction else 'none' end into v_rule
  from weft._phases as p join weft._deployments as d on d.id = p.deployment_id where p.deployment_id = p_deployment and p.ordinal = p_step.phase;
  if v_rule <> 'none' and exists (select from weft._statements as t where t.deployment_id = p_deployment and t.step = p_step.ordinal and strpos(t.statement, 'pg_catalog.lo_open(') > 0) then
    select b.p_lines as numbers into v_left
    from (
      select array_agg(t.statement order by t.number) as statements, array_agg(t.number order by t.number) as numbers
      from weft._statements as t where t.deployment_id = p_deployment and t.step = p_step.ordinal) as s
    cross join lateral weft._leave_out_object_blocks(s.statements, s.numbers, null, false) as b;
    delete from weft._statements as t where t.deployment_id = p_deployment and t.step = p_step.ordinal and t.number <> all (v_left.numbers);
    for i in 1 .. cardinality(v_left.numbers) loop
      update weft._statements as t set number = i where t.deployment_id = p_deployment and t.step = p_step.ordinal and t.number = v_left.numbers[i] and t.number <> i;
    end loop;
  end if;
  select array_agg(b.number::bigint order by b.number) = array[1, max(b.count)] into v_is_whole
  from (
    select t.number, weft._is_begin(t.statement) or weft._is_commit(t.statement) as is_end, count(*) over () as count
    from weft._statements as t where t.deployment_id = p_deployment and t.step = p_step.ordinal) as b
  where b.is_end;
  if v_rule in ('single', 'per-step') and not v_is_whole then
    return;
  end if;
  for v_row in
    select t.number, weft._first_line(t.statement, t.line) as line, weft._is_begin(t.statement) as begins, weft._is_commit(t.statement) as ends
    from weft._statements as t where t.deployment_id = p_deployment and t.step = p_step.ordinal order by t.number
  loop
    if v_row.begins and v_begun is not null then
      perform weft._refuse_open_transaction(v_begun);
    elsif v_row.begins then
      v_begun := v_row.line;
      v_block := v_block + 1;
    elsif v_row.ends and v_begun is null then
      raise exception 'Line %: no BEGIN before this COMMIT.', v_row.line
        using errcode = 'WF085', detail = 'Nothing of the file was run.', hint = 'Write BEGIN before the statements that share a transaction, or take COMMIT out.';
    elsif v_row.ends then
      v_begun := null;
    else
      v_kept := array_append(v_kept, v_row.number);
      v_blocks := array_append(v_blocks, case when v_begun is not null and not (v_is_whole and v_rule <> 'none') then v_block end);
    end if;
  end loop;
  if v_begun is not null then
    perform weft._refuse_open_transaction(v_begun);
  end if;
  delete from weft._statements as t where t.deployment_id = p_deployment and t.step = p_step.ordinal and t.number <> all (v_kept);
  -- in ascending order, so that each new number is free by then
  for i in 1 .. cardinality(v_kept) loop
    update weft._statements as t set number = i, block = v_blocks[i] where t.deployment_id = p_deployment and t.step = p_step.ordinal and t.number = v_kept[i];
  end loop;
end
$$;

comment on function weft._gather_blocks(uuid, weft._steps) is 'Gives the statements between BEGIN and COMMIT the number of their block: they run in one transaction.';


-- A statement, with the rest of its block if it has one.
create or replace function weft._list_block(p_statement weft._statements)
  returns weft._statements[]
  stable
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
begin
  return (
    select case when p_statement.block is null then array[p_statement] else (
      select array_agg(t order by t.number) from weft._statements as t
      where t.deployment_id = p_statement.deployment_id and t.step = p_statement.step and t.block = p_statement.block and t.number >= p_statement.number) end);
end
$$;

comment on function weft._list_block(weft._statements) is 'Lists the statements that share a transaction with one, from there on.';


-- SET LOCAL lasts until the transaction ends, and before that no view tells it from SET. But the server tells them apart when a function with the setting in a
-- SET clause returns: SET LOCAL is undone, and SET stays. So the values that the session should keep are set outside of this function (p_entered: by an
-- argument, after the right to call it was checked), and the current ones inside it, for the transaction only.
create or replace function weft._run_text(p_text text, p_inside jsonb, p_entered text[], out inside jsonb, out row_count bigint)
  volatile
  set search_path = pg_catalog, pg_temp
  set role = 'none'
  set standard_conforming_strings = on
  language plpgsql
as $$
declare
  v_path  pg_catalog.text := p_inside ->> 'search_path';
  v_set   pg_catalog.text;
begin
  v_set := set_config('role', p_inside ->> 'role', true);
  v_set := set_config('standard_conforming_strings', p_inside ->> 'conforming', true);
  v_set := pg_catalog.set_config('search_path', v_path, true);
  execute p_text;
  get diagnostics row_count = row_count;
  -- nothing may be set from here on: it would count as set by the file
  inside := pg_catalog.jsonb_build_object('search_path', pg_catalog.current_setting('search_path'), 'role', pg_catalog.current_setting('role'),
    'conforming', pg_catalog.current_setting('standard_conforming_strings'));
end
$$;

comment on function weft._run_text(text, jsonb, text[]) is 'Runs a statement and tells under which role and path it ends; after it, role and path are those that the session keeps.';


-- From the engine's session, and back to it. p_outside: what the session keeps when the transaction ends; p_inside: what holds until then.
create or replace function weft._run_inside(p_text text, inout p_outside jsonb, inout p_inside jsonb, out row_count bigint)
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_set  text;
begin
  select r.inside, r.row_count into p_inside, row_count
  from weft._run_text(p_text, p_inside, array[
    case when p_outside ->> 'authorization' <> session_user then set_config('session_authorization', p_outside ->> 'authorization', false) end,
    set_config('role', p_outside ->> 'role', false), set_config('standard_conforming_strings', p_outside ->> 'conforming', false),
    set_config('search_path', p_outside ->> 'search_path', false)]) as r;
  -- the session is the file's now: everything here is qualified, operators too
  p_outside := p_outside operator(pg_catalog.||) pg_catalog.jsonb_build_object('search_path', pg_catalog.current_setting('search_path'),
    'role', pg_catalog.current_setting('role'), 'authorization', session_user, 'conforming', pg_catalog.current_setting('standard_conforming_strings'));
  v_set := pg_catalog.set_config('client_min_messages', 'error', false);
  v_set := pg_catalog.set_config('standard_conforming_strings', 'on', false);  -- which the engine's own patterns assume
  v_set := pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', false);
  reset session authorization;
  reset role;
  if session_user = 'weft' then
    p_outside := p_outside || jsonb_build_object('search_path', weft._leave_out_user(p_outside ->> 'search_path'));
    p_inside := p_inside || jsonb_build_object('search_path', weft._leave_out_user(p_inside ->> 'search_path'));
  end if;
end
$$;

comment on function weft._run_inside(text, jsonb, jsonb) is 'Runs a statement in the session of its file, and tells which settings end with the transaction and which stay.';


-- The effect of SET LOCAL on other settings is known when the transaction is over (weft._settle_captured). Until then, the settings it names count as reset.
create or replace function weft._list_local_settings(p_statements text[])
  returns text[]
  immutable
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
begin
  return (
    select coalesce(array_agg(case m.name when 'time' then 'timezone' when 'names' then 'client_encoding' when 'xml' then 'xmloption' else m.name end), '{}')
    from unnest(p_statements) as s (text)
    cross join lateral (select lower(replace(substring(weft._skip_comments(s.text) collate "C" from '(?i)^set\s+local\s+("(?:[^"]|"")+"|[a-z_][\w.$]*)'), '"', '') collate "C") as name where s.text ~* '\mlocal\M') as m
    where m.name is not null);
end
$$;

comment on function weft._list_local_settings(text[]) is 'Names in lower case the settings that statements change only for their transaction.';


create or replace function weft._forget_settings(p_session jsonb, p_before jsonb, p_local text[])
  returns jsonb
  immutable
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
begin
  return (
    select case when p_local = '{}' then p_session else jsonb_set(p_session, '{settings}', (
      select coalesce(jsonb_object_agg(k.key, k.value), '{}')
      from (
        select s.key, s.value from jsonb_each(p_session -> 'settings') as s where lower(s.key collate "C") <> all (p_local)
        union all
        select b.key, b.value from jsonb_each(p_before -> 'settings') as b where lower(b.key collate "C") = any (p_local)) as k)) end);
end
$$;

comment on function weft._forget_settings(jsonb, jsonb, text[]) is 'Restores, in a stored session, the previous values of settings that ended with the transaction.';
