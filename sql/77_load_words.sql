-- The words of weft.yaml that, besides the bytes of a file, decide what a step does: where data goes, how it is read, and what happens
-- to existing rows. The history keeps those with which a file was applied. With other words the same bytes mean something else: a load
-- with upsert or sync runs again; a step that runs once is refused, or stays as it is.

-- How often a step runs, as the manifest says. Steps that only read, like a check, are in no history.
-- Called for every step: no SET clause, so that the planner can inline it into the caller's query, and every name in it is qualified.
create or replace function weft._repeat_of(p_kind text, p_words jsonb)
  returns text
  immutable parallel safe
  language sql
as $$
  select case
    when p_kind operator(pg_catalog.=) 'run' then coalesce(p_words operator(pg_catalog.->>) 'repeat', 'once')
    when p_kind operator(pg_catalog.=) 'batch' then 'once'
    when p_kind operator(pg_catalog.=) 'load' then case when p_words operator(pg_catalog.->>) 'mode' operator(pg_catalog.=) 'insert' then 'once' else 'on-change' end
  end
$$;

comment on function weft._repeat_of(text, jsonb) is 'Tells how often a step runs: once, on-change or always; null for a kind that no history knows.';


-- For a step of a manifest, or the options of one in weft._steps. Null if only the bytes count.
create or replace function weft._words_of(p_kind text, p_words jsonb)
  returns jsonb
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select case p_kind
    when 'load' then jsonb_strip_nulls(jsonb_build_object(
      'kind', 'load', 'into', p_words -> 'into', 'mode', coalesce(p_words ->> 'mode', 'insert'), 'format', p_words -> 'format', 'null_as', nullif(p_words ->> 'null_as', ''),
      'delimiter', nullif(p_words ->> 'delimiter', ','), 'columns', p_words -> 'columns',
      'key', case when p_words ->> 'mode' <> 'insert' then p_words -> 'key' end, 'where', p_words -> 'where'))
    when 'batch' then jsonb_strip_nulls(jsonb_build_object('kind', 'batch', 'cursor', p_words -> 'cursor'))
  end
$$;

comment on function weft._words_of(text, jsonb) is 'Picks the words of weft.yaml that, besides the bytes, decide the result of a load or a batch.';


-- Which words have changed, each with what it was and is.
create or replace function weft._differing_words(p_before jsonb, p_after jsonb)
  returns jsonb
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select jsonb_object_agg(k.word, jsonb_build_array(p_before -> k.word, p_after -> k.word))
  from (select distinct w.word from jsonb_object_keys(p_before || p_after) as w (word)) as k
  where p_before -> k.word is distinct from p_after -> k.word
$$;

comment on function weft._differing_words(jsonb, jsonb) is 'Tells which words differ, each with what it was and what it is; null if none does.';


-- runs: it runs again | looks: which table it is about is checked when its turn comes | refused: nobody can say whether the rows are there | stays: what it has done is done.
create or replace function weft._judge_words(p_before jsonb, p_after jsonb)
  returns text
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select case
    when p_before is null or p_after = p_before then null
    when p_after ->> 'kind' is distinct from p_before ->> 'kind' or p_after ->> 'kind' = 'batch' then 'stays'
    when p_after ->> 'mode' <> 'insert' then case when p_before - 'into' = p_after - 'into' then 'looks' else 'runs' end
    when p_before - '{into,mode,key,where}'::text[] <> p_after - '{into,mode,key,where}'::text[] then 'refused'
    when p_before -> 'into' <> p_after -> 'into' then 'looks'
    else 'stays'
  end
$$;

comment on function weft._judge_words(jsonb, jsonb) is 'Tells what happens to a file whose bytes were applied with other words; null if the words are the same, or not known.';


-- The table into which a load would go now, as far as that can be told before its turn: its phase says under which role and path.
create or replace function weft._find_target(p_into text, p_role text, p_settings jsonb)
  returns oid
  stable
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_parts    text[];
  v_path     text := coalesce(p_settings ->> 'search_path', (select s.reset_val from pg_settings as s where s.name = 'search_path'));
  v_schemas  text[];
