-- Each row of this breaks the rule: an order in a currency that the shop does not have.
select o.currency, count(*) as orders, min(o.id) as first_order
from shop.orders as o
where not exists (select from shop.currency as c where c.code = o.currency)
group by o.currency
order by o.currency
