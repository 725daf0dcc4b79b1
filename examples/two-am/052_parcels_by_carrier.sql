create view shop.parcels_by_carrier as
select c.name, count(*) as shipments, sum(s.parcels) as parcels
  from shop.carriers c
  join shop.shipments s using (carrier_id)
 group by c.carrier_id;
