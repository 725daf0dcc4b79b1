create function shop.find_parcel(p_reference text)
returns setof shop.shipments
language sql
stable
set search_path = ''
as $$
  select s.*
    from shop.orders o
    join shop.shipments s using (order_id)
   where lower(o.reference) = lower(p_reference);
$$;
