-- Where a statement ends, by psql's rules (PostgreSQL 18, src/fe_utils/psqlscan.l): strings, E'', dollar quotes, nested
-- comments, quoted names, parentheses (rules), BEGIN ATOMIC ... END. It decides nothing else: what a statement is, and whether
-- it is valid, the server says.
--
-- The text comes in pieces, one for each chunk of an artifact, cut behind a line's end so that no token is cut in two. A piece
-- is split at its semicolons in C; only parts that hold an opener are walked. So the time is linear in the text, and what
-- PL/pgSQL does is a few steps for each quote, comment or parenthesis.

create or replace function weft._new_scanner()
  returns weft._scanner
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select row('code', null, 0, 0, 0, '', false, '', 1)::weft._scanner
$$;

comment on function weft._new_scanner() is 'Makes a scanner that stands at the beginning of a file.';


-- Walks one part: the text up to the next semicolon, which is not in it.
create or replace function weft._walk(inout p_scanner weft._scanner, p_part text)
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  -- what code may hold without opening anything: other characters; names with dollars in them; lone '-', '/', '$'
  c_code constant text :=
    '^(?:[^-/''"$A-Za-z_\u0080-\U0010ffff]+|[A-Za-z_\u0080-\U0010ffff][A-Za-z0-9_$\u0080-\U0010ffff]*'
    || '|-(?!-)|/(?!\*)|\$(?!\$|[A-Za-z_\u0080-\U0010ffff][A-Za-z0-9_\u0080-\U0010ffff]*\$))*';
  c_tag constant text := '^\$(?:[A-Za-z_\u0080-\U0010ffff][A-Za-z0-9_\u0080-\U0010ffff]*)?\$';
  v_rest     text := p_part;
  v_code     text;
  v_at       integer;
