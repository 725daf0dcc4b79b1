create index addresses_of_a_customer on shop.addresses (customer_id);
