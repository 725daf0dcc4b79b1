-- The tables: what Weft remembers, and what must be true of it. Constraint names are sentences, because they come back with every
-- violation.
--
-- Lock order: _lease, then _deployments, then the rest. The runner only reads _cancellations.
--
-- A deployment writes a row for each of its files into _artifacts, _steps, _events and _history. A foreign key would make the
-- server look up the deployment for each of them. Instead, whoever writes these rows locks the deployment's row until the commit, and when a
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
comment on column weft._installations.parts_count is 'How many objects schema weft holds, with what belongs to them: a step that changes this number is rolled back.';
comment on column weft._installations.dependents_count is 'How many dependencies on objects of schema weft there are: while this number stays the same, none of them is the user''s. Null if one of the user''s was there from the beginning.';
comment on column weft._installations.parts is 'Each of these objects, with everything about it that a statement could change.';

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
  'Which CALL runs now: it is alive while pg_stat_activity shows this backend active with this query_start. The lease is no flag: a holder that is gone holds nothing.';
comment on column weft._lease.fence is 'Raised by whoever takes the lease; every transaction of a runner begins and ends by comparing this number with its own.';
comment on column weft._lease.query_start is 'statement_timestamp() of the CALL, which COMMIT does not change and pg_stat_activity shows as query_start.';
comment on column weft._lease.role_id is
  'The role with which the holder''s session logged in. Everybody may see this of every session, so it shows when another role''s session now has the pid of a holder that is gone.';
comment on column weft._lease.directive_at is
  'When the session was handed a statement to run at top level; null otherwise. Until the next CALL the lease then names the backend, which may be working or idle for a short while.';

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
comment on column weft._deployments.request is 'The signed document, byte for byte. It is emptied when it was kept long enough (floor 45); its digests stay, here and in the receipt.';
comment on column weft._deployments.request_digest is 'SHA-256 of the document without its expiry: a repeat may be signed anew.';
comment on column weft._deployments.origin is 'Which database this row was written in: a copy of the database must not continue what was left unfinished in the original.';
comment on column weft._deployments.has_committed is
  'Once it is over: whether a step, a statement or a round of it was committed, or it recorded what was there. Drift is measured since the last deployment for which this is true.';
comment on column weft._deployments.fingerprint_met is 'The catalog when it began, or was last opened again.';
comment on column weft._deployments.fingerprint_expected is
  'Once it is over: what the catalog should be after it. Before that: what the catalog should have been when it began, or was last opened again.';
comment on column weft._deployments.deaths is 'Attempts that died without reporting anything, since the last progress.';

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
comment on column weft._parameters.is_given is 'Whether the request has a value for it; otherwise it has its default, or no value. A secret that is given is needed for every run.';
comment on column weft._parameters.digest is 'HMAC-SHA256 with the caller''s secret, which is not in this database, so that nobody can find a short value by trying. Null if nobody signed.';
comment on column weft._parameters.value is 'As its type writes it; always null for a secret.';

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
comment on column weft._phases.lock_timeouts is 'How long statements of some kinds may wait for a lock, in milliseconds by kind (floor 79); null if all wait for lock_timeout_ms.';
comment on column weft._phases.condition is 'An expression: if it is not true when the phase begins, none of its steps runs.';
comment on column weft._phases.has_repeatables is 'Whether some of its steps are repeatable; those next to each other are a group.';
comment on column weft._phases.role is 'The role as which each file of the phase begins; null for the role that deploys.';
comment on column weft._phases.settings is 'The settings with which each file of the phase begins, by name.';
comment on column weft._phases.is_wanted is 'The result of the condition, committed with the first thing that the phase did.';
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
comment on column weft._steps.in_one_piece is 'Whether the file is executed whole: its split does not parse, but the whole file does.';
comment on column weft._steps.is_apart is 'Whether the step runs statement by statement, each in its own transaction or at top level.';
comment on column weft._steps.is_order_found is 'Whether this deployment has searched for the order of its group, which it does only once.';
comment on column weft._steps.path is 'The path of its artifact; for a check that comes with Weft, "rule:" and its name.';
comment on column weft._steps.on_error is 'continue: if the step fails, the deployment goes on without it, and ends degraded.';
comment on column weft._steps.options is 'What the manifest says about the step, apart from the keys that all kinds have.';
comment on column weft._steps.result is 'What steps of this kind report besides the columns that all kinds have: the rows that break the rule of a check, say.';
comment on column weft._steps.condition is 'An expression: if it is not true when the step begins, the step does not run.';
comment on column weft._steps.is_wanted is 'The result of the condition, committed with the step.';
comment on column weft._steps.done_when is 'An expression that is true once a statement is done, for statements that leave no trace in the catalog.';
comment on column weft._steps.undo is 'The file that takes this one back: an artifact of the same deployment, which this deployment does not run.';
comment on column weft._steps.undoes is 'In an undo: the file that this step takes back. It leaves the history in the transaction that commits the step''s effect.';
comment on column weft._steps.replaced is 'For a repeatable file: what the history had for the same path before, so that an undo can restore it. In an undo, until the step has run: what the file''s older content had made.';
comment on column weft._steps.had is 'For a file that does not run because it has not changed: what its objects have (rights, comments, options), which they get back if the file is called back.';
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
comment on column weft._statements.rows_at is 'For a COPY whose rows follow: how many characters the statement itself has; its rows come after them.';
comment on column weft._statements.block is 'The same number for all statements between one BEGIN and COMMIT of the file, which share a transaction; null elsewhere.';
comment on table weft._statements is
  'The statements of steps that run statement by statement, kept until the step is done. If a step failed half-way, they tell the next deployment where to continue.';
