-- Loads a data file into a table. The rows go into a temporary table of the step, and from there into the target in one statement,
-- whatever their number; if nothing could tell the difference, they go straight into the target, part by part. The file is read under
-- our role, everything else is done under the role and the path of the file. Each load costs a subtransaction: if the server
-- refuses it, it is done once more, to find the row.

-- Which columns a data file has, and in JSON, which of them only some objects have.
create or replace function weft._read_columns(p_format text, p_options jsonb, p_chunks bytea[], out columns text[], out partial text[], out objects bigint)
  stable
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_rows      text;
  v_rest      bytea := '';
  v_members   jsonb := '{}';
  v_more      bigint;
  v_lines     bigint := 0;
  v_objects   bigint := 0;
  v_is_first  boolean := true;
  v_literals  record;
begin
  if p_options ? 'columns' then
    columns := array(select jsonb_array_elements_text(p_options -> 'columns'));
    return;
  end if;
  for v_chunk in 1 .. cardinality(p_chunks) loop
    select r.rows, r.rest into v_rows, v_rest
    from weft._read_part(p_format, p_chunks[v_chunk], v_rest, v_is_first, v_chunk = cardinality(p_chunks), case p_format when 'json' then v_objects else v_lines end) as r;
    continue when v_rows is null;
    v_is_first := false;
    if p_format = 'csv' then
      exit when v_rows = '';
      select w.literals, w.separator into v_literals from weft._write_literals(v_rows, coalesce(p_options ->> 'delimiter', ','), coalesce(p_options ->> 'null_as', ''), 1) as w;
      columns := weft._read_literal(split_part(v_literals.literals, v_literals.separator, 1));
      if array_position(columns, null) is not null then
        raise exception 'Line 1: column % has no name.', array_position(columns, null)
          using errcode = 'WF032', hint = 'The first line names the columns. A file without such a line has "columns: [...]" in weft.yaml.';
      end if;
      return;
    end if;
    select m.members, m.objects into v_members, v_more from weft._count_members(v_rows, p_format, case p_format when 'json' then v_objects else v_lines end, v_members) as m;
    v_objects := v_objects + v_more;
    v_lines := v_lines + weft._count_lines(v_rows) + 1;
  end loop;
  if p_format = 'csv' then
    raise exception 'The file is empty: it lacks the line that names the columns.'
      using errcode = 'WF031', hint = 'A file without such a line has "columns: [...]" in weft.yaml.';
  end if;
  objects := v_objects;
  columns := array(select m.key from jsonb_each(v_members) as m order by m.key);
  partial := array(select m.key from jsonb_each_text(v_members) as m where m.value::bigint < objects);
end
$$;

comment on function weft._read_columns(text, jsonb, bytea[]) is 'Tells which columns a data file gives: its first line, the words of weft.yaml, or the members of all its objects.';


create or replace function weft._name_format(p_path text, p_options jsonb)
  returns text
  immutable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select coalesce(p_options ->> 'format', case when p_path ~* '\.json$' then 'json' when p_path ~* '\.(ndjson|jsonl)$' then 'ndjson' else 'csv' end)
$$;

comment on function weft._name_format(text, jsonb) is 'Names the format of a data file: as weft.yaml says, or by the end of its path.';


create or replace function weft._line_of_columns(p_deployment uuid, p_step integer)
  returns integer
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select 1 from weft._steps as s
  where s.deployment_id = p_deployment and s.ordinal = p_step and not s.options ? 'columns' and weft._name_format(s.path, s.options) = 'csv'
$$;

comment on function weft._line_of_columns(uuid, integer) is 'Tells which line of a data file names its columns; null if none does.';


-- For upsert and sync, the key must identify each row.
create or replace function weft._explain_key(p_format text, p_key jsonb, p_first bigint, p_last bigint, p_count bigint, p_value text)
  returns void
  stable
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_key  text := (select string_agg(quote_ident(k.name), ', ') from jsonb_array_elements_text(p_key) as k (name));
begin
  if p_count is null then
    raise exception '%: the key (%) is NULL.', weft._name_place(p_format, p_first), v_key using errcode = 'WF033', hint = 'Every row has its key: rows are told apart by it.';
  end if;
  raise exception '%: the key (%) is % there, as in %.', weft._name_place(p_format, p_last), v_key, p_value,
      case p_count when 2 then lower((weft._name_place(p_format, p_first)) collate "C") else format('%s other rows, the first of them in %s', p_count - 1, lower((weft._name_place(p_format, p_first)) collate "C")) end
    using errcode = 'WF033', hint = 'Leave one of the rows in the file, or name more columns in "key".';
end
$$;

