-- A new order of a customer, still empty. $1 is its id.
INSERT INTO orders.orders (id, customer_id, status)
SELECT $1::text::uuid, id, 'placed' FROM orders.customers ORDER BY random() LIMIT 1
