create table shop.suppliers (
  supplier_id integer generated always as identity primary key,
  name        text not null unique,
  country     text not null references shop.countries (code)
);

insert into shop.suppliers (name, country) values ('Webstuhl Huber', 'AT'), ('Fil et Lin', 'FR'), ('Kyoto Silk', 'JP');
