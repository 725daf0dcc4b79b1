-- One row for each order and currency. An order without lines costs nothing, in no currency, and is still listed.
create view shop.order_totals as
select o.order_id,
       o.customer_id,
       o.state,
       o.placed_at,
       l.currency,
       coalesce(sum(l.quantity * l.price_minor), 0)::bigint as total_minor
  from shop.orders o
  left join shop.order_lines l using (order_id)
 group by o.order_id, l.currency;

comment on view shop.order_totals is 'What each order costs, in the smallest unit of its currency.';
