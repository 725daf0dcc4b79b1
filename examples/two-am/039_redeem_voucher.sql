create function shop.redeem_voucher(p_code text, p_order_id bigint)
returns bigint
language sql
set search_path = ''
as $$
  update shop.vouchers v set used_by = p_order_id where v.code = p_code and v.used_by is null returning v.value_minor;
$$;
