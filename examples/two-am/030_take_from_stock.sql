create function shop.take_from_stock()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
  update shop.stock s set pieces = s.pieces - new.quantity where s.product_id = new.product_id;
  return null;
end;
$$;
