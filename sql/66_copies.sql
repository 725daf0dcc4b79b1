-- COPY ... FROM STDIN with its rows, as pg_dump writes it: what the statement says, which INSERT does the same, and the rows of a piece
-- of the file made ready for that INSERT. A function cannot feed rows to the server's COPY; so the rows go in by INSERT, many at a time
-- and never row by row.

-- The options after FROM STDIN. Unknown ones are refused by name: a row that is read by other rules than its author's is worse than none.
create or replace function weft._read_copy_options(p_options text)
  returns jsonb
  stable
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  c_value  constant text := '(?:[eE]?''(?:[^'']|'''')*''|[^\s,()'']+)';
  v_rest   text := p_options;
  v_found  text[];
  v_name   text;
  v_value  text;
  v_made   jsonb := '{}';
begin
  if v_rest ~ '\(' then
    v_rest := regexp_replace(v_rest, '^(?:with )?\( ?(.*?) ?\)$', '\1', 'i');
  else  -- the syntax before 9.0: keywords one after the other
    v_rest := regexp_replace(regexp_replace(v_rest, '^(?:using )?delimiters\M', 'delimiter', 'i'), '(^|'' ?)with\M ?', '\1', 'i');
    v_rest := regexp_replace(regexp_replace(v_rest, '\mcsv\M', 'format csv', 'i'), '\mbinary\M', 'format binary', 'i');
    v_rest := regexp_replace(v_rest, '\mheader\M', 'header true', 'i');
  end if;
  while v_rest <> '' loop
    v_found := regexp_match(v_rest, '^([a-zA-Z_]+)(?: (?:as )?(' || c_value || '))? ?(?:, ?)?(.*)$', 'i');
    if v_found is null then
      raise exception 'COPY FROM STDIN with "%" is not understood.', p_options
        using errcode = 'WF081', hint = 'Known are format, delimiter, null, header, quote, escape, encoding and freeze. Else write the rows as INSERT, or as a file of their own with "load:" in weft.yaml.';
    end if;
    v_name := lower(v_found[1] collate "C");
    v_value := coalesce(v_found[2], 'true');
    v_rest := v_found[3];
    if v_value ~ '^[eE]?''' then
      execute 'select ' || v_value into v_value;
    else
      v_value := lower(v_value collate "C");
    end if;
    if v_name = 'freeze' or v_name = 'log_verbosity' or v_name = 'on_error' and v_value = 'stop' then
      continue;  -- makes no difference to the rows
    elsif v_name = 'encoding' and replace(lower(v_value collate "C"), '-', '') = 'utf8' then
      continue;
    elsif v_name = 'header' and v_value in ('true', 'on', '1', 'false', 'off', '0', 'match') then
      v_value := case when v_value in ('false', 'off', '0') then null when v_value = 'match' then 'match' else 'true' end;
    elsif v_name = 'format' and v_value in ('text', 'csv') or v_name in ('delimiter', 'null', 'quote', 'escape') then
      null;
    else
      raise exception 'COPY FROM STDIN with % % is not understood.', v_name, v_value
        using errcode = 'WF081', hint = 'Known are format text and csv, delimiter, null, header, quote, escape (the same as quote), encoding utf8 and freeze. Else write the rows as INSERT, or as a file of their own with "load:" in weft.yaml.';
    end if;
    v_made := v_made || jsonb_strip_nulls(jsonb_build_object(v_name, v_value));
  end loop;
  return v_made;
end
$$;

comment on function weft._read_copy_options(text) is 'Reads the options of a COPY ... FROM STDIN, and refuses those that are not understood.';


create or replace function weft._read_copy(p_statement text)
  returns jsonb
  stable
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  c_name      constant text := '(?:"(?:[^"]|"")*"|[^\s"(.]+)';
  v_found     text[] := regexp_match(weft._flatten(p_statement), '^copy (binary )?(' || c_name || '(?: ?\. ?' || c_name || ')*) ?(\((?:"(?:[^"]|"")*"|[^")])*\))? ?from std(?:in|out)\M ?(.*)$', 'i');
  v_options   jsonb;
