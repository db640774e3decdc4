-- The nightly clean-up of the carts.
TRUNCATE orders.carts
