-- A migration in the middle of the day: a column is added, another renamed. No trigger sees it.
ALTER TABLE orders.orders ADD COLUMN channel text;
ALTER TABLE orders.orders ALTER COLUMN channel SET DEFAULT 'web';
ALTER TABLE orders.orders RENAME COLUMN note TO remark;