begin
  v_parts := parse_ident(p_into);
  v_parts := v_parts[greatest(cardinality(v_parts) - 1, 1):];
  if cardinality(v_parts) = 2 then  -- from the catalog, because regclass raises an error for a schema that this role may not use
    v_schemas := v_parts[:1];
  else
    perform set_config('search_path', regexp_replace(v_path, '"?\$user"?', quote_ident(coalesce(p_role, session_user)), 'g'), true);
    v_schemas := pg_catalog.current_schemas(true);
    perform pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
  end if;
  return (
    select c.oid
    from unnest(v_schemas) with ordinality as u (name, place)
    join pg_namespace as n on n.nspname = u.name
    join pg_class as c on c.relnamespace = n.oid and c.relname = v_parts[cardinality(v_parts)]
    order by u.place
    limit 1);
exception when others then  -- not a valid name: the step itself will say so
  return null;
end
$$;

comment on function weft._find_target(text, text, jsonb) is 'Finds the table into which a load would go now, by the path of its phase; null if there is none.';


create or replace function weft._find_table(p_name text)
  returns oid
  stable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  -- from the catalog, because regclass raises an error for a schema that this role may not use
  select c.oid from parse_ident(p_name) as p (parts) join pg_namespace as n on n.nspname = p.parts[1] join pg_class as c on c.relnamespace = n.oid and c.relname = p.parts[2]
$$;

comment on function weft._find_table(text) is 'Finds a table by its qualified name; null if there is none.';


-- This error fails the step, or the deployment before anything of it runs.
create or replace function weft._describe_elsewhere(p_path text, p_before text, p_after text, p_is_gone boolean, p_deployment uuid)
  returns jsonb
  immutable
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select jsonb_build_object(
    'sqlstate', 'WF013',
    'message', format('%s was loaded into %s, and is to go into %s now.', p_path, p_before, p_after),
    'detail', format('Deployment %s has loaded it%s. What is only inserted runs once: whether its rows are in %s, nobody can tell.', p_deployment,
      case when p_is_gone then format(', and %s is gone', p_before) else '' end, p_after),
    'hint', format('If %1$s has them, say so of this file alone: weft baseline FOLDER --only %2$s. If they are to be loaded into it, give this entry its old "into" back, and load a copy of the file, under another name, into %1$s. With a key, and "mode: upsert", it would simply run.',
      p_after, weft._quote_path(p_path)),
    'path', p_path)
$$;

comment on function weft._describe_elsewhere(text, text, text, boolean, uuid) is 'Makes the account of data that was inserted into one table and should now go into another one.';


-- Called when the step's turn has come and the table is known. True if the file was loaded into this table under another name: then there is nothing to do.
create or replace function weft._is_same_table(p_deployment uuid, p_step weft._steps, p_table oid, p_name text)
  returns boolean
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_known    weft._history;
  v_account  jsonb;
begin
  select h.* into v_known
  from weft._deployments as d
  join weft._artifacts as a on a.deployment_id = d.id and a.path = p_step.path
  join weft._history as h on h.bundle = d.bundle and h.path = p_step.path and h.digest = a.digest
  where d.id = p_deployment and d.undoes is null and weft._judge_words(h.words, weft._words_of(p_step.kind, p_step.options)) = 'looks';
  if not found then
    return false;
  elsif v_known.table_oid = p_table then
    update weft._history as h set words = weft._words_of(p_step.kind, p_step.options), table_name = p_name where h.bundle = v_known.bundle and h.path = v_known.path;
    return true;
  elsif p_step.options ->> 'mode' = 'insert' then
    v_account := weft._describe_elsewhere(p_step.path, coalesce(v_known.table_name, v_known.words ->> 'into'), p_name,
      not exists (select from pg_class as c where c.oid = v_known.table_oid), v_known.deployment_id);
    raise exception using errcode = 'WF013', message = v_account ->> 'message', detail = v_account ->> 'detail', hint = v_account ->> 'hint';
  end if;
  return false;
