create trigger take_from_stock
  after insert on shop.order_lines
  for each row execute function shop.take_from_stock();
