create trigger note_price_change
  after update of price_minor on shop.products
  for each row when (old.price_minor is distinct from new.price_minor)
  execute function shop.note_price_change();
