insert into shop.addresses (customer_id, street, city, country)
select c.customer_id, format('Weaver Street %s', c.customer_id % 90 + 1), 'Town', c.country
  from shop.customers c;
