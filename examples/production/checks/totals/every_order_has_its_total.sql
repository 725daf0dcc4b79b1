select o.id, o.placed_at from shop.orders as o where o.total is null