comment on column weft._statements.judge is 'What to look at in the catalog, and what it was like before.';
comment on column weft._statements.attempts is 'How often the session was handed anything for it, repairs included.';
comment on column weft._statements.tries is 'The same without repairs that succeeded, whose number has no limit.';
comment on column weft._statements.is_repair is 'Whether what was handed out last is a repair and not the statement itself, so that its end does not mean the end of the statement.';
comment on column weft._statements.session is 'Role and settings after this statement of the file: the next one begins with them, in whichever backend it runs.';

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
comment on table weft._batches is 'How far each batch is: one row, rewritten in the transaction of each round.';
comment on column weft._batches.cursor is 'How far the rounds have come: the next one begins after this value.';
comment on column weft._batches.is_begun is 'Set in the transaction that evaluated the conditions and took over what an earlier deployment had done.';
comment on column weft._batches.rounds_before is 'Rounds that earlier deployments have committed, and after which this one continues; the rows of those deployments here are gone.';
comment on column weft._batches.rounds_replaced is 'Rounds that were committed before the batch began anew: rows that it has not reached yet still have what the batch wrote then.';
comment on column weft._batches.parameters is 'A digest of the value of each parameter that the statement names; for a secret one only that it is named.';
comment on column weft._batches.size is 'How many rows the next round may touch.';
comment on column weft._batches.sweeps is 'How many times in a row no row was touched although done_when was not true.';
comment on column weft._batches.table_rows is 'The planner''s estimate of the rows in the table that the statement writes to.';
comment on column weft._batches.throttled_by is 'Who makes the batch slow down; null when nobody does.';
comment on column weft._batches.quiet_rounds is 'Rounds since somebody last did.';
comment on column weft._batches.is_uneven is 'Whether a round has touched more or fewer rows than its size, which means that the statement counts something else than rows.';

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
comment on table weft._history is 'What has been applied to this database, identified by bundle and path. The bytes are kept as long as a row names them.';
comment on column weft._history.deployment_id is 'Which deployment applied it.';
comment on column weft._history.bytes_in is 'Which deployment brought the bytes with this digest: a later one, if since then only comments, white space or the path were changed.';
comment on column weft._history.applied_path is 'The path under which that deployment knew it: a different one, if the file was renamed since.';
comment on column weft._history.place is 'For repeatable files: the place in the order that worked last.';
comment on column weft._history.made is 'For repeatable files: the objects that the file made, and that were there when a deployment last succeeded.';

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
  'The journal. Only whoever holds a deployment''s turn writes here, so the numbers have no gaps and follow the order of commits.';

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
  'Attempts to run a phase, committed before each. One without an end died without reporting anything (an error at COMMIT, a server that was killed).';

create table weft._snapshots (
  fingerprint  text         not null,
  catalog      text         not null,
  taken_at     timestamptz  not null default pg_catalog.clock_timestamp(),

  constraint a_catalog_is_kept_once primary key (fingerprint)
);
comment on table weft._snapshots is 'The catalog as it was when the newest deployments began and ended, stored under its hash. Deployments name it by their fingerprints.';
comment on column weft._snapshots.catalog is 'Every object with kind, identity and definition, in one text; weft.changes() and weft.drift() read it.';

create table weft._cancellations (
  deployment_id  uuid         primary key references weft._deployments on delete cascade,
  caller         text         not null,
  requested_at   timestamptz  not null default pg_catalog.clock_timestamp()
);
comment on table weft._cancellations is 'Who asked to cancel a deployment, and when. The runner only reads here, so whoever asks never waits for it.';

create table weft._reports (
  deployment_id     uuid         primary key references weft._deployments on delete cascade,
  catalog_before    text,
  sequences_before  jsonb,
  report            jsonb,
  reported_at       timestamptz
);
comment on table weft._reports is 'What rehearsals have shown; until then, the state that they compare with.';

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
comment on table weft._samples is 'Who waited for a lock while a rehearsal ran: the rehearsal itself, or somebody because of it. Another session records this, and the report includes it in the end.';

create table weft._samplings (
  deployment_id  uuid         primary key references weft._deployments on delete cascade,
  looks          integer      not null,
  first_at       timestamptz  not null,
  last_at        timestamptz  not null
);
comment on table weft._samplings is 'How often a second session has looked for who waits while a rehearsal runs.';
