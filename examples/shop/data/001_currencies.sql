-- `on conflict` makes the file say what must be true, whatever was there before.
insert into shop.currencies (code, name, minor_units)
values ('EUR', 'Euro', 2),
       ('USD', 'US dollar', 2),
       ('CHF', 'Swiss franc', 2),
       ('JPY', 'Yen', 0)
on conflict (code) do update
  set name = excluded.name,
      minor_units = excluded.minor_units;