begin
  if v_found[1] is not null then
    raise exception 'COPY BINARY stands in a file of text.' using errcode = 'WF081', hint = 'Write the rows as text.';
  end if;
  v_options := weft._read_copy_options(v_found[4]);
  if v_options ->> 'format' = 'csv' then
    v_options := '{"delimiter": ",", "null": "", "quote": "\""}' || v_options;
    if coalesce(v_options ->> 'escape', v_options ->> 'quote') <> v_options ->> 'quote' then
      raise exception 'COPY FROM STDIN with the escape "%" is not understood.', v_options ->> 'escape'
        using errcode = 'WF081', hint = 'In quotes, a quote that is a character is written twice. Else write the rows as INSERT.';
    elsif length(v_options ->> 'delimiter') <> 1 or length(v_options ->> 'quote') <> 1 or v_options ->> 'delimiter' ~ '[\n\r]' or v_options ->> 'quote' ~ '[\n\r]'
        or v_options ->> 'null' ~ '[\n\r]' or strpos(concat(v_options ->> 'null', v_options ->> 'delimiter'), v_options ->> 'quote') > 0 or strpos(v_options ->> 'null', v_options ->> 'delimiter') > 0 then
      raise exception 'COPY FROM STDIN with the delimiter "%", the quote "%" and NULL as "%" is not understood.', v_options ->> 'delimiter', v_options ->> 'quote', v_options ->> 'null'
        using errcode = 'WF081', hint = 'Delimiter and quote are one character each, and no line''s end; NULL holds neither of them.';
    end if;
  elsif v_options ?| array['quote', 'escape'] then
    raise exception 'COPY FROM STDIN with quote or escape, and without format csv, is not understood.' using errcode = 'WF081', hint = 'They belong to CSV: say format csv.';
  elsif length(coalesce(v_options ->> 'delimiter', E'\t')) <> 1 or v_options ->> 'delimiter' ~ '[\\\n\r.a-z0-9]' or v_options ->> 'null' ~ '[\n\r]|\\(?!N$)' then
    raise exception 'COPY FROM STDIN with the delimiter "%" and NULL as "%" is not understood.', v_options ->> 'delimiter', v_options ->> 'null'
      using errcode = 'WF081', hint = 'The delimiter is one character, and no letter, digit, dot or backslash.';
  end if;
  return v_options || jsonb_build_object(
    'target', v_found[2],
    'columns', case when v_found[3] is not null then to_jsonb(array(
      select weft._fold_identifier(m.name[1])
      from regexp_matches(substr(v_found[3], 2), '"(?:[^"]|"")*"|[^\s",()]+', 'g') with ordinality as m (name, ordinal) order by m.ordinal)) end);
end
$$;

comment on function weft._read_copy(text) is 'Reads a COPY ... FROM STDIN: target, columns, options.';


-- COPY is one statement, with checks and triggers at its end. If these could notice the difference, all rows go into a single INSERT.
create or replace function weft._is_copied_whole(p_relation regclass)
  returns boolean
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  with relations as materialized (
    select p_relation::oid as oid
    union
    select p.relid from pg_partition_tree(p_relation) as p
  )
  select exists (
    select from pg_trigger as t
    join relations as r on r.oid = t.tgrelid
    left join pg_constraint as c on c.oid = t.tgconstraint
    where t.tgenabled <> 'D' and t.tgtype & 4 <> 0 and case
      when not t.tgisinternal then t.tgtype & 1 = 0 or t.tgtype & 66 = 0  -- for each statement, or after
      when c.contype = 'f' then c.confrelid in (select x.oid from relations as x)
      else c.contype in ('u', 'p', 'x')  -- deferrable
    end)
$$;

comment on function weft._is_copied_whole(regclass) is
  'Tells whether something on a table sees all rows of a statement together: a statement or after trigger, a reference to the table itself, a deferrable unique constraint.';


create or replace function weft._qualify_table(p_table oid)
  returns text
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select format('%I.%I', n.nspname, c.relname) from pg_class as c join pg_namespace as n on n.oid = c.relnamespace where c.oid = p_table
$$;

