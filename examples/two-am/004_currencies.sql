create table shop.currencies (
  code        text primary key,
  name        text not null,
  minor_units smallint not null check (minor_units between 0 and 4)
);

insert into shop.currencies (code, name, minor_units)
values ('CHF', 'Swiss franc', 2), ('EUR', 'Euro', 2), ('JPY', 'Yen', 0);
