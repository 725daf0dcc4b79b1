alter table shop.customers add column note text;

comment on column shop.customers.note is 'What the next person on the telephone should know.';
