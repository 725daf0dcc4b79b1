-- The tables: what is remembered, and what must be true of it. Constraint names are sentences, because they come back with every
-- violation.
--
-- Lock order: _lease, then _deployments, then the rest. _cancellations is a table that the runner only reads.
--
-- A deployment writes a row for each of its files into _artifacts, _steps, _events and _history. A foreign key to the deployment would
-- make the server look it up as often. Instead, whoever writes these rows locks the deployment's row until the commit, and when a
-- deployment is deleted, a trigger does what the keys would do (floor 45).

create table weft._installations (
  version           integer      primary key,
  installed_at      timestamptz  not null default pg_catalog.clock_timestamp(),
  installed_by      text         not null default session_user,
  server_version    text         not null default pg_catalog.current_setting('server_version'),
  parts_count       bigint       not null,
  dependents_count  bigint,
  parts             jsonb        not null
);
comment on table weft._installations is 'Every version of the engine that this database has had; the highest is the one at work.';
comment on column weft._installations.parts_count is 'How much schema weft holds, with what hangs on that: a step that changes it is undone.';
comment on column weft._installations.dependents_count is 'How often something depends on what schema weft holds: as long as that is so, nothing of the user''s does. Null where something of the user''s did from the beginning.';
comment on column weft._installations.parts is 'Each of these, with what of it a statement could change.';

create table weft._lease (
  is_the_one     boolean      primary key default true,
  fence          bigint       not null default 0,
  deployment_id  uuid,
  pid            integer,
  backend_start  timestamptz,
  query_start    timestamptz,
  role_id        oid,
  taken_at       timestamptz,
  directive_at   timestamptz,
  numbered_as    oid,

  constraint there_is_one_lease check (is_the_one),
  constraint holder_is_named_in_full check (
    (pid is null) = (backend_start is null) and (pid is null) = (query_start is null)
  )
);
comment on table weft._lease is
  'Which CALL runs now: it lives while pg_stat_activity shows that backend active with that query_start. Not a flag: a holder that is gone holds nothing.';
comment on column weft._lease.fence is 'Raised by whoever takes the lease; every transaction of a runner begins and ends by comparing it with its own.';
comment on column weft._lease.query_start is 'statement_timestamp() of the CALL, which COMMIT does not change and pg_stat_activity shows as query_start.';
comment on column weft._lease.role_id is
  'As whom the holder''s session had logged in: everybody sees that of every session, so the number of a holder that is gone is told from that of another role''s session.';
comment on column weft._lease.directive_at is
  'Set while a statement is out that the session is to run at top level: until the next CALL the lease names the backend, at work or idle for a short while.';

insert into weft._lease (numbered_as) values ('weft._lease'::regclass);

create table weft._deployments (
  id                  uuid          primary key default pg_catalog.gen_random_uuid(),
  place               bigint        unique,
  state               weft.deployment_state not null default 'open',
  caller              text          not null,
  target              text          not null default '',
  request_id          text          not null,
  request_digest      bytea         not null,
  request             bytea         not null,
  signature           jsonb,
  bundle              text          not null,
  mode                text          not null default 'apply',
  undoes              uuid          references weft._deployments,
  manifest            jsonb         not null,
  origin              jsonb         not null,
  created_at          timestamptz   not null default pg_catalog.clock_timestamp(),
  staged_at           timestamptz,
  started_at          timestamptz,
  finished_at         timestamptz,
  deaths              integer       not null default 0,
  error               jsonb,
  fingerprint_before  text,
  fingerprint_after   text,
  fingerprint_met     text,
  fingerprint_expected  text,
  has_committed       boolean       not null default false,
  wal_before          pg_lsn,
  wal_after           pg_lsn,
  engine_version      integer,
  server_version      text,

  constraint the_same_request_is_one_deployment unique (caller, target, request_id),
  constraint mode_is_known check (mode in ('apply', 'rehearse', 'baseline')),
  constraint what_undoes_is_no_baseline check (undoes is null or mode <> 'baseline'),
  constraint what_is_staged_has_its_place check (state in ('open', 'cancelled') or place is not null),
  constraint what_is_over_has_its_time check ((state in ('succeeded', 'degraded', 'failed', 'cancelled')) = (finished_at is not null)),
  constraint what_failed_has_its_reason check (state <> 'failed' or error is not null)
);
comment on table weft._deployments is 'One bundle going to this database, once. The exact bytes that were signed are kept.';
comment on column weft._deployments.mode is 'A rehearsal runs in one transaction that is rolled back; what it showed is in _reports. A baseline runs nothing: its files are recorded as applied.';
comment on column weft._deployments.undoes is 'The deployment that this one takes back.';
comment on column weft._deployments.place is 'Place in line, given when the last artifact has arrived.';
comment on column weft._deployments.request is 'The signed document, byte for byte; empty when it was kept long enough (floor 45): its digests stay, here and in the receipt.';
comment on column weft._deployments.request_digest is 'SHA-256 of the document without its expiry: a repeat may be signed anew.';
comment on column weft._deployments.origin is 'Which database this row was written in: a copy of it must not go on with what was left unfinished here.';
comment on column weft._deployments.has_committed is
  'Of one that is over: it has left a step, a statement or a round, or has recorded what is there. Drift is told since the last one of which that is true.';
