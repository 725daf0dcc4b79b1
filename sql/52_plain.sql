-- Most files hold nothing that needs a walk: no string with escapes, no function whose body is not quoted, one kind of dollar quote at the most.
-- One regular expression cuts such a file, in C and in one go. It knows strings, names, comments and dollar quotes that are closed, and all else
-- that is no quote; where that is not all of the file, the file is one for the scanner: so it may know less than that, and never anything else.

-- Neither function has a SET clause, so that the planner takes them into the query of whoever calls: every name in them is qualified.
-- All of a file is looked at first, from its beginning, for a search for what is not there would begin anew at each character: but not of a
-- small one that has no dollars but those of its quotes, where that costs more than it saves.
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
    -- semicolons within a statement; rows behind one
    when p_text operator(pg_catalog.~) '[Aa][Tt][Oo][Mm][Ii][Cc]|[Rr][Uu][Ll][Ee]|[Ss][Tt][Dd](?:[Ii][Nn]|[Oo][Uu][Tt])' then false
    when pg_catalog.strpos(p_text, '\') operator(pg_catalog.>) 0 and p_text operator(pg_catalog.~) '(?:^|[^A-Za-z0-9_$\u0080-\U0010ffff])[eE]''' then false
    when pg_catalog."right"(p_text, 1) operator(pg_catalog.=) ';' and p_text operator(pg_catalog.~) '--[^\n\r]*;$' then false  -- the last one may be of the comment
    -- behind a letter or a digit a dollar may belong to a name
    when a.tag is not null and p_text operator(pg_catalog.~) pg_catalog.format('[A-Za-z0-9_\u0080-\U0010ffff]\$%s\$', a.tag) then false
    when pg_catalog.length(p_text) operator(pg_catalog.<) 4096 and pg_catalog.strpos(pg_catalog.replace(p_text, coalesce(pg_catalog.format('$%s$', a.tag), ''), ''), '$') operator(pg_catalog.=) 0 then true
    else p_text operator(pg_catalog.~) pg_catalog.format('^(?:%s|;)*$', a.tokens)
  end
$$;

comment on function weft._plain_pattern(text) is 'Makes the pattern that matches each statement of a text, with the semicolon behind it; null where that needs the scanner.';


-- What is nothing but white space and comments is no statement.
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

comment on function weft._cut_plain(text) is 'Splits a whole file into statements without their semicolons, and tells the line at which the text of each begins; no row where that needs the scanner.';


-- Files that hold no more than strings without escapes and dollar quotes of one kind: they are cut at their semicolons, without a regular expression
-- for each, which takes several times as long. A semicolon in a body stands as U+001A meanwhile, and a quote as U+0019. No SET clause, as above.
create or replace function weft._cut_simple(p_text text)
  returns table (statements text[], lines integer[])
  immutable parallel safe rows 1
  language sql
as $$
  select case when pg_catalog.bool_and(c.is_whole) then coalesce(pg_catalog.array_agg(c.statement) filter (where c.is_code), '{}') end,
         case when pg_catalog.bool_and(c.is_whole) then coalesce(pg_catalog.array_agg(c.line) filter (where c.is_code), '{}') end
  from (
    select case when d.tag is null then p.part else pg_catalog.replace(pg_catalog.replace(p.part, E'\x1a', ';'), E'\x19', '''') end as statement,
           (1 operator(pg_catalog.+) coalesce(pg_catalog.sum(pg_catalog.octet_length(p.part) operator(pg_catalog.-) pg_catalog.octet_length(p.rest))
             over (order by p.n rows between unbounded preceding and 1 preceding), 0))::pg_catalog.int4 as line,
           p.rest operator(pg_catalog.>=) '!' collate "C" or p.rest operator(pg_catalog.~) '[^ \t\n\r\f\v]' as is_code,  -- what begins with a blank is looked at closely
           -- else the semicolon stands in a string
           (pg_catalog.octet_length(p.part) operator(pg_catalog.-) pg_catalog.octet_length(pg_catalog.replace(p.part, '''', ''))) operator(pg_catalog.%) 2 operator(pg_catalog.=) 0 as is_whole
    from (select case when pg_catalog.strpos(p_text, '$') operator(pg_catalog.>) 0 then pg_catalog.concat('$', pg_catalog.split_part(p_text, '$', 2), '$') end as tag offset 0) as d
    cross join lateral (
      select p_text as code, p_text as text where d.tag is null
      union all
      select pg_catalog.string_agg(case when u.n operator(pg_catalog.%) 2 operator(pg_catalog.=) 1 then u.part end, d.tag),  -- what is outside of bodies
             pg_catalog.string_agg(case when u.n operator(pg_catalog.%) 2 operator(pg_catalog.=) 1 then u.part
               else pg_catalog.replace(pg_catalog.replace(u.part, ';', E'\x1a'), '''', E'\x19') end, d.tag)
      from pg_catalog.unnest(pg_catalog.string_to_array(p_text, d.tag)) with ordinality as u (part, n)
      where d.tag is not null
      -- each is closed, and none begins in a string
      having pg_catalog.count(*) operator(pg_catalog.%) 2 operator(pg_catalog.=) 1 and pg_catalog.bool_and(u.n operator(pg_catalog.%) 2 operator(pg_catalog.=) 0 or
          (pg_catalog.octet_length(u.part) operator(pg_catalog.-) pg_catalog.octet_length(pg_catalog.replace(u.part, '''', ''))) operator(pg_catalog.%) 2 operator(pg_catalog.=) 0)
        and d.tag operator(pg_catalog.~) '^\$(?:[A-Za-z_\u0080-\U0010ffff][A-Za-z0-9_\u0080-\U0010ffff]*)?[$]$'
        and pg_catalog.strpos(p_text, E'\x1a') operator(pg_catalog.=) 0 and pg_catalog.strpos(p_text, E'\x19') operator(pg_catalog.=) 0
    ) as m
    cross join lateral (
      select u.part, u.n, pg_catalog.replace(u.part, E'\n', '') as rest from pg_catalog.unnest(pg_catalog.string_to_array(m.text, ';')) with ordinality as u (part, n) offset 0) as p
    -- escapes, names, comments; semicolons within a statement; rows behind one
    where m.code operator(pg_catalog.!~) '[\\"]|--|/\*|[Aa][Tt][Oo][Mm][Ii][Cc]|[Rr][Uu][Ll][Ee]|[Ss][Tt][Dd](?:[Ii][Nn]|[Oo][Uu][Tt])'
      and (d.tag is null or pg_catalog.strpos(pg_catalog.replace(m.code, d.tag, ''), '$') operator(pg_catalog.=) 0
        -- behind a letter or a digit the dollar may belong to a name
        and m.code operator(pg_catalog.!~) pg_catalog.concat('[A-Za-z0-9_\u0080-\U0010ffff]\', pg_catalog.left(d.tag, -1), '\$'))
  ) as c
$$;

comment on function weft._cut_simple(text) is 'Cuts a whole file at its semicolons, as weft._cut_plain does; null where more is in it than strings and dollar quotes of one kind.';


-- Asked from where the path is safe already, as above.
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

comment on function weft._cut_other(text) is 'Splits a whole file that is not simple into statements, and tells the line at which the text of each begins; null where rows of a COPY follow.';