comment on function weft._explain_key(text, jsonb, bigint, bigint, bigint, text) is 'Refuses a key that is NULL, or that several rows of the file share.';


create or replace function weft._explain_shared(p_format text, p_key jsonb, p_place bigint, p_count bigint, p_value text, p_table text)
  returns void
  stable
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_key  text := (select string_agg(quote_ident(k.name), ', ') from jsonb_array_elements_text(p_key) as k (name));
begin
  raise exception '%: the key (%) is % there, and % rows of % have it: which of them is this one, nobody knows.', weft._name_place(p_format, p_place), v_key, p_value, p_count, p_table
    using errcode = 'WF033', table = p_table, hint = 'Leave one of those rows in the table, by a file that runs before this one, or name more columns in "key". A unique index of the key keeps it so.';
end
$$;

comment on function weft._explain_shared(text, jsonb, bigint, bigint, text, text) is 'Refuses a key of a row of the file that several rows of the table share.';


-- If the server names the row that it refuses, that is a row of the table. This finds the row of the file.
create or replace function weft._is_about_a_row(p_state text)
  returns boolean
  immutable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select left(p_state, 2) in ('22', '23', '44', 'P0') or p_state = '42501'
$$;

comment on function weft._is_about_a_row(text) is 'Tells whether an error may be about one row: its values, a constraint, what a trigger says, row security.';


-- p_asked: how many rows should have been inserted, updated and deleted, if a trigger, a rule or row security may have skipped some.
create or replace function weft._account_for_rows(p_mode text, p_rows bigint, p_made bigint, p_changed bigint, p_gone bigint, p_asked bigint[])
  returns jsonb
  immutable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select jsonb_build_object('inserted', p_made, 'updated', p_changed, 'deleted', p_gone, 'unchanged', p_rows - c.asked)
    || case when c.left_out > 0 then jsonb_build_object('left_out', c.left_out) else '{}' end
  from (
    select
      case when p_mode = 'insert' then p_rows else least(coalesce(p_asked[1] + p_asked[2], p_made + p_changed), p_rows) end as asked,
      case when p_mode = 'insert' then greatest(p_rows - p_made, 0)
        else greatest(p_asked[1] - p_made, 0) + greatest(p_asked[2] - p_changed, 0) + greatest(p_asked[3] - p_gone, 0) end as left_out
  ) as c
$$;

comment on function weft._account_for_rows(text, bigint, bigint, bigint, bigint, bigint[]) is 'Tells how many rows of a load were inserted, updated, deleted, were equal, and were skipped by a trigger, a rule or row security.';


create or replace function weft._load(p_deployment uuid, p_step integer, p_phase weft._phases, p_path text)
  returns jsonb
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  c_last       constant bigint := 9223372036854775807;
  v_our_role   constant text := current_setting('role');
  v_role       text;        -- of the file, if it differs from ours
  v_path       text;
  v_step       weft._steps;
  v_chunks     bytea[];
  v_format     text;
  v_mode       text;
  v_delimiter  text;
  v_null       text;
  v_file       record;
  v_target     regclass;
  v_name       text;        -- with its schema
  v_plan       record;
  v_straight   boolean;
  v_is_read    boolean;     -- all of the file
  v_is_shared  boolean := false;  -- the key, by rows of the table
  v_refusal    text;        -- of the first attempt: a SQLSTATE
  v_rows       text;
  v_rest       bytea;
  v_separator  text;
  v_before     bigint;      -- the last line, or object, before the part
  v_from       integer;     -- the row of the part that is the first one
  v_count      bigint;
  v_total      bigint := 0;
  v_made       bigint := 0;
  v_changed    bigint := 0;
  v_gone       bigint := 0;
  v_asked      bigint[];    -- to be inserted, updated, deleted, if some may be skipped
  v_first      bigint;
  v_last       bigint;
  v_value      text;
  v_found      record;
  v_memory     text := current_setting('work_mem');
  v_set        text;
  e_state      text;
  e_message    text;
  e_detail     text;
  e_schema     text;
  e_table      text;
  e_constraint text;
