-- What is kept when a deployment is over, and indexes that find the newest of it, however much there is.

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
comment on table weft._receipts is 'The account of each end of a deployment, written in the same transaction and never changed: a trigger (floor 76) refuses that to everybody.';
comment on column weft._receipts.number is 'A deployment that ended degraded and was opened again has several receipts, numbered in order.';
comment on column weft._receipts.document is 'JSON, stored as text, so that its bytes never change and the digest stays true.';
comment on column weft._receipts.digest is 'SHA-256 of the document in UTF-8.';

create table weft._settings (
  name        text         primary key,
  value       integer      not null,
  changed_at  timestamptz  not null default pg_catalog.clock_timestamp(),
  changed_by  text         not null default session_user
);
comment on table weft._settings is 'Settings of this database that differ from the default: how long things are kept (floor 45).';

create table weft._sweeps (
  is_the_one  boolean      primary key default true,
  swept_at    timestamptz  not null,

  constraint there_is_one_sweep check (is_the_one)
);
comment on table weft._sweeps is 'When everything that no longer has to be kept was last swept.';

-- Columns of the history for files whose effect is in a table, and is lost with it.
comment on column weft._history.table_name is 'For loads and batches: the table that they wrote to, if it is known.';
comment on column weft._history.table_oid is 'The oid of that table when the newest deployment began; null if there was none of that name, 0 if it is gone since.';
comment on column weft._lease.numbered_as is 'The oid of this table itself when the oids in the history were noted. If it is a different one now, the database was dumped and restored, and all oids have changed.';
comment on column weft._history.words is 'For loads and batches: the words of weft.yaml that, besides the bytes, determine their result.';

-- With these, asking for the newest reads only as many rows as are asked for, however long the history.
create index deployments_by_opening on weft._deployments (created_at);
create index deployments_by_beginning on weft._deployments (started_at) where started_at is not null;
create index deployments_by_their_last_time on weft._deployments (coalesce(finished_at, started_at)) where started_at is not null;
create index deployments_that_left_something on weft._deployments (finished_at) where has_committed;
create index deployments_of_a_bundle on weft._deployments (bundle, started_at);
create index steps_with_an_undo on weft._steps (path) where undo is not null;
create index steps_that_know_what_was_had on weft._steps (path) where had is not null;
