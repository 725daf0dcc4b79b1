select shop.redeem_voucher('SPRING-1', 500000);
