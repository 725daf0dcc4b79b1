insert into shop.customer (email)
select format('customer%s@example.com', n) from generate_series(1, 20000) as n;

insert into shop.orders (customer_id, placed_at, currency, quantity, unit_price)
select 1 + n % 20000, timestamptz '2025-01-01 00:00:00Z' + n * interval '30 seconds', (array['EUR', 'USD', 'CHF'])[1 + n % 3], 1 + n % 5, (n % 9900 + 99) / 100.0
from generate_series(1, 1000000) as n;
