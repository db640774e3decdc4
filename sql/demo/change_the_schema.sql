-- A migration in the middle of the day: a column is added, another renamed.
ALTER TABLE orders.orders ADD COLUMN channel text DEFAULT 'web';
ALTER TABLE orders.orders RENAME COLUMN note TO remark;
