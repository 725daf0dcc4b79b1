-- Objects of this database that something else manages, as each bundle says (`drift: ignore:`).

create table weft._unwatched (
  bundle         text         primary key,
  deployment_id  uuid         not null,
  rules          jsonb        not null,
  said_at        timestamptz  not null default pg_catalog.clock_timestamp()
);
comment on table weft._unwatched is 'Objects that something else makes, changes and drops, as said by the last deployment of each bundle that began: changes to them are no drift.';
comment on column weft._unwatched.rules is 'The rules as the manifest has them: JSON objects with one key each, whose value is a name, or schema and name, which may contain * and ?.';
