-- What the rules of its environment require of a deployment before it may start, and who has approved it. The rules come with the
-- request that opens the deployment, and are stored here from then on: whoever continues it later is bound by them, even if nobody
-- outside remembers them.

create table weft._protections (
  deployment_id    uuid         primary key references weft._deployments on delete cascade,
  environment      text,
  second_person    boolean      not null,
  rehearsal_first  boolean      not null,
  digest           bytea        not null,
  rehearsal        uuid         references weft._deployments,
  asked_at         timestamptz,
  approve_until    timestamptz,

  constraint digests_are_sha256 check (pg_catalog.length(digest) = 32),
  constraint what_is_asked_for_has_an_end check ((asked_at is null) = (approve_until is null)),
  constraint only_a_second_person_is_asked check (second_person or asked_at is null),
  constraint what_is_rehearsed_first_names_it check (not rehearsal_first or rehearsal is not null)
);
comment on table weft._protections is 'Deployments that had to be rehearsed first, or that wait in state open until somebody other than their caller approves them.';
comment on column weft._protections.environment is 'The environment whose rules these are, by its name in the configuration of the Worker.';
comment on column weft._protections.digest is 'SHA-256 of what would be run: manifest, values of parameters, names of secret ones. An approval names it, and a rehearsal has the same.';
comment on column weft._protections.rehearsal is 'The rehearsal that counted when the deployment was opened, or approved.';
comment on column weft._protections.asked_at is 'When all artifacts had arrived, and only the approval was missing.';
comment on column weft._protections.approve_until is 'The time after which the deployment is cancelled.';

create table weft._approvals (
  deployment_id  uuid         primary key references weft._protections on delete cascade,
  caller         text         not null,
  digest         bytea        not null,
  approved_at    timestamptz  not null default pg_catalog.clock_timestamp(),
  request        bytea,
  signature      jsonb
);
comment on table weft._approvals is 'Who has approved a deployment, once, and by which digest.';
comment on column weft._approvals.request is 'The signed document, byte for byte; null if somebody approved it in SQL.';
comment on column weft._approvals.signature is 'What proves the request.';
