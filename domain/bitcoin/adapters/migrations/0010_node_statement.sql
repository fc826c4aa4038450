-- expands
-- What the Lightning node itself says that it has paid and received: `spark-actors audit` holds the books against it.
CREATE TABLE node_payments (
    payment_hash text COLLATE "C" CONSTRAINT node_payments_pkey PRIMARY KEY,
    amount_sat bigint NOT NULL,
    fee_sat bigint NOT NULL,
    seen_at timestamptz NOT NULL DEFAULT now()  -- when this first was read
);

-- What it has received for invoices that the books did not know when that was read.
CREATE TABLE node_receipts_unknown (
    payment_hash text COLLATE "C" CONSTRAINT node_receipts_unknown_pkey PRIMARY KEY,
    seen_at timestamptz NOT NULL DEFAULT now()
);

-- How far each list of the node was read.
CREATE TABLE node_statement_read (
    list text COLLATE "C" CONSTRAINT node_statement_read_pkey PRIMARY KEY,
    cursor text NOT NULL,    -- the node's own word for a place in its order
    begun_at timestamptz,    -- when its end was reached first; what was seen before is the node's past
    complete_at timestamptz, -- when its end was reached last
    CONSTRAINT node_statement_read_list_known CHECK (list IN ('payments', 'receipts'))
);

-- Payment hashes of which an operator knows why the books and the node differ. Written by hand; no audit names them.
CREATE TABLE node_explained (
    payment_hash text COLLATE "C" CONSTRAINT node_explained_pkey PRIMARY KEY,
    why text NOT NULL CONSTRAINT node_explained_says_why CHECK (why <> ''),
    explained_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX simulated_payments_paid_idx ON simulated_payments (known_at, payment_hash) WHERE result = 'paid';
