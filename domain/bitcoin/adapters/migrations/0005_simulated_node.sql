-- expands
-- The books of the simulated Lightning node, which plays somebody outside: no other table refers to them.
CREATE TABLE simulated_invoices (
    payment_hash text COLLATE "C" CONSTRAINT simulated_invoices_pkey PRIMARY KEY,
    invoice_id text COLLATE "C" NOT NULL CONSTRAINT simulated_invoices_one_of_an_id UNIQUE,
    payment_request text NOT NULL,
    amount_sat bigint NOT NULL,
    expires_at timestamptz NOT NULL,
    paid_at timestamptz  -- may lie in the future; null: nobody is going to pay
);

CREATE TABLE simulated_payments (
    payment_hash text COLLATE "C" CONSTRAINT simulated_payments_pkey PRIMARY KEY,  -- for ever: no hash is paid twice
    amount_sat bigint NOT NULL,
    attempts integer NOT NULL,      -- how often the node was asked to pay
    result text NOT NULL,
    known_at timestamptz NOT NULL,  -- until then it is pending
    preimage text NOT NULL,
    reason text NOT NULL,
    CONSTRAINT simulated_payments_result_known CHECK (result IN ('paid', 'failed', 'lost'))
);
