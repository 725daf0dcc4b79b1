create index shipments_of_an_order on shop.shipments (order_id);
