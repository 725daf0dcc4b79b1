create materialized view shop.revenue_by_month as
select date_trunc('month', o.placed_at at time zone 'UTC')::date as month, count(*) as orders, sum(o.total_minor) as total_minor
  from shop.orders o
 where o.state <> 'cancelled'
 group by 1;