comment on column weft._deployments.fingerprint_met is 'What it met when it began, or was last opened again.';
comment on column weft._deployments.fingerprint_expected is
  'Of one that is over: what the catalog should be behind it. Before that: what it should have been when it began, or was last opened again.';
comment on column weft._deployments.deaths is 'Attempts that ended without a word since something last got done.';

create index deployments_in_line on weft._deployments (place) where state in ('staged', 'running');
create index undos_of_a_deployment on weft._deployments (undoes) where undoes is not null;
create sequence weft._places owned by weft._deployments.place;

create table weft._artifacts (
  deployment_id  uuid     not null,
  path           text     not null,
  digest         bytea    not null,
  size           bigint   not null,
  chunks         bytea[]  not null,

  primary key (deployment_id, path),
  constraint digests_are_sha256 check (pg_catalog.length(digest) = 32),
  constraint every_artifact_has_a_chunk check (pg_catalog.cardinality(chunks) > 0)
);
comment on table weft._artifacts is 'The files of a deployment, each by its digest and the digests of its chunks.';

create table weft._chunks (
  digest     bytea        primary key,
  content    bytea        not null,
  staged_at  timestamptz  not null default pg_catalog.clock_timestamp(),

  constraint digests_are_sha256 check (pg_catalog.length(digest) = 32)
);
alter table weft._chunks alter column content set storage external;
comment on table weft._chunks is 'The bytes of artifacts, a mebibyte at most in each row, under the digest that the engine itself computed.';

create table weft._parameters (
  deployment_id  uuid     not null references weft._deployments on delete cascade,
  name           text     not null,
  type           text     not null,
  is_secret      boolean  not null,
  is_given       boolean  not null,
  digest         bytea,
  value          text,

  primary key (deployment_id, name),
  constraint no_secret_is_stored check (not is_secret or value is null),
  constraint digests_are_of_secrets check (digest is null or is_secret)
);
comment on table weft._parameters is 'The parameters that a bundle declares, with what a deployment was given for them.';
comment on column weft._parameters.is_given is 'The request has a value for it; without one it has its default, or none. What is secret and given is needed for every run.';
comment on column weft._parameters.digest is 'HMAC-SHA256 under the caller''s secret, which is not in this database: a short value cannot be found by trying. Null where nobody signed.';
comment on column weft._parameters.value is 'As its type writes it; of a secret always null.';

