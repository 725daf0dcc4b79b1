create table shop.countries (
  code text primary key,
  name text not null unique,
  constraint code_is_iso_3166 check (code ~ '^[A-Z]{2}$')
);
