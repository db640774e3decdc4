-- Some order goes one step on: placed, paid, shipped, delivered.
UPDATE orders.orders
SET status = CASE status WHEN 'placed' THEN 'paid' WHEN 'paid' THEN 'shipped' ELSE 'delivered' END
WHERE id = (
    SELECT id FROM orders.orders WHERE status <> 'delivered' ORDER BY random() LIMIT 1 FOR UPDATE SKIP LOCKED
)