create table weft._phases (
  deployment_id    uuid              not null references weft._deployments on delete cascade,
  ordinal          integer           not null,
  name             text              not null,
  transaction      text              not null,
  lock_timeout_ms  integer           not null,
  lock_timeouts    jsonb,
  condition        text,
  is_wanted        boolean,
  role             text,
  settings         jsonb             not null default '{}',
  has_repeatables  boolean           not null default false,
  state            weft.phase_state  not null default 'pending',
  attempts         integer           not null default 0,
  started_at       timestamptz,
  finished_at      timestamptz,
  parameters       jsonb,
  secrets          jsonb,

  primary key (deployment_id, ordinal),
  constraint phases_of_a_deployment_have_names_of_their_own unique (deployment_id, name),
  constraint transaction_is_known check (transaction in ('single', 'per-step', 'auto', 'none')),
  constraint values_are_never_stored_here check (parameters is null and secrets is null)
);
comment on table weft._phases is 'A group of steps under one transaction rule.';
comment on column weft._phases.lock_timeouts is 'How long statements of some kinds may wait for a lock, in milliseconds by kind (floor 79); null where all wait for lock_timeout_ms.';
comment on column weft._phases.condition is 'An expression: if it is not true when the phase begins, none of its steps runs.';
comment on column weft._phases.has_repeatables is 'Some of its steps run again and again: files next to each other are a group.';
comment on column weft._phases.role is 'As whom each file of the phase begins; null for the role that deploys.';
comment on column weft._phases.settings is 'With which settings each file of the phase begins, by name.';
comment on column weft._phases.is_wanted is 'What the condition came to, committed with the first thing that the phase did.';
comment on column weft._phases.parameters is 'The values that its files can read, by name: filled in by the run, in memory, and never stored.';
comment on column weft._phases.secrets is 'Those among them that must not be written down anywhere: filled in by the run, in memory, and never stored.';

create table weft._steps (
  deployment_id      uuid             not null,
  ordinal            integer          not null,
  phase              integer          not null,
  kind               text             not null,
  path               text             not null,
  state              weft.step_state  not null default 'pending',
  in_one_piece       boolean          not null default false,
  is_apart           boolean          not null default false,
  is_order_found     boolean          not null default false,
  on_error           text             not null default 'stop',
  condition          text,
  is_wanted          boolean,
  done_when          text,
  options            jsonb            not null default '{}',
  result             jsonb,
  undo               text,
  undoes             text,
  replaced           jsonb,
  had                jsonb,
  statements         integer,
  rows               bigint,
  milliseconds       numeric,
  finished_at        timestamptz,
  statement_lines    integer[],
  statement_digests  bytea[],
  error              jsonb,

  primary key (deployment_id, ordinal),
  foreign key (deployment_id, undo) references weft._artifacts on delete cascade,
  constraint kind_is_known check (kind in ('run', 'load', 'batch', 'check')),
  constraint what_follows_an_error_is_known check (on_error in ('stop', 'continue')),
  constraint what_failed_has_its_reason check ((state = 'failed') = (error is not null))
);
alter table weft._steps alter column statement_digests set storage external;
comment on table weft._steps is 'One artifact being run. Its effect and the word "succeeded" here are one commit.';
comment on column weft._steps.in_one_piece is 'The split of this file did not parse, the whole file does: it is executed whole.';
comment on column weft._steps.is_apart is 'It is run statement by statement, each in a transaction of its own or at top level.';
comment on column weft._steps.is_order_found is 'The order of its group was searched in this deployment: it is not searched again.';
comment on column weft._steps.path is 'Of its artifact; of a check that comes with Weft: "rule:" and its name.';
comment on column weft._steps.on_error is 'continue: if the step fails, the deployment goes on without it, and ends degraded.';
comment on column weft._steps.options is 'What the manifest says of the step beyond the words that all kinds have.';
comment on column weft._steps.result is 'What the kind of the step has to tell beyond the columns that all kinds have: the rows that break the rule of a check, say.';
comment on column weft._steps.condition is 'An expression: if it is not true when the step begins, the step does not run.';
comment on column weft._steps.is_wanted is 'What the condition came to, committed with the step.';
comment on column weft._steps.done_when is 'An expression that is true when a statement is done of which no catalog tells.';
comment on column weft._steps.undo is 'The file that takes this one back: an artifact of the same deployment, which is not run by it.';
comment on column weft._steps.undoes is 'Of a deployment that undoes another one: the file that this step takes back. It leaves the history with the step''s effect.';
comment on column weft._steps.replaced is 'Of what runs again and again: what the history had before of the same path, so that it can be given back. Of an undo, until it has run: what its older content had made.';
comment on column weft._steps.had is 'Of a file that does not run because it has not changed: what its objects have (rights, comments, options), to be given back if it is called back.';
comment on column weft._steps.statement_digests is 'SHA-256 of each statement, in order.';

