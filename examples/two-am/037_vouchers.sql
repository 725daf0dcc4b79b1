create table shop.vouchers (
  code        text primary key,
  value_minor bigint not null check (value_minor > 0),
  used_by     bigint references shop.orders (order_id)
);
