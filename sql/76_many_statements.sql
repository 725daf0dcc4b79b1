-- What makes hundreds of statements in one transaction cheaper than they are in psql. Nothing here changes what they do.

create or replace function weft._are_many(p_scripts weft._script[])
  returns boolean
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language sql
as $$
  select greatest(cardinality(p_scripts), cardinality(p_scripts[1].statements)) >= weft._limit('many_statements_count') or p_scripts[1].kind = 'run' and p_scripts[1].is_streamed
$$;

comment on function weft._are_many(weft._script[]) is 'Tells whether what is to run next is worth preparing the session for: many files, or many statements in the first one, as far as they are known.';


-- A DDL statement locks each catalog that it reads or writes, and each index of it, and unlocks them at once: some eighty pairs, a tenth of its time, for the
-- server's lock table is shared. A lock that the transaction holds already is only counted, by the backend itself. So these are taken once and held until
-- the transaction ends, as it is with whatever a query reads. They are the modes that the statements take themselves: nobody waits for them who does not
-- wait for the statements, but for who rewrites a catalog (VACUUM FULL, REINDEX), and waits for the whole transaction then.
--
-- What plans a statement locks what the statement would. A cursor that is opened over one that writes is planned and not yet begun, and closed it never is:
-- so nobody asks whether this role may write there, and nothing is written. Where a lock is not to be had, or a role may not read a catalog, the files
-- are as slow as in psql, and say themselves what is in the way.
create or replace function weft._hold_catalogs()
  returns void
  volatile
  set search_path = pg_catalog, pg_temp
  set lock_timeout = '100ms'
  language plpgsql
as $$
declare
  v_cursor  refcursor;
begin
  open v_cursor for execute '
    with
      a as (update pg_class set oid = oid where false),
      b as (update pg_depend set objid = objid where false),
      c as (update pg_attribute set attrelid = attrelid where false),
      d as (update pg_constraint set oid = oid where false),
      e as (update pg_trigger set oid = oid where false),
      f as (update pg_index set indexrelid = indexrelid where false),
      g as (update pg_attrdef set oid = oid where false),
      h as (update pg_shdepend set objid = objid where false),
      i as (update pg_type set oid = oid where false),
      j as (update pg_sequence set seqrelid = seqrelid where false),
      k as (update pg_rewrite set oid = oid where false),
      l as (update pg_proc set oid = oid where false)
    select from pg_class where false
    union all select from pg_attribute where false
    union all select from pg_constraint where false
    union all select from pg_attrdef where false
    union all select from pg_trigger where false
    union all select from pg_index where false
    union all select from pg_type where false
    union all select from pg_depend where false
    union all select from pg_opclass where false
    union all select from pg_statistic_ext where false
    union all select from pg_proc where false
    union all select from pg_rewrite where false
    union all select from pg_cast where false
    union all select from pg_statistic where false';
  close v_cursor;
exception when others then
  null;
end
$$;

comment on function weft._hold_catalogs() is 'Holds until the end of the transaction the locks of the catalogs that each DDL statement would take and give back.';
