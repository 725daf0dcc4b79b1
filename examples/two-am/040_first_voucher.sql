select shop.redeem_voucher('SPRING-1', 200000);
