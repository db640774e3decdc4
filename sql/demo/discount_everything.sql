-- The incident: ten percent off every order that is not delivered, by one careless statement.
UPDATE orders.orders SET total = round(total * 0.9, 2) WHERE status <> 'delivered'
