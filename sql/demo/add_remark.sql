-- Some order gets a remark, in the column that the migration renamed.
UPDATE orders.orders SET remark = $1::text, channel = 'phone'
WHERE id = (SELECT id FROM orders.orders ORDER BY random() LIMIT 1 FOR UPDATE SKIP LOCKED)
