create table shop.categories (
  category_id integer generated always as identity primary key,
  name        text not null unique,
  parent_id   integer references shop.categories (category_id)
);
