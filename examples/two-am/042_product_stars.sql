create view shop.product_stars as
select p.product_id, p.sku, count(r.stars) as reviews, round(avg(r.stars), 1) as stars
  from shop.products p
  left join shop.reviews r using (product_id)
 group by p.product_id;
