create view shop.best_sellers as
select p.product_id, p.sku, sum(l.quantity) as sold, rank() over (order by sum(l.quantity) desc) as place
  from shop.products p
  join shop.order_lines l using (product_id)
  join shop.orders o using (order_id)
 where o.state <> 'cancelled'
 group by p.product_id;
