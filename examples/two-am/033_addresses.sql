create table shop.addresses (
  address_id  bigint generated always as identity primary key,
  customer_id bigint not null references shop.customers (customer_id),
  street      text not null,
  city        text not null,
  country     text not null references shop.countries (code)
);
