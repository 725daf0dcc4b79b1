-- The state machines, as enums with their arrows.

create type weft.deployment_state as enum (
  'open',       -- opened; some artifacts may be missing             -> staged, cancelled
  'staged',     -- everything has arrived; has its place in line     -> running, cancelled
  'running',    -- begun; backed by a live lease, or resumable       -> succeeded, degraded, failed, cancelled
  'succeeded',  -- everything ran
  'degraded',   -- all that could run did; tolerated failures are named   -> running, when somebody resumes it
  'failed',     -- an error ended it; law 1 says what the database looks like
  'cancelled'   -- somebody asked for the end, or the database is a copy
);
comment on type weft.deployment_state is 'States of a deployment, in the order in which they can follow.';

create type weft.phase_state as enum (
  'pending',    -- -> running, or succeeded when nothing is left to do
  'running',    -- -> succeeded, skipped, failed, cancelled
  'succeeded',
  'skipped',    -- its condition was not true
  'failed',
  'cancelled'   -- its deployment was, while the phase was running
);
comment on type weft.phase_state is 'States of a phase.';

create type weft.step_state as enum (
  'pending',    -- not run yet, or rolled back                       -> succeeded, skipped, failed
  'succeeded',  -- its effect and this word were committed together
  'skipped',    -- this very artifact is in the history already, or a condition was not true: its own, or its phase's
  'failed'      -- nothing of it is in the database, or, of a step apart, the statements before the one that failed
);
comment on type weft.step_state is 'States of a step.';

create type weft.statement_state as enum (
  'pending',   -- not run yet                                       -> done, sent, failed
  'sent',      -- handed out to be run at top level; the catalog says what became of it -> done, cleaning, failed
  'cleaning',  -- it failed, and left something half-made that is being removed          -> failed
  'done',      -- for a statement of a transaction: its effect and this word were committed together
  'failed'
);
comment on type weft.statement_state is 'States of a statement of a step that is run statement by statement.';

create type weft._scanner as (
  mode        text,     -- code | string | escape | name | line | block | dollar: what the text is inside of
  tag         text,     -- of the dollar quote; in code: 'E' right after a string with escapes, and 'E\n' after a line end more
  depth       integer,  -- of nested comments
  parens      integer,
  begins      integer,  -- of BEGIN ATOMIC ... END
  words       text,     -- the first words of the statement, as psql counts them: 'cf', 'corp', ...
  has_code    boolean,  -- something other than white space and comments was seen
  statement   text,     -- what has been read of the current statement
  line        integer,  -- the line at which that text begins
  unread      text,     -- its end, which may be the beginning of a longer token
  has_restrict  boolean   -- a \restrict or \unrestrict stands before its first word
);
comment on type weft._scanner is 'Where the scanner stands between two pieces of text.';

create type weft._outcome as (
  verdict     text,     -- done | round | failed | reordered | called_back | again | whole | apart | wait | directive | report | interrupted
  path        text,
  error       jsonb
);
comment on type weft._outcome is
  'How a block ended. round: a batch continues after a pause; again: a lock could not be had; whole: the split was wrong, run the file in one piece; apart: the file cannot run in one transaction, so it runs statement by statement; wait: somebody else is working on the object; directive: a statement must be run at top level; report: the session is asked what the server said about that statement; interrupted: somebody cancelled the statement, not the deployment.';

create type weft._reader as (
  chunks         bytea[],    -- of the artifact
  chunk          integer,    -- the next one to be read
  carry          bytea,      -- the first bytes of a character that the next chunk completes
  pieces         text[],     -- of a chunk that contains rows
  text           text,       -- that was read and not split yet
  scanner        weft._scanner,
  statements     text[],     -- that were read last; lines, digests and executables belong to them
  lines          integer[],
  digests        bytea[],
  executables    text[],     -- in the form that EXECUTE takes, without a COPY at the end
  parameters     jsonb,      -- for the statements, as psql has them
  begun_at       integer,    -- the line of the BEGIN that opened the file
  held           text,       -- a COMMIT that may end the file, or a BEGIN whose successor is not known yet; and its line
  held_line      integer,
  objects_at     integer,    -- the line of a BEGIN that was left out, because large objects follow, and whose COMMIT is still to come
  told_at        integer,    -- the same, while it has to be reported
  is_done        boolean,
  copy           jsonb,      -- the last statement read, a COPY whose rows follow
  plain_sql      text,       -- the INSERTs that replace it
  escaped_sql    text,
  columns        text[],
  types          text[],
  lengths        integer[],
  readers        text[],     -- how to read a text as a value of each type
  is_whole       boolean,    -- all rows at once
  is_crlf        boolean,
  row_line       integer,    -- the line of the first of these rows
  rows           text,
  stand_ins      text,       -- characters in the rows that stand for other ones
  meant          text,
  rows_are_over  boolean,
  has_end        boolean     -- a line \. has ended the rows
);
comment on type weft._reader is 'How far a file that runs piece by piece has been read, and what was read last.';