comment on function weft._qualify_table(oid) is 'Names a table with its schema, as SQL does; null if there is none.';


-- An expression that turns a text (%s) into a value by the type's own input function, not by a user's cast, which may read it differently and is foreign code.
-- The input function is called by name. For an enum, a range or a row, whose input functions no query may call, the value is read as an element of an array.
create or replace function weft._read_as(p_type oid)
  returns text
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  with casts as (select c.casttarget, c.oid from pg_cast as c where c.castsource = 'text'::regtype and c.castmethod = 'f')
  select case
    when t.oid = 'text'::regtype then '%s'
    when not exists (select from casts as c where c.casttarget = t.oid and (c.oid >= 16384 or t.typelem = 0)) then format('%%s::%I.%I', n.nspname, t.typname)
    when t.typtype = 'b' and t.typelem = 0 then format(case i.pronargs when 1 then '%I.%I(pg_catalog.textout(%%s))' else '%I.%I(pg_catalog.textout(%%s), %s, -1)' end, f.nspname, i.proname, t.oid)
    when t.typarray <> 0 and not exists (select from casts as c where c.casttarget = t.typarray) then
      format($read$((E'{"' operator(pg_catalog.||) pg_catalog.replace(pg_catalog.replace(%%s, E'\\', E'\\\\'), '"', E'\\"') operator(pg_catalog.||) '"}')::%I.%I)[1]$read$,
        (select o.nspname from pg_type as a join pg_namespace as o on o.oid = a.typnamespace where a.oid = t.typarray), (select a.typname from pg_type as a where a.oid = t.typarray))
  end
  from pg_type as t
  join pg_namespace as n on n.oid = t.typnamespace
  join pg_proc as i on i.oid = t.typinput
  join pg_namespace as f on f.oid = i.pronamespace
  where t.oid = p_type
$$;

comment on function weft._read_as(oid) is 'Writes an expression that turns a text into a value by the type''s input function; null if casts of users take precedence in every possible way.';


-- Values are read as COPY reads them, and then assigned, so that a value that is too long is an error.
create or replace function weft._plan_copy(p_copy jsonb, p_relation regclass, out plain_sql text, out escaped_sql text, out columns text[], out types text[], out lengths integer[], out readers text[])
  stable
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  c_field     constant text := 'r.f[%s]';
  c_replaced  constant text := 'pg_catalog.translate(r.f[%s], $4, $5)';
  v_target    text := weft._qualify_table(p_relation);
  v_wanted    text[] := case when jsonb_typeof(p_copy -> 'columns') = 'array' then array(select jsonb_array_elements_text(p_copy -> 'columns')) end;
  v_missing   text;
  v_casts     text[];
  v_rows      text;
