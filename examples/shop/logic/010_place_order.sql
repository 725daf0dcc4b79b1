-- Places an order of one product. The body stands between dollar quotes: what is in there, semicolons included, is one string.
create function shop.place_order(p_email text, p_sku text, p_quantity integer default 1)
returns bigint
language plpgsql
set search_path = ''
as $function$
declare
  v_customer_id bigint;
  v_order_id bigint;
begin
  select c.customer_id
    into v_customer_id
    from shop.customers c
   where lower(c.email) = lower(p_email);
  if not found then
    raise exception 'no customer has the address %', p_email
      using errcode = 'no_data_found', hint = 'Insert the customer first.';
  end if;

  insert into shop.orders (customer_id) values (v_customer_id) returning order_id into v_order_id;

  insert into shop.order_lines (order_id, line_number, product_id, quantity, price_minor, currency)
  select v_order_id, 1, p.product_id, p_quantity, p.price_minor, p.currency
    from shop.products p
   where p.sku = p_sku;
  if not found then
    raise exception 'no product is called %', p_sku using errcode = 'no_data_found';
  end if;

  return v_order_id;
end;
$function$;

comment on function shop.place_order(text, text, integer) is 'Places an order of one product and returns its id.';
