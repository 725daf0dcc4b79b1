create index open_orders on shop.orders (placed_at) where state in ('placed', 'paid');