create table weft._statements (
  deployment_id  uuid                  not null,
  step           integer               not null,
  number         integer               not null,
  line           integer               not null,
  digest         bytea                 not null,
  statement      text                  not null,
  block          integer,
  rows_at        integer,
  state          weft.statement_state  not null default 'pending',
  judge          jsonb,
  attempts       integer               not null default 0,
  tries          integer               not null default 0,
  is_repair      boolean               not null default false,
  sent_at        timestamptz,
  finished_at    timestamptz,
  verdict        text,
  rows           bigint,
  session        jsonb,
  error          jsonb,

  primary key (deployment_id, step, number),
  foreign key (deployment_id, step) references weft._steps on delete cascade,
  constraint what_is_sent_has_a_judge check (state not in ('sent', 'cleaning') or judge is not null)
);
comment on column weft._statements.rows_at is 'Of a COPY whose rows follow: so many characters are the statement, and what is behind them are its rows.';
comment on column weft._statements.block is 'What stands between the same BEGIN and COMMIT of the file, and shares a transaction; null elsewhere.';
comment on table weft._statements is
  'The statements of steps that are run statement by statement, until the step is done. Of a step that failed half-way they tell the next deployment where to go on.';
comment on column weft._statements.judge is 'What to look at in the catalog, and how it was before.';
comment on column weft._statements.attempts is 'How often anything was handed out for it.';
comment on column weft._statements.tries is 'The same without the repairs that ran through: there may be as many of those as there is to repair.';
comment on column weft._statements.is_repair is 'What was handed out last is not the statement itself, so that its end is not the statement''s.';
comment on column weft._statements.session is 'Role and settings that the file has left behind with this statement: the next one begins with them, whatever backend it runs in.';

create table weft._batches (
  deployment_id  uuid         not null,
  step           integer      not null,
  statement      text         not null,
  line           integer      not null,
  start_cursor   text,
  cursor         text,
  size           integer      not null,
  rounds         integer      not null default 0,
  rows           bigint       not null default 0,
  is_begun       boolean      not null default false,
  rounds_before  integer      not null default 0,
  rows_before    bigint       not null default 0,
  rounds_replaced  integer    not null default 0,
  rows_replaced  bigint       not null default 0,
  parameters     jsonb        not null default '{}',
  sweeps         integer      not null default 0,
  table_name     text,
  table_rows     bigint,
  last_rows      bigint,
  last_ms        numeric,
  worked_ms      numeric      not null default 0,
  paused_ms      numeric      not null default 0,
  throttled_by   jsonb,
  quiet_rounds   integer      not null default 0,
  is_uneven      boolean      not null default false,
  lag_since      timestamptz,
  started_at     timestamptz  not null,
  last_round_at  timestamptz,

  primary key (deployment_id, step),
  foreign key (deployment_id, step) references weft._steps on delete cascade,
  constraint a_round_touches_rows_at_least_one check (size > 0),
  constraint what_has_a_cursor_has_a_beginning check ((start_cursor is null) = (cursor is null))
);
comment on table weft._batches is 'How far each batch is: one row, written anew in the transaction of each round.';
comment on column weft._batches.cursor is 'How far the rounds have come: the next one begins behind it.';
comment on column weft._batches.is_begun is 'The conditions were asked, and what an earlier deployment had done was taken over, in the transaction that wrote this.';
comment on column weft._batches.rounds_before is 'Rounds that earlier deployments have committed, and that this one has gone on behind: their own rows are gone.';
comment on column weft._batches.rounds_replaced is 'Rounds that were committed before the batch began anew: what it was then is in the rows that it has not come to yet.';
comment on column weft._batches.parameters is 'A digest of the value of each parameter that the statement names; of a secret one that it is named.';
comment on column weft._batches.size is 'How many rows the next round may touch.';
comment on column weft._batches.sweeps is 'How often in succession no row was touched any more although done_when was not true.';
comment on column weft._batches.table_rows is 'How many rows the table has that the statement writes to, as the planner estimates it.';
comment on column weft._batches.throttled_by is 'Because of whom it goes slower than it could; null when it does not.';
comment on column weft._batches.quiet_rounds is 'Rounds since that was last so.';
comment on column weft._batches.is_uneven is 'A round has touched more or fewer rows than its size: it is not the rows that the statement counts.';

