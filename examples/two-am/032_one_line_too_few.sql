-- Customer service: order 200000 lacked a line. It takes two pieces from the stock, once.
insert into shop.order_lines (order_id, line_number, product_id, quantity) values (200000, 4, 17, 2);
