begin;create table two (id int);
insert into two values (1);commit;
vacuum two;
select 1/1;