end
$$;

comment on function weft._is_same_table(uuid, weft._steps, oid, text) is
  'Tells whether a load goes into the table into which its bytes went before, which may have another name now; refuses data that is only inserted if the table is a different one.';


-- Files of a manifest that were applied with these bytes and with other words, under their path or the one that they had before.
create or replace function weft._find_reworded(p_bundle text, p_manifest jsonb, p_renames weft._finding[])
  returns setof weft._finding
  stable
  set search_path = pg_catalog, pg_temp
  set enable_nestloop = off  -- rows that were just written have no statistics
  set jit = off  -- such a plan looks expensive enough to be compiled
  language sql
as $$
  with phases as materialized (  -- materialized, or each step would carry its whole phase along
    select p.ordinality as ordinal, p.value -> 'steps' as steps, p.value ->> 'role' as role, coalesce(p.value -> 'settings', '{}') as settings
    from jsonb_array_elements(p_manifest -> 'phases') with ordinality as p
  ),
  files as materialized (
    select row_number() over (order by p.ordinal, s.ordinality) as ordinal, s.value ->> 'path' as path, s.value ->> 'kind' as kind, p.role, s.value ->> 'when' as condition,
           p.settings, weft._words_of(s.value ->> 'kind', s.value) as words
    from phases as p
    cross join jsonb_array_elements(p.steps) with ordinality as s
  ),
  known as materialized (
    select f.*, h.words as before, h.table_name,
           -- a restored database knows its tables only by name, until a runner has updated the oids (floor 79)
           case when (select l.numbered_as = l.tableoid from weft._lease as l) then h.table_oid else weft._find_table(h.table_name) end as table_oid,
           h.deployment_id, weft._judge_words(h.words, f.words) as judged
    from files as f
    join jsonb_to_recordset(p_manifest -> 'artifacts') as a (path text, digest text) on a.path = f.path
    left join unnest(p_renames) as r on r.path = f.path and r.verdict = 'renamed'
    join weft._history as h on h.bundle = p_bundle and h.path = coalesce(r.data -> 'from' ->> 0, f.path) and h.digest = decode(a.digest, 'hex')
    where h.words is not null and f.kind <> 'check' and f.condition is distinct from 'false'  -- a step that never runs, and only brings its undo file
  ),
  looked as (
    select k.*, t.oid as target, weft._qualify_table(t.oid) as target_name
    from known as k
    cross join lateral (select case when k.judged = 'looks' then weft._find_target(k.words ->> 'into', k.role, k.settings) end as oid offset 0) as t
    where k.judged is not null
  )
  select l.ordinal, l.path, 'reworded', jsonb_build_object(
    'does', case when l.target = l.table_oid then 'follows'
      -- the rows belong into a table that was made anew under the old name, just as with the old words
      when l.target_name = l.table_name and not exists (select from pg_class as c where c.oid = l.table_oid) then 'follows'
      when l.target is null or l.judged <> 'looks' then l.judged
      when l.words ->> 'mode' = 'insert' then 'refused'
      else 'runs' end,
    'deployment', l.deployment_id, 'words', weft._differing_words(l.before, coalesce(l.words, '{}')))
    || jsonb_strip_nulls(jsonb_build_object('table_before', l.table_name, 'table', l.target_name,
      'is_gone', case when l.judged = 'looks' and not exists (select from pg_class as c where c.oid = l.table_oid) then true end))
  from looked as l
$$;

comment on function weft._find_reworded(text, jsonb, weft._finding[]) is
  'Finds files that were applied with the bytes that they have, but with other words of weft.yaml, and tells what happens to each: follows (it is the same table, by another name), runs, looks, stays or refused.';


