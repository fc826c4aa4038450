-- expands
-- The right to send a payment, given once: whoever has a row here may have sent, and nobody else ever will.
CREATE TABLE permits (
    payment_hash text COLLATE "C" CONSTRAINT permits_pkey PRIMARY KEY,
    invoice_id text COLLATE "C" NOT NULL,  -- of the withdrawal that it was given for
    given_at timestamptz NOT NULL DEFAULT now()
);

-- How far the receipts of the Lightning node were read.
CREATE TABLE receipts_read (
    is_only boolean CONSTRAINT receipts_read_pkey PRIMARY KEY DEFAULT true CONSTRAINT receipts_read_one_row CHECK (is_only),
    cursor text NOT NULL  -- the node's own word for a place in its order
);
