-- The one big changeset: 200,000 orders come along from the old shop, each with what its customer wrote on it.
insert into shop.orders (order_id, customer_id, state, placed_at, total_minor, message)
select n,
       1 + n % 4999,
       (array['placed', 'paid', 'shipped', 'shipped', 'shipped', 'shipped', 'shipped', 'cancelled']::shop.order_state[])[1 + n % 8],
       timestamptz '2023-01-01 00:00:00+00' + n * interval '5 minutes',
       500 + n % 7 * 1300,
       format('Please leave parcel %s with the %s on floor %s, code %s', n, (array['neighbour', 'janitor', 'baker'])[1 + n % 3], n % 9, left(md5(n::text), 8))
  from generate_series(1, 200000) as n;
