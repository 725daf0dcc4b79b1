create table shop.customers (
  customer_id bigint generated always as identity primary key,
  email       text not null,
  name        text not null,
  created_at  timestamptz not null default now(),

  constraint email_has_an_at check (email like '%_@_%')
);

-- Ada@example.com and ada@example.com are one customer. A plain unique constraint cannot say that; an index on an expression can.
create unique index one_customer_per_email on shop.customers (lower(email));

comment on table shop.customers is 'Who has ever ordered something.';
