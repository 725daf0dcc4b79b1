-- Two contents of one file: whether they differ in more than comments and white space, and what differs, line by line.
--
-- Content is what the server would read: outside of quotes, white space and comments do not count; inside of them, every byte does. If
-- that cannot be told for certain, two contents are different: a file that is not run because of a wrong guess is worse than a
-- difference that is shown.

-- A stretch of a statement without dollar quotes. White space and comments are removed wherever this does not join two tokens.
create or replace function weft._normalise_stretch(p_text text)
  returns text
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  -- 1 white space and comments, 2 strings and quoted names, 3 words, numbers, points, 4 operators, 5 colons, 6 everything else
  with tokens as (
    select t.ordinal, case when m[1] is not null then 1 when m[2] is not null then 2 when m[3] is not null then 3 when m[4] is not null then 4 when m[5] is not null then 5 else 6 end as kind,
           coalesce(m[1], m[2], m[3], m[4], m[5], m[6]) as token
    from regexp_matches(p_text,
      '((?:[ \t\n\r\f\v]|--[^\n\r]*|/\*(?:[^*/]|\*(?!/)|/(?!\*)|/\*(?:[^*/]|\*(?!/)|/(?!\*))*\*/)*\*/)+)'
      || '|([eE]''(?:[^''\\]|\\.|'''')*''|''[^'']*''|"[^"]*")'
      || '|([A-Za-z0-9_$.\u0080-\U0010ffff]+)'
      || '|((?:[+*<>=~!@#%^&|`?]|-(?!-)|/(?!\*))+)'
      || '|(:=|:+)|(.)', 'g') with ordinality as t (m, ordinal)
  ),
  neighbours as (
    select n.ordinal, n.kind, n.token,
           lag(n.kind) over (order by n.ordinal) as before_kind, right(lag(n.token) over (order by n.ordinal), 2) as before_token,
           lead(n.kind) over (order by n.ordinal) as behind_kind, left(lead(n.token) over (order by n.ordinal), 2) as behind_token
    from tokens as n
  )
  select coalesce(string_agg(
    case
      when n.kind <> 1 then n.token
      when n.before_kind is null or n.behind_kind is null then ' '  -- the neighbour is outside of this stretch
      when n.before_kind = 6 or n.behind_kind = 6 then ''
      when 4 in (n.before_kind, n.behind_kind) and n.before_kind <> n.behind_kind and 5 not in (n.before_kind, n.behind_kind)
        and '&' not in (n.before_token, n.behind_token) and n.before_token !~ '[$.]$' and n.behind_token !~ '^[$.]' then ''
      when n.before_kind = 5 and n.before_token in ('::', ':=') and n.behind_kind in (2, 3) then ''
      when n.behind_kind = 5 and n.behind_token in ('::', ':=') and n.before_kind in (2, 3) then ''
      when n.before_kind = 2 and n.behind_kind = 2 and n.token ~ '[\n\r]' then E'\n'  -- 'a' continues with 'b' only after a line end
      else ' '
    end, '' order by n.ordinal), '')
  from neighbours as n
$$;

comment on function weft._normalise_stretch(text) is 'Writes code without its comments, and with no more white space than its tokens need.';


-- One statement. Dollar quotes stay as they are.
create or replace function weft._normalise_statement(p_statement text)
  returns text
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  -- everything up to a dollar quote in which nothing stays open
  c_plain constant text :=
    '^(?:[^-/''"$A-Za-z0-9_\u0080-\U0010ffff]'
    || '|(?:[A-DF-Za-df-z0-9_\u0080-\U0010ffff]|[eE](?!''))[A-Za-z0-9_$\u0080-\U0010ffff]*(?![A-Za-z0-9_$\u0080-\U0010ffff])'
    || '|''[^'']*''|(?<![A-Za-z0-9_$\u0080-\U0010ffff])[eE]''(?:[^''\\]|\\.|'''')*''(?!'')|"[^"]*"'
    || '|--[^\n\r]*(?![^\n\r])|/\*(?:[^*/]|\*(?!/)|/(?!\*)|/\*(?:[^*/]|\*(?!/)|/(?!\*))*\*/)*\*/|-(?!-)|/(?!\*)'
    || '|\$(?!\$|[A-Za-z_\u0080-\U0010ffff][A-Za-z0-9_\u0080-\U0010ffff]*\$))*';
  c_tag constant text := '^\$(?:[A-Za-z_\u0080-\U0010ffff][A-Za-z0-9_\u0080-\U0010ffff]*)?\$';
  c_block   constant integer := 8192;
  c_window  constant integer := 512;
  v_length  integer := length(p_statement);
  v_taken   integer := 0;           -- characters of the statement that are in v_rest, or were
  v_rest    text := '';
  v_window  integer := c_window;    -- how much of v_rest is looked at: of many quotes, each would be looked for up to the end
  v_plain   text;
  v_tag     text;
  v_at      integer;
  v_parts   text[] := '{}';
begin
  -- E'a', a line's end and 'b\'' are one string, which is not looked for
  if strpos(p_statement, '\''') > 0 and p_statement ~ '''[ \t\f\v]*(?:--[^\n\r]*)?[\n\r]' then
    return p_statement;
  end if;
  loop
    while v_taken < v_length and length(v_rest) < v_window loop
      v_rest := v_rest || substr(p_statement, v_taken + 1, greatest(c_block, v_window));
      v_taken := v_taken + greatest(c_block, v_window);
    end loop;
    exit when v_rest = '';
    v_plain := substring(left(v_rest, v_window) from c_plain);
    v_tag := substring(substr(v_rest, length(v_plain) + 1, v_window - length(v_plain)) from c_tag);
    v_at := strpos(substr(v_rest, length(v_plain) + length(v_tag) + 1, v_window - length(v_plain) - length(v_tag)), v_tag);
    if v_at > 0 then
      v_at := length(v_plain) + v_at + 2 * length(v_tag) - 1;
      v_parts := array_append(v_parts, weft._normalise_stretch(v_plain) || substr(v_rest, length(v_plain) + 1, v_at - length(v_plain)));
      v_rest := substr(v_rest, v_at + 1);
      v_window := c_window;
    elsif v_window < length(v_rest) or v_taken < v_length then  -- what does not end here may end behind it
      v_window := 2 * v_window;
    elsif length(v_plain) = length(v_rest) then
      v_parts := array_append(v_parts, weft._normalise_stretch(v_plain));
      exit;
    else  -- a quote that nothing closes, or a comment deeper than we look
      return p_statement;
    end if;
  end loop;
  return btrim(array_to_string(v_parts, ''), ' ');
end
$$;

comment on function weft._normalise_statement(text) is
  'Writes a statement without its comments, and with no more white space than its tokens need outside of quotes. A statement that does not tokenise stays as it is.';


-- Compares statement by statement, and normalises only those that differ. Files with rows of COPY count as different, and so do files with
-- backslashes that may or may not escape.
create or replace function weft._is_same_content(p_one text, p_other text)
  returns boolean
  immutable strict parallel safe
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  c_untold  constant text := '\mp?std(?:in|out)\M|standard_conforming_strings.*\\|\\.*standard_conforming_strings';
  v_one     text[];
  v_other   text[];
  v_pair    record;
begin
  if p_one = p_other then
    return true;
  elsif p_one ~* c_untold or p_other ~* c_untold then
    return false;
  end if;
  v_one := (select x.statements from weft._split(weft._new_scanner(), p_one, true) as x);
  v_other := (select x.statements from weft._split(weft._new_scanner(), p_other, true) as x);
  if cardinality(v_one) <> cardinality(v_other) then
    return false;
  end if;
  for v_pair in
    select o.statement as one, t.statement as other
    from unnest(v_one) with ordinality as o (statement, ordinal)
    join unnest(v_other) with ordinality as t (statement, ordinal) on t.ordinal = o.ordinal
    where o.statement <> t.statement
  loop
    if weft._normalise_statement(v_pair.one) <> weft._normalise_statement(v_pair.other) then
      return false;
    end if;
  end loop;
  return true;
end
$$;

comment on function weft._is_same_content(text, text) is 'Tells whether two files differ in nothing but comments and white space outside of quotes.';


create or replace function weft._join_chunks(p_digests bytea[])
  returns bytea
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select string_agg(c.content, '' order by u.ordinal)
  from unnest(p_digests) with ordinality as u (digest, ordinal)
  cross join lateral (select k.content from weft._chunks as k where k.digest = u.digest offset 0) as c
$$;

comment on function weft._join_chunks(bytea[]) is 'Returns the bytes of an artifact, by the digests of its chunks.';


-- The text of an artifact as the history keeps it; null if it cannot be compared, because it is too large, not kept, or no valid text here.
create or replace function weft._kept_text(p_deployment uuid, p_path text, p_digest bytea)
  returns text
  stable
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_content  bytea;
begin
  select c.content into v_content
  from weft._artifacts as a
  cross join lateral (select k.content from weft._chunks as k where k.digest = a.chunks[1] offset 0) as c
  where a.deployment_id = p_deployment and a.path = p_path and a.digest = p_digest
    and cardinality(a.chunks) = 1 and a.size <= weft._limit('compared_bytes');
  if not found then
    return null;
  end if;
  if substr(v_content, 1, 3) = '\xefbbbf' then
    v_content := substr(v_content, 4);
  end if;
  return convert_from(v_content, 'UTF8');
exception when character_not_in_repertoire or untranslatable_character then
  return null;
end
$$;

comment on function weft._kept_text(uuid, text, bytea) is 'Reads a file as a deployment brought it, if it is small enough to be compared.';


-- The shortest edit script between two lists of lines (Myers, "An O(ND) difference algorithm", 1986), forward, with its trace kept.
-- Equal lines have equal numbers. Returns one element per step: -1 removes a line, 1 adds one, 0 keeps one.
create or replace function weft._find_edits(p_before integer[], p_after integer[], p_edits integer)
  returns integer[]
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_before  integer := cardinality(p_before);
  v_after   integer := cardinality(p_after);
  v_most    integer := least(p_edits, v_before + v_after);
  v_center  integer := v_most + 2;           -- where diagonal 0 is in v_far
  v_far     integer[] := array_fill(0, array[2 * v_most + 4]);
  v_trace   integer[] := array_fill(0, array[(v_most + 1) * (v_most + 1)]);  -- v_far after each round d, from d * d + 1 on
  v_x       integer;
  v_y       integer;
  v_k       integer;
  v_round   integer := 0;
  v_at      integer;
  v_left    integer;
  v_right   integer;
  v_down    boolean;
  v_edits   integer[] := '{}';
begin
  <<rounds>>
  loop
    if v_round > v_most then
      return null;
    end if;
    for v_step in 0 .. v_round loop
      v_k := 2 * v_step - v_round;
      v_left := v_far[v_center + v_k - 1];
      v_right := v_far[v_center + v_k + 1];
      if v_step = 0 or (v_step < v_round and v_left < v_right) then
        v_x := v_right;
      else
        v_x := v_left + 1;
      end if;
      v_y := v_x - v_k;
      while v_x < v_before and v_y < v_after and p_before[v_x + 1] = p_after[v_y + 1] loop
        v_x := v_x + 1;
        v_y := v_y + 1;
      end loop;
      v_far[v_center + v_k] := v_x;
      v_trace[v_round * v_round + 1 + v_round + v_k] := v_x;
      exit rounds when v_x >= v_before and v_y >= v_after;
    end loop;
    v_round := v_round + 1;
  end loop;

  -- back from the end, through the traces
  v_x := v_before;
  v_y := v_after;
  while v_round > 0 loop
    v_k := v_x - v_y;
    v_at := (v_round - 1) * (v_round - 1) + v_round;  -- of diagonal 0 in the round before
    v_left := case when v_k - 1 >= 1 - v_round then v_trace[v_at + v_k - 1] end;
    v_right := case when v_k + 1 <= v_round - 1 then v_trace[v_at + v_k + 1] end;
    v_down := v_k = -v_round or (v_k <> v_round and v_left < v_right);
    while v_x > case when v_down then v_right else v_left + 1 end loop
      v_edits := array_append(v_edits, 0);
      v_x := v_x - 1;
      v_y := v_y - 1;
    end loop;
    v_edits := array_append(v_edits, case when v_down then 1 else -1 end);
    if v_down then
      v_y := v_y - 1;
    else
      v_x := v_x - 1;
    end if;
    v_round := v_round - 1;
  end loop;
  return array_fill(0, array[v_x]) || array(select e.edit from unnest(v_edits) with ordinality as e (edit, ordinal) order by e.ordinal desc);
end
$$;

comment on function weft._find_edits(integer[], integer[], integer) is 'Finds the fewest removals and additions that turn one list of lines into another; null if these are more than p_edits.';


-- A unified difference, as diff -u writes it, without its head: three lines of context, limited in lines and in their length.
create or replace function weft._difference(p_before text, p_after text)
  returns text
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  c_context  constant integer := 3;
  v_before   integer[];
  v_after    integer[];
  v_head     integer := 0;
  v_tail     integer := 0;
  v_edits    integer[];
  v_lines    text;
  v_count    bigint;
  v_most     integer := weft._limit('difference_lines');
begin
  if p_before = p_after then
    return '';
  end if;
  select array_agg(l.number order by l.ordinal) filter (where l.is_before), array_agg(l.number order by l.ordinal) filter (where not l.is_before)
  into v_before, v_after
  from (
    select b.is_before, b.ordinal, dense_rank() over (order by b.line collate "C")::integer as number
    from (
      select true as is_before, o.line, o.ordinal from string_to_table(p_before, E'\n') with ordinality as o (line, ordinal)
      union all
      select false, o.line, o.ordinal from string_to_table(p_after, E'\n') with ordinality as o (line, ordinal)
    ) as b
  ) as l;
  v_before := coalesce(v_before, '{}');
  v_after := coalesce(v_after, '{}');
  -- equal lines at both ends are skipped
  while v_head < least(cardinality(v_before), cardinality(v_after)) and v_before[v_head + 1] = v_after[v_head + 1] loop
    v_head := v_head + 1;
  end loop;
  while v_tail < least(cardinality(v_before), cardinality(v_after)) - v_head
      and v_before[cardinality(v_before) - v_tail] = v_after[cardinality(v_after) - v_tail] loop
    v_tail := v_tail + 1;
  end loop;
  v_edits := coalesce(
    weft._find_edits(v_before[v_head + 1:cardinality(v_before) - v_tail], v_after[v_head + 1:cardinality(v_after) - v_tail], weft._limit('difference_edits')),
    array_fill(-1, array[cardinality(v_before) - v_tail - v_head]) || array_fill(1, array[cardinality(v_after) - v_tail - v_head]));

  with edits as (
    select 0 as edit, e.ordinal from generate_series(greatest(1, v_head - c_context + 1), v_head) as e (ordinal)
    union all
    select e.edit, v_head + e.ordinal from unnest(v_edits) with ordinality as e (edit, ordinal)
    union all
    select 0, v_head + cardinality(v_edits) + e.ordinal from generate_series(1, least(v_tail, c_context)) as e (ordinal)
  ),
  placed as (
    select e.edit, e.ordinal,
           greatest(0, v_head - c_context) + count(*) filter (where e.edit <= 0) over (order by e.ordinal) as before,
           greatest(0, v_head - c_context) + count(*) filter (where e.edit >= 0) over (order by e.ordinal) as after,
           max(e.ordinal) filter (where e.edit <> 0) over (order by e.ordinal) as last_edit,
           min(e.ordinal) filter (where e.edit <> 0) over (order by e.ordinal desc) as next_edit
    from edits as e
  ),
  shown as (
    select p.*, coalesce(p.ordinal > lag(p.ordinal) over (order by p.ordinal) + 1, true) as is_first
    from placed as p
    where p.ordinal - p.last_edit <= c_context or p.next_edit - p.ordinal <= c_context
  ),
  hunks as (
    select s.*, count(*) filter (where s.is_first) over (order by s.ordinal) as hunk from shown as s
  ),
  written as (
    select h.hunk, 0 as ordinal, format('@@ -%s,%s +%s,%s @@',
             coalesce(min(h.before) filter (where h.edit <= 0), min(h.before)), count(*) filter (where h.edit <= 0),
             coalesce(min(h.after) filter (where h.edit >= 0), min(h.after)), count(*) filter (where h.edit >= 0)) as line
    from hunks as h group by h.hunk
    union all
    select h.hunk, h.ordinal, case h.edit when -1 then '-' when 1 then '+' else ' ' end || weft._show_line(coalesce(b.line, a.line))
    from hunks as h
    left join string_to_table(p_before, E'\n') with ordinality as b (line, ordinal) on h.edit <= 0 and b.ordinal = h.before
    left join string_to_table(p_after, E'\n') with ordinality as a (line, ordinal) on h.edit = 1 and a.ordinal = h.after
  ),
  numbered as (
    select w.line, row_number() over (order by w.hunk, w.ordinal) as number from written as w
  )
  select string_agg(n.line, E'\n' order by n.number) filter (where n.number <= v_most), count(*) into v_lines, v_count from numbered as n;
  return v_lines || case when v_count > v_most then format(E'\n... and %s more lines', v_count - v_most) else '' end;
end
$$;

comment on function weft._difference(text, text) is 'Writes what differs between two texts, as diff -u does, as far as difference_lines and difference_edits go.';


create or replace function weft._has_statements(p_text text)
  returns boolean
  immutable strict parallel safe
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select x.statements <> '{}' from weft._split(weft._new_scanner(), p_text, true) as x
$$;

comment on function weft._has_statements(text) is 'Tells whether a file holds anything but comments and white space.';


create or replace function weft._show_line(p_line text)
  returns text
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select case when length(s.line) > weft._limit('difference_line_characters') then left(s.line, weft._limit('difference_line_characters')) || ' ...' else s.line end
  from (select case when p_line like E'%\r' then left(p_line, -1) || '\r' else p_line end as line) as s
$$;

comment on function weft._show_line(text) is 'Writes a line of a difference: makes a carriage return at its end visible, and cuts it if it is long.';
