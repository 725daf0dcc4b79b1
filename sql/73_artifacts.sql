-- Prepares artifacts for execution: bytes become text, text becomes statements, and these get the form that EXECUTE takes.

-- Reads a chunk as text. If the end of the chunk cuts a character in two, its first bytes are passed on to the next chunk.
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


-- A whole artifact as text. No SET clause, so that the planner can inline it into the caller's query: every name in it is qualified.
create or replace function weft._read_text(p_content bytea)
  returns text
  stable
  language sql
as $$
  select pg_catalog.convert_from(case when pg_catalog.substr(p_content, 1, 3) operator(pg_catalog.=) '\xefbbbf' then pg_catalog.substr(p_content, 4) else p_content end, 'UTF8')
$$;

comment on function weft._read_text(bytea) is 'Reads an artifact of one chunk as text in the encoding of this database, without a byte-order mark.';


create or replace function weft._split_file(p_deployment uuid, p_path text, out statements text[], out lines integer[])
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select x.statements, x.lines
  from weft._artifacts as a
  cross join lateral (select k.content from weft._chunks as k where k.digest = a.chunks[1] offset 0) as c
  cross join lateral weft._split(weft._new_scanner(), weft._read_text(c.content), true) as x
  where a.deployment_id = p_deployment and a.path = p_path and cardinality(a.chunks) = 1
$$;

comment on function weft._split_file(uuid, text) is 'Splits a file of one chunk into its statements; null if it has more chunks.';


-- Digests are made of the text as it is in the file: from the digest of a text with a secret's value in it, the secret could be guessed.
-- No SET clause, so that the planner can inline it into the caller's query: every name in it is qualified.
create or replace function weft._digest_statements(p_statements text[])
  returns table (digests bytea[])
  immutable parallel safe rows 1
  language sql
as $$
  select coalesce(pg_catalog.array_agg(pg_catalog.sha256(pg_catalog.convert_to(s.statement, 'UTF8'))), '{}')
  from (select pg_catalog.unnest(p_statements) as statement) as s
$$;

comment on function weft._digest_statements(text[]) is 'Digests statements, each by itself.';


-- EXECUTE refuses SELECT INTO as not implemented, but accepts it if something follows the statement.
-- No SET clause, as above.
create or replace function weft._make_executable(p_statements text[], p_parameters jsonb)
  returns table (executables text[])
  immutable parallel safe rows 1
  language sql
as $$
  select coalesce(pg_catalog.array_agg(
      case when pg_catalog."left"(pg_catalog.ltrim(pg_catalog."left"(x.text, 16), E' \t\n\r\f\x0b'), 1) operator(pg_catalog.=) any (array['', 's', 'S', 'w', 'W', '-', '/'])
             and x.text operator(pg_catalog.~*) '\minto\M' and weft._skip_comments(x.text) operator(pg_catalog.~*) '^(select|with)\M'
             and pg_catalog.regexp_replace(x.text, '\minsert\s+into\M', '', 'gi') operator(pg_catalog.~*) '\minto\M'
           then x.text operator(pg_catalog.||) E'\n;select where false'
           else x.text
      end), '{}')
  from (select weft._mark(p_parameters) as mark offset 0) as m
  cross join lateral (select pg_catalog.unnest(p_statements) as statement) as s
  cross join lateral (
    select case when s.statement operator(pg_catalog.~) m.mark then weft._interpolate(s.statement, p_parameters, m.mark) else s.statement end as text offset 0) as x
$$;

comment on function weft._make_executable(text[], jsonb) is
  'Writes statements in the form that EXECUTE takes: with the values of parameters, if there are any, and with care for what may be a SELECT INTO.';


-- For a file of one chunk. A file without the COMMIT stays as it is, and the server refuses it.
create or replace function weft._is_wrapped(p_statements text[])
  returns boolean
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select coalesce(cardinality(p_statements) > 1 and weft._is_begin(p_statements[1]) and weft._is_commit(p_statements[cardinality(p_statements)]), false)
$$;

comment on function weft._is_wrapped(text[]) is 'Tells whether a file begins with BEGIN and ends with COMMIT, which are then left out.';


create or replace function weft._refuse_open_transaction(p_line integer)
  returns void
  stable
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
begin
  raise exception 'Line %: no COMMIT at the end of the file answers this BEGIN.', p_line
    using errcode = 'WF085', hint = 'psql would take back all that is behind it. End the file with COMMIT, or take BEGIN out: the transactions are Weft''s.';
