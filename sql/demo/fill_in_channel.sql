-- The migration's back-fill, as a statement that is recorded like any other.
UPDATE orders.orders SET channel = 'web' WHERE channel IS NULL
