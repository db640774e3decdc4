-- The rows that are there before anybody records: customers, products and a few carts.
INSERT INTO orders.customers (id, name, email, vip, address)
SELECT
    md5(random()::text)::uuid,
    (ARRAY['Amara', 'Bilal', 'Chiara', 'Dmitri', 'Elif', 'Fatou', 'Goran', 'Hana', 'Ines', 'Jonas'])[1 + n % 10]
    || ' ' || (ARRAY['Okafor', 'Haddad', 'Rossi', 'Novak', 'Yilmaz', 'Müller'])[1 + n % 6],
    'customer' || n || '@shop.example',
    n % 7 = 0,
    jsonb_build_object('city', (ARRAY['Lagos', 'Lyon', 'Graz', 'Porto'])[1 + n % 4], 'zip', to_char(n * 37, 'FM00000'))
FROM generate_series(1, 40) AS n;

INSERT INTO orders.products (sku, title, price, stock)
SELECT
    'SKU-' || to_char(n, 'FM000'),
    (ARRAY['Desk lamp', 'Notebook', 'Kettle', 'Backpack', 'Headphones', 'Mug'])[1 + n % 6],
    round((4 + n * 7.35)::numeric, 2),
    500
FROM generate_series(1, 24) AS n;

INSERT INTO orders.carts (customer_id, items)
SELECT id, 1 + (ascii(name) + length(email)) % 5 FROM orders.customers;
