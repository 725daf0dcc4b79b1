insert into shop.vouchers (code, value_minor)
select format('SPRING-%s', n), 1000 from generate_series(1, 250) as n;
