create function shop.find_shipments(p_words text)
returns setof shop.shipments
language sql
stable
set search_path = ''
as $$
  select s.*
    from shop.orders o
    join shop.shipments s using (order_id)
   where pg_catalog.to_tsvector('simple', o.message) operator(pg_catalog.@@) pg_catalog.plainto_tsquery('simple', p_words);
$$;
