create table shop.stock (
  product_id bigint primary key references shop.products (product_id),
  pieces     integer not null,
  constraint stock_is_not_negative check (pieces >= 0)
);

insert into shop.stock (product_id, pieces)
select p.product_id, 50 from shop.products p;
