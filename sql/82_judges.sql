-- The judges: only the catalog says what became of a statement that PostgreSQL runs in no transaction, and no record does.
--
-- A judge is asked before the statement is sent, after it came back, and after any interruption in between. It always answers from the
-- present state: done, send (this statement), wait, or failed.

-- p_is_reported: the server has said, in this very session, that the statement itself is done.
create or replace function weft._judge(p_judge jsonb, p_statement text, p_is_reported boolean, p_sent_at timestamptz, p_before jsonb, out verdict text, out statement text, out error jsonb, out about oid)
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_is_admitted boolean;
  v_table     oid := (p_judge ->> 'table')::oid;
  v_index     record;
  v_leftover  oid;
  v_pending   boolean;
  v_is_there  boolean;
  v_question  text;
  v_path      text;
  v_set       text;
  v_role      text;
  v_skipped   regclass[];
begin
  about := v_table;
  statement := p_statement;
  verdict := case when p_is_reported then 'done' else 'send' end;

  case p_judge ->> 'kind'
    when 'index' then
      if p_judge ->> 'name' is null then
        verdict := 'failed';
        error := jsonb_build_object('sqlstate', 'WF020', 'message', 'A concurrent index without a name would be built twice if its end went unheard.',
          'hint', format('Name it: create index concurrently %s on ...', coalesce(quote_ident(p_judge ->> 'suggestion'), 'name')));
        return;
      elsif v_table is null then  -- the server will report it
        if p_is_reported then
          verdict := 'failed';
          error := jsonb_build_object('sqlstate', 'WF020', 'message', 'The server has run the statement, and its table cannot be found, so that nobody can tell whether the index is valid.',
            'hint', 'Write the table with its schema. The index may be in the database: look at it in pg_index before you deploy again.');
        end if;
        return;
      end if;
      v_leftover := weft._find_leftover(array[v_table], p_judge ->> 'name');
      select c.oid, i.indrelid, i.indisvalid and i.indisready and i.indislive as is_whole, weft._read_definition(c.oid) as definition into v_index
      from pg_class as c
      join pg_class as t on t.relnamespace = c.relnamespace
      left join pg_index as i on i.indexrelid = c.oid
      where t.oid = v_table and c.relname = p_judge ->> 'name';
      if v_index.oid is not null and v_index.indrelid is distinct from v_table then
        verdict := 'failed';
        error := jsonb_build_object('sqlstate', '42P07', 'message', format('The name %I belongs to something else: %s.', p_judge ->> 'name', pg_describe_object('pg_class'::regclass, v_index.oid, 0)),
          'hint', 'Give the index another name.');
      elsif v_leftover is not null then
        verdict := case when weft._is_worked_on(v_table) then 'wait' else 'send' end;
        statement := format('drop index concurrently %s', v_leftover::regclass);
      elsif v_index.oid is null then
        verdict := 'send';
      elsif not v_index.is_whole then
        if weft._is_worked_on(v_table) then
          verdict := 'wait';
        else  -- nobody builds it any more
          verdict := 'send';
          statement := format(case when v_index.definition = p_judge ->> 'definition' then 'reindex index concurrently %s' else 'drop index concurrently %s' end, v_index.oid::regclass);
        end if;
      elsif v_index.definition = p_judge ->> 'definition' or (p_judge ->> 'definition' is null and not (p_judge ->> 'was')::boolean) then
        verdict := 'done';
      else
        verdict := 'failed';
        error := jsonb_build_object('sqlstate', '42P07', 'message', format('There is an index %s already, and it has another definition.', v_index.oid::regclass),
          'detail', format('There: %s. Wanted: %s.', v_index.definition, coalesce(p_judge ->> 'definition', 'what the file says')),
          'hint', 'Give the new one another name, or drop the old one first.');
      end if;

    when 'drop index' then
      if p_judge ->> 'index' is null then
        null;  -- the file's role sees none of that name; the server will say
      elsif not exists (select from pg_class as c where c.oid = (p_judge ->> 'index')::oid) then
        verdict := 'done';
      else
        verdict := case when weft._is_worked_on(v_table) then 'wait' else 'send' end;
      end if;

    when 'reindex' then
      v_leftover := weft._find_leftover(array(select t.value::oid from jsonb_array_elements_text(p_judge -> 'tables') as t));
      if v_leftover is not null then
        about := (select coalesce(t.oid, i.indrelid) from pg_index as i left join pg_class as t on t.reltoastrelid = i.indrelid where i.indexrelid = v_leftover);
        verdict := case when weft._is_worked_on(about) then 'wait' else 'send' end;
        statement := format('drop index concurrently %s', v_leftover::regclass);
      elsif p_judge -> 'indexes' <> '[]' and not exists (select from pg_class as c join jsonb_array_elements_text(p_judge -> 'indexes') as i on i.value::oid = c.oid) then
        verdict := 'done';  -- all of them have been replaced
      end if;

    when 'detach' then
      select i.inhdetachpending into v_pending
      from pg_inherits as i where i.inhparent = v_table and i.inhrelid = (p_judge ->> 'partition')::oid;
      if v_pending is null then
        verdict := case when p_is_reported or (p_judge ->> 'was')::boolean then 'done' else 'send' end;
      elsif weft._is_worked_on(v_table) then
        verdict := 'wait';
      else
        verdict := 'send';
        if v_pending then
          statement := format('alter table %s detach partition %s finalize', v_table::regclass, (p_judge ->> 'partition')::oid::regclass);
        end if;
      end if;

    when 'vacuum' then
      if pg_stat_get_last_vacuum_time(v_table) >= p_sent_at and (not (p_judge ->> 'analyzes')::boolean or pg_stat_get_last_analyze_time(v_table) >= p_sent_at) then
        verdict := 'done';
      elsif p_sent_at is not null and not p_is_reported and v_table is not null and weft._is_worked_on(v_table) then
        verdict := 'wait';  -- it may be our own, from a lost session
      end if;

    when 'expression' then
      v_question := concat('select (', p_judge ->> 'expression', E'\n)::pg_catalog.bool');
      v_path := p_before ->> 'search_path';
      begin
        v_is_admitted := current_setting('weft.values', true) <> '' and weft._admit_role(p_before ->> 'role');
        perform weft._restore_role(p_before);
        v_set := pg_catalog.set_config('search_path', v_path, true);
        execute v_question into strict v_is_there;
        v_set := pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
        reset session authorization;
        reset role;
        if v_is_admitted then
          perform weft._dismiss_role(p_before ->> 'role');
        end if;
        if v_is_there then
          verdict := 'done';
        elsif p_is_reported then
          verdict := 'failed';
          error := jsonb_build_object('sqlstate', 'WF020', 'message', format('The server has run the statement, and its done_when is %s still: %s', coalesce(v_is_there::text, 'null'), p_judge ->> 'expression'));
        end if;
      exception when others or query_canceled or assert_failure then
        verdict := case sqlstate when '57014' then 'interrupted' when '55P03' then 'wait' when '40P01' then 'wait' else 'failed' end;
        error := jsonb_build_object('sqlstate', sqlstate, 'message', format('done_when cannot be evaluated: %s', sqlerrm), 'detail', p_judge ->> 'expression');
      end;

    when 'repeat' then
      null;  -- repeating it does no harm

    else  -- database, tablespace, subscription
      v_is_there := weft._is_there(p_judge ->> 'kind', p_judge ->> 'name');
      if (p_judge ->> 'was')::boolean <> (p_judge ->> 'wanted')::boolean then
        verdict := case when v_is_there = (p_judge ->> 'wanted')::boolean then 'done' else 'send' end;
      elsif (p_judge ->> 'may_be_absent')::boolean then
        verdict := 'done';
      end if;
  end case;

  if verdict = 'done' and p_is_reported and p_judge ->> 'vacuumed' is not null then
    v_role := coalesce(nullif(p_before ->> 'role', 'none'), p_before ->> 'authorization');
    v_skipped := array(select s.relation from weft._list_skipped((p_judge ->> 'vacuumed')::oid, v_role, (p_judge ->> 'analyzes')::boolean) as s (relation));
    if cardinality(v_skipped) > 0 then
      verdict := 'failed';
      error := jsonb_build_object('sqlstate', 'WF020', 'message', format('The server has run the statement, and has skipped %s with a warning, because role %s may not vacuum it.',
          v_skipped[1] || case when cardinality(v_skipped) > 1 then format(' and %s more', cardinality(v_skipped) - 1) else '' end, v_role),
        'hint', 'Run it as the owner of the table, or of the database (role: of the phase), or, from PostgreSQL 17 on, grant MAINTAIN on it; or leave it to autovacuum, and the statement out.');
    end if;
  end if;
