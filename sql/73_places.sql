-- Where in a file an error is. The server knows the place of most mistakes to the character, but only tells a client: GET STACKED
-- DIAGNOSTICS has no field for it. So it is found again afterwards: by the word that the message names, and if that occurs more than
-- once in the statement, by asking the server's own parser about each occurrence. A place that is not certain is not reported.

-- Words, numbers, strings and signs. Dollar quotes count only by their marks, so that the tokens of a body are included.
create or replace function weft._read_tokens(p_text text)
  returns table (number bigint, at integer, token text)
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select w.number, w.at, w.token
  from (
    select t.ordinality as number, t.parts[1] as token,
      (1 + coalesce(sum(length(t.parts[1])) over (order by t.ordinality rows between unbounded preceding and 1 preceding), 0))::integer as at
    from regexp_matches(p_text,
      '(\s+|--[^\n\r]*|/\*(?:[^*/]|\*(?!/)|/(?!\*)|/\*(?:[^*/]|\*(?!/)|/(?!\*))*\*/)*\*/|[eE]''(?:[^''\\]|\\.|'''')*''|''(?:[^'']|'''')*''|"(?:[^"]|"")*"|\$(?:[A-Za-z_\u0080-\U0010ffff]\w*)?\$|[A-Za-z_\u0080-\U0010ffff][A-Za-z0-9_$\u0080-\U0010ffff]*|\d[\w.]*|[-+*/<>=~!@#%^&|`?]+|.)',
      'g') with ordinality as t (parts, ordinality)
  ) as w
  where w.token !~ '^(?:\s|--|/\*)'
$$;

comment on function weft._read_tokens(text) is 'Cuts a statement into tokens, with the character at which each begins; white space and comments are left out.';


-- Parses a text, or also analyses it, but never runs it: when a function over a polymorphic type is created, it is only parsed. Never waits for
-- locked tables.
create or replace function weft._ask_grammar(p_text text, p_language text, p_is_analysed boolean, p_search_path text)
  returns text
  volatile
  set search_path = pg_catalog, pg_temp
  set check_function_bodies = on
  set lock_timeout = 100
  language plpgsql
as $$
declare
  v_sql      pg_catalog.text := format('create function pg_temp.weft_asks(%s) returns void language %I as %L', case when p_language = 'sql' and not p_is_analysed then 'anyelement' end, p_language, p_text);
  v_set      pg_catalog.text;
  e_message  pg_catalog.text;
begin
  begin
    v_set := pg_catalog.set_config('search_path', p_search_path, true);
    execute v_sql;
    raise exception using errcode = 'WF000', message = '';
  exception when others then  -- which leaves nothing behind
    get stacked diagnostics e_message = message_text;
  end;
  return e_message;
end
$$;

comment on function weft._ask_grammar(text, text, boolean, text) is 'Asks the server what is wrong with a text: returns its message, or an empty text.';


-- What the message is about, and in what form it occurs in the text. Messages in other languages than English use different quotes, and are
-- understood if they name an object as it is written.
create or replace function weft._read_culprit(p_state text, p_message text, out kind text, out word text)
  immutable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select case when c.source is not null then 'source' when p_state like '22%' then 'literal' else 'name' end,
    coalesce(c.source, case when p_state like '22%' then c.last_quoted when p_state <> '42804' then coalesce(c.called, c.operator, c.unquoted, c.quoted) end)
  from (
    select substring(p_message from 'at or near "(.*)"$') as source,
      substring(p_message from '"([^"]*)"[^"]*$') as last_quoted,
      substring(p_message from '^(?:function|procedure) ([^ (]+)\(') as called,
      substring(p_message from '^operator (?:does not exist|is not unique): (?:.* )?([-+*/<>=~!@#%^&|`?]+) ') as operator,
      substring(p_message from '^column ([^" ]+) does not exist') as unquoted,
      substring(p_message from '"([^"]+)"') as quoted
  ) as c
$$;

comment on function weft._read_culprit(text, text) is 'Reads out of an error''s message which word of the statement it is about; null when it names none.';


