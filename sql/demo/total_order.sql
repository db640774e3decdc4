-- The order's total, from its lines. $1 is its id.
UPDATE orders.orders
SET total = (SELECT sum(quantity * price) FROM orders.order_items WHERE order_id = $1::text::uuid)
WHERE id = $1::text::uuid
