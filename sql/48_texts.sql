-- What the text of one statement tells: where it begins after its comments, whether the server's parser accepts it, whether
-- rows follow it. Names are read here, but never what a statement may do.

-- What a regular expression takes for a name in a flattened statement.
create or replace function weft._ident_pattern()
  returns text
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select '(?:"(?:[^"]|"")*"|[^][\s"''(),;.]+)'
$$;

comment on function weft._ident_pattern() is 'Matches one identifier, quoted or not.';


create or replace function weft._name_pattern()
  returns text
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select weft._ident_pattern() || '(?: ?\. ?' || weft._ident_pattern() || ')*'
$$;

comment on function weft._name_pattern() is 'Matches a name, qualified or not.';


-- Neither of these two has a SET clause, so that the planner takes it into the query of whoever calls: every name in it is qualified.
create or replace function weft._unquote(p_identifier text)
  returns text
  immutable parallel safe
  language sql
as $$
  select case when pg_catalog."left"(p_identifier, 1) operator(pg_catalog.=) '"'
    then pg_catalog.replace(pg_catalog.substr(p_identifier, 2, pg_catalog.length(p_identifier) operator(pg_catalog.-) 2), '""', '"') else p_identifier end
$$;

comment on function weft._unquote(text) is 'Returns an identifier without the quotes around it.';


create or replace function weft._fold_identifier(p_identifier text)
  returns text
  immutable parallel safe
  language sql
as $$
  select case when pg_catalog."left"(p_identifier, 1) operator(pg_catalog.=) '"' then weft._unquote(p_identifier) else pg_catalog.lower(p_identifier collate pg_catalog."C") end
$$;

comment on function weft._fold_identifier(text) is 'Returns an identifier as the server reads it: without its quotes, or else in lower case.';


create or replace function weft._bare_name(p_identity text)
  returns text
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select weft._unquote(substring(p_identity from '^(?:(?:"(?:[^"]|"")*"|[^".(]*)\.)*("(?:[^"]|"")*"|[^".(]+)'))
$$;

comment on function weft._bare_name(text) is 'Tells the last part of a name as the catalog writes it: without what is before it, its arguments and its quotes.';


-- A quote in a name is doubled where the name is written as an identifier, and single in a message or a string.
create or replace function weft._is_name_in(p_text text, p_bare text)
  returns boolean
  immutable parallel safe
  language sql
as $$
  select pg_catalog.strpos(p_text, p_bare) operator(pg_catalog.>) 0 or pg_catalog.strpos(p_text, pg_catalog.replace(p_bare, '"', '""')) operator(pg_catalog.>) 0
$$;

comment on function weft._is_name_in(text, text) is 'Tells whether a name occurs in a text.';


-- Halves the text again and again, because finding a character in the middle of a text means walking there.
create or replace function weft._cut_stretches(p_text text, p_characters integer)
  returns text[]
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_half  integer := length(p_text) / 2;
begin
  if v_half < p_characters then
    return array[p_text];
  end if;
  return weft._cut_stretches(left(p_text, v_half), p_characters) || weft._cut_stretches(substr(p_text, v_half + 1), p_characters);
end
$$;

comment on function weft._cut_stretches(text, integer) is 'Cuts text into stretches of at least p_characters characters, and fewer than twice as many.';


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


-- pg_dump writes \restrict and \unrestrict to keep psql from obeying commands inside a dump. There is no psql here, so they become
-- comments, which keeps the line numbers.
create or replace function weft._pass_over_restrict(p_statement text)
  returns text
  immutable strict parallel safe
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_code    text := weft._skip_comments(p_statement);
  v_before  text := left(p_statement, length(p_statement) - length(v_code));
begin
  while v_code ~ '^\\(?:un)?restrict\M' loop
    v_before := v_before || '--' || substring(v_code from '^[^\n\r]*');
    v_code := substr(v_code, length(substring(v_code from '^[^\n\r]*')) + 1);
    v_before := v_before || left(v_code, length(v_code) - length(weft._skip_comments(v_code)));
    v_code := weft._skip_comments(v_code);
  end loop;
  return v_before || v_code;
end
$$;

comment on function weft._pass_over_restrict(text) is 'Writes \restrict and \unrestrict before a statement as comments.';


create or replace function weft._first_line(p_statement text, p_line integer)
  returns integer
  immutable strict parallel safe
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select p_line + length(s.before) - length(replace(s.before, E'\n', ''))
  from (select left(p_statement, length(p_statement) - length(weft._skip_comments(p_statement))) as before) as s
$$;

comment on function weft._first_line(text, integer) is 'Tells the line at which a statement begins, after the comments before it.';


-- Does the grammar accept this text? When a function over a polymorphic type is created, the server parses its body, and does no more.
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


-- Only for reading names out of a statement: outside of quotes, each run of white space and comments becomes one blank.
-- A comment may contain another one; deeper nesting is not recognised.
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


-- COPY ... FROM STDIN; is followed by rows, up to a line that is \. alone. In PostgreSQL's grammar no other statement begins like this
-- (gram.y, CopyStmt), and STDOUT means the same here.
create or replace function weft._reads_rows(p_statement text)
  returns boolean
  immutable strict parallel safe
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
begin
  if p_statement !~* '\mcopy\M.*std(?:in|out)' or weft._skip_comments(p_statement) !~* '^copy\M' then
    return false;
  end if;
  return weft._flatten(p_statement)
    ~* '^copy (?:binary )?(?::?"(?:[^"]|"")*"|[^\s"(.]+)(?: ?\. ?(?::?"(?:[^"]|"")*"|[^\s"(.]+))* ?(?:\((?:"(?:[^"]|"")*"|[^")])*\) ?)?from std(?:in|out)\M';
end
$$;

comment on function weft._reads_rows(text) is 'Tells whether a statement is a COPY whose rows follow it in the file.';


create or replace function weft._may_read_rows(p_text text)
  returns boolean
  immutable strict parallel safe
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select p_text ~* 'std(?:in|out)'
$$;

comment on function weft._may_read_rows(text) is 'Tells whether a text may contain a COPY whose rows follow.';


-- A BEGIN without special options at the beginning of a file, and its COMMIT at the end, ask for what Weft does anyway.
create or replace function weft._is_begin(p_statement text)
  returns boolean
  immutable strict parallel safe
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select p_statement ~* '\m(begin|start)\M' and weft._skip_comments(p_statement) ~* '^(begin|start)\M' and weft._flatten(p_statement) ~* '^(begin( (work|transaction))?|start transaction)( (isolation level )?read (write|committed))?$'
$$;

comment on function weft._is_begin(text) is 'Tells whether a statement begins an ordinary transaction.';


create or replace function weft._is_commit(p_statement text)
  returns boolean
  immutable strict parallel safe
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select p_statement ~* '\m(commit|end)\M' and weft._skip_comments(p_statement) ~* '^(commit|end)\M' and weft._flatten(p_statement) ~* '^(commit|end)( (work|transaction))?( and no chain)?$'
$$;

comment on function weft._is_commit(text) is 'Tells whether a statement commits an ordinary transaction.';
