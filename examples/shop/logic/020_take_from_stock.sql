-- Whoever inserts a line, by function or by hand, takes from the stock. The update locks the product's row, so two orders for
-- the last piece wait for each other; the second then meets `stock_is_not_negative`, and its whole transaction is undone.
create function shop.take_from_stock()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
  update shop.products p
     set in_stock = p.in_stock - new.quantity
   where p.product_id = new.product_id;
  return null;
end;
$$;

comment on function shop.take_from_stock() is 'Keeps products.in_stock in step with the lines of orders.';

create trigger take_from_stock
  after insert on shop.order_lines
  for each row execute function shop.take_from_stock();
