alter table shop.shipments
  add constraint shipment_has_an_order foreign key (order_id) references shop.orders (order_id);
