-- Some placed order is deleted, its lines with it; the row as it was comes back.
DELETE FROM orders.orders AS o
WHERE o.id = (
    SELECT id FROM orders.orders WHERE status = 'placed' ORDER BY random() LIMIT 1 FOR UPDATE SKIP LOCKED
)
RETURNING to_jsonb(o)::text AS was
