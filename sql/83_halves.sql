-- A file of which an earlier deployment has committed a part: whether that part is unchanged, and how the rest continues.

-- The same file in a deployment that is over, or that was passed because its caller may no longer deploy, if something of the file is remembered.
create or replace function weft._find_half(p_bundle text, p_deployment uuid, p_path text, p_is_undo boolean default false)
  returns weft._steps
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  -- starts from stored statements, because there may be very many steps
  select s.step
  from (select distinct t.deployment_id, t.step from weft._statements as t where t.deployment_id is distinct from p_deployment) as k
  cross join lateral (select o.* from weft._deployments as o where o.id = k.deployment_id offset 0) as d
  cross join lateral (select o as step from weft._steps as o where o.deployment_id = k.deployment_id and o.ordinal = k.step and o.path = p_path offset 0) as s
  where d.bundle = p_bundle and (d.undoes is not null) = p_is_undo and (d.finished_at is not null or d.state = 'running')
    -- what was deployed again since is undone from its beginning
    and (not p_is_undo or exists (select from weft._list_half_undone(p_bundle) as u where u.deployment_id = d.id and u.step = (s.step).ordinal))
  order by d.place desc nulls last
  limit 1
$$;

comment on function weft._find_half(text, uuid, text, boolean) is 'Finds the step of an earlier deployment that ran the file of this path statement by statement, and did not finish it.';


create or replace function weft._find_earlier(p_deployment uuid, p_path text)
  returns weft._steps
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select weft._find_half(d.bundle, d.id, p_path, d.undoes is not null) from weft._deployments as d where d.id = p_deployment
$$;

comment on function weft._find_earlier(uuid, text) is 'Finds what a deployment before this one has left of a file that it ran statement by statement, and did not finish.';


-- The server does not parse the rows of a COPY.
create or replace function weft._without_rows(p_statement weft._statements)
  returns text
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select case when p_statement.rows_at is null then p_statement.statement else left(p_statement.statement, p_statement.rows_at) end
$$;

comment on function weft._without_rows(weft._statements) is 'Writes a statement without the rows that follow it.';


-- Comments before a statement do not belong to it.
create or replace function weft._is_same_statement(p_one text, p_other text)
  returns boolean
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select p_one = p_other or rtrim(weft._skip_comments(p_one), E' \t\n\r\f\x0b') = rtrim(weft._skip_comments(p_other), E' \t\n\r\f\x0b')
$$;

comment on function weft._is_same_statement(text, text) is 'Tells whether two statements differ only in white space and comments before or after them.';


create or replace function weft._name_beginning(p_done integer)
  returns text
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select case p_done when 1 then 'statement 1' else format('statements 1 to %s', p_done) end
$$;

comment on function weft._name_beginning(integer) is 'Names the first statements of a file by their number.';


-- The committed part of a file must still be in it, in its place: if it ran again, it would be there twice. p_same: how many statements are
-- unchanged; p_line: the line of the next one now, null at the end of the file.
create or replace function weft._describe_changed_half(p_earlier weft._steps, p_done integer, p_same integer, p_line integer)
  returns jsonb
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select jsonb_build_object(
    'sqlstate', 'WF021',
    'message', format('Statement %s of %s is in the database already, and %s.', p_same + 1, p_earlier.path,
      case when p_line is null then 'is missing in the file now' else format('something else stands in its place now, in line %s', p_line) end),
    'detail', format('An earlier deployment (%s) ran the file statement by statement and has committed %s of them. This one was: %s',
      p_earlier.deployment_id, p_done, left(weft._skip_comments(weft._without_rows(o)), weft._limit('statement_shown_characters')) || case when o.rows_at is not null then ', and its rows' else '' end),
    'hint', format('Nothing of the file was run now. Put %s back as %s (comments and white space may differ): then it goes on behind %s, and a change of what is in the database already stands behind %s too, as a statement of its own. Or bring all of it about by hand, and say so: weft baseline FOLDER --only %s. '
        || 'Or take back by hand what has run, and say so: weft forget %5$s --why REASON; then all of it runs from its beginning. (Under another name it does that in any case, also over what is in the database already.)',
      weft._name_beginning(p_done), case p_done when 1 then 'it was' else 'they were' end, case p_done when 1 then 'it' else 'them' end, case p_done when 1 then 'it' else 'them' end,
      p_earlier.path))
  from weft._statements as o
  where o.deployment_id = p_earlier.deployment_id and o.step = p_earlier.ordinal and o.number = p_same + 1
$$;

comment on function weft._describe_changed_half(weft._steps, integer, integer, integer) is 'Makes the refusal of a file in which something that an earlier deployment has committed of it was changed, moved or taken out.';


create or replace function weft._check_beginning(p_deployment uuid, p_step weft._steps, p_earlier weft._steps, p_same integer)
  returns void
  stable
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_done     integer;
  v_refusal  jsonb;