begin
  if exists (select from pg_rewrite as w where w.ev_class = p_relation and w.ev_type = '3' and w.ev_enabled <> 'D') then
    raise exception 'The table % has a rule for INSERT. COPY would pass it by, and INSERT, which does the work here, cannot.', v_target
      using errcode = 'WF083', hint = 'Disable the rule around the COPY (alter table ... disable rule), or drop it.';
  end if;
  select w.name into v_missing from unnest(v_wanted) as w (name)
  where not exists (select from pg_attribute as a where a.attrelid = p_relation and a.attname = w.name and a.attnum > 0 and not a.attisdropped) limit 1;
  if found then
    raise exception 'column "%" of relation "%" does not exist', v_missing, p_relation using errcode = '42703';
  end if;

  with recursive wanted as (
    select a.attname, a.atttypid, a.atttypmod, row_number() over (order by w.ordinal, a.attnum) as place
    from pg_attribute as a
    left join unnest(v_wanted) with ordinality as w (name, ordinal) on w.name = a.attname
    where a.attrelid = p_relation and a.attnum > 0 and not a.attisdropped and case when v_wanted is null then a.attgenerated = '' else w.name is not null end
  ), unwrapped as (
    select w.place, w.atttypid as oid, w.atttypmod as typmod from wanted as w
    union all
    select u.place, t.typbasetype, t.typtypmod from unwrapped as u join pg_type as t on t.oid = u.oid and t.typtype = 'd'
  )
  select array_agg(w.attname::text order by w.place), array_agg(format_type(w.atttypid, w.atttypmod) order by w.place),
    array_agg(case when t.oid in ('varchar'::regtype, 'bpchar'::regtype) then u.typmod - 4 end order by w.place),
    array_agg(weft._read_as(t.oid) order by w.place)
  into columns, types, lengths, v_casts
  from wanted as w
  join unwrapped as u on u.place = w.place
  join pg_type as t on t.oid = u.oid and t.typtype <> 'd';
  if array_position(v_casts, null) is not null then
    raise exception 'Somebody has made a cast from text over the type %, and it would read the rows, not the type itself.', types[array_position(v_casts, null)]
      using errcode = 'WF083', hint = 'Write the rows as INSERT, or drop the cast.';
  end if;
  readers := v_casts;

  v_rows := format(' from (select %s as f from pg_catalog.unnest(case when $1 operator(pg_catalog.=) '''' then array[''''] else pg_catalog.string_to_array($1, pg_catalog.chr(10)) end) as l offset 0) as r'
      || ' where pg_catalog.cardinality(r.f) operator(pg_catalog.=) %s',
    case when cardinality(columns) = 1 then 'case l when '''' then array[nullif(l, $3)] else pg_catalog.string_to_array(l, $2, $3) end' else 'pg_catalog.string_to_array(l, $2, $3)' end,
    coalesce(cardinality(columns), 0));
  select format('insert into %s %s overriding system value select %s', v_target, coalesce('(' || string_agg(format('%I', c.name), ', ' order by c.place) || ')', ''),
      coalesce(string_agg(replace(c.value, '%s', replace(c_field, '%s', c.place::text)), ', ' order by c.place), '')) || v_rows,
    format('insert into %s %s overriding system value select %s', v_target, coalesce('(' || string_agg(format('%I', c.name), ', ' order by c.place) || ')', ''),
      coalesce(string_agg(replace(c.value, '%s', replace(c_replaced, '%s', c.place::text)), ', ' order by c.place), '')) || v_rows
  into plain_sql, escaped_sql
  from unnest(columns, v_casts) with ordinality as c (name, value, place);
end
$$;

comment on function weft._plan_copy(jsonb, regclass) is 'Writes the INSERT that does what a COPY does, for rows in $1, with the delimiter $2, NULL as $3, and characters $4 that stand for $5.';


-- The escapes of COPY's text format (manual, COPY, File Formats). Characters that a field may contain, but not a line (tab, line feed,
-- backslash), are replaced by characters that the rows do not use, until the fields are separated.
create or replace function weft._unescape_rows(p_rows text, p_delimiter text, p_null text, out rows text, out stand_ins text, out meant text)
  stable
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  c_null  constant text := '\N';
  v_free  text[];
  v_code  record;
begin
  rows := p_rows;
  if strpos(rows, '\') = 0 then
    return;
  end if;
  if p_null = c_null then
    if strpos(replace(rows, c_null, ''), '\') = 0 and rows !~ format('[^\n%s]\\N|\\N[^\n%s]', p_delimiter, p_delimiter) then
      return;
    end if;
  end if;
  v_free := array(select chr(n) from unnest('{1,2,3,4,5,6,7,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31}'::integer[]) as n where strpos(rows, chr(n)) = 0 limit 4);
  if coalesce(cardinality(v_free), 0) < 4 then
    raise exception 'The rows hold too many kinds of control characters beside their escapes.' using errcode = 'WF081', hint = 'Write them as INSERT.';
  end if;
  stand_ins := v_free[1] || v_free[2] || v_free[3] || v_free[4];
  meant := '\' || E'\t\n' || p_delimiter;
  rows := replace(rows, '\\', v_free[1]);
  rows := replace(replace(replace(rows, '\t', v_free[2]), '\n', v_free[3]), E'\\\n', v_free[3]);
  rows := replace(rows, '\' || p_delimiter, v_free[4]);
  rows := replace(replace(replace(replace(rows, '\r', E'\r'), '\b', E'\b'), '\f', E'\f'), '\v', E'\x0b');
  if p_null = c_null and strpos(rows, c_null) > 0 then
    rows := regexp_replace(regexp_replace(rows, format('(?<=[^\n%s])\\N', p_delimiter), 'N', 'g'), format('\\N(?=[^\n%s])', p_delimiter), 'N', 'g');
  end if;
  if rows ~ '\\[^N]' or p_null <> c_null and strpos(rows, '\') > 0 then
    for v_code in
      select distinct m.code[1] as code, length(m.code[1]) as length,
        case left(m.code[1], 1) when 'x' then ('x' || lpad(substr(m.code[1], 2), 8, '0'))::bit(32)::integer
          else (select sum((substr(m.code[1], p, 1)::integer) * (8 ^ (length(m.code[1]) - p))::integer) from generate_series(1, length(m.code[1])) as p)::integer end as number
      from regexp_matches(rows, '\\(x[0-9A-Fa-f]{1,2}|[0-7]{1,3})', 'g') as m (code)
      order by 2 desc
    loop
      if v_code.number not between 1 and 127 then
        raise exception 'The escape \% stands for a byte that is no character of ASCII.', v_code.code using errcode = 'WF081', hint = 'Write the character itself, in UTF-8.';
      end if;
      rows := replace(rows, '\' || v_code.code, case v_code.number when 9 then v_free[2] when 10 then v_free[3] when 92 then v_free[1]
        when ascii(p_delimiter) then v_free[4] else chr(v_code.number) end);
    end loop;
    rows := case when p_null = c_null then regexp_replace(rows, '\\([^N])', '\1', 'g') else regexp_replace(rows, '\\(.)', '\1', 'g') end;
  end if;
end
$$;

comment on function weft._unescape_rows(text, text, text) is 'Takes the escapes out of rows in COPY''s text format.';


-- Cuts the rows off a piece of the file: up to the line \. , or up to the last line end. A line that only begins like that (\.jpg$) does not end
-- the rows: in CSV it is a row, in text an error.
create or replace function weft._cut_rows(p_text text, p_is_last boolean, out rows text, out rest text, out is_over boolean, out has_end boolean)
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_text  text := E'\n' || p_text;
  v_at    integer := strpos(v_text, E'\n\\.\n');
  v_crlf  integer := strpos(v_text, E'\n\\.\r\n');
  v_end   text := E'\n\\.\n';
  v_open  text;
begin
  if v_crlf > 0 and (v_at = 0 or v_crlf < v_at) then
    v_at := v_crlf;
    v_end := E'\n\\.\r\n';
  elsif v_at = 0 and p_is_last and right(v_text, 3) = E'\n\\.' then
    v_at := length(v_text) - 2;
  elsif v_at = 0 and p_is_last and right(v_text, 4) = E'\n\\.\r' then
    v_at := length(v_text) - 3;
  end if;
  has_end := v_at > 0;
  is_over := has_end or p_is_last;
  if has_end then
    rows := case when v_at > 1 then substr(v_text, 2, v_at - 2) end;
    rest := substr(v_text, v_at + length(v_end));
    return;
  end if;
  if p_is_last then
    rest := '';
    rows := case when p_text = '' then null when right(p_text, 1) = E'\n' then left(p_text, -1) else p_text end;
    return;
  end if;
  -- an escaped line end ends no line, and a line \. may still be incomplete
  v_at := strpos(reverse(v_text), E'\n');
  v_open := right(v_text, v_at - 1);
  while v_at < length(v_text) and length(substring(reverse(left(v_text, length(v_text) - v_at)) from '^\\*')) % 2 = 1 loop
    v_at := v_at + strpos(reverse(left(v_text, length(v_text) - v_at)), E'\n');
    v_open := right(v_text, v_at - 1);
  end loop;
  rest := v_open;
  rows := case when v_at < length(v_text) then substr(v_text, 2, length(v_text) - v_at - 1) end;
end
$$;

comment on function weft._cut_rows(text, boolean) is
  'Cuts the rows of a COPY off a piece of a file, without their last line end; null if there are none. The rest must be read together with the next piece.';
