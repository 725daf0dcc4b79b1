-- Ada@example.com and ada@example.com are one customer.
create unique index one_customer_per_email on shop.customers (lower(email));
