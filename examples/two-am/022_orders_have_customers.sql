-- Behind the import, so that it is one check instead of 200,000.
alter table shop.orders
  add constraint order_has_a_customer foreign key (customer_id) references shop.customers (customer_id);