begin
  select count(*) into v_done from weft._statements as o where o.deployment_id = p_earlier.deployment_id and o.step = p_earlier.ordinal and o.state = 'done';
  if p_same >= v_done then
    return;
  end if;
  v_refusal := weft._describe_changed_half(p_earlier, v_done, p_same, (
    select weft._first_line(n.statement, n.line) from weft._statements as n where n.deployment_id = p_deployment and n.step = p_step.ordinal and n.number = p_same + 1));
  raise exception using errcode = 'WF021', message = v_refusal ->> 'message', detail = v_refusal ->> 'detail', hint = v_refusal ->> 'hint';
end
$$;

comment on function weft._check_beginning(uuid, weft._steps, weft._steps, integer) is 'Refuses a file in which something that an earlier deployment has committed of it was changed, moved or taken out.';


-- The result of a statement depends on its parameters as on its text. Secrets are never stored, not even as a digest.
create or replace function weft._digest_parameters(p_parameters weft._parameters[], p_statement text)
  returns jsonb
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select coalesce(jsonb_object_agg(p.name, case when p.is_secret then '"secret"' else to_jsonb(encode(sha256(convert_to(p.value, 'UTF8')), 'hex')) end), '{}')
  from unnest(p_parameters) as p
  where weft._interpolate(p_statement, jsonb_build_object(p.name, 'a'), weft._mark(jsonb_build_object(p.name, 'a'))) <> p_statement
    or p_statement ~* '\mparameter\M' and p_statement ~ format('\m%s\M', p.name)  -- weft.parameter('x'), or something like it
$$;

comment on function weft._digest_parameters(weft._parameters[], text) is 'Digests the values of the parameters that a statement names, by name; for a secret, it keeps only the name.';


-- Nobody means to run half of a file with one value, and half with another. Compares only parameters that are named on both sides, and no secrets.
create or replace function weft._check_values(p_deployment uuid, p_step weft._steps, p_earlier weft._steps, p_same integer)
  returns void
  stable
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_changed  weft._parameters[] := array(
    select n from weft._parameters as n join weft._parameters as o on o.deployment_id = p_earlier.deployment_id and o.name = n.name
    where n.deployment_id = p_deployment and not n.is_secret and not o.is_secret and n.value is distinct from o.value);
  v_words    text;
  v_back     text;
begin
  if p_same = 0 or v_changed = '{}' then
    return;
  end if;
  select string_agg(format('%s was %s, and is %s', k.name, coalesce(o.value, 'not given'), coalesce(n.value, 'not given')), '; ' order by k.name), string_agg(format('%s=%s', k.name, o.value), ', ' order by k.name)
  into v_words, v_back
  from (
    select d.name
    from (
      select string_agg(weft._without_rows(t), ';' order by t.number) filter (where t.number <= p_same) as done, string_agg(weft._without_rows(t), ';' order by t.number) filter (where t.number > p_same) as rest
      from weft._statements as t where t.deployment_id = p_deployment and t.step = p_step.ordinal) as s
    cross join lateral jsonb_object_keys(weft._digest_parameters(v_changed, s.done)) as d (name)
    where weft._digest_parameters(v_changed, s.rest) ? d.name
  ) as k
  join weft._parameters as o on o.deployment_id = p_earlier.deployment_id and o.name = k.name
  join weft._parameters as n on n.deployment_id = p_deployment and n.name = k.name;
  if v_words is not null then
    raise exception 'A part of % is in the database already, with other values of parameters that the rest of it names too.', p_step.path
      using errcode = 'WF021', detail = format('%s. An earlier deployment (%s) has committed %s.', v_words, p_earlier.deployment_id, weft._name_beginning(p_same)),
        hint = format('Nothing of the file was run now. Deploy with the values that it began with (%s), and it goes on behind that. Or bring all of it about by hand, and say so: weft baseline FOLDER --only %s. '
          || 'Or take back by hand what has run, and say so: weft forget %2$s --why REASON; then all of it runs from its beginning.', v_back, p_step.path);
  end if;
end
$$;

comment on function weft._check_values(uuid, weft._steps, weft._steps, integer) is 'Refuses to continue a file with parameter values that differ from those with which its beginning was run.';


create or replace function weft._describe_half_in_one(p_path text)
  returns jsonb
  immutable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select jsonb_build_object(
    'sqlstate', 'WF021',
    'message', format('A part of %s is in the database already: an earlier deployment ran it statement by statement, and not to its end.', p_path),
    'detail', 'In the transaction that its phase asks for now, all of it would run, also what is there.',
    'hint', format('With "transaction: auto" or "none" it goes on where it stopped. Or bring all of it about by hand, and say so: weft baseline FOLDER --only %s. Or take back by hand what has run, and say so: weft forget %1$s --why REASON.', p_path),
    'path', p_path)
$$;

comment on function weft._describe_half_in_one(text) is 'Makes the refusal of a file of which a part is in the database, in a phase that would run the whole file.';


-- p_names: the parameters that its bundle declares, with any values.
create or replace function weft._quote_of_copy(p_statement text, p_names jsonb)
  returns text
  stable
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
begin
  return weft._read_copy(weft._interpolate(p_statement, p_names, weft._mark(p_names))) ->> 'quote';
exception when others then
  return null;  -- such a COPY is refused before anything of its file runs
end
$$;