create or replace function weft._say_word(p_word jsonb)
  returns text
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select case jsonb_typeof(p_word) when 'null' then 'not said' when 'array' then (select string_agg(w.value, ', ') from jsonb_array_elements_text(p_word) as w) else p_word #>> '{}' end
$$;

comment on function weft._say_word(jsonb) is 'Writes a word of weft.yaml, for people.';


create or replace function weft._say_words(p_words jsonb)
  returns text
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select string_agg(format('%s: %s, and was %s', w.key, weft._say_word(w.value -> 1), weft._say_word(w.value -> 0)), '; ' order by w.key) from jsonb_each(p_words) as w
$$;

comment on function weft._say_words(jsonb) is 'Writes which words have changed, for people.';


-- Why changed words prevent a deployment: the first file that is refused, or null.
create or replace function weft._describe_reworded(p_findings weft._finding[], p_stand text)
  returns jsonb
  stable
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_paths  text[] := array(select f.path from unnest(p_findings) as f where f.verdict = 'reworded' and f.data ->> 'does' = 'refused' order by f.ordinal);
  v_first  jsonb := (select f.data from unnest(p_findings) as f where f.verdict = 'reworded' and f.data ->> 'does' = 'refused' order by f.ordinal limit 1);
  v_account  jsonb;
begin
  if v_first is null then
    return null;
  elsif v_first ? 'table' then
    v_account := weft._describe_elsewhere(v_paths[1], coalesce(v_first ->> 'table_before', v_first #>> '{words,into,0}'), v_first ->> 'table', v_first ? 'is_gone', (v_first ->> 'deployment')::uuid);
    return v_account || jsonb_build_object('detail', (v_account ->> 'detail') || p_stand);
  end if;
  return jsonb_build_object(
    'sqlstate', 'WF013',
    'message', format('%s was applied before with other words.', weft._list_some(v_paths)),
    'detail', 'What is only inserted runs once, and its rows were read as weft.yaml said then.' || p_stand || (
      select string_agg(E'\n' || format('%s, since deployment %s: %s.', f.path, f.data ->> 'deployment', weft._say_words(f.data -> 'words')), '' order by f.ordinal)
      from unnest(p_findings) as f where f.verdict = 'reworded' and f.data ->> 'does' = 'refused'),
    'hint', format('Give the entry its words back. If the rows that are there are as the new words have it, say so of this file alone: weft baseline FOLDER --only %s. With a key, and "mode: upsert" or "sync", it would simply run again.',
      weft._quote_path(v_paths[1])),
    'path', v_paths[1]);
end
$$;

comment on function weft._describe_reworded(weft._finding[], text) is 'Makes the account of data that was only inserted, and should now be read differently or go elsewhere; null if there is none.';


-- A file that does not run counts as applied with the words that it has now. A file that runs is reported, with the reason.
create or replace function weft._follow_words(p_deployment weft._deployments, p_finding weft._finding)
  returns void
  volatile
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
declare
  v_step  weft._steps;
begin
  update weft._steps as s set result = coalesce(s.result, '{}') || jsonb_build_object('history', coalesce(s.result -> 'history', '{}') || jsonb_build_object('reworded', p_finding.data))
  where s.deployment_id = p_deployment.id and s.path = p_finding.path and s.kind <> 'check'
  returning s.* into v_step;
  if p_finding.data ->> 'does' in ('follows', 'stays') and p_deployment.mode <> 'rehearse' then
    update weft._history as h set words = weft._words_of(v_step.kind, v_step.options), table_name = coalesce(p_finding.data ->> 'table', h.table_name)
    where h.bundle = p_deployment.bundle and h.path = p_finding.path;
  end if;
  perform weft._tell(p_deployment.id, 'reworded', (select p.name from weft._phases as p where p.deployment_id = p_deployment.id and p.ordinal = v_step.phase), p_finding.path, p_finding.data);
end
$$;

comment on function weft._follow_words(weft._deployments, weft._finding) is 'Reports that a file was applied with other words, and what happens to it; updates the history if nothing runs.';
