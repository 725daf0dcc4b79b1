create or replace view shop.revenue_by_month as
select pg_catalog.date_trunc('month', o.placed_at) as month, o.currency, pg_catalog.sum(o.total) as revenue, pg_catalog.count(*) as orders
from shop.orders as o
group by 1, 2;
