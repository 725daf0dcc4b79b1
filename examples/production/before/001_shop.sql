-- What earlier releases have left: a shop with a million orders. The total of an order is worked out whenever somebody asks.
create schema shop;

create table shop.customer (
  id     bigint generated always as identity primary key,
  email  text   not null unique
);

create table shop.orders (
  id           bigint       generated always as identity primary key,
  customer_id  bigint       not null,
  placed_at    timestamptz  not null,
  currency     char(3)      not null,
  quantity     integer      not null,
  unit_price   numeric(9,2) not null
);
