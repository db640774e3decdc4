-- Take an order's lines out of stock; products are locked in one order, so that two orders never wait for each other.
WITH wanted AS (
    SELECT p.sku, i.quantity
    FROM orders.products AS p
    JOIN orders.order_items AS i ON i.sku = p.sku
    WHERE i.order_id = $1::text::uuid
    ORDER BY p.sku
    FOR NO KEY UPDATE OF p
)
UPDATE orders.products AS p SET stock = p.stock - w.quantity FROM wanted AS w WHERE p.sku = w.sku
