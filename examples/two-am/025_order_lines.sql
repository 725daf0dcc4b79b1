create table shop.order_lines (
  order_id    bigint not null references shop.orders (order_id) on delete cascade,
  line_number integer not null,
  product_id  bigint not null references shop.products (product_id),
  quantity    integer not null check (quantity > 0),
  primary key (order_id, line_number)
);
