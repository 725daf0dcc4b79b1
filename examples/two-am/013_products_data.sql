insert into shop.products (sku, title, category_id, supplier_id, price_minor, currency)
select format('ART-%s', to_char(n, 'FM0000')), format('Article %s', n), 1 + n % 8, 1 + n % 3, 500 + 37 * n, 'EUR'
  from generate_series(1, 400) as n;
