-- The demo's shop: five tables with keys of four kinds (uuid, text, several columns, integer).
CREATE SCHEMA orders;

CREATE TABLE orders.customers (
    id uuid PRIMARY KEY,
    name text NOT NULL,
    email text,
    vip boolean NOT NULL DEFAULT false,
    address jsonb
);

CREATE TABLE orders.products (
    sku text PRIMARY KEY,
    title text NOT NULL,
    price numeric(12, 2) NOT NULL,
    stock integer NOT NULL
);

CREATE TABLE orders.orders (
    id uuid PRIMARY KEY,
    customer_id uuid NOT NULL REFERENCES orders.customers,
    status text NOT NULL,
    total numeric(14, 2) NOT NULL DEFAULT 0,
    currency text NOT NULL DEFAULT 'EUR',
    note text,
    placed_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE orders.order_items (
    order_id uuid NOT NULL REFERENCES orders.orders ON DELETE CASCADE,
    line integer NOT NULL,
    sku text NOT NULL REFERENCES orders.products,
    quantity integer NOT NULL,
    price numeric(12, 2) NOT NULL,
    PRIMARY KEY (order_id, line)
);

CREATE TABLE orders.carts (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    customer_id uuid NOT NULL,
    items integer NOT NULL,
    touched_at timestamptz NOT NULL DEFAULT now()
);
