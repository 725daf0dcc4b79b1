-- The one big changeset: half a million orders come along from the old shop.
insert into shop.orders (order_id, customer_id, state, placed_at, total_minor, reference)
select n,
       1 + n % 4999,
       (array['placed', 'paid', 'shipped', 'shipped', 'shipped', 'shipped', 'shipped', 'cancelled']::shop.order_state[])[1 + n % 8],
       timestamptz '2023-01-01 00:00:00+00' + n * interval '2 minutes',
       500 + n % 7 * 1300,
       upper(md5(n::text))
  from generate_series(1, 500000) as n;
