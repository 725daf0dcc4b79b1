-- Most files need no scanner: they have no string with escapes, no function with an unquoted body, and at most one kind of dollar
-- quote. One regular expression splits such a file, in C and in one go. It knows closed strings, names, comments and dollar quotes, and
-- everything that is no quote; if that does not cover the whole file, the file goes to the scanner. So the expression may know less
-- than the scanner, but never contradicts it.

-- Neither function has a SET clause, so that the planner can inline them into the caller's query: every name in them is qualified.
-- The whole file is matched first, anchored at its beginning, because a search that finds nothing starts again at each character. For a small
-- file whose only dollars are those of its quotes, that costs more than it saves.
create or replace function weft._plain_pattern(p_text text)
  returns text
  immutable parallel safe
  language sql
as $$
  select pg_catalog.format('(?:%s)*(?:;|$)', a.tokens)
  from (
    select pg_catalog.concat('[^-;/''"$\\]|''[^'']*''|"[^"]*"|-(?!-)|/(?!\*)|--[^\n\r]*(?:[\n\r]|$)|/\*(?:[^*/]|\*(?!/)|/(?!\*))*\*/',
             case when d.tag is not null then pg_catalog.format('|\$%1$s\$(?:[^$]|\$(?!%1$s\$))*\$%1$s\$', d.tag) end) as tokens, d.tag
    from (
      select case when pg_catalog.strpos(p_text, '$') operator(pg_catalog.>) 0 then
               pg_catalog."substring"(p_text, '(?:^|[^A-Za-z0-9_$\u0080-\U0010ffff])\$((?:[A-Za-z_\u0080-\U0010ffff][A-Za-z0-9_\u0080-\U0010ffff]*)?)\$') end as tag
    ) as d
  ) as a
  where case
    -- semicolons within a statement; rows after one
    when p_text operator(pg_catalog.~) '[Aa][Tt][Oo][Mm][Ii][Cc]|[Rr][Uu][Ll][Ee]|[Ss][Tt][Dd](?:[Ii][Nn]|[Oo][Uu][Tt])' then false
    when pg_catalog.strpos(p_text, '\') operator(pg_catalog.>) 0 and p_text operator(pg_catalog.~) '(?:^|[^A-Za-z0-9_$\u0080-\U0010ffff])[eE]''' then false
    when pg_catalog."right"(p_text, 1) operator(pg_catalog.=) ';' and p_text operator(pg_catalog.~) '--[^\n\r]*;$' then false  -- the last semicolon may be part of the comment
    -- after a letter or a digit, a dollar may belong to a name
    when a.tag is not null and p_text operator(pg_catalog.~) pg_catalog.format('[A-Za-z0-9_\u0080-\U0010ffff]\$%s\$', a.tag) then false
    when pg_catalog.length(p_text) operator(pg_catalog.<) 4096 and pg_catalog.strpos(pg_catalog.replace(p_text, coalesce(pg_catalog.format('$%s$', a.tag), ''), ''), '$') operator(pg_catalog.=) 0 then true
    else p_text operator(pg_catalog.~) pg_catalog.format('^(?:%s|;)*$', a.tokens)
  end
$$;

comment on function weft._plain_pattern(text) is 'Makes the pattern that matches each statement of a text, with the semicolon after it; null if the text needs the scanner.';


-- A part with nothing but white space and comments is no statement.
create or replace function weft._cut_plain(p_text text)
  returns table (statements text[], lines integer[])
  immutable parallel safe rows 1
  language sql
as $$
  select coalesce(pg_catalog.array_agg(c.statement) filter (where c.is_code), '{}'), coalesce(pg_catalog.array_agg(c.line) filter (where c.is_code), '{}')
  from (
    select b.statement, b.bytes, b.line,
           case when pg_catalog."left"(pg_catalog.ltrim(b.statement, E' \t\n\r\f\x0b'), 1) operator(pg_catalog.=) any (array['', '-', '/'])
             then b.statement operator(pg_catalog.!~) '^(?:[ \t\n\r\f\v]|--[^\n\r]*(?:[\n\r]|$)|/\*(?:[^*/]|\*(?!/)|/(?!\*))*\*/)*$'
             else true end as is_code
    from (
      select case when pg_catalog."right"(m.matched[1], 1) operator(pg_catalog.=) ';' then pg_catalog."left"(m.matched[1], -1) else m.matched[1] end as statement,
             pg_catalog.octet_length(m.matched[1]) as bytes,
             (1 operator(pg_catalog.+) coalesce(pg_catalog.sum(pg_catalog.octet_length(m.matched[1]) operator(pg_catalog.-) pg_catalog.octet_length(pg_catalog.replace(m.matched[1], E'\n', '')))
               over (order by m.place rows between unbounded preceding and 1 preceding), 0))::pg_catalog.int4 as line
      from pg_catalog.regexp_matches(p_text, weft._plain_pattern(p_text), 'g') with ordinality as m (matched, place)
    ) as b
  ) as c
  having pg_catalog.sum(c.bytes) operator(pg_catalog.=) pg_catalog.octet_length(p_text)
$$;

comment on function weft._cut_plain(text) is 'Splits a whole file into statements without their semicolons, and tells the line at which the text of each begins; no row if the text needs the scanner.';


-- Most files need even less: they are cut at their semicolons, after U+001A has replaced those that end no statement. Which ones these are is
-- guessed by quick means, and then proved by one regular expression over the remaining code: every string and every name in it is closed, and
-- contains neither a semicolon nor a body.

create or replace function weft._mask_between(p_code text, p_begin text, p_end text)
  returns text
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_parts   text[] := string_to_array(p_code, p_begin);
  v_inside  text;
begin
  if cardinality(v_parts) <= 1 then
    return p_code;
  end if;
  for v_index in 2 .. cardinality(v_parts) by case when p_begin = p_end then 2 else 1 end loop
    v_inside := split_part(v_parts[v_index], p_end, 1);
    if strpos(v_inside, ';') > 0 or strpos(v_inside, '''') > 0 then
      -- p_begin occurs in it only once
      v_parts[v_index] := replace(concat(p_begin, v_parts[v_index]), concat(p_begin, v_inside), replace(replace(v_inside, ';', E'\x1a'), '''', E'\x1b'));
    end if;
  end loop;
  return array_to_string(v_parts, p_begin);
end
$$;

comment on function weft._mask_between(text, text, text) is 'Replaces semicolons with U+001A, and quotes with U+001B, in what looks like a comment or a string.';


create or replace function weft._mask_quoted(p_text text, p_folded text)
  returns text
  immutable strict parallel safe
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  -- placeholders: U+0017 for a body, U+0018 an escaped quote, U+001B a quote in a comment, U+001C two backslashes
  c_closed   constant text :=
    '^\u0017?(?:[A-Za-z0-9_\u0080-\U0010ffff]|(?:[^-/''"$\\\u0017\u0018\u001a-\u001cA-Za-z0-9_\u0080-\U0010ffff](?:[eE]''[^'';\u0017\u001b]*'')?'
    '|''[^'';\u0017\u0018\u001b]*''|"[^";\u0017\u0018\u001b]*"|-(?!-)|/(?!\*)|--[^\n\r;\u0017]*(?:[\n\r]|$)|/\*(?:[^*/;\u0017]|\*+[^*/;\u0017]|/+[^*/;\u0017])*\*+/)\u0017?)*$';
  -- semicolons within a statement; rows after one. A blank stands for anything that may be between two words
  c_within   constant text := 'begin atomic|create (?:or replace )?rule|copy.*std(?:in|out)';
  v_quote    text := concat('$', split_part(p_text, '$', 2), '$');
  v_pieces   text[] := string_to_array(p_text, v_quote);  -- code and bodies in turn
  v_codes    text[];
  v_code     text := p_text;
  v_masked   text := p_text;
  v_has_escapes  boolean;
begin
  if cardinality(v_pieces) > 1 then
    if v_quote !~ '^\$(?:[A-Za-z_\u0080-\U0010ffff][A-Za-z0-9_\u0080-\U0010ffff]*)?[$]$' or cardinality(v_pieces) % 2 = 0 then
      return null;
    end if;
    v_codes := v_pieces;
    for v_index in 2 .. cardinality(v_pieces) by 2 loop
      v_pieces[v_index] := replace(v_pieces[v_index], ';', E'\x1a');
      v_codes[v_index] := E'\x17';
    end loop;
    v_code := array_to_string(v_codes, '');
    v_masked := array_to_string(v_pieces, v_quote);
  end if;
  v_has_escapes := strpos(v_code, '\') > 0;
  if v_has_escapes then
    for v_index in 1 .. cardinality(v_pieces) by 2 loop
      v_pieces[v_index] := replace(replace(v_pieces[v_index], '\\', E'\x1c'), '\''', E'\x18');
    end loop;
    v_code := replace(replace(v_code, '\\', E'\x1c'), '\''', E'\x18');
  end if;

  for v_try in 1 .. 3 loop
    exit when v_code ~ c_closed;
    if v_try = 3 or strpos(v_code, '$') > 0 then
      return null;
    end if;
    for v_index in 1 .. cardinality(v_pieces) by 2 loop
      v_pieces[v_index] := case v_try
        when 1 then weft._mask_between(weft._mask_between(v_pieces[v_index], '--', E'\n'), '/*', '*/')
        else weft._mask_between(v_pieces[v_index], '''', '''')
      end;
      v_codes[v_index] := v_pieces[v_index];
    end loop;
    v_code := array_to_string(v_codes, '');
    v_masked := replace(array_to_string(v_pieces, v_quote), E'\x1b', '''');
  end loop;
  if v_has_escapes then
    v_masked := replace(replace(v_masked, E'\x18', '\'''), E'\x1c', '\\');
  end if;
  return case
    when v_masked <> p_text and replace(v_masked, E'\x1a', ';') <> p_text then null
    when (strpos(p_folded, 'atomic') > 0 or strpos(p_folded, 'rule') > 0 or strpos(p_folded, 'std') > 0)
      and v_code ~* replace(c_within, ' ', '(?:\s|--[^\n\r]*[\n\r]|/\*[^;]*\*/)+') then null
    else v_masked
  end;
end
$$;

comment on function weft._mask_quoted(text, text) is 'Masks the semicolons of a file in comments, strings, names and dollar quotes of one kind, as weft._mask does.';


-- No SET clause, so that the planner can inline this and the function below into the caller's query: every name in them is qualified.
create or replace function weft._mask(p_text text, p_folded text)
  returns text
  immutable parallel safe
  language sql
as $$
  select case
    when pg_catalog.strpos(p_text, '--') operator(pg_catalog.=) 0 and p_text operator(pg_catalog.~) '^(?:[^/''"$\\]|''[^'';\\]*''|/(?!\*))*$'
      and pg_catalog.strpos(p_folded, 'atomic') operator(pg_catalog.=) 0 and pg_catalog.strpos(p_folded, 'rule') operator(pg_catalog.=) 0 and pg_catalog.strpos(p_folded, 'std') operator(pg_catalog.=) 0
    then p_text
    else weft._mask_quoted(p_text, p_folded)
  end
$$;

comment on function weft._mask(text, text) is
  'Replaces each semicolon of a file that ends no statement with U+001A; null if the file needs the scanner. p_folded is p_text in lower case.';


-- A part with nothing but white space and comments is no statement. Lines can be counted because the parts come in order.
create or replace function weft._cut_masked(p_text text, p_masked text)
  returns table (statements text[], lines integer[])
  immutable parallel safe rows 1
  language sql
as $$
  select coalesce(pg_catalog.array_agg(c.statement), '{}'), coalesce(pg_catalog.array_agg(c.line), '{}')
  from (
    select case when p.is_masked then pg_catalog.replace(p.part, E'\x1a', ';') else p.part end as statement,
           (1 operator(pg_catalog.+) pg_catalog.sum(p.breaks) over (rows unbounded preceding) operator(pg_catalog.-) p.breaks)::pg_catalog.int4 as line,
           p.is_code
    from (
      select b.part, b.is_masked, pg_catalog.octet_length(b.part) operator(pg_catalog.-) pg_catalog.octet_length(b.rest) as breaks,
             case
               when b.rest operator(pg_catalog.=) '' then false
               when b.rest operator(pg_catalog.>=) '0' collate "C" then true  -- most begin with a letter
               else b.part operator(pg_catalog.!~) '^(?:[ \t\n\r\f\v]|--[^\n\r]*(?:[\n\r]|$)|/\*(?:[^*/]|\*(?!/)|/(?!\*))*\*/)*$'
             end as is_code
      from (
        select u.part, m.is_masked, pg_catalog.replace(u.part, E'\n', '') as rest
        from (select p_masked operator(pg_catalog.<>) p_text as is_masked offset 0) as m
        cross join lateral (select pg_catalog.unnest(pg_catalog.string_to_array(p_masked, ';')) as part) as u
        offset 0) as b
      offset 0) as p
  ) as c
  where c.is_code
$$;

comment on function weft._cut_masked(text, text) is 'Cuts a whole file at its semicolons, as weft._cut_plain does; p_masked is p_text after weft._mask.';


-- No SET clause: its callers have set a safe search_path.
create or replace function weft._cut_other(p_text text, out statements text[], out lines integer[])
  immutable parallel safe
  language plpgsql
as $$
begin
  select c.statements, c.lines into statements, lines from weft._cut_plain(p_text) as c;
  if not found then
    select c.statements, c.lines into statements, lines from weft._split(weft._new_scanner(), p_text, true) as c where (c.p_scanner).mode operator(pg_catalog.<>) 'copy';
  end if;
end
$$;

comment on function weft._cut_other(text) is 'Splits a whole file that is not simple into statements, and tells the line at which the text of each begins; null if rows of a COPY follow.';
