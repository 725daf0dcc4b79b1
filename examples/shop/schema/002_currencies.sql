-- Reference data has a natural key: a row in it *is* its code, and a foreign key to it can be read without a join.
create table shop.currencies (
  code        text primary key,
  name        text not null,
  minor_units smallint not null,

  constraint code_is_iso_4217 check (code ~ '^[A-Z]{3}$'),
  constraint minor_units_are_few check (minor_units between 0 and 4)
);

comment on table shop.currencies is 'The currencies in which the shop sells.';
comment on column shop.currencies.minor_units is 'Digits after the decimal point: 2 for EUR, 0 for JPY.';
