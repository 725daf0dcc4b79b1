create unique index revenue_has_one_row_a_month on shop.revenue_by_month (month);
