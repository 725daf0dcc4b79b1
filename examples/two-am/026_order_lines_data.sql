insert into shop.order_lines (order_id, line_number, product_id, quantity)
select n, l, 1 + (n * 13 + l) % 400, 1 + n % 3
  from generate_series(199001, 200000) as n
  cross join generate_series(1, 3) as l;
