-- expands
-- What the Lightning node has paid for no withdrawal of the books, as they were when that was read: nothing more is
-- sent until each is explained, or a withdrawal of the books.
CREATE TABLE node_payments_unknown (
    payment_hash text COLLATE "C" CONSTRAINT node_payments_unknown_pkey PRIMARY KEY,
    seen_at timestamptz NOT NULL DEFAULT now()
);