end
$$;

comment on function weft._refuse_open_transaction(integer) is 'Refuses a file that begins a transaction and does not end it.';


-- pg_dump writes large objects between BEGIN and COMMIT, because they stay open only within a transaction. The file already runs in one, so the
-- pair is left out, like one around the whole file.
create or replace function weft._leave_out_object_blocks(inout p_statements text[], inout p_lines integer[], inout p_objects_at integer, p_is_end boolean, out told_at integer)
  stable
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_left_out  integer[] := '{}';
begin
  for v_index in 1 .. cardinality(p_statements) loop
    if p_objects_at is null and weft._is_begin(p_statements[v_index]) and weft._skip_comments(p_statements[v_index + 1]) ~* '^select\s+pg_catalog\.lo_open\s*\(' then
      p_objects_at := weft._first_line(p_statements[v_index], p_lines[v_index]);
      told_at := coalesce(told_at, p_objects_at);
      v_left_out := array_append(v_left_out, v_index);
    elsif p_objects_at is not null and weft._is_commit(p_statements[v_index]) then
      p_objects_at := null;
      v_left_out := array_append(v_left_out, v_index);
    end if;
  end loop;
  if p_objects_at is not null and p_is_end then
    perform weft._refuse_open_transaction(p_objects_at);
  elsif v_left_out <> '{}' then
    select coalesce(array_agg(s.statement order by s.n), '{}'), coalesce(array_agg(s.line order by s.n), '{}') into p_statements, p_lines
    from unnest(p_statements, p_lines) with ordinality as s (statement, line, n) where s.n <> all (v_left_out);
  end if;
end
$$;

comment on function weft._leave_out_object_blocks(text[], integer[], integer, boolean) is 'Leaves out BEGIN and COMMIT around large objects, as pg_dump writes them, and tells the line of the first BEGIN.';


-- Steps are read several at a time, so that an artifact costs a row, not a dozen statements. Up to about the size of a chunk, or a single step.
create or replace function weft._read_scripts(p_deployment uuid, p_first integer, p_last integer, p_parameters jsonb)
  returns weft._script[]
  stable
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan  -- a deployment reads often, and planning takes longer than reading; in PL/pgSQL, because before 18 a function in SQL is planned for each call
  set enable_nestloop = off  -- rows that were just written have no statistics
  set enable_memoize = off  -- no file is read twice
  set jit = off  -- such a plan looks expensive enough to be compiled
  language plpgsql
