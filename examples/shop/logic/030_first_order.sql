-- Shown to work: Ada orders two skeins of yarn. If anything above were wrong, this file would fail, and say where.
insert into shop.customers (email, name) values ('ada@example.com', 'Ada');

select shop.place_order('Ada@Example.com', 'YARN-07', 2);

do $$
declare
  v_left integer;
begin
  select p.in_stock into v_left from shop.products p where p.sku = 'YARN-07';
  if v_left <> 118 then
    raise exception 'after an order of two, 118 skeins should be left, not %', v_left;
  end if;
end
$$;
