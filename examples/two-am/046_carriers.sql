create table shop.carriers (
  carrier_id integer generated always as identity primary key,
  name       text not null unique
);

insert into shop.carriers (name) values ('Post'), ('Bicycle'), ('Freight');
