create table shop.reviews (
  product_id  bigint not null references shop.products (product_id),
  customer_id bigint not null references shop.customers (customer_id),
  stars       smallint not null check (stars between 1 and 5),
  words       text,
  primary key (product_id, customer_id)
);
