-- Semicolons and quotes inside of strings are part of the string; the engine splits files as psql does.
insert into shop.products (sku, title, price_minor, currency, in_stock)
values ('LOOM-01', 'Table loom; 60 cm',              24900, 'EUR', 4),
       ('YARN-07', 'Weaver''s yarn, "indigo", 500 g',  1850, 'EUR', 120),
       ('REED-12', 'Reed – 12 dents per inch',         3900, 'EUR', 15),
       ('BOOK-02', '織物入門 (weaving for beginners)',   2800, 'JPY', 30)
on conflict (sku) do nothing;