create type weft._script as (
  ordinal       integer,
  kind          text,
  path          text,
  in_one_piece  boolean,
  chunks        bytea[],
  size          bigint,
  condition     text,
  is_tolerated  boolean,    -- its failure is tolerated, so it gets its own savepoint
  is_repeatable boolean,    -- it has repeat:
  is_plain      boolean,    -- a file to be run that needs none of the special care below
  makes_room    boolean,    -- objects in its way are dropped first
  comes_back    boolean,    -- it is called back, and what its objects had has been noted
  parameters    jsonb,      -- if they differ from its phase's: for older content that an undo runs
  is_streamed   boolean,    -- it has several chunks, or rows of COPY: it is read while it runs, so that only one chunk is held
  begun_at      integer,    -- the line of the BEGIN that is left out with the COMMIT at the end
  statements    text[],     -- of the current chunk
  lines         integer[],  -- of all statements so far, like the digests
  digests       bytea[],
  executables   text[],     -- the statements in the form that EXECUTE takes
  may_drop      boolean,    -- it contains the word DROP, or is streamed
  may_set_modes boolean     -- the same for the modes of constraints
);
comment on type weft._script is 'A step, and the statements of its artifact.';

create type weft._stop as (
  script       weft._script,   -- the file that was running, if any
  reader       weft._reader,
  path         text,           -- null if no file is to blame
  statement    text,           -- that was running, if any, in the form that EXECUTE takes
  index        integer,        -- its place among the statements that were read last
  passed       integer,        -- statements of the file before those
  condition    text,           -- that was being evaluated
  search_path  text            -- of the file
);
comment on type weft._stop is 'Where a block stood when an error ended it.';

create type weft._step_record as (
  ordinal      integer,
  is_wanted    boolean,    -- by its condition, if it has one
  statements   integer,
  rows         bigint,
  started_at   timestamptz,
  finished_at  timestamptz,
  lines        integer[],
  digests      bytea[],
  result       jsonb       -- what its kind reports besides
);
comment on type weft._step_record is 'The result of a step, kept until the end of its block, when all results of the block are written at once.';

create type weft._candidate as (
  ordinal  bigint,
  phase    bigint,
  entry    bigint,   -- of the phase, in weft.yaml: the files of one entry have an order
  path     text,
  digest   bytea,
  repeat   text,     -- once | on-change | always
  is_sql   boolean   -- comments and white space do not count as content
);
comment on type weft._candidate is 'A file of a bundle that is compared with the history.';

create type weft._finding as (
  ordinal  bigint,
  path     text,
  verdict  text,     -- unchanged | changed | renamed | ambiguous | superseded | reworded | late | half_undone
  data     jsonb
);
comment on type weft._finding is
  'How a file compares with the history, if it is neither simply new nor applied as it is. unchanged: it differs only in comments and white space; superseded: it has the same bytes, but a file that is gone has made its objects anew; reworded: it has the same bytes, but other words in weft.yaml; late: it is new, and stands before files that were applied; half_undone: an undo has taken back only a part of it.';

create type weft._caught as (
  state            text,
  message          text,
  detail           text,
  hint             text,
  context          text,
  schema_name      text,
  table_name       text,
  column_name      text,
  constraint_name  text,
  datatype_name    text
);
comment on type weft._caught is 'All that GET STACKED DIAGNOSTICS returns, which only an exception handler can ask.';
