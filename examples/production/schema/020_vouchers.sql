create table shop.voucher (
  code        text          primary key,
  percent     numeric(4,1)  not null check (percent > 0 and percent <= 100),
  valid_until date
);