as $$
begin
  return (
    with pending as (
      select s.ordinal, s.kind, s.path, s.in_one_piece, s.condition, s.on_error = 'continue' as is_tolerated, s.options ? 'repeat' as is_repeatable,
             s.options ? 'makes_room' as makes_room, s.had is not null as comes_back,
             case when s.options ? 'values' then s.options -> 'values' || (
               select coalesce(jsonb_object_agg(k.name, p_parameters -> k.name), '{}') from weft._parameters as k where k.deployment_id = p_deployment and k.is_secret) end as own_values,
             a.chunks, a.size,
             sum(case s.kind when 'run' then a.size end) over (order by s.ordinal) as bytes, row_number() over (order by s.ordinal) as place
      from weft._steps as s
      -- by its key: otherwise, if each step is a transaction, all artifacts would be read for each
      left join lateral (select k.chunks, k.size from weft._artifacts as k where k.deployment_id = p_deployment and k.path = s.path offset 0) as a on true
      where s.deployment_id = p_deployment and s.ordinal between p_first and p_last and s.state = 'pending'
    ), texts as (
      select f.*, coalesce(f.own_values, p_parameters) as parameters, case when f.own_values is null then (select weft._mark(p_parameters)) else weft._mark(f.own_values) end as mark,
             case when not f.in_one_piece then weft._mask(f.text, f.folded) end as masked, not f.in_one_piece and strpos(f.text, 'pg_catalog.lo_open(') > 0 as has_objects
      from (
        select r.*, lower(r.text collate "C") as folded
        from (
          select b.*, weft._read_text(k.content) as text
          from pending as b
          -- by its key, file by file, because there may be very many chunks
          left join lateral (select c.content from weft._chunks as c where b.kind = 'run' and cardinality(b.chunks) = 1 and c.digest = b.chunks[1] offset 0) as k on true
          where b.place = 1 or b.bytes is null or b.bytes <= weft._limit('scripts_read_bytes')
          order by b.ordinal) as r
        order by r.ordinal) as f
      order by f.ordinal
    )
    select coalesce(array_agg(row(
             t.ordinal, t.kind, t.path, t.in_one_piece, t.chunks, t.size, t.condition, t.is_tolerated, t.is_repeatable,
             t.kind = 'run' and t.condition is null and not t.is_repeatable and not t.makes_room and p.begun_at is null,
             t.makes_room, t.comes_back, t.own_values, p.statements is null, p.begun_at,
             case when p.is_wrapped then trim_array(p.statements[2:], 1) else p.statements end,
             coalesce(case when p.is_wrapped then trim_array(p.lines[2:], 1) else p.lines end, '{}'),
             coalesce(case when p.is_wrapped then trim_array(p.digests[2:], 1) else p.digests end, '{}'),
             case when p.is_wrapped then trim_array(p.executables[2:], 1) else p.executables end,
             t.kind = 'run' and coalesce(strpos(p.code, 'drop') > 0, true), t.kind = 'run' and coalesce(strpos(p.code, 'constraints') > 0, true))::weft._script order by t.ordinal), '{}')
    from texts as t
    left join lateral (
      select w.*, case when w.is_wrapped then weft._first_line(w.statements[1], w.lines[1]) else w.told_at end as begun_at,
             case when w.is_as_it_stands then t.folded else lower(array_to_string(w.executables, ' ') collate "C") end as code
      from (
        select v.*, case when v.is_as_it_stands then v.statements else (select e.executables from weft._make_executable(v.statements, t.parameters) as e) end as executables
        from (
          select o.statements, o.lines, o.told_at, d.digests,
                 coalesce(case when o.statements[1] ~* '^(?:\s|--[^\n\r]*|/\*.*\*/)*(?:begin|start)\M' then weft._is_wrapped(o.statements) end, false) as is_wrapped,
                 -- most files name no parameter, and have INTO only after INSERT, and not after a name that ends like that: checked without a pattern, which would
                 -- be tried at each letter
                 strpos(replace(replace(E'\n' || t.folded, E'\ninsert into', ''), ' insert into', ''), 'into') = 0 and (t.text ~ t.mark) is not true as is_as_it_stands
          from (
            select array[t.text] as statements, array[1] as lines where t.in_one_piece and t.text is not null
            union all
            select s.statements, s.lines from weft._cut_masked(t.text, t.masked) as s where t.masked is not null
            union all
            select x.statements, x.lines from weft._cut_other(t.text) as x where not t.in_one_piece and t.text is not null and t.masked is null and x.statements is not null) as c
          cross join lateral (
            select c.statements, c.lines, null::integer as told_at where not t.has_objects
            union all
            select f.p_statements, f.p_lines, f.told_at from weft._leave_out_object_blocks(c.statements, c.lines, null, true) as f where t.has_objects) as o
          cross join lateral weft._digest_statements(o.statements) as d
          offset 0) as v
        offset 0) as w
      offset 0) as p on true);
end
$$;

comment on function weft._read_scripts(uuid, integer, integer, jsonb) is 'Reads pending steps from p_first on, several at a time; files of one chunk that are to be run, with their statements.';


-- Called after several steps could not be read together.
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
    cross join lateral (select k.content from weft._chunks as k where k.digest = a.chunks[1] offset 0) as c
    where s.deployment_id = p_deployment and s.ordinal between p_first and p_last and s.state = 'pending' and s.kind = 'run'
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


-- The fallback of the split: the server's grammar decides, if the file is small enough to be run in one piece.
create or replace function weft._is_split_wrong(p_statement text, p_chunks bytea[], p_size bigint, p_parameters jsonb)
  returns boolean
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
begin
  return p_statement is not null
    and p_size <= weft._limit('whole_file_bytes')
    and cardinality(p_chunks) = 1
    and not weft._parses(weft._interpolate(p_statement, p_parameters, weft._mark(p_parameters)))
    and weft._parses(weft._interpolate((select r.text from weft._read_chunk(p_chunks[1], '', true, true) as r), p_parameters, weft._mark(p_parameters)));
end
$$;

comment on function weft._is_split_wrong(text, bytea[], bigint, jsonb) is
  'Tells whether a statement is not valid SQL although the whole file is, which means that the scanner was wrong, not the author.';