comment on function weft._quote_of_copy(text, jsonb) is 'Tells which character quotes the CSV fields of a COPY; null if its rows are in text format.';


-- Splits a complete text in the same way as floor 83, laid_out, splits a file.
create or replace function weft._split_with_rows(p_text text, p_names jsonb)
  returns table (statement text, line integer)
  stable
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_scanner  weft._scanner := weft._new_scanner();
  v_text     text := p_text;
  v_split    record;
  v_behind   integer;
  v_quote    text;
  v_rows     record;
begin
  while v_text is not null loop
    v_split := weft._split(v_scanner, v_text, true);
    v_scanner := v_split.p_scanner;
    v_text := null;
    if v_scanner.mode = 'copy' then
      v_scanner.mode := 'code';
      v_behind := coalesce(nullif(strpos(v_split.rest, E'\n'), 0), length(v_split.rest));
      v_quote := weft._quote_of_copy(v_split.statements[cardinality(v_split.statements)], p_names);
      v_rows := case when v_quote is null then weft._cut_rows(substr(v_split.rest, v_behind + 1), true) else weft._cut_csv_rows(substr(v_split.rest, v_behind + 1), true, v_quote) end;
      v_text := left(v_split.rest, length(v_split.rest) - length(v_rows.rest));
      v_split.statements := trim_array(v_split.statements, 1) || (v_split.statements[cardinality(v_split.statements)] || v_text);
      v_scanner.line := v_scanner.line + length(v_text) - length(replace(v_text, E'\n', ''));
      v_text := v_rows.rest;
    end if;
    return query select u.statement, u.line from unnest(v_split.statements, v_split.lines) as u (statement, line);
  end loop;
end
$$;

comment on function weft._split_with_rows(text, jsonb) is 'Splits a text into statements, each COPY with the rows that follow it.';


-- The same judgement before there is a deployment, for files whose text was given, or whose bytes are unchanged.
create or replace function weft._foresee_halves(p_manifest jsonb, p_texts jsonb)
  returns jsonb
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select coalesce(jsonb_agg(jsonb_build_object('path', h.path, 'statements', h.done, 'runs_again', h.runs_again, 'next_line', h.next_line,
    'goes_on', case when h.refusal is not null then 'refused' when h.is_known then 'behind' else 'unknown' end,
    'refusal', h.refusal || jsonb_build_object('phase', h.phase, 'path', h.path))), '[]')
  from (
    select f.phase, f.path, c.done, c.runs_again, f.is_same or t.same is not null as is_known, case when t.same >= c.done then t.next_line end as next_line,
           case
             when c.done > 0 and f.transaction in ('single', 'per-step') then weft._describe_half_in_one(f.path)
             when t.same < c.done then weft._describe_changed_half(f.earlier, c.done, t.same, t.next_line)
           end as refusal
    from (
      select p.value ->> 'name' as phase, s.value ->> 'path' as path, p.value ->> 'transaction' as transaction, e as earlier,
             exists (
               select from weft._artifacts as a, jsonb_array_elements(p_manifest -> 'artifacts') as m
               where a.deployment_id = e.deployment_id and a.path = e.path and m.value ->> 'path' = e.path and m.value ->> 'digest' = encode(a.digest, 'hex')) as is_same
      from jsonb_array_elements(p_manifest -> 'phases') as p
      cross join lateral jsonb_array_elements(p.value -> 'steps') as s
      join weft._find_begun(p_manifest ->> 'bundle') as b on b.path = s.value ->> 'path' and b.rounds is null
      cross join lateral weft._find_half(p_manifest ->> 'bundle', null, b.path) as e
      where s.value ->> 'kind' = 'run' and not s.value ? 'repeat' and e.ordinal is not null
    ) as f
    join lateral weft._count_statements((f.earlier).deployment_id) as c on c.step = (f.earlier).ordinal
    left join lateral (
      select coalesce(min(n.number) filter (where o.number is null) - 1, count(*))::integer as same,
             (array_agg(n.line order by n.number) filter (where o.number is null))[1] as next_line
      from (
        select row_number() over (order by u.ordinality)::integer as number, u.statement, weft._first_line(u.statement, u.line) as line
        from weft._split_with_rows(p_texts ->> f.path, (
          select coalesce(jsonb_object_agg(a.value ->> 'name', 'a'), '{}') from jsonb_array_elements(coalesce(p_manifest -> 'parameters', '[]')) as a)) with ordinality as u
        where not weft._is_begin(u.statement) and not weft._is_commit(u.statement)
      ) as n
      left join weft._statements as o on o.deployment_id = (f.earlier).deployment_id and o.step = (f.earlier).ordinal and o.number = n.number
        and o.state = 'done' and weft._is_same_statement(o.statement, n.statement)
      where p_texts ? f.path and not (f.earlier).in_one_piece
      having p_texts ? f.path and not (f.earlier).in_one_piece
    ) as t on true
    where c.done > 0 or c.runs_again
  ) as h
$$;

comment on function weft._foresee_halves(jsonb, jsonb) is 'Tells of which files an earlier deployment has committed a part, and whether they would continue after it, or be refused; unknown without the text of a file whose bytes have changed.';
