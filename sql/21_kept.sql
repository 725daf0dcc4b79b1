-- What is kept when a deployment is over, and how the newest of it is found, however much there is.

create table weft._receipts (
  deployment_id  uuid                   not null references weft._deployments,
  number         integer                not null,
  state          weft.deployment_state  not null,
  written_at     timestamptz            not null default pg_catalog.clock_timestamp(),
  document       text                   not null,
  digest         bytea                  not null,

  primary key (deployment_id, number),
  constraint a_receipt_is_of_an_end check (state in ('succeeded', 'degraded', 'failed', 'cancelled')),
  constraint digests_are_sha256 check (pg_catalog.length(digest) = 32)
);
comment on table weft._receipts is 'The account of each end of a deployment, written in the same transaction, and never changed: a trigger (floor 76) refuses it to everybody.';
comment on column weft._receipts.number is 'One that ended degraded and was opened again has another behind it.';
comment on column weft._receipts.document is 'JSON, as bytes that never change: what is read is this text, not what it says.';
comment on column weft._receipts.digest is 'SHA-256 of the document in UTF-8.';

create table weft._settings (
  name        text         primary key,
  value       integer      not null,
  changed_at  timestamptz  not null default pg_catalog.clock_timestamp(),
  changed_by  text         not null default session_user
);
comment on table weft._settings is 'What is set for this database otherwise than by default: how long things are kept (floor 45).';

create table weft._sweeps (
  is_the_one  boolean      primary key default true,
  swept_at    timestamptz  not null,

  constraint there_is_one_sweep check (is_the_one)
);
comment on table weft._sweeps is 'When everything was last swept that is not to be kept any more.';

-- With the history: of what is in a table, and goes with it.
comment on column weft._history.table_name is 'Of data and of a batch: the table into which it went, if that is known.';
comment on column weft._history.table_oid is 'Which table that was when the newest deployment began; null when there was none of that name, 0 when it is gone since.';
comment on column weft._lease.numbered_as is 'Which number this table itself had when those of the history were noted: where it has another one, the database was dumped and restored, and all numbers are others.';
comment on column weft._history.words is 'Of data and of a batch: the words of weft.yaml that decide, besides the bytes, what came of it.';

-- Whoever asks for the newest reads so many rows, and no more, however long the history.
create index deployments_by_opening on weft._deployments (created_at);
create index deployments_by_beginning on weft._deployments (started_at) where started_at is not null;
create index deployments_by_their_last_time on weft._deployments (coalesce(finished_at, started_at)) where started_at is not null;
create index deployments_that_left_something on weft._deployments (finished_at) where has_committed;
create index deployments_of_a_bundle on weft._deployments (bundle, started_at);
create index steps_with_an_undo on weft._steps (path) where undo is not null;
create index steps_that_know_what_was_had on weft._steps (path) where had is not null;