end
$$;

comment on function weft._judge(jsonb, text, boolean, timestamptz, jsonb) is
  'Says what to do about a statement that runs in no transaction: nothing (done), run this statement (send), or wait for whoever works on about; or that it has failed, or that looking was interrupted.';


-- What a failed statement has left half-made, and how to remove it; null if there is nothing.
create or replace function weft._find_remains(p_judge jsonb, out statement text, out about oid)
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_remains  oid;
begin
  if p_judge ->> 'kind' = 'index' then
    about := (p_judge ->> 'table')::oid;
    v_remains := weft._find_leftover(array[about], p_judge ->> 'name');
    if v_remains is null and not (p_judge ->> 'was')::boolean then
      select c.oid into v_remains
      from pg_class as c
      join pg_class as t on t.relnamespace = c.relnamespace
      join pg_index as i on i.indexrelid = c.oid
      where t.oid = about and c.relname = p_judge ->> 'name' and i.indrelid = t.oid and not i.indisvalid;
    end if;
  elsif p_judge ->> 'kind' = 'reindex' then
    v_remains := weft._find_leftover(array(select t.value::oid from jsonb_array_elements_text(p_judge -> 'tables') as t));
    about := (select i.indrelid from pg_index as i where i.indexrelid = v_remains);
  elsif p_judge ->> 'kind' = 'drop index' then  -- there is no way back
    about := (p_judge ->> 'table')::oid;
    select i.indexrelid into v_remains from pg_index as i where i.indexrelid = (p_judge ->> 'index')::oid and not i.indisvalid;
  elsif p_judge ->> 'kind' = 'detach' then  -- nor here
    select i.inhparent, format('alter table %s detach partition %s finalize', i.inhparent::regclass, i.inhrelid::regclass) into about, statement
    from pg_inherits as i
    where i.inhparent = (p_judge ->> 'table')::oid and i.inhrelid = (p_judge ->> 'partition')::oid and i.inhdetachpending;
  end if;
  if v_remains is not null then
    statement := format('drop index concurrently %s', v_remains::regclass);
  end if;
