create function shop.note_price_change()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
  insert into shop.price_changes (product_id, old_minor, new_minor) values (new.product_id, old.price_minor, new.price_minor);
  return null;
end;
$$;
