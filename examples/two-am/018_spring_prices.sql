-- Looms become dearer by 1 EUR. Twice would be 2 EUR, and one more row for each in price_changes.
update shop.products
   set price_minor = price_minor + 100
 where category_id in (select c.category_id from shop.categories c where c.name like '%ooms');
