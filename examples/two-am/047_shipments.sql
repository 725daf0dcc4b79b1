-- Three statements, and PostgreSQL runs the last one in no transaction: a tool that breaks off here leaves half of it.
create table shop.shipments (
  shipment_id bigint generated always as identity primary key,
  order_id    bigint not null,
  carrier_id  integer not null references shop.carriers (carrier_id),
  parcels     integer not null default 1
);

insert into shop.shipments (order_id, carrier_id)
select o.order_id, 1 + (o.order_id % 3)::integer
  from shop.orders o
 where o.state = 'shipped' and o.order_id > 160000
 order by o.order_id;

-- Customer service looks for words of a message. The shop goes on selling while 200,000 of them are indexed.
create index concurrently words_of_messages on shop.orders using gin (to_tsvector('simple', message));
