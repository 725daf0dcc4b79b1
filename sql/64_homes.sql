-- What an object of the catalog belongs to or cannot exist without, as far as its name and its definition tell. Used to leave
-- objects out, and to tell what disappeared together with something.

create or replace function weft._plain_name()
  returns text
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
begin
  return '(?:"(?:[^"]|"")*"|[a-z0-9_]+)';
end
$$;

comment on function weft._plain_name() is 'Returns the regular expression of one name as the catalog''s text has it.';


-- In the catalog's text, a comment on a function has only the types of its arguments, the function itself also their names.
create or replace function weft._name_function(p_identity text)
  returns text
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_plain  constant text := weft._plain_name();
  v_parts  text[] := regexp_match(replace(p_identity, 'pg_catalog.', ''), concat('^(', v_plain, '\.', v_plain, ')\((.*)\)$'));
  v_pair   text[];
begin
  if v_parts is null then
    return p_identity;
  end if;
  foreach v_pair slice 1 in array array[['double precision', 'float8'], ['character varying', 'varchar'], ['bit varying', 'varbit'], [' without time zone', ''], [' with time zone', 'tz']] loop
    v_parts[2] := replace(v_parts[2], v_pair[1], v_pair[2]);
  end loop;
  return concat(v_parts[1], '(', (
    select string_agg(a.parts[2], ',' order by a.place)
    from regexp_matches(v_parts[2], concat('(?:^|, ?| ORDER BY )(?:(IN|INOUT|OUT|VARIADIC) )?(?:', v_plain, ' )?((?:', v_plain, '\.)?', v_plain, '(?:\[\])*)(?=,| ORDER BY |$)'), 'g') with ordinality as a (parts, place)
    where a.parts[1] is distinct from 'OUT'), ')');
end
$$;

comment on function weft._name_function(text) is 'Writes the identity of a function, procedure or aggregate with only the types of its arguments.';


-- Types and relations share one set of names. If pg_identify_object uses another word than the catalog here, the key has the catalog's.
create or replace function weft._name_key(p_sort text, p_name text)
  returns text
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
begin
  return case
    when p_sort like '%column' then concat('column ', p_name)
    when p_sort like '%table' or p_sort like '%view' or p_sort like '%type' or p_sort in ('relation', 'sequence', 'index', 'enum', 'domain', 'range') then concat('relation ', p_name)
    when p_sort in ('function', 'procedure', 'aggregate') then concat('function ', weft._name_function(p_name))
    when p_sort = 'operator' then concat('operator ', replace(replace(p_name, 'pg_catalog.', ''), ', ', ','))
    when p_sort in ('operator class', 'operator family') then concat(p_sort, ' ', replace(p_name, ' USING ', ' using '))
    when p_sort = 'cast' then concat('cast ', regexp_replace(p_name, '^\((.*) AS (.*)\)$', '\1 as \2'))
    when p_sort = 'table constraint' then concat('constraint ', p_name)
    when p_sort = 'statistics object' then concat('statistics ', p_name)
    when p_sort = 'server' then concat('foreign server ', p_name)
    when p_sort = 'foreign-data wrapper' then concat('foreign data wrapper ', p_name)
    else concat(p_sort, ' ', p_name) end;
end
$$;

comment on function weft._name_key(text, text) is 'Writes the sort of an object and its name as one text, in the same words whatever the source.';


-- home: the object of the catalog to which something belongs, by its name there: the table of an index, the subject of a comment. sort: what that object
-- is. For what is said about an index, a sequence or statistics, the home is that object, although it belongs to a table itself. hangs: whether the home is
-- another object. about: for a comment and the like, its exact subject, which may be a column, or a constraint of its home.
create or replace function weft._name_home(p_kind text, p_identity text, p_definition text, out sort text, out home text, out hangs boolean, out about text)
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_plain  constant text := weft._plain_name();
  v_parts  text[];
begin
  sort := p_kind;
  home := p_identity;
  if p_kind in ('comment', 'security label', 'goes with an extension') then  -- as pg_identify_object has it
    if p_kind <> 'comment' then
      home := regexp_replace(home, ': (?:"(?:[^"]|"")*"|[^":]+)$', '');
    end if;
    v_parts := regexp_match(home, concat('^(table constraint|domain constraint|trigger|policy|rule) (', v_plain, ') on (.*)$'));
    if v_parts is not null then
      about := weft._name_key(v_parts[1], concat(v_parts[3], '.', v_parts[2]));
      v_parts := array[case v_parts[1] when 'domain constraint' then 'domain' else v_parts[1] end, v_parts[3]];
    else
      v_parts := regexp_match(home, '^([a-z-]+(?: [a-z-]+)*) (.*)$');
      about := weft._name_key(v_parts[1], v_parts[2]);
    end if;
    sort := coalesce(v_parts[1], sort);
    home := coalesce(v_parts[2], home);
    if sort like '%column' then
      home := regexp_replace(home, concat('\.', v_plain, '$'), '');
      sort := 'relation';
    elsif sort in ('table constraint', 'trigger', 'policy', 'rule') then
      sort := 'relation';
    end if;
  elsif p_kind in ('constraint', 'trigger', 'policy', 'rule', 'column') then
    sort := 'relation';
    home := regexp_replace(home, concat('\.', v_plain, '$'), '');
  elsif p_kind in ('index', 'statistics', 'sequence') then
    sort := 'relation';
    home := coalesce(substring(p_definition from case p_kind
      when 'index' then concat('^CREATE (?:UNIQUE )?INDEX ', v_plain, ' ON (?:ONLY )?(', v_plain, '\.', v_plain, ') USING ')
      when 'statistics' then concat(' FROM (', v_plain, '\.', v_plain, ')(?:, |$)')
      else concat(', (?:of|owned by) (', v_plain, '\.', v_plain, ')\.') end), home);
  elsif p_kind in ('table of a publication', 'schema of a publication') then
    sort := case p_kind when 'table of a publication' then 'relation' else 'schema' end;
    home := regexp_replace(home, concat('^', v_plain, ': '), '');
  elsif p_kind = 'default privileges' then
    v_parts := regexp_match(home, concat(' in (', v_plain, ')$'));
    if v_parts is not null then
      sort := 'schema';
      home := v_parts[1];
    end if;
  end if;
  if sort like '%table' or sort like '%view' or sort in ('storage of large values', 'foreign table options') then
    sort := 'relation';
  elsif sort in ('procedure', 'aggregate') then
    sort := 'function';
  end if;
  hangs := home <> p_identity or p_kind in ('storage of large values', 'foreign table options');