create or replace function weft._find_word(p_text text, p_kind text, p_word text, p_from integer, p_to integer)
  returns table (at integer, length integer)
  immutable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select w.at, case when w.is_dotted then w.length + 1 + length(w.next) else w.length end
  from (
    select t.at, length(t.token) as length, t.token, n.name,
      lead(t.token) over f = '.' as is_before_dot, lead(n.name, 2) over f as next_name, lead(t.token, 2) over f as next, lag(t.token) over f = '.' as is_behind_dot,
      p_kind = 'name' and strpos(p_word, '.') > 0 as is_dotted
    from weft._read_tokens(p_text) as t
    cross join lateral (
      select case when t.token ~ '^[eE]?''' then replace(regexp_replace(t.token, '^[eE]?''|''$', '', 'g'), '''''', '''') else weft._fold_identifier(t.token) end as name) as n
    window f as (order by t.number)
  ) as w
  where w.at between p_from and p_to and case
    when p_kind = 'source' then w.token = p_word
    when p_kind = 'literal' then w.name = p_word or w.token = p_word
    when w.is_dotted then w.name = split_part(p_word, '.', 1) and w.is_before_dot and w.next_name = split_part(p_word, '.', 2)
    else w.token !~ '^[eE]?''' and w.name = p_word
  end
  order by w.at
$$;

comment on function weft._find_word(text, text, text, integer, integer) is 'Finds where a word occurs in a statement, as a name, as a literal or as it is written.';


-- Which of several places the server means: a text that is cut after that place fails like the whole text (for misplaced words); or, if another
-- word is put there, the message names that word.
create or replace function weft._tell_apart(
    p_text text, p_body_at integer, p_places integer[], p_lengths integer[], p_kind text, p_word text, p_message text, p_parameters jsonb, p_search_path text)
  returns integer
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_stand_in  text := case when p_kind = 'name' and p_word ~ '^[-+*/<>=~!@#%^&|`?]+$' then '<<|@|>>' else 'weft_stands_here' end;
  v_mark      text := weft._mark(p_parameters);
  v_try       text;
  v_expected  text := case p_kind when 'source' then p_message else replace(p_message, p_word, v_stand_in) end;
begin
  for i in 1 .. least(cardinality(p_places), weft._limit('places_tried_count')) loop
    v_try := case
      when p_kind = 'source' and p_body_at > 0 then substr(p_text, p_body_at, p_places[i] + p_lengths[i] - p_body_at) || ' ;'
      when p_kind = 'source' then left(p_text, p_places[i] + p_lengths[i] - 1)
      else overlay(p_text placing case p_kind when 'literal' then quote_literal(v_stand_in) else v_stand_in end from p_places[i] for p_lengths[i])
    end;
    if weft._ask_grammar(weft._interpolate(v_try, p_parameters, v_mark), case when p_body_at > 0 then 'plpgsql' else 'sql' end, p_kind <> 'source', p_search_path) = v_expected then
      return p_places[i];
    end if;
  end loop;
  return null;
end
$$;

comment on function weft._tell_apart(text, integer, integer[], integer[], text, text, text, jsonb, text) is 'Asks the server which of several places an error is about; null if it does not say.';


-- A value of the wrong type: the message names its column. To find out which of the words is that column, another name is put in its place: only for
-- a column that is written to does the server's message name the table as well. The value is what follows the equals sign, or has the same
-- position in VALUES; otherwise, the column itself is reported.
create or replace function weft._find_assigned(p_text text, p_column text, p_parameters jsonb, p_search_path text)
  returns integer
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_mark      text := weft._mark(p_parameters);
  v_place     record;
  v_token     record;
  v_at        integer;
  v_depth     integer := 1;      -- the list of columns is one
  v_commas    integer := 0;      -- of the row so far
  v_values    integer;           -- the depth of the row
  v_is_next   boolean := false;  -- the next token begins the value
  v_first     integer;           -- how many columns of the list come before it
begin
  for v_place in select w.at, w.length from weft._find_word(p_text, 'name', p_column, 1, length(p_text)) as w limit weft._limit('places_tried_count') loop
    if weft._ask_grammar(weft._interpolate(overlay(p_text placing 'weft_stands_here' from v_place.at for v_place.length), p_parameters, v_mark), 'sql', true, p_search_path)
        ~ 'weft_stands_here[^"]*"[^"]*"[^"]+"' then
      v_at := v_place.at;
      exit;
    end if;
  end loop;
  if v_at is null then
    return null;
  end if;
  v_first := (select count(*) from weft._read_tokens(left(p_text, v_at - 1)) as t where t.token = ','
    and t.at > (select max(o.at) from weft._read_tokens(left(p_text, v_at - 1)) as o where o.token = '('));
  for v_token in select t.at, t.token, t.number, lag(t.token) over (order by t.number) as before from weft._read_tokens(p_text) as t where t.at > v_at order by t.number loop
    if v_token.before is null and v_token.token = '=' then
      v_is_next := true;
      continue;
    elsif v_is_next then
      return v_token.at;
    end if;
    v_depth := v_depth + case when v_token.token in ('(', '[') then 1 when v_token.token in (')', ']') then -1 else 0 end;
    if v_values is null and lower(v_token.before collate "C") = 'values' and v_depth = 1 and v_token.token = '(' then
      v_values := v_depth;
      v_commas := 0;
      v_is_next := v_first = 0;
    elsif v_values is null and v_depth < 0 or v_values is not null and v_depth < v_values then
      exit;
    elsif v_values is not null and v_token.token = ',' and v_depth = v_values then
      v_commas := v_commas + 1;
      v_is_next := v_commas = v_first;
    end if;
  end loop;
  return v_at;
end
$$;

comment on function weft._find_assigned(text, text, jsonb, text) is 'Finds the value of the wrong type that a statement writes to a column, or the column; null if that cannot be told.';


-- A word that occurs only once is still not certain to be the culprit if the server may mean something else: a string that contains it
-- ('{1,x}', nextval('item_id')), or a word of SQL that becomes an operator (IN, LIKE, USING).
create or replace function weft._is_doubtful(p_text text, p_kind text, p_word text, p_places integer[], p_from integer, p_to integer)
  returns boolean
  immutable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select p_kind <> 'source' and (p_word ~ '^[-+*/<>=~!@#%^&|`?]+$' or exists (
    select from weft._read_tokens(p_text) as t
    where t.at between p_from and p_to and t.token ~ '^[eE]?''' and t.at <> all (p_places)
      and case when p_kind = 'name'
        then strpos(concat(' ', regexp_replace(lower(t.token collate "C"), '\W+', ' ', 'g'), ' '), concat(' ', regexp_replace(lower(p_word collate "C"), '\W+', ' ', 'g'), ' ')) > 0
        else strpos(t.token, p_word) > 0 end))
$$;

comment on function weft._is_doubtful(text, text, text, integer[], integer, integer) is 'Tells whether an error may be about something else than the places where its word occurs.';


-- PL/pgSQL says in which line its statement begins, but not which of several in that line it was. So all of them are looked at.
create or replace function weft._find_statement_end(p_text text, p_from integer, p_to integer)
  returns integer
  immutable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  with tokens as materialized (
    select t.at, t.token, strpos(substr(p_text, p_from, t.at - p_from), E'\n') = 0 as is_in_line
    from weft._read_tokens(p_text) as t where t.at between p_from and p_to
  )
  select coalesce(
    (select case l.token when ';' then l.at end from tokens as l where l.is_in_line order by l.at desc limit 1),
    (select min(t.at) from tokens as t where t.token = ';' and not t.is_in_line), p_to)
$$;

comment on function weft._find_statement_end(text, integer, integer) is 'Finds the end of the last statement that begins in a line of a body.';


-- Where the body of a DO block or a function begins in its statement, and where it ends.
create or replace function weft._find_body(p_text text, out at integer, out until integer)
  immutable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select b.at + length(b.token), coalesce(
    (select min(e.at) - 1 from weft._read_tokens(p_text) as e where e.token = b.token and e.at > b.at and left(b.token, 1) = '$'), length(p_text))
  from (
    select t.at, case left(t.token, 1) when '$' then t.token else '''' end as token
    from weft._read_tokens(p_text) as t where t.token ~ '^[$].*[$]\Z' or t.token ~ '^''[^'']*\s' order by t.number limit 1) as b
$$;

comment on function weft._find_body(text) is 'Finds the body of a DO block or a function in its statement.';


create or replace function weft._describe_place(p_text text, p_line integer, p_at integer, p_is_exact boolean)
  returns jsonb
  immutable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select jsonb_strip_nulls(jsonb_build_object(
    'line', p_line + length(p.before) - length(replace(p.before, E'\n', '')), 'statement_line', p_line,
    'character', case when p_is_exact then p.number end,
    'excerpt', substr(p.line, p.first, weft._limit('excerpt_characters')),
    'caret', case when p_is_exact then p.number - p.first + 1 end))
  from (
    select l.*, greatest(1, least(l.number - weft._limit('excerpt_characters') * 2 / 3, length(l.line) - weft._limit('excerpt_characters') + 1)) as first
    from (
      select b.before, rtrim(split_part(substr(p_text, p_at - b.behind), E'\n', 1), E'\r') as line, b.behind + 1 as number
      from (select left(p_text, p_at - 1) as before, coalesce(nullif(strpos(reverse(left(p_text, p_at - 1)), E'\n'), 0), p_at) - 1 as behind) as b
    ) as l
  ) as p
$$;

comment on function weft._describe_place(text, integer, integer, boolean) is 'Describes a place in a statement: line and character in the file, the text of the line, and where in it.';


-- An empty context means that the server knew the place; otherwise, the context has the statement (spi.c, _SPI_error_callback).
create or replace function weft._find_place(p_error jsonb, p_statement text, p_line integer, p_parameters jsonb, p_search_path text)
  returns jsonb
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_text      text := weft._skip_comments(p_statement);
  v_message   text := p_error ->> 'message';
  v_context   text := coalesce(p_error ->> 'context', '');
  v_block     integer := substring(v_context from '.*PL/pgSQL function inline_code_block line (\d+)')::integer;  -- the last one: the others belong to nested blocks
  v_near      integer := substring(v_context from '^compilation of PL/pgSQL function "[^\n]*" near line (\d+)')::integer;
  v_culprit   record;
  v_body_at   integer := 0;
  v_from      integer := 1;
  v_to        integer := length(v_text);
  v_places    integer[];
  v_lengths   integer[];
  v_doubtful  boolean;
  v_at        integer;
begin
  if v_text is null or length(v_text) > weft._limit('placed_characters') or p_error ->> 'sqlstate' ~ '^(WF|P0|0A|25|2D|40|53|55|57)' and v_block is null then
    return null;
  elsif v_context <> '' then
    if v_block is null and v_near is null
        and not (v_text ~* '^create\s+(?:or\s+replace\s+)?(?:function|procedure)\M' and v_context ~* '^SQL statement "' and p_error ->> 'sqlstate' in ('42601', '42703', '42P01', '42883', '42702', '42P02', '22P02')) then
      return null;
    end if;
    select b.at, b.until into v_body_at, v_to from weft._find_body(v_text) as b;
    if v_body_at is null then
      return null;
    end if;
    v_from := v_body_at;
    if v_block > 1 then
      v_from := v_from + coalesce(length(substring(substr(v_text, v_from, v_to - v_from + 1) from format('^(?:[^\n]*\n){%s}', v_block - 1))), 0);
    elsif v_near > 0 then  -- up to where it was read
      v_to := v_from - 1 + coalesce(length(substring(substr(v_text, v_from, v_to - v_from + 1) from format('^(?:[^\n]*\n){%s}', v_near))), v_to - v_from + 1);
    end if;
  end if;
  if v_context = '' and v_message ~ 'at end of input$' then
    return weft._describe_place(v_text, p_line, length(rtrim(v_text, E' \t\n\r')) + 1, true);
  end if;

  -- in a block, a value is only wrong when it runs, which says nothing about the words there
  if v_block is null or p_error ->> 'sqlstate' ~ '^42' and v_context ~ '^PL/pgSQL function inline_code_block line \d+ at (?!RAISE|ASSERT|[^\n]*EXECUTE)' then
    v_culprit := weft._read_culprit(p_error ->> 'sqlstate', v_message);
    if v_block is not null then
      v_to := weft._find_statement_end(v_text, v_from, v_to);
    end if;
    if v_block is null and v_near is null and p_error ->> 'sqlstate' = '42804' and v_message ~ '^[^"]*"[^"]+"[^"]*$' then
      v_at := weft._find_assigned(v_text, substring(v_message from '"([^"]+)"'), p_parameters, p_search_path);
    elsif v_culprit.kind = 'source' and v_culprit.word ~ '^[eE]?[''"$/]' and strpos(substr(v_text, v_from), v_culprit.word) > 0 then  -- an unterminated string or comment
      v_at := v_from - 1 + strpos(substr(v_text, v_from), v_culprit.word);
    else
      select array_agg(w.at order by w.at), array_agg(w.length order by w.at) into v_places, v_lengths
      from weft._find_word(v_text, v_culprit.kind, v_culprit.word, v_from, v_to) as w;
      v_doubtful := weft._is_doubtful(v_text, v_culprit.kind, v_culprit.word, v_places, v_from, v_to);
      v_at := case when v_places is null then null when cardinality(v_places) = 1 and not v_doubtful then v_places[1] else
        weft._tell_apart(v_text, case when v_block is null and v_near is not null then v_body_at else 0 end, v_places, v_lengths, v_culprit.kind, v_culprit.word, v_message, p_parameters, p_search_path) end;
    end if;
  end if;
  if v_at is not null then
    return weft._describe_place(v_text, p_line, v_at, true);
  elsif v_block is not null then
    return weft._describe_place(v_text, p_line, v_from, false);
  elsif not v_doubtful and v_places is not null and strpos(substr(v_text, v_places[1], v_places[cardinality(v_places)] - v_places[1]), E'\n') = 0 then  -- the exact place is not known, but the line is
    return weft._describe_place(v_text, p_line, v_places[1], false);
  end if;
  return null;
exception when others then  -- an error without a place is better than none
  return null;
end
$$;

comment on function weft._find_place(jsonb, text, integer, jsonb, text) is 'Finds the place in a file that an error is about: line, character, and what stands there; null if it cannot be told.';
