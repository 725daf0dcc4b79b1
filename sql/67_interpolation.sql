-- Parameters in statements: :x, :'x' and :"x", as psql has them.

-- Where a statement may name a parameter, as psql has it (manual, psql, "SQL Interpolation"). An even number of colons is one cast or
-- several. The names are those that the bundle declares, which contain no special characters of patterns.
create or replace function weft._mark(p_parameters jsonb)
  returns text
  immutable strict parallel safe
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select format('(:+)(?:''(%1$s)''|"(%1$s)"|\{\?(%1$s)\}|(%1$s)(?![A-Za-z0-9_\u0080-\U0010ffff]))', string_agg(k.name, '|' order by k.name))
  from jsonb_object_keys(p_parameters) as k (name)
  having count(*) > 0
$$;

comment on function weft._mark(jsonb) is 'Makes the pattern that matches uses of these parameters in a statement; null if there are none.';


-- The scanner says what is code: inside of quotes, dollar quotes and comments nothing is replaced.
create or replace function weft._interpolate(p_statement text, p_parameters jsonb, p_mark text)
  returns text
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_scanner  weft._scanner;
  v_pieces   text[];
  v_parts    text[] := '{}';
  v_place    integer := 1;
  v_match    text[];
  v_mention  text;   -- as it is written there
  v_value    text;
begin
  if p_mark is null or p_statement !~ p_mark then
    return p_statement;
  end if;
  v_scanner := weft._new_scanner();
  v_pieces := regexp_split_to_array(p_statement, p_mark);
  for v_match in select m.found from regexp_matches(p_statement, p_mark, 'g') as m (found) loop
    v_scanner := weft._pass(v_scanner, v_pieces[v_place], true);
    v_parts := array_append(v_parts, v_pieces[v_place]);
    v_mention := concat(v_match[1], '''' || v_match[2] || '''', '"' || v_match[3] || '"', '{?' || v_match[4] || '}', v_match[5]);
    if v_scanner.mode = 'code' and length(v_match[1]) % 2 = 1 then
      v_value := p_parameters ->> coalesce(v_match[2], v_match[3], v_match[4], v_match[5]);
      v_parts := array_append(v_parts, concat(
        substr(v_match[1], 2),
        case when v_match[1] = ':' and (v_match[2] is not null or v_match[3] is not null) and v_pieces[v_place] ~ '[A-Za-z0-9_''"$\u0080-\U0010ffff]$' then ' ' end,
        case
          when v_match[2] is not null then coalesce(quote_literal(v_value), 'null')
          when v_match[3] is not null then concat('"', replace(v_value, '"', '""'), '"')  -- without a value, the server says that a name must not be empty
          when v_match[4] is not null then case when v_value is null then 'false' else 'true' end
          else coalesce(v_value, 'null')
        end));
      v_scanner.tag := null;
      v_scanner.has_code := true;
    else
      v_scanner := weft._pass(v_scanner, v_mention, true);
      v_parts := array_append(v_parts, v_mention);
    end if;
    v_place := v_place + 1;
  end loop;
  return array_to_string(array_append(v_parts, v_pieces[v_place]), '');
end
$$;

comment on function weft._interpolate(text, jsonb, text) is
  'Replaces :x, :''x'', :"x" and :{?x} in the code of a statement with the values of parameters, as psql does; ::x and :=x stay.';