end
$$;

comment on function weft._name_home(text, text, text) is 'Names the object to which another one belongs, as the catalog has it; an object that belongs to none is its own home.';


-- A key and its index have the same name.
create or replace function weft._list_own_keys(p_kind text, p_identity text, p_definition text)
  returns setof text
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
begin
  return next weft._name_key(p_kind, p_identity);
  if p_kind = 'constraint' and p_definition ~ '^(PRIMARY KEY|UNIQUE|EXCLUDE) ' then
    return next weft._name_key('index', regexp_replace(p_identity, concat('^(', weft._plain_name(), '\.)', weft._plain_name(), '\.'), '\1'));
  end if;
end
$$;

comment on function weft._list_own_keys(text, text, text) is 'Lists the keys by which other objects may know an object.';


-- An object cannot exist without what its definition names with a schema: a view without its tables, a partition without its table, a key without the table that it
-- references. What the body of a function names need not exist. Definitions that name columns without their table are dropped together with these columns.
create or replace function weft._list_holders(p_kind text, p_identity text, p_definition text)
  returns setof text
  immutable parallel safe
  rows 5
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_plain  constant text := weft._plain_name();
  v_home   record;
  v_also   text[];
  v_text   text;
begin
  select h.sort, h.home, h.hangs, h.about into v_home from weft._name_home(p_kind, p_identity, p_definition) as h;
  if v_home.about is not null then
    return next v_home.about;
  end if;
  if v_home.hangs then
    return next weft._name_key(v_home.sort, v_home.home);
  end if;
  v_text := substring(v_home.home from concat('^(', v_plain, ')\.'));
  if v_text is not null then
    return next weft._name_key('schema', v_text);
  end if;
  if p_kind in ('comment', 'security label', 'default privileges', 'schema') then
    return;
  end if;
  v_also := case p_kind
    when 'table of a publication' then array['publication', substring(p_identity from concat('^(', v_plain, '): '))]
    when 'schema of a publication' then array['publication', substring(p_identity from concat('^(', v_plain, '): '))]
    when 'goes with an extension' then array['extension', substring(p_identity from concat(': (', v_plain, ')$'))]
    when 'extension' then array['schema', substring(p_definition from concat(' in (', v_plain, ')$'))]
    when 'user mapping' then array['foreign server', substring(p_identity from concat(' on server (', v_plain, ')$'))]
    when 'foreign server' then array['foreign data wrapper', substring(p_definition from concat(', wrapper (', v_plain, ')'))]
    when 'operator class' then array['operator family', concat(substring(p_definition from concat(', family (', v_plain, '\.', v_plain, ')')), substring(p_identity from ' using .*$'))]
    when 'sequence' then array['column', substring(p_definition from concat(', (?:of|owned by) (', v_plain, '\.', v_plain, '\.', v_plain, ')'))]
    -- which has no arguments
    when 'trigger' then array['function', concat(substring(p_definition from concat(' EXECUTE FUNCTION (', v_plain, '\.', v_plain, ')\(')), '()')]
    when 'event trigger' then array['function', concat(substring(p_definition from concat(', function (', v_plain, '\.', v_plain, ')')), '()')] end;
  if v_also is not null then
    return next weft._name_key(v_also[1], v_also[2]);
  end if;
  v_text := case
    when p_kind in ('function', 'procedure', 'aggregate') then substring(p_identity from '\(.*$')
    when p_kind in ('operator', 'cast') then concat_ws(' ', p_identity, p_definition)
    when p_kind like '%view' then p_definition
    else split_part(p_definition, E'\x1d', 1) end;
  return query select concat('relation ', t.found[1]) from regexp_matches(v_text, concat('(', v_plain, '\.', v_plain, ')'), 'g') as t (found);
  if p_kind in ('index', 'constraint', 'statistics') then
    return query
    select concat('column ', v_home.home, '.', t.found[1])
    from regexp_matches(split_part(p_definition, ' REFERENCES ', 1), concat('(', v_plain, ')'), 'g') as t (found);
  end if;
end
$$;

comment on function weft._list_holders(text, text, text) is 'Lists by their keys what an object cannot exist without: its home, its schema, and what its definition names.';
