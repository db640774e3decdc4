-- A bulk update by one statement: every product's price.
UPDATE orders.products SET price = round(price * 1.03, 2)
