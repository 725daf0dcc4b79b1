-- A file's text as statements. It comes in pieces, one for each chunk of an artifact, cut after a line end so that no token is cut in
-- two. A piece is split at its semicolons in C; only parts that contain an opener (a quote, comment or parenthesis) go through the
-- scanner. So the time is linear in the text, and PL/pgSQL only does a few steps for each opener.

-- Moves the scanner over a stretch that ends at the end of a token, by replacing everything that is closed in it: strings, names,
-- comments. Null if the stretch has more than that: escapes, dollars, a comment that is open at its end or contains another one.
create or replace function weft._skim(p_scanner weft._scanner, p_text text)
  returns weft._scanner
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_text   text := p_text;
  v_code   text;
  v_at     integer;
begin
  if p_scanner.tag is not null or p_scanner.mode not in ('code', 'string', 'name') or strpos(p_text, '$') > 0
    or right(rtrim(p_text, E' \t\n\r\f\x0b'), 1) = ''''  -- a string with escapes may continue after it
    or strpos(p_text, '--') > 0 and p_text ~ '--[^\n\r]*$'
    or strpos(p_text, '\') > 0 and p_text ~ '(?:^|[^A-Za-z0-9_$\u0080-\U0010ffff])[eE]''' then
    return null;
  end if;
  if p_scanner.mode <> 'code' then
    v_at := strpos(v_text, case p_scanner.mode when 'string' then '''' else '"' end);
    if v_at = 0 then
      return p_scanner;
    end if;
    p_scanner.mode := 'code';
    v_text := substr(v_text, v_at + 1);
  end if;
  v_code := regexp_replace(v_text,
    case when strpos(v_text, '"') = 0 and strpos(v_text, '--') = 0 and strpos(v_text, '/*') = 0 then '''[^'']*'''
      else '''[^'']*''|"[^"]*"|--[^\n\r]*|/\*[^*/]*\*/' end, ' ', 'g');
  if strpos(v_code, '''') > 0 or strpos(v_code, '"') > 0 then
    p_scanner.mode := case substring(v_code from '[''"]') when '''' then 'string' else 'name' end;
    v_code := substring(v_code from '^[^''"]*');
    if p_scanner.mode = 'string' and v_code ~ '(?:^|[^A-Za-z0-9_$\u0080-\U0010ffff])[eE]$' then
      p_scanner.mode := 'escape';
    end if;
  end if;
  if strpos(v_code, '/*') > 0 or strpos(v_code, '\') > 0 then
    return null;
  end if;
  if v_code ~ '[^ \t\n\r\f\v]' then
    p_scanner.has_code := true;
    return weft._read_code(p_scanner, v_code);
  end if;
  if not p_scanner.has_code and v_text ~ '[''"]' then
    if v_text ~ '--|/\*' then  -- a string, or a quote in a comment?
      return null;
    end if;
    p_scanner.has_code := true;
  end if;
  return p_scanner;
end
$$;

comment on function weft._skim(weft._scanner, text) is 'Moves the scanner over a stretch of text in one go; null if that is not possible.';


-- Moves the scanner over a part: everything between two semicolons, or what has arrived of it so far. A long part is passed in stretches,
-- and a stretch that cannot be passed in one go, in shorter ones, so that copying the rest of it stays cheap. A token that is longer than a
-- stretch is looked at again when twice as much of it has arrived. So the time is always linear in the length.
create or replace function weft._pass(inout p_scanner weft._scanner, p_part text, p_is_end boolean, p_characters integer default 4096)
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  c_short_characters constant integer := 256;
  v_stretches  text[] := case when length(p_part) <= p_characters then array[p_part] else weft._cut_stretches(p_part, p_characters) end;
  v_text       text := '';
  v_open       text;
  v_skimmed    weft._scanner;
  v_is_end     boolean;
begin
  for v_number in 1 .. cardinality(v_stretches) loop
    v_text := v_text || v_stretches[v_number];
    continue when v_number < cardinality(v_stretches) and length(v_text) < length(p_scanner.unread);
    v_is_end := p_is_end and v_number = cardinality(v_stretches);
    v_text := p_scanner.unread || v_text;
    -- these characters end any token
    v_open := case when v_is_end then '' else reverse(substring(reverse(right(v_text, c_short_characters)) from '^[^ \t\n,;()]*')) end;
    v_skimmed := case when length(v_open) < length(v_text) and length(v_open) < c_short_characters then weft._skim(p_scanner, left(v_text, length(v_text) - length(v_open))) end;
    if v_skimmed.mode is not null then
      p_scanner := v_skimmed;
      p_scanner.unread := v_open;
    elsif p_characters > c_short_characters and length(v_text) > c_short_characters then
      p_scanner := weft._pass(p_scanner, substr(v_text, length(p_scanner.unread) + 1), v_is_end, c_short_characters);
    else
      p_scanner := weft._walk(p_scanner, v_text, v_is_end);
    end if;
    v_text := '';
  end loop;
end
$$;

comment on function weft._pass(weft._scanner, text, boolean, integer) is 'Moves the scanner over a part of text: everything between two semicolons.';


create or replace function weft._split(inout p_scanner weft._scanner, p_text text, p_is_last boolean, out statements text[], out lines integer[], out rest text)
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  -- strings, names and comments that end within the part; others stay as they are
  c_closed   constant text := '''[^'']*''|"[^"]*"|--[^\n\r]*[\n\r]|/\*[^*/]*\*/';
  c_short_characters constant integer := 4096;  -- up to which a part is not cut into stretches
  c_opener   constant text := '[''"$\\]|--|/\*';
  c_escape   constant text := '(?:^|[^A-Za-z0-9_$\u0080-\U0010ffff])[eE]''';
  c_function constant text := '^\s*create\s+(or\s+replace\s+)?(function|procedure)\M';
  c_blanks   constant text := E' \t\n\r\f\x0b';
  c_block    constant text := '\m(begin|case|end)\M';
  -- code that opens nothing, and the dollar quote after it
  c_quote    constant text := '^((?:[^-/''"$\\]|-(?!-)|/(?!\*))*(?:[^-/''"$\\A-Za-z0-9_\u0080-\U0010ffff]))(\$(?:[A-Za-z_\u0080-\U0010ffff][A-Za-z0-9_\u0080-\U0010ffff]*)?\$)';
  v_code        text;
  v_quote       text[];
  v_parts       text[] := string_to_array(p_text, ';');
  v_part        text;
  v_index       integer := 0;
  v_open        text[] := '{}';     -- the parts of the current statement, if it has several
  v_last        integer := cardinality(v_parts);
  v_whole       text;
  v_statements  text[] := '{}';
  v_lines       integer[] := '{}';
  -- copies of the scanner's fields: reading a field of a record costs more than a variable
  v_mode        text;
  v_words       text;
  v_parens      integer;
  v_line        integer;
  v_has_code    boolean;
  v_head        text := p_scanner.statement;
  v_may_copy    boolean := p_text ~* 'std(?:in|out)' or v_head ~* '\mcopy\M';
begin
  p_scanner.statement := '';  -- so that it is not copied with the scanner
  v_mode := p_scanner.mode;
  v_words := p_scanner.words;
  v_parens := p_scanner.parens;
  v_line := p_scanner.line;
  v_has_code := p_scanner.has_code;
  foreach v_part in array v_parts loop
    v_index := v_index + 1;
    if v_mode = 'dollar' and v_index < v_last and p_scanner.unread = '' and strpos(v_part, p_scanner.tag) = 0 then
      v_open := array_append(v_open, v_part);
      continue;
    end if;

    -- shortcuts, for most statements of most files: everything that opens in this part closes in it, and it is no function; or only
    -- a dollar quote stays open; or the part only closes that; or nothing is left
    v_code := null;
    if v_index = v_last then
      v_code := case when v_mode = 'code' and p_scanner.tag is null and p_scanner.unread = '' and ltrim(v_part, c_blanks) = '' then '' end;
    elsif p_scanner.unread <> '' then
      null;
    elsif v_mode = 'dollar' then
      v_code := substr(v_part, strpos(v_part, p_scanner.tag) + length(p_scanner.tag));
      if v_code ~ c_opener or v_code ~* c_block then
        v_code := null;
      else
        v_mode := 'code';
        p_scanner.tag := null;
      end if;
    elsif v_mode = 'code' and v_words in ('', '....') and length(v_part) <= c_short_characters and (strpos(v_part, '\') = 0 or v_part !~ c_escape) then
      v_code := v_part;
      if v_part ~ c_opener then
        v_code := regexp_replace(v_part, c_closed, ' ', 'g');
        if v_code ~ c_opener then
          v_quote := regexp_match(v_code, c_quote);
          -- if it occurs more than once in the part, it closes again, or is not what opens the quote
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
      if v_words = '' and lower(left(ltrim(v_code, c_blanks), 6) collate "C") = 'create' and v_code ~* c_function then
        v_code := null;
      end if;
    end if;
    if v_code is null then
      p_scanner.mode := v_mode;
      p_scanner.words := v_words;
      p_scanner.parens := v_parens;
      p_scanner.has_code := v_has_code;
      p_scanner := weft._pass(p_scanner, v_part, v_index < v_last or p_is_last);
      v_mode := p_scanner.mode;
      v_words := p_scanner.words;
      v_parens := p_scanner.parens;
      v_has_code := p_scanner.has_code;
      if v_mode = 'code' and v_index < v_last then
        p_scanner.tag := null;  -- no string continues after a semicolon
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
      if p_scanner.has_restrict then
        v_whole := weft._pass_over_restrict(v_whole);
        p_scanner.has_restrict := false;
      end if;
      v_statements := array_append(v_statements, v_whole);
      v_lines := array_append(v_lines, v_line);
      v_has_code := false;
      v_words := '';
    end if;
    v_line := v_line + length(v_whole) - length(replace(v_whole, E'\n', ''));
    if v_may_copy and weft._reads_rows(v_whole) then
      p_scanner := row('copy', null, 0, 0, 0, '', false, '', v_line, '', false)::weft._scanner;
      statements := v_statements;
      lines := v_lines;
      rest := array_to_string(v_parts[v_index + 1 :], ';');
      return;
    end if;
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
    v_statements := array_append(v_statements, case when p_scanner.has_restrict then weft._pass_over_restrict(p_scanner.statement) else p_scanner.statement end);
    v_lines := array_append(v_lines, p_scanner.line);
  end if;
  statements := v_statements;
  lines := v_lines;
end
$$;

comment on function weft._split(weft._scanner, text, boolean) is
  'Splits a piece of a file into statements without their semicolons, and tells the line at which the text of each begins; what is unfinished stays in the scanner. After a COPY whose rows follow, it stops in mode copy, and returns the rest of the piece.';