create table weft._history (
  bundle         text         not null,
  path           text         not null,
  digest         bytea        not null,
  deployment_id  uuid         not null,
  applied_at     timestamptz  not null,
  bytes_in       uuid         not null,
  applied_path   text         not null,
  place          integer,
  made           jsonb,
  table_name     text,
  table_oid      oid,
  words          jsonb,

  constraint an_artifact_is_applied_once primary key (bundle, path)
);
comment on table weft._history is 'What has been applied to this database: identity is bundle and path. The bytes are kept as long as a row names them.';
comment on column weft._history.deployment_id is 'Which deployment applied it.';
comment on column weft._history.bytes_in is 'Which deployment brought the bytes with this digest: a later one, where only comments and white space were changed, or the path.';
comment on column weft._history.applied_path is 'The path under which that deployment knew it: another one, where it was renamed since.';
comment on column weft._history.place is 'Of what runs again and again: its place in the order that worked last.';
comment on column weft._history.made is 'Of what runs again and again: the objects that came into being with it, and that were there when a deployment last succeeded.';

create table weft._events (
  deployment_id  uuid         not null,
  number         integer      not null,
  at             timestamptz  not null default pg_catalog.clock_timestamp(),
  kind           text         not null,
  phase          text,
  path           text,
  data           jsonb        not null default '{}',

  primary key (deployment_id, number)
);
comment on table weft._events is
  'The journal. Only whoever holds a deployment''s turn writes here, so numbers have no gaps and follow the order of commits.';

create table weft._attempts (
  deployment_id  uuid         not null references weft._deployments on delete cascade,
  number         integer      not null,
  fence          bigint       not null,
  phase          integer      not null,
  pid            integer      not null,
  started_at     timestamptz  not null default pg_catalog.clock_timestamp(),
  ended_at       timestamptz,
  outcome        text,

  primary key (deployment_id, number),
  constraint what_ended_has_an_outcome check ((ended_at is null) = (outcome is null))
);
comment on table weft._attempts is
  'Committed before each phase: an attempt that never ended died without a word (an error at COMMIT, a server killed).';

create table weft._snapshots (
  fingerprint  text         not null,
  catalog      text         not null,
  taken_at     timestamptz  not null default pg_catalog.clock_timestamp(),

  constraint a_catalog_is_kept_once primary key (fingerprint)
);
comment on table weft._snapshots is 'What the catalog was when the newest deployments began and ended, under its own hash; a deployment names it by its fingerprints.';
comment on column weft._snapshots.catalog is 'Every object with kind, identity and definition, in one text; weft.changes() and weft.drift() read it.';

create table weft._cancellations (
  deployment_id  uuid         primary key references weft._deployments on delete cascade,
  caller         text         not null,
  requested_at   timestamptz  not null default pg_catalog.clock_timestamp()
);
comment on table weft._cancellations is 'Who asked for the end of a deployment, and when. The runner only reads here, so asking never waits for it.';

create table weft._reports (
  deployment_id     uuid         primary key references weft._deployments on delete cascade,
  catalog_before    text,
  sequences_before  jsonb,
  report            jsonb,
  reported_at       timestamptz
);
comment on table weft._reports is 'What rehearsals have shown, and until then what there is to compare with.';

create table weft._samples (
  deployment_id  uuid         not null references weft._deployments on delete cascade,
  pid            integer      not null,
  waits_since    timestamptz  not null,
  waits_for      text         not null,
  mode           text,
  is_runner      boolean      not null,
  blocked_by     jsonb        not null,
  session        jsonb        not null,
  first_seen_at  timestamptz  not null,
  last_seen_at   timestamptz  not null,

  primary key (deployment_id, pid, waits_since)
);
comment on table weft._samples is 'Who waited for a lock while a rehearsal ran: itself, or somebody because of it. Seen from another session, and taken into the report at its end.';

create table weft._samplings (
  deployment_id  uuid         primary key references weft._deployments on delete cascade,
  looks          integer      not null,
  first_at       timestamptz  not null,
  last_at        timestamptz  not null
);
comment on table weft._samplings is 'How often a second session has looked who waits while a rehearsal runs.';