begin
  while v_rest <> '' loop
    case p_scanner.mode
      when 'code' then
        v_code := substring(v_rest from c_code);
        if v_code ~ '[^ \t\n\r\f\v]' then
          p_scanner.has_code := true;
          p_scanner.tag := null;
          p_scanner := weft._read_code(p_scanner, v_code);
        elsif p_scanner.tag = 'E' and v_code ~ '[\n\r]' then
          p_scanner.tag := E'E\n';
        end if;
        v_rest := substr(v_rest, length(v_code) + 1);
        exit when v_rest = '';
        case left(v_rest, 1)
          when '''' then
            p_scanner.has_code := true;
            -- behind a line's end, E'a' goes on with 'b' (the standard has it so), and still knows escapes
            p_scanner.mode := case when p_scanner.tag = E'E\n' or v_code ~ '(?:^|[^A-Za-z0-9_$\u0080-\U0010ffff])[eE]$' then 'escape' else 'string' end;
            p_scanner.tag := null;
            v_rest := substr(v_rest, 2);
          when '"' then
            p_scanner.has_code := true;
            p_scanner.mode := 'name';
            p_scanner.tag := null;
            v_rest := substr(v_rest, 2);
          when '$' then
            p_scanner.has_code := true;
            p_scanner.mode := 'dollar';
            p_scanner.tag := substring(v_rest from c_tag);
            v_rest := substr(v_rest, length(p_scanner.tag) + 1);
          when '-' then
            p_scanner.mode := 'line';
            v_rest := substr(v_rest, 3);
          when '/' then
            p_scanner.mode := 'block';
            p_scanner.tag := null;
            p_scanner.depth := 1;
            v_rest := substr(v_rest, 3);
        end case;

      when 'string', 'name' then
        -- a doubled quote closes and opens again, which comes to the same
        v_at := strpos(v_rest, case p_scanner.mode when 'string' then '''' else '"' end);
        exit when v_at = 0;
        p_scanner.mode := 'code';
        v_rest := substr(v_rest, v_at + 1);

      when 'escape' then
        -- a backslash at the end of the part escapes the semicolon behind it, which is inside the string either way
        v_rest := substr(v_rest, length(substring(v_rest from '^(?:[^''\\]|\\.|'''')*')) + 1);
        exit when left(v_rest, 1) <> '''';
        p_scanner.mode := 'code';
        p_scanner.tag := 'E';
        v_rest := substr(v_rest, 2);

      when 'line' then
        v_rest := substr(v_rest, length(substring(v_rest from '^[^\n\r]*')) + 1);
        exit when v_rest = '';
        p_scanner.mode := 'code';

      when 'block' then
        v_rest := substr(v_rest, length(substring(v_rest from '^(?:[^*/]|\*(?!/)|/(?!\*))*')) + 1);
        exit when length(v_rest) < 2;
        p_scanner.depth := p_scanner.depth + case left(v_rest, 1) when '/' then 1 else -1 end;
        if p_scanner.depth = 0 then
          p_scanner.mode := 'code';
        end if;
        v_rest := substr(v_rest, 3);

      when 'dollar' then
        v_at := strpos(v_rest, p_scanner.tag);
        exit when v_at = 0;
        p_scanner.mode := 'code';
        v_rest := substr(v_rest, v_at + length(p_scanner.tag));
        p_scanner.tag := null;
    end case;
  end loop;
end
$$;

comment on function weft._walk(weft._scanner, text) is 'Moves the scanner over a part of text: everything between two semicolons.';


-- Reads a stretch of code, in which nothing is quoted and nothing is comment.
create or replace function weft._read_code(inout p_scanner weft._scanner, p_code text)
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  c_word constant text := '[A-Za-z_\u0080-\U0010ffff][A-Za-z0-9_$\u0080-\U0010ffff]*';
  v_word  text;
begin
  -- the first words tell a function from the rest: create [or replace] {function | procedure}
  if length(p_scanner.words) < 4 then
    if p_scanner.words = '' and (p_code !~* '^\s*create\M' or p_code ~* '^\s*create\s+(?!or\M|function\M|procedure\M)\w') then
      p_scanner.words := '....';
    else
      select p_scanner.words || coalesce(string_agg(case when f.word in ('create', 'or', 'replace', 'function', 'procedure') then left(f.word, 1) else '.' end, ''), '')
      into p_scanner.words
      from (select lower(w.matches[1]) as word from regexp_matches(p_code, c_word, 'g') as w (matches) limit 4) as f;
    end if;
  end if;

  if p_scanner.words !~ '^c(or)?[fp]' then
    if p_scanner.parens > 0 or strpos(p_code, '(') > 0 then
      p_scanner.parens := greatest(0, p_scanner.parens + length(replace(p_code, ')', '')) - length(replace(p_code, '(', '')));
    end if;
    return;
  end if;

  -- in the text of a function itself, BEGIN opens a block, and so does a CASE within one
  for v_word in select lower(w.matches[1]) from regexp_matches(p_code, '[()]|' || c_word, 'g') as w (matches) loop
    if v_word = '(' then
      p_scanner.parens := p_scanner.parens + 1;
    elsif v_word = ')' then
      p_scanner.parens := greatest(0, p_scanner.parens - 1);
    elsif p_scanner.parens > 0 then
      null;
    elsif v_word = 'begin' or (v_word = 'case' and p_scanner.begins > 0) then
      p_scanner.begins := p_scanner.begins + 1;
    elsif v_word = 'end' then
      p_scanner.begins := greatest(0, p_scanner.begins - 1);
    end if;
  end loop;
end
$$;

comment on function weft._read_code(weft._scanner, text) is 'Counts parentheses and blocks in a stretch of code.';


-- Moves the scanner over a part, the short way where the part opens nothing that it does not close.
create or replace function weft._pass(inout p_scanner weft._scanner, p_part text, p_marks text default E',\n ')
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  -- strings, names and comments that end within the part; an open one is left standing, and sends us the long way
  c_closed constant text := '''[^'']*''|"[^"]*"|--[^\n\r]*[\n\r]|/\*[^*/]*\*/';
  -- a long part is walked in stretches: copying what is left of it stays cheap
  c_stretch_characters constant integer := 1024;
  v_code     text;
  v_stretch  text;
begin
  -- a string at the end may go on in the next piece
  if p_scanner.mode = 'code' and strpos(p_part, '\') = 0 and p_part !~ '''\s*$' then
    v_code := case when p_part ~ '[''"]|--|/\*' then regexp_replace(p_part, c_closed, ' ', 'g') else p_part end;
    if v_code ~ '[^ \t\n\r\f\v]' and v_code !~ '[''"$]|--|/\*' then
      p_scanner.has_code := true;
      p_scanner.tag := null;
      p_scanner := weft._read_code(p_scanner, v_code);
      return;
    end if;
  end if;

  if length(p_part) <= c_stretch_characters or p_marks = '' then
    p_scanner := weft._walk(p_scanner, p_part);
  else
    foreach v_stretch in array weft._cut_stretches(p_part, left(p_marks, 1), c_stretch_characters) loop
      p_scanner := weft._pass(p_scanner, v_stretch, substr(p_marks, 2));
    end loop;
  end if;
end
$$;

comment on function weft._pass(weft._scanner, text, text) is
  'Moves the scanner over a part of text: everything between two semicolons. A long part is cut behind the first of the marks, what is still long behind the next.';


create or replace function weft._split(inout p_scanner weft._scanner, p_text text, p_is_last boolean, out statements text[], out lines integer[])
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  -- strings, names and comments that end within the part; one that does not is left standing
  c_closed   constant text := '''[^'']*''|"[^"]*"|--[^\n\r]*[\n\r]|/\*[^*/]*\*/';
  c_opener   constant text := '[''"$]|--|/\*';
  c_function constant text := '^\s*create\s+(or\s+replace\s+)?(function|procedure)\M';
  c_blanks   constant text := E' \t\n\r\f\v';
  c_block    constant text := '\m(begin|case|end)\M';
  -- code that opens nothing, and the dollar quote behind it
  c_quote    constant text := '^((?:[^-/''"$]|-(?!-)|/(?!\*))*(?:[^-/''"$A-Za-z0-9_\u0080-\U0010ffff]))(\$(?:[A-Za-z_\u0080-\U0010ffff][A-Za-z0-9_\u0080-\U0010ffff]*)?\$)';
  v_code        text;
  v_quote       text[];
  v_parts       text[] := string_to_array(p_text, ';');
  v_part        text;
  v_index       integer := 0;
  v_open        text[] := '{}';     -- the parts of the statement at hand, if it has several
  v_last        integer := cardinality(v_parts);
  v_whole       text;
  v_statements  text[] := '{}';
  v_lines       integer[] := '{}';
  -- the scanner's fields at hand: a field of a record costs more than a variable
  v_mode        text;
  v_words       text;
  v_parens      integer;
  v_line        integer;
  v_has_code    boolean;
  v_head        text := p_scanner.statement;
begin
  p_scanner.statement := '';  -- not to be copied with the scanner
  v_mode := p_scanner.mode;
  v_words := p_scanner.words;
  v_parens := p_scanner.parens;
  v_line := p_scanner.line;
  v_has_code := p_scanner.has_code;
  foreach v_part in array v_parts loop
    v_index := v_index + 1;
    if v_mode = 'dollar' and strpos(v_part, p_scanner.tag) = 0 then
      v_open := array_append(v_open, v_part);
      continue;
    end if;

    -- the short ways, for most statements of most files: what opens in this part closes in it, and it is no function; or all that
    -- stays open is a dollar quote; or all that happens is the end of it; or nothing is left
    v_code := null;
    if v_index = v_last then
      v_code := case when v_mode = 'code' and p_scanner.tag is null and ltrim(v_part, c_blanks) = '' then '' end;
    elsif v_mode = 'dollar' then
      v_code := substr(v_part, strpos(v_part, p_scanner.tag) + length(p_scanner.tag));
      if v_code ~ c_opener or v_code ~* c_block then
        v_code := null;
      else
        v_mode := 'code';
        p_scanner.tag := null;
      end if;
    elsif v_mode = 'code' and v_words in ('', '....') and strpos(v_part, '\') = 0 then
      v_code := v_part;
      if v_part ~ c_opener then
        v_code := regexp_replace(v_part, c_closed, ' ', 'g');
        if v_code ~ c_opener then
          v_quote := regexp_match(v_code, c_quote);
          -- more than once in the part: then it closes, or is not what opens
          if length(replace(v_part, v_quote[2], '')) = length(v_part) - length(v_quote[2]) and not (v_quote[1] ~* c_function and v_quote[1] ~* c_block) then
            v_code := v_quote[1];
            v_mode := 'dollar';
            v_has_code := true;
            p_scanner.tag := v_quote[2];
            v_words := case when v_words = '' and v_code ~* c_function then 'cf..' else '....' end;
          else
            v_code := null;
          end if;
        elsif v_part ~ '[''"]' and ltrim(v_code, c_blanks) = '' then
          v_code := null;
        end if;
      end if;
      if v_words = '' and lower(left(ltrim(v_code, c_blanks), 6)) = 'create' and v_code ~* c_function then
        v_code := null;
      end if;
    end if;
    if v_code is null then
      p_scanner.mode := v_mode;
      p_scanner.words := v_words;
      p_scanner.parens := v_parens;
      p_scanner.has_code := v_has_code;
      p_scanner := weft._pass(p_scanner, v_part);
      v_mode := p_scanner.mode;
      v_words := p_scanner.words;
      v_parens := p_scanner.parens;
      v_has_code := p_scanner.has_code;
      if v_mode = 'code' and v_index < v_last then
        p_scanner.tag := null;  -- behind a semicolon no string goes on
      end if;
    elsif ltrim(v_code, c_blanks) <> '' then
      v_has_code := true;
      v_words := case v_words when '' then '....' else v_words end;
      if v_parens > 0 or strpos(v_code, '(') > 0 then
        v_parens := greatest(0, v_parens + length(replace(v_code, ')', '')) - length(replace(v_code, '(', '')));
      end if;
    end if;
    if v_index = v_last or v_mode <> 'code' or v_parens > 0 or p_scanner.begins > 0 then
      v_open := array_append(v_open, v_part);
      continue;
    end if;

    -- the semicolon here ends a statement
    v_whole := v_part;
    if cardinality(v_open) > 0 then
      v_whole := array_to_string(array_append(v_open, v_part), ';');
      v_open := '{}';
    end if;
    if v_head <> '' then
      v_whole := v_head || v_whole;
      v_head := '';
    end if;
    if v_has_code then
      v_statements := array_append(v_statements, v_whole);
      v_lines := array_append(v_lines, v_line);
      v_has_code := false;
      v_words := '';
    end if;
    v_line := v_line + length(v_whole) - length(replace(v_whole, E'\n', ''));
  end loop;
  p_scanner.mode := v_mode;
  p_scanner.words := v_words;
  p_scanner.parens := v_parens;
  p_scanner.has_code := v_has_code;
  p_scanner.line := v_line;

  p_scanner.statement := v_head || array_to_string(v_open, ';');
  if octet_length(p_scanner.statement) > weft._limit('statement_bytes') then
    raise exception 'A statement that begins at line % is larger than % bytes (statement_bytes).', p_scanner.line, weft._limit('statement_bytes')
      using errcode = '54000', hint = 'Is a quote or a comment left open there? Else cut the statement into several.';
  end if;
  if p_is_last and p_scanner.has_code then
    v_statements := array_append(v_statements, p_scanner.statement);
    v_lines := array_append(v_lines, p_scanner.line);
  end if;
  statements := v_statements;
  lines := v_lines;
end
$$;

comment on function weft._split(weft._scanner, text, boolean) is
  'Splits a piece of a file into statements without their semicolons, and tells the line at which the text of each begins; what is unfinished stays in the scanner.';


-- Cuts a long part behind marks into stretches of about p_characters. A mark is a character that stands alone: in no token of
-- several characters, and the last one of whatever it does stand in.
create or replace function weft._cut_stretches(p_part text, p_mark text, p_characters integer)
  returns text[]
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select array_agg(s.stretch order by s.number)
  from (
    select c.number, string_agg(c.field, '' order by c.ordinal) as stretch
    from (
      select f.ordinal,
             f.field || case when f.ordinal = count(*) over () then '' else p_mark end as field,
             (sum(length(f.field) + 1) over (order by f.ordinal) - 1) / p_characters as number
      from string_to_table(p_part, p_mark) with ordinality as f (field, ordinal)
    ) as c
    group by c.number
  ) as s
$$;

comment on function weft._cut_stretches(text, text, integer) is 'Cuts text behind a mark, so that no token is cut in two.';


-- A statement without the white space and the comments before it.
create or replace function weft._skip_comments(p_statement text)
  returns text
  immutable strict parallel safe
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_rest   text := p_statement;
  v_depth  integer;
begin
  loop
    v_rest := substr(v_rest, coalesce(length(substring(v_rest from '^(?:\s+|--[^\n\r]*|/\*[^*/]*\*/)+')), 0) + 1);
    exit when left(v_rest, 2) <> '/*';
    v_depth := 1;
    v_rest := substr(v_rest, 3);
    while v_depth > 0 and v_rest <> '' loop
      v_rest := substr(v_rest, length(substring(v_rest from '^(?:[^*/]|\*(?!/)|/(?!\*))*')) + 1);
      v_depth := v_depth + case left(v_rest, 2) when '/*' then 1 else -1 end;
      v_rest := substr(v_rest, 3);
    end loop;
  end loop;
  return v_rest;
end
$$;

comment on function weft._skip_comments(text) is 'Cuts off what stands before the first character that the server reads.';


create or replace function weft._first_line(p_statement text, p_line integer)
  returns integer
  immutable strict parallel safe
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select p_line + length(s.before) - length(replace(s.before, E'\n', ''))
  from (select left(p_statement, length(p_statement) - length(weft._skip_comments(p_statement))) as before) as s
$$;

comment on function weft._first_line(text, integer) is 'Tells the line at which a statement begins, behind the comments before it.';


-- Does the grammar take this text? A function over a polymorphic type is parsed when it is created, and no more than parsed.
create or replace function weft._parses(p_text text)
  returns boolean
  volatile
  set search_path = pg_catalog, pg_temp
  set check_function_bodies = on
  language plpgsql
as $$
begin
  begin
    execute format('create function pg_temp.weft_parses(anyelement) returns void language sql as %L', p_text);
    raise exception using errcode = 'WF000';
  exception
    when sqlstate 'WF000' then return true;
    when others then return false;
  end;
end
$$;

comment on function weft._parses(text) is 'Asks the server''s own parser whether a text is SQL. Leaves nothing behind.';


-- For reading names out of a statement, and never for more: white space and comments become one blank each, outside of quotes.
-- A comment may hold another; one that goes deeper is not seen through.
create or replace function weft._flatten(p_statement text)
  returns text
  immutable strict parallel safe
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select btrim(string_agg(case when t.token[1] is null then t.token[2] else ' ' end, '' order by t.ordinal))
  from regexp_matches(p_statement,
    '((?:\s|--[^\n\r]*|/\*(?:[^*/]|\*(?!/)|/(?!\*)|/\*(?:[^*/]|\*(?!/)|/(?!\*))*\*/)*\*/)+)|([eE]''(?:[^''\\]|\\.|'''')*''|''[^'']*''|"[^"]*"|[^\s''"/-]+|.)', 'g') with ordinality as t (token, ordinal)
$$;

comment on function weft._flatten(text) is 'Writes a statement without comments and line ends.';