begin
  select s.* into strict v_step from weft._steps as s where s.deployment_id = p_deployment and s.ordinal = p_step;
  select a.chunks into strict v_chunks from weft._artifacts as a where a.deployment_id = p_deployment and a.path = v_step.path;
  v_format := weft._name_format(v_step.path, v_step.options);
  v_mode := coalesce(v_step.options ->> 'mode', 'insert');
  v_delimiter := coalesce(v_step.options ->> 'delimiter', ',');
  v_null := coalesce(v_step.options ->> 'null_as', '');
  v_file := weft._read_columns(v_format, v_step.options, v_chunks);
  v_path := weft._enter_file(p_phase, p_path);
  v_role := p_phase.role;

  v_set := set_config('search_path', v_path, true);
  execute 'select pg_catalog.to_regclass($1)' into v_target using v_step.options ->> 'into';
  v_set := pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
  v_set := set_config('role', v_our_role, false);
  if v_target is null then
    raise exception 'There is no table % (into).', v_step.options ->> 'into' using errcode = '42P01', hint = format('It was looked for with the search_path %s.', v_path);
  end if;
  begin
    v_name := weft._qualify_table(v_target);
    if weft._is_same_table(p_deployment, v_step, v_target, v_name) then
      return jsonb_build_object('inserted', 0, 'updated', 0, 'deleted', 0, 'same_table', v_name);
    end if;
    if v_file.objects > 0 and v_file.columns = '{}' then
      raise exception 'No object of the file has a member.' using errcode = 'WF032', hint = 'A member is called like the column that it is for. A file without rows is [].';
    elsif v_file.objects = 0 then
      if v_mode = 'sync' and v_format = 'ndjson' then
        raise exception 'The file is empty; to bring the table in line with it would delete everything.'
          using errcode = 'WF031', hint = 'If that is meant, make it a file of JSON that says so: [].';
      end if;
      v_file.columns := array(select jsonb_array_elements_text(v_step.options -> 'key'));
      if v_file.columns = '{}' then
        return jsonb_build_object('inserted', 0, 'updated', 0, 'deleted', 0, 'unchanged', 0, 'table', v_name, 'table_oid', v_target::oid::bigint);
      end if;
    end if;
    perform weft._check_target(v_target, v_mode, array(select jsonb_array_elements_text(v_step.options -> 'key')), v_file.columns);
    v_plan := weft._plan_load(v_target, v_step.options, v_format, v_file.columns, v_file.partial);
    v_straight := coalesce(cardinality(v_file.partial), 0) = 0
      and weft._can_go_straight(v_target, v_mode, array(select jsonb_array_elements_text(v_step.options -> 'key')));
    raise exception using errcode = 'WF003';
  exception when sqlstate 'WF003' then
    null;  -- releases the locks on catalogs, as after weft._mark_objects
  end;

  v_set := set_config('role', coalesce(v_role, v_our_role), false);
  v_set := set_config('search_path', v_path, true);
  execute v_plan.set_up;
  if v_plan.lock_sql is not null then
    execute v_plan.lock_sql;
    if v_straight then
      execute v_plan.empty_sql into v_straight;
    end if;
  end if;
  v_set := pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
  v_set := set_config('role', v_our_role, false);

  <<attempts>>
  loop
    begin
      v_is_read := false;
      v_rest := '';
      v_before := 0;
      v_total := 0;
      v_from := 1;
      for v_chunk in 1 .. cardinality(v_chunks) loop
        select r.rows, r.rest into v_rows, v_rest
        from weft._read_part(v_format, v_chunks[v_chunk], v_rest, v_before = 0, v_chunk = cardinality(v_chunks), v_before) as r;
        continue when v_rows is null;
        v_separator := E'\n';
        v_count := case v_format when 'json' then json_array_length(v_rows::json) else weft._count_lines(v_rows) + 1 end;
        if v_format = 'csv' then
          v_from := case when v_before = 0 and not v_step.options ? 'columns' then 2 else 1 end;
          continue when v_rows = '' and (v_before > 0 or v_from = 1);  -- after the last line end
          select w.literals, w.separator into v_rows, v_separator from weft._write_literals(v_rows, v_delimiter, v_null, v_before::integer + 1) as w;
        end if;
        v_set := set_config('role', coalesce(v_role, v_our_role), false);
        v_set := set_config('search_path', v_path, true);
        execute case when v_straight then v_plan.direct_sql when v_separator operator(pg_catalog.=) E'\n' then v_plan.stage_sql else v_plan.stage_long_sql end
        using v_rows, v_separator, v_from, c_last, v_before;
        get diagnostics v_first = row_count;
        v_set := pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
        v_set := set_config('role', v_our_role, false);
        v_total := v_total + v_first;
        v_before := v_before + v_count;
      end loop;
      v_is_read := true;
      if v_total = 0 and v_mode = 'sync' and v_format = 'csv' and v_step.options ? 'columns' then
        raise exception 'The file is empty; to bring the table in line with it would delete everything.'
          using errcode = 'WF031', hint = 'If that is meant, let the file say so: by a first line that names the columns, without "columns" in weft.yaml; or as a file of JSON, [].';
      end if;
      if v_straight then
        v_made := v_total;
        exit attempts;
      end if;

      if pg_size_bytes(v_memory) < weft._limit('load_memory_bytes') then
        v_set := set_config('work_mem', format('%skB', weft._limit('load_memory_bytes') / 1024), true);
      end if;
      v_set := set_config('role', coalesce(v_role, v_our_role), false);
      analyze pg_temp._weft_load;
      v_set := set_config('search_path', v_path, true);
      if v_plan.nulls_sql is not null then
        execute v_plan.nulls_sql into v_first;
        if v_first is null then
          execute v_plan.twice_sql into v_first, v_last, v_count, v_value;
        else
          v_count := null;
        end if;
        if v_first is null and v_plan.shared_sql is not null then
          execute v_plan.shared_sql into v_first, v_count, v_value;
          v_is_shared := v_first is not null;
        end if;
      end if;
      v_set := pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
      v_set := set_config('role', v_our_role, false);
      if v_is_shared then
        perform weft._explain_shared(v_format, v_step.options -> 'key', v_first, v_count, v_value, v_name);
      elsif v_first is not null and v_plan.nulls_sql is not null then
        perform weft._explain_key(v_format, v_step.options -> 'key', v_first, v_last, v_count, v_value);
      end if;
      if v_refusal is not null and v_total <= weft._limit('rows_looked_through_count') and not (v_refusal = '23503' and weft._is_own_parent(v_target)) then
        v_found := weft._find_row(v_plan.probe_sql, null, null, 0, v_before, v_role, v_path);
        if v_found.place = 0 then  -- it fails even without rows: a statement trigger
          perform weft._raise_at(null, v_found.error || jsonb_build_object('hint', coalesce(nullif(v_found.error ->> 'hint', ''), case when v_refusal <> '42501' then 'The file is refused as a whole, whatever its rows.' end)));
        elsif v_found.place is not null then
          perform weft._raise_at(weft._name_place(v_format, v_found.place), v_found.error || case when v_refusal = '23505' and v_plan.lock_sql is not null then jsonb_build_object('hint',
            'Do rows of the file trade these values among rows that are there? PostgreSQL looks at each row by itself, unless the constraint is deferrable: alter it, or free the values in a step before.')
            else '{}' end);
        end if;
      end if;
      v_set := set_config('role', coalesce(v_role, v_our_role), false);
      v_set := set_config('search_path', v_path, true);
      if v_plan.lock_sql is null then
        execute v_plan.apply_sql using null::pg_catalog.text, null::pg_catalog.text, 0::pg_catalog.int8, c_last;
        get diagnostics v_made = row_count;
      else
        execute v_plan.apply_sql into v_made, v_changed, v_gone, v_asked using null::pg_catalog.text, null::pg_catalog.text, 0::pg_catalog.int8, c_last;
      end if;
      v_set := pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
      exit attempts;
    exception when others then
      get stacked diagnostics e_state = returned_sqlstate;
      if not weft._is_about_a_row(e_state) then
        raise;
      elsif not v_straight and not v_is_read then
        perform weft._explain_value(v_plan.cast_sql, v_format, v_rows, v_separator, v_from, v_before, v_role, v_path);
        raise;
      elsif v_refusal is not null then
        get stacked diagnostics e_message = message_text, e_detail = pg_exception_detail, e_schema = schema_name, e_table = table_name, e_constraint = constraint_name;
        if e_state = '23503' and v_mode = 'sync' and v_target <> to_regclass(format('%I.%I', e_schema, e_table)) then  -- about a row that is deleted
          perform weft._raise_at(null, jsonb_build_object('sqlstate', e_state, 'message', e_message, 'detail', e_detail, 'schema', e_schema, 'table', e_table, 'constraint', e_constraint,
            'hint', format('The file lacks a row that rows of %I.%I refer to. Take those away before: in a step that stands before this one. Or let the constraint be looked at only in the end (deferrable initially deferred), or delete along (on delete cascade).', e_schema, e_table)));
        end if;
        raise;
      end if;
      v_refusal := e_state;
      v_straight := false;  -- slower, but it tells why
    end;
  end loop attempts;
  v_set := set_config('role', coalesce(v_role, v_our_role), false);
  discard temp;  -- unlike DROP, no event trigger can forbid it
  v_set := set_config('role', v_our_role, false);
  return weft._account_for_rows(v_mode, v_total, v_made, v_changed, v_gone, v_asked) || jsonb_build_object('table', v_name, 'table_oid', v_target::oid::bigint);
end
$$;

comment on function weft._load(uuid, integer, weft._phases, text) is 'Loads a data file into its table; returns how many rows were inserted, updated, deleted and unchanged, and in which table.';
