CREATE TABLE invoices (
    invoice_id text COLLATE "C" CONSTRAINT invoices_pkey PRIMARY KEY,
    version bigint NOT NULL,
    kind text COLLATE "C" NOT NULL,
    state text NOT NULL,
    account_id text NOT NULL,
    amount_sat bigint NOT NULL,
    requested_at timestamptz NOT NULL,
    payment_hash text COLLATE "C",  -- this and the next two: null until the node has made a deposit's invoice
    payment_request text,
    expires_at timestamptz,
    preimage text,                  -- the proof that a withdrawal was paid
    CONSTRAINT invoices_version_positive CHECK (version > 0),
    CONSTRAINT invoices_amount_is_satoshis CHECK (amount_sat BETWEEN 1 AND 2100000000000000),
    CONSTRAINT invoices_state_of_its_kind CHECK (
        (kind = 'deposit' AND state IN ('requested', 'issued', 'expired', 'paid'))
        OR (kind = 'withdrawal' AND state IN ('requested', 'authorized', 'rejected', 'failed', 'paid'))
    ),
    CONSTRAINT invoices_terms_come_together CHECK (num_nulls(payment_hash, payment_request, expires_at) IN (0, 3)),
    CONSTRAINT invoices_terms_known_once_made CHECK (
        payment_hash IS NOT NULL OR (kind = 'deposit' AND state IN ('requested', 'expired'))
    ),
    CONSTRAINT invoices_preimage_proves_payment CHECK (
        (preimage IS NOT NULL) = (kind = 'withdrawal' AND state = 'paid')
    )
) WITH (fillfactor = 70);

-- Nothing is paid out twice, and no payment is credited twice. A withdrawal may pay the invoice of a deposit.
CREATE UNIQUE INDEX invoices_payment_hash_unique ON invoices (payment_hash, kind);
