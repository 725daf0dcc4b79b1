create type shop.order_state as enum ('placed', 'paid', 'shipped', 'cancelled');
