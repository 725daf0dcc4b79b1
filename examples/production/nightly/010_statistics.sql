-- Not every server has pg_cron. Where it is missing, the shop does without.
select cron.schedule('statistics', '0 3 * * *', 'analyze shop.orders');
