-- Money is a whole number of the currency's smallest unit: nothing to round, nothing to lose.
create table shop.products (
  product_id  bigint generated always as identity primary key,
  sku         text not null unique,
  title       text not null,
  category_id integer not null references shop.categories (category_id),
  supplier_id integer not null references shop.suppliers (supplier_id),
  price_minor bigint not null check (price_minor >= 0),
  currency    text not null references shop.currencies (code)
);
