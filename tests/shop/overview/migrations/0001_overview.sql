CREATE TABLE items (
    item_id text CONSTRAINT items_pkey PRIMARY KEY,
    label text,
    available bigint NOT NULL,
    sequence bigint NOT NULL
);
CREATE TABLE orders (
    order_id text CONSTRAINT orders_pkey PRIMARY KEY,
    customer_id text,
    state text NOT NULL,
    reason text NOT NULL,
    sequence bigint NOT NULL
);
