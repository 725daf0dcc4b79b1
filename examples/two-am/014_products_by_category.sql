create index products_by_category on shop.products (category_id);
