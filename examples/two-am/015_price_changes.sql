create table shop.price_changes (
  change_id  bigint generated always as identity primary key,
  product_id bigint not null references shop.products (product_id),
  old_minor  bigint not null,
  new_minor  bigint not null
);
