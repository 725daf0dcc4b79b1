create type shop.order_state as enum ('placed', 'paid', 'shipped', 'cancelled');

create table shop.orders (
  order_id    bigint generated always as identity primary key,
  customer_id bigint not null references shop.customers (customer_id),
  state       shop.order_state not null default 'placed',
  placed_at   timestamptz not null default now()
);

create table shop.order_lines (
  order_id    bigint not null references shop.orders (order_id) on delete cascade,
  line_number integer not null,
  product_id  bigint not null references shop.products (product_id),
  quantity    integer not null,
  -- Copied when the order is placed: what was agreed does not change when the product's price does.
  price_minor bigint not null,
  currency    text not null references shop.currencies (code),

  primary key (order_id, line_number),
  constraint quantity_is_positive check (quantity > 0)
);

-- PostgreSQL makes no index for the referring side of a foreign key, and deleting a customer or product would read the whole table.
create index orders_of_a_customer on shop.orders (customer_id, placed_at);
create index lines_of_a_product on shop.order_lines (product_id);

comment on table shop.orders is 'One purchase by one customer.';
comment on table shop.order_lines is 'What is in an order, at the price that was agreed.';
