-- How long a statement may wait for a lock. What the wait does to others depends on the kind of statement: everybody waits behind a
-- waiting change of a table, nobody behind a wait for a row. The first words of a statement tell its kind, and nothing but the budget
-- depends on it.

create or replace function weft._name_lock_kind(p_statement text)
  returns text
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select case
    when s.flat ~* '^(insert|update|delete|merge|copy|select|with|values)\M' then 'data'
    when s.flat ~* '^(vacuum(?! (\([^)]*)?full\M)|analyze|analyse)\M' or s.flat ~* '^(create|drop|reindex|refresh|alter table)\M.* concurrently\M'
      or s.flat ~* '^alter table .* validate constraint\M' then 'concurrently'
    when s.flat ~* '^(create (unique )?index|reindex)\M' then 'index'
    else 'table'
  end
  from (select weft._strip_literals(p_statement) as flat) as s
$$;

comment on function weft._name_lock_kind(text) is 'Names the kind of a statement by what its waiting for a lock does to others: table, index, data or concurrently.';


create or replace function weft._lock_budget_ms(p_phase weft._phases, p_kind text)
  returns integer
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select coalesce((p_phase.lock_timeouts ->> p_kind)::integer, p_phase.lock_timeout_ms)
$$;

comment on function weft._lock_budget_ms(weft._phases, text) is 'Tells how long a statement of a kind may wait for a lock in a phase.';


-- In the server's notation, so that they can be compared with what a file has set.
create or replace function weft._list_lock_budgets(p_phase weft._phases, p_statements text[])
  returns text[]
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select array_agg(weft._lock_budget_ms(p_phase, weft._name_lock_kind(s.statement))::text order by s.place)
  from unnest(p_statements) with ordinality as s (statement, place)
$$;

comment on function weft._list_lock_budgets(weft._phases, text[]) is 'Lists for each statement how many milliseconds it may wait for a lock in a phase.';
