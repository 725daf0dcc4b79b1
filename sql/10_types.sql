-- The state machines, as enums with their arrows.

create type weft.deployment_state as enum (
  'open',       -- opened; some artifacts may be missing             -> staged, cancelled
  'staged',     -- everything has arrived; has its place in line     -> running, cancelled
  'running',    -- begun; backed by a live lease, or resumable       -> succeeded, degraded, failed, cancelled
  'succeeded',  -- everything ran
  'degraded',   -- everything ran that could; tolerated failures are named  -> running, when somebody has them tried again
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
  'cleaning',  -- it failed, and left something half-made that is being taken away      -> failed
  'done',      -- for a statement of a transaction: its effect and this word were committed together
  'failed'
);
comment on type weft.statement_state is 'States of a statement of a step that is run statement by statement.';

create type weft._scanner as (
  mode        text,     -- code | string | escape | name | line | block | dollar: what the text is inside of
  tag         text,     -- of the dollar quote; in code: 'E' right behind a string with escapes, and a line's end further 'E\n'
  depth       integer,  -- of nested comments
  parens      integer,
  begins      integer,  -- of BEGIN ATOMIC ... END
  words       text,     -- the first words of the statement, as psql counts them: 'cf', 'corp', ...
  has_code    boolean,  -- something other than white space and comments was seen
  statement   text,     -- what has been read of the statement at hand
  line        integer,  -- the line at which that text begins
  unread      text,     -- the end of it that may be the beginning of a longer token
  has_restrict  boolean   -- a \restrict or \unrestrict stands before its first word
);
comment on type weft._scanner is 'Where the scanner stands between two pieces of text.';

create type weft._outcome as (
  verdict     text,     -- done | round | failed | reordered | called_back | again | whole | apart | wait | directive | report | interrupted
  path        text,
  error       jsonb
);
comment on type weft._outcome is
  'How a block ended. round: a batch goes on behind a pause; again: a lock was not to be had; whole: the split was wrong, run the file in one piece; apart: not in one transaction, so statement by statement; wait: somebody else is at work on the object; directive: a statement is to be run at top level; report: what the server said of it is asked for; interrupted: somebody cancelled the statement, not the deployment.';

create type weft._reader as (
  chunks         bytea[],    -- of the artifact
  chunk          integer,    -- the next one to be read
  carry          bytea,      -- the first bytes of a character whose others are in it
  pieces         text[],     -- of a chunk in which rows stand
  text           text,       -- at hand, and not passed yet
  scanner        weft._scanner,
  statements     text[],     -- of what was read last, as lines, digests and executables
  lines          integer[],
  digests        bytea[],
  executables    text[],     -- as EXECUTE takes them, without a COPY at the end
  parameters     jsonb,      -- for the statements, as psql has them
  begun_at       integer,    -- the line of the BEGIN that opened the file
  held           text,       -- the COMMIT that may be the end of it, or a BEGIN of which is not known what follows; and its line
  held_line      integer,
  objects_at     integer,    -- the line of a BEGIN that was left out, with large objects behind it, and whose COMMIT is still to come
  told_at        integer,    -- the same, to be told
  is_done        boolean,
  copy           jsonb,      -- the last statement read, a COPY whose rows follow
  plain_sql      text,       -- the INSERTs that do the same
  escaped_sql    text,
  columns        text[],
  types          text[],
  lengths        integer[],
  readers        text[],     -- how a text is read as a value of each
  is_whole       boolean,    -- all rows at once
  is_crlf        boolean,
  row_line       integer,    -- the line of the first of these rows
  rows           text,
  stand_ins      text,       -- characters in them that mean other ones
  meant          text,
  rows_are_over  boolean,
  has_end        boolean     -- a line \. has ended them
);
comment on type weft._reader is 'How far a file has been read that is run piece by piece, and what was read last.';

create type weft._script as (
  ordinal       integer,
  kind          text,
  path          text,
  in_one_piece  boolean,
  chunks        bytea[],
  size          bigint,
  condition     text,
  is_tolerated  boolean,    -- its failure is: it gets a savepoint of its own
  is_repeatable boolean,    -- it runs again and again
  is_plain      boolean,    -- a file to be run, and nothing of this kind is to be seen to before
  makes_room    boolean,    -- what is in its way is dropped first
  comes_back    boolean,    -- it is called back, and what its objects had is noted
  parameters    jsonb,      -- where they are others than those of its phase: of what comes back in an undo
  is_streamed   boolean,    -- an artifact of several chunks, or with rows of COPY, is read while it runs, so that one chunk is held at a time
  begun_at      integer,    -- the line of the BEGIN that is left out with the COMMIT at the end
  statements    text[],     -- of the chunk at hand
  lines         integer[],  -- of all statements so far, as the digests
  digests       bytea[],
  executables   text[],     -- the statements as EXECUTE takes them
  may_drop      boolean,    -- it has the word in it, or is streamed
  may_set_modes boolean     -- of constraints, likewise
);
comment on type weft._script is 'A step, and the statements of its artifact.';

create type weft._stop as (
  script       weft._script,   -- the file that was at work, if one was
  reader       weft._reader,
  path         text,           -- null where no file is to blame
  statement    text,           -- as EXECUTE takes it, if one was at work
  index        integer,        -- its place among the statements that were read last
  passed       integer,        -- statements of the file before those
  condition    text,           -- that was being asked
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
  result       jsonb       -- what else its kind has to tell
);
comment on type weft._step_record is 'What a step came to, kept until the end of its block, where all of the block''s are written at once.';

create type weft._candidate as (
  ordinal  bigint,
  phase    bigint,
  entry    bigint,   -- of the phase, in weft.yaml: among its files there is an order
  path     text,
  digest   bytea,
  repeat   text,     -- once | on-change | always
  is_sql   boolean   -- comments and white space are no content
);
comment on type weft._candidate is 'A file of a bundle that is to be held against the history.';

create type weft._finding as (
  ordinal  bigint,
  path     text,
  verdict  text,     -- unchanged | changed | renamed | ambiguous | superseded | reworded | late | half_undone
  data     jsonb
);
comment on type weft._finding is
  'What the history says of a file that is neither new nor applied with the same bytes. unchanged: comments and white space apart; superseded: with these bytes, and what it made was made anew by a file that is gone; reworded: with these bytes, and with other words of weft.yaml; late: new, and in front of what has been applied; half_undone: an undo has taken a part of it back, and not all.';

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
comment on type weft._caught is 'All of GET STACKED DIAGNOSTICS, which only a handler can ask.';
