create table shop.currency (
  code    char(3)  primary key,
  name    text     not null,
  digits  integer  not null default 2 check (digits between 0 and 4)
);
