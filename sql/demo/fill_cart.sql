-- Some cart gets one item more.
UPDATE orders.carts SET items = items + 1, touched_at = now()
WHERE id = (SELECT id FROM orders.carts ORDER BY random() LIMIT 1 FOR UPDATE SKIP LOCKED)
