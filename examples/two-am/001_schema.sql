-- A small shop, as it has grown in two years: 52 changesets, each applied once, in this order.
create schema shop;
comment on schema shop is 'A small shop: customers order products, and get them by parcel.';
