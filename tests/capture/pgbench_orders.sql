\set customer random(1, 1000)
\set amount random(1, 100000)
\set pick random(0, 999)
BEGIN;
INSERT INTO orders.orders (id, total, status) VALUES (gen_random_uuid(), :amount / 100.0, 'draft');
UPDATE orders.orders SET total = total + 0.10, status = 'paid', updated_at = now()
    WHERE id = (SELECT id FROM orders.orders ORDER BY id OFFSET :pick % 50 LIMIT 1);
INSERT INTO orders.order_items (order_id, quantity, price) SELECT id, 2, 9.99 FROM orders.orders ORDER BY id LIMIT 1
    FOR KEY SHARE SKIP LOCKED;
DELETE FROM orders.orders WHERE id = (SELECT id FROM orders.orders ORDER BY id DESC OFFSET :pick % 20 LIMIT 1)
    AND :pick % 5 = 0;
END;
