-- Where a statement ends, by psql's rules (PostgreSQL 18, src/fe_utils/psqlscan.l): strings, E'', dollar quotes, nested
-- comments, quoted names, parentheses (rules), BEGIN ATOMIC ... END. It decides nothing else: what a statement is, and whether
-- it is valid, the server says.

create or replace function weft._new_scanner()
  returns weft._scanner
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select row('code', null, 0, 0, 0, '', false, '', 1, '', false)::weft._scanner
$$;

comment on function weft._new_scanner() is 'Makes a scanner that stands at the beginning of a file.';


-- Walks a stretch of text, token by token. Where more is to come (not p_is_end), a token that may go on stays in the scanner, unread.
create or replace function weft._walk(inout p_scanner weft._scanner, p_text text, p_is_end boolean)
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  -- what code may hold without opening anything: other characters; names with dollars in them; lone '-', '/', '$'
  c_code constant text :=
    '^(?:[^-/''"$\\A-Za-z_\u0080-\U0010ffff]+|[A-Za-z_\u0080-\U0010ffff][A-Za-z0-9_$\u0080-\U0010ffff]*'
    || '|-(?!-)|/(?!\*)|\$(?!\$|[A-Za-z_\u0080-\U0010ffff][A-Za-z0-9_\u0080-\U0010ffff]*\$))*';
  c_tag  constant text := '^\$(?:[A-Za-z_\u0080-\U0010ffff][A-Za-z0-9_\u0080-\U0010ffff]*)?\$';
  v_rest  text := p_text;
  v_code  text;
  v_at    integer;
begin
  while v_rest <> '' loop
    case p_scanner.mode
      when 'code' then
        v_code := substring(v_rest from c_code);
        if v_code = v_rest and not p_is_end then
          v_code := left(v_code, -length(substring(reverse(v_code) from '^[-/$A-Za-z0-9_\u0080-\U0010ffff]*')));
        end if;
        if v_code ~ '[^ \t\n\r\f\v]' then
          p_scanner.has_code := true;
          p_scanner.tag := null;
          p_scanner := weft._read_code(p_scanner, v_code);
        elsif p_scanner.tag = 'E' and v_code ~ '[\n\r]' then
          p_scanner.tag := E'E\n';
        end if;
        exit when length(v_code) = length(v_rest);
        v_rest := substr(v_rest, length(v_code) + 1);
        case left(v_rest, 1)
          when '''' then
            p_scanner.has_code := true;
            -- after a line end, E'a' continues with 'b' (as in the standard), still with escapes
            p_scanner.mode := case when p_scanner.tag = E'E\n' or v_code ~ '(?:^|[^A-Za-z0-9_$\u0080-\U0010ffff])[eE]$' then 'escape' else 'string' end;
            p_scanner.tag := null;
            v_rest := substr(v_rest, 2);
          when '"' then
            p_scanner.has_code := true;
            p_scanner.mode := 'name';
            p_scanner.tag := null;
            v_rest := substr(v_rest, 2);
          when '\' then
            exit when not p_is_end and v_rest ~ '^\\[a-z]*$';
            if not p_scanner.has_code and v_rest ~ '^\\(?:un)?restrict\M' then
              p_scanner.has_restrict := true;
              p_scanner.mode := 'line';
            else
              p_scanner.has_code := true;
              v_rest := substr(v_rest, 2);
            end if;
            p_scanner.tag := null;
          when '-' then
            exit when left(v_rest, 2) <> '--';
            p_scanner.mode := 'line';
            v_rest := substr(v_rest, 3);
          when '/' then
            exit when left(v_rest, 2) <> '/*';
            p_scanner.mode := 'block';
            p_scanner.tag := null;
            p_scanner.depth := 1;
            v_rest := substr(v_rest, 3);
          when '$' then
            exit when v_rest !~ c_tag;
            p_scanner.has_code := true;
            p_scanner.mode := 'dollar';
            p_scanner.tag := substring(v_rest from c_tag);
            v_rest := substr(v_rest, length(p_scanner.tag) + 1);
          else exit;  -- a name that may go on
        end case;

      when 'string', 'name' then
        -- a doubled quote closes and opens again, which comes to the same
        v_at := strpos(v_rest, case p_scanner.mode when 'string' then '''' else '"' end);
        if v_at = 0 then
          v_rest := '';
        else
          p_scanner.mode := 'code';
          v_rest := substr(v_rest, v_at + 1);
        end if;

      when 'escape' then
        -- a backslash at the end of the part escapes the semicolon after it, which is inside the string either way
        v_rest := substr(v_rest, length(substring(v_rest from '^(?:[^''\\]|\\.|'''')*')) + 1);
        exit when left(v_rest, 1) <> '''' or v_rest = '''' and not p_is_end;
        p_scanner.mode := 'code';
        p_scanner.tag := 'E';
        v_rest := substr(v_rest, 2);

      when 'line' then
        v_rest := substr(v_rest, length(substring(v_rest from '^[^\n\r]*')) + 1);
        exit when v_rest = '';
        p_scanner.mode := 'code';

      when 'block' then
        v_code := substring(v_rest from '^(?:[^*/]|\*(?!/)|/(?!\*))*');
        if length(v_code) = length(v_rest) then
          v_rest := substring(right(v_rest, 1) from '[*/]');
          exit;
        end if;
        v_rest := substr(v_rest, length(v_code) + 1);
        p_scanner.depth := p_scanner.depth + case left(v_rest, 1) when '/' then 1 else -1 end;
        if p_scanner.depth = 0 then
          p_scanner.mode := 'code';
        end if;
        v_rest := substr(v_rest, 3);

      when 'dollar' then
        v_at := strpos(v_rest, p_scanner.tag);
        if v_at = 0 then
          v_rest := right(v_rest, length(p_scanner.tag) - 1);
          exit;
        end if;
        p_scanner.mode := 'code';
        v_rest := substr(v_rest, v_at + length(p_scanner.tag));
        p_scanner.tag := null;
    end case;
  end loop;
  p_scanner.unread := case when p_is_end then '' else coalesce(v_rest, '') end;
end
$$;

comment on function weft._walk(weft._scanner, text, boolean) is 'Moves the scanner over a stretch of text, token by token.';


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
      from (select lower(w.matches[1] collate "C") as word from regexp_matches(p_code, c_word, 'g') as w (matches) limit 4) as f;
    end if;
  end if;

  if p_scanner.words !~ '^c(or)?[fp]' then
    if p_scanner.parens > 0 or strpos(p_code, '(') > 0 then
      p_scanner.parens := greatest(0, p_scanner.parens + length(replace(p_code, ')', '')) - length(replace(p_code, '(', '')));
    end if;
    return;
  end if;

  -- in the text of a function itself, BEGIN opens a block, and so does a CASE within one
  for v_word in select w.word from (select lower(m.matches[1] collate "C") as word from regexp_matches(p_code, '[()]|' || c_word, 'g') as m (matches)) as w
    where w.word in ('(', ')', 'begin', 'case', 'end')
  loop
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
