insert into shop.countries (code, name)
values ('AT', 'Austria'), ('CH', 'Switzerland'), ('DE', 'Germany'), ('FR', 'France'), ('JP', 'Japan'), ('PT', 'Portugal');
