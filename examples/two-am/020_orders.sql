create table shop.orders (
  order_id    bigint primary key,
  customer_id bigint not null,
  state       shop.order_state not null,
  placed_at   timestamptz not null,
  total_minor bigint not null,
  message     text not null
);
