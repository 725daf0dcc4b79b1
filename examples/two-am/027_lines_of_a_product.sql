create index lines_of_a_product on shop.order_lines (product_id);
