create index customers_by_country on shop.customers (country);
