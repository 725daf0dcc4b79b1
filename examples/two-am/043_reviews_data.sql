insert into shop.reviews (product_id, customer_id, stars)
select 1 + n % 400, n, 1 + n % 5 from generate_series(1, 2000) as n;
