-- Objects of this database that something else manages, as each bundle says (`drift: ignore:`).

create table weft._unwatched (
  bundle         text         primary key,
  deployment_id  uuid         not null,
  rules          jsonb        not null,
  said_at        timestamptz  not null default pg_catalog.clock_timestamp()
);
comment on table weft._unwatched is 'Which objects something else makes, changes and drops, by the last deployment of each bundle that began: what becomes of these is no drift.';
comment on column weft._unwatched.rules is 'As the manifest has them: objects of one key each, its value a name, or schema and name, with * and ? in them.';
