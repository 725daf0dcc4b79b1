-- What forges still have to be told. A row comes with the request that was made from a webhook, and is removed when the forge knows
-- how the deployment ended.

create table weft._owed (
  deployment_id  uuid         not null references weft._deployments on delete cascade,
  key            text         not null,
  errand         text         not null,
  proof          text         not null,
  tries          integer      not null default 0,
  owed_since     timestamptz  not null default pg_catalog.clock_timestamp(),
  held_until     timestamptz  not null,

  primary key (deployment_id, key)
);
comment on table weft._owed is 'Reports that are owed to a forge: how a deployment ended that one of the forge''s events had asked for. The row is deleted when that was reported.';
comment on column weft._owed.key is 'One for each event and folder, because several may have asked for the same deployment.';
comment on column weft._owed.errand is 'What to tell whom, as the doorman has written it: JSON, whose bytes the proof covers.';
comment on column weft._owed.proof is 'Made with a secret of the forge, which is not in this database: rows that anybody else wrote are not reported.';
comment on column weft._owed.held_until is 'Until then somebody else is working on it, or there is no use in trying again.';
