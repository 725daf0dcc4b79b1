create table shop.customers (
  customer_id bigint generated always as identity primary key,
  email       text not null,
  name        text not null,
  country     text not null references shop.countries (code),
  since       date not null
);
