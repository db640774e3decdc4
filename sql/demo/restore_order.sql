-- A deleted order comes back under its own id: the id begins a second life. $1 is the row as it was.
INSERT INTO orders.orders SELECT (jsonb_populate_record(NULL::orders.orders, $1::text::jsonb)).*