end
$$;

comment on function weft._find_remains(jsonb) is 'Finds what a failed statement has left half-made, and says how to remove it; or how to complete it, if there is no way back.';


-- The same for readers of the final account: everything, including what was there before, and what this role may not drop.
create or replace function weft._list_remains(p_judge jsonb)
  returns table (object text, statement text, is_out_of_reach boolean)
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select i.indexrelid::regclass::text, format('drop index concurrently %s', i.indexrelid::regclass), i.indrelid <> t.oid and not has_schema_privilege('pg_toast', 'usage')
  from pg_index as i
  join pg_class as c on c.oid = i.indexrelid
  join pg_class as t on i.indrelid in (t.oid, t.reltoastrelid)
  cross join lateral regexp_replace(c.relname, '_cc(new|old)\d*$', '') as b (name)
  where not i.indisvalid and case p_judge ->> 'kind'
    when 'index' then t.oid = (p_judge ->> 'table')::oid
      and (c.relname = p_judge ->> 'name' or b.name <> c.relname and (b.name = p_judge ->> 'name' or octet_length(c.relname) > 58 and starts_with(p_judge ->> 'name', b.name)))
    when 'reindex' then t.oid in (select x.value::oid from jsonb_array_elements_text(p_judge -> 'tables') as x) and b.name <> c.relname
    when 'drop index' then i.indexrelid = (p_judge ->> 'index')::oid
    else false
  end
  union
  select i.inhrelid::regclass::text, format('alter table %s detach partition %s finalize', i.inhparent::regclass, i.inhrelid::regclass), false
  from pg_inherits as i
  where p_judge ->> 'kind' = 'detach' and i.inhparent = (p_judge ->> 'table')::oid and i.inhrelid = (p_judge ->> 'partition')::oid and i.inhdetachpending
$$;

comment on function weft._list_remains(jsonb) is 'Lists which objects of a statement are half-made, each with the statement that removes or completes it, and whether only a superuser may run that.';
