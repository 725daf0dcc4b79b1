-- What forges are still to be told. It comes with the request that was made from a webhook, and is removed when the forge knows how
-- that ended.

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
comment on table weft._owed is 'Words that are owed to a forge: how a deployment ended that one of its events has asked for. What is told is no row any more.';
comment on column weft._owed.key is 'One for each event and folder: a deployment may have been asked for by several.';
comment on column weft._owed.errand is 'Who is to be told what about, as the doorman has written it: JSON, whose bytes the proof is over.';
comment on column weft._owed.proof is 'By a secret of the forge''s, which is not in this database: nothing that was written here by anybody else is told.';
comment on column weft._owed.held_until is 'Until then somebody is about it, or there is no use in trying again.';
