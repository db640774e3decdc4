-- A few customers begin new carts after the clean-up.
INSERT INTO orders.carts (customer_id, items) SELECT id, 1 FROM orders.customers ORDER BY id LIMIT 3
