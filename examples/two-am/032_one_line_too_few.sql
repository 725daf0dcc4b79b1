-- Customer service: order 500000 lacked a line. It takes two pieces from the stock, once.
insert into shop.order_lines (order_id, line_number, product_id, quantity) values (500000, 4, 17, 2);
