CREATE TABLE items (
    item_id text CONSTRAINT items_pkey PRIMARY KEY,
    label text,
    available bigint NOT NULL,
    sequence bigint NOT NULL
);
