-- One to three lines for an order, at today's prices. $1 is its id, $2 the number of lines.
INSERT INTO orders.order_items (order_id, line, sku, quantity, price)
SELECT $1::text::uuid, row_number() OVER (), picked.sku, 1 + floor(random() * 4)::integer, picked.price
FROM (SELECT sku, price FROM orders.products ORDER BY random() LIMIT $2::text::integer) AS picked
