-- Everything of the shop lives in one schema, so that it can be seen, granted and dropped as one thing.
create schema shop;

comment on schema shop is 'A small shop: customers order products in a currency.';
