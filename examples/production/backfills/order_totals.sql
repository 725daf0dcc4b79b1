-- Run again and again, each time in a transaction of its own and from where the last one came to. A stretch of the primary key, so that no round reads
-- more than it changes.
update shop.orders as o
set total = o.quantity * o.unit_price
where o.id > :'cursor'
  and o.id <= (select max(f.id) from (select id from shop.orders where id > :'cursor' order by id limit :size) as f)
returning o.id as cursor;
