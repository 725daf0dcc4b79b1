-- Run again and again, each time in a transaction of its own and from where the last one came to.
update shop.orders as o
set total = o.quantity * o.unit_price
where o.id in (select f.id from shop.orders as f where f.id > :'cursor' and f.total is null order by f.id limit :size)
returning o.id as cursor;
