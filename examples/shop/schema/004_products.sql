-- Money is a whole number of the currency's smallest unit: nothing to round, nothing to lose.
create table shop.products (
  product_id  bigint generated always as identity primary key,
  sku         text not null unique,
  title       text not null,
  price_minor bigint not null,
  currency    text not null references shop.currencies (code),
  in_stock    integer not null default 0,

  constraint price_is_not_negative check (price_minor >= 0),
  constraint stock_is_not_negative check (in_stock >= 0)
);

comment on table shop.products is 'What the shop sells, and how much of it is there.';
comment on constraint stock_is_not_negative on shop.products is 'The last word against selling what is not there: see logic/.';
