create index concurrently orders_of_a_customer on shop.orders (customer_id, placed_at);
