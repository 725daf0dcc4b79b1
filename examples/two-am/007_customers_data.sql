insert into shop.customers (email, name, country, since)
select format('customer-%s@example.com', n), format('Customer %s', n), (array['AT', 'CH', 'DE', 'FR', 'JP', 'PT'])[1 + n % 6], date '2023-01-01' + n % 700
  from generate_series(1, 5000) as n;
