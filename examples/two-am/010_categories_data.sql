insert into shop.categories (name) values ('Looms'), ('Yarn'), ('Tools'), ('Books');

insert into shop.categories (name, parent_id)
select v.name, c.category_id
  from (values ('Table looms', 'Looms'), ('Floor looms', 'Looms'), ('Wool', 'Yarn'), ('Linen', 'Yarn')) as v (name, parent)
  join shop.categories c on c.name = v.parent;
