-- The engine's version and its limits: every limit by name, its unit last.

create or replace function weft.version()
  returns integer
  immutable parallel safe
  language sql
as $$ select 1 $$;

comment on function weft.version() is 'Tells the version of the engine installed here.';


create or replace function weft._limit(p_name text)
  returns integer
  immutable parallel safe
  set search_path = pg_catalog, pg_temp
  language plpgsql
as $$
begin
  return case p_name
    when 'attempts_without_progress_count' then 5          -- deaths without a word before a deployment fails
    when 'directive_attempts_count'        then 10         -- times that a statement is handed out before its step fails
    when 'directive_silence_seconds'       then 30         -- of a session that has been given a statement, before it counts as lost
    when 'client_silence_seconds'          then 10         -- of a client that has not yet committed what it asked for
    when 'look_again_ms'                   then 500        -- between two looks while somebody else works on the same object
    when 'lock_attempts_count'             then 10         -- tries of a block that did not get its locks
    when 'lock_wait_between_ms'            then 250        -- before the second try; doubled for each further one
    when 'lock_wait_between_ms_max'        then 15000
    when 'lock_timeout_ms_default'         then 5000       -- how long a statement waits for a lock
    when 'lock_table_percent_max'          then 90         -- of the shared lock table that one transaction may fill
    when 'cancel_looked_for_ms'            then 50         -- between two looks of a signalled runner for the request to cancel
    when 'sample_every_ms'                 then 100        -- between two looks at who waits for a lock of a rehearsal
    when 'sample_patience_seconds'         then 30         -- of whoever takes samples, while nobody runs the rehearsal
    when 'rehearsal_counts_hours'          then 168        -- after its end, in an environment that requires a rehearsal
    when 'sweep_chunks_count'              then 64         -- that one transaction deletes
    when 'sweep_events_count'              then 5000       -- of the journal
    when 'sweep_requests_count'            then 100
    when 'sweep_behind_run_ms'             then 1000       -- after its deployments that a run may go on sweeping, portion by portion
    when 'catalog_read_again_ms'           then 5000       -- that a run may wait to read the catalog, if another session's lock prevented it at the end
    when 'steps_between_lock_counts'       then 64
    when 'oids_since_checkpoint_count'     then 65536      -- that the cluster may have assigned since then, before objects are marked one by one
    when 'scripts_read_bytes'              then 1048576    -- of artifacts that are split together
    when 'scripts_before_plans_go'         then 32         -- split together, before the plans of the session are thrown away
    when 'whole_file_bytes'                then 1048576    -- largest file that is executed whole if its split does not parse
    when 'offenders_count'                 then 20         -- rows that break a rule, kept in the record of a check
    when 'offender_characters'             then 2000       -- of one of them
    when 'sequence_percent_max'            then 80         -- of its range that a sequence may use up, for the rule "sequences-with-room"
    when 'dependents_depth_max'            then 64         -- how far an undo follows what depends on an object that it has to drop
    when 'deployments_with_snapshots_count' then 10        -- for which weft.changes() can say what they changed in the catalog
    when 'drift_told_count_max'            then 50         -- differences in the journal of the deployment that met them, or of the undo that left them
    when 'differences_listed_count_max'    then 1000       -- in one document about drift
    when 'pattern_characters'              then 200        -- of a name with wildcards, for objects that something else manages
    when 'copy_piece_characters'           then 65536      -- of rows behind COPY that go into one INSERT
    when 'statement_bytes'                 then 67108864   -- one statement
    when 'record_bytes'                    then 16777216   -- one record of a data file
    when 'load_memory_bytes'               then 33554432   -- that each node in the plan of a load's statement may take, if work_mem is less
    when 'rows_looked_through_count'       then 200000     -- of a load that a constraint or a trigger refused, to find the row
    when 'compared_bytes'                  then 1048576    -- a file that is compared with the one that was applied
    when 'difference_edits'                then 300        -- removed and added lines up to which the shortest difference is searched for
    when 'difference_lines'                then 100        -- shown of the difference of one file
    when 'difference_line_characters'      then 200        -- of one such line
    when 'listed_bytes'                    then 8388608    -- of deployments that are shown together; the newest is always shown
    when 'baseline_missing_count'          then 20         -- objects that are not there, in the refusal of a baseline
    when 'differences_count'               then 5          -- changed files of one deployment whose difference is shown
    when 'renames_compared_count'          then 200        -- pairs of a new and a missing file whose normalised contents are compared
    when 'statement_shown_characters'      then 2000       -- of a statement in an error
    when 'placed_characters'               then 262144     -- of a statement that are searched for the place of an error
    when 'places_tried_count'              then 20         -- of a word that occurs in a statement several times
    when 'excerpt_characters'              then 160        -- of the line that an error is about
    when 'query_shown_characters'          then 500        -- of a statement of another session, without its literals
    when 'batch_size_default'              then 1000       -- rows that a round may touch
    when 'batch_size_max'                  then 1000000
    when 'batch_rounds_count_max'          then 1000000    -- rounds of one batch, unless weft.yaml says otherwise
    when 'batch_touches_per_row_max'       then 5          -- touches by a batch without a cursor, for each row of its table
    when 'batch_sweeps_count'              then 10         -- times that no row is touched although done_when is not true
    when 'batch_max_lag_ms_default'        then 10000      -- that a standby may lag behind while rounds are run
    when 'batch_lag_wait_ms_max'           then 60000      -- between two rounds, for a standby that lags more
    when 'batch_yield_ms'                  then 100        -- the shortest pause after a round whose locks made others wait
    when 'batch_quiet_rounds_count'        then 10         -- rounds that hinder nobody, after which a batch is no longer throttled
    when 'blockers_shown_count'            then 5          -- sessions that are named when a lock could not be had
    when 'secret_characters_min'           then 4          -- of a secret parameter: a shorter one could not be kept out of messages
    when 'scrubbed_characters'             then 20000      -- of a text that is searched for secrets; the rest of it is cut off
  end;
end
$$;

comment on function weft._limit(text) is 'Tells a limit by its name.';
