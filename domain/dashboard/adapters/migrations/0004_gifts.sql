-- expands
-- Gifts of people without an account, with the invoices by which they are paid.
CREATE TABLE gifts (
    gift_id text COLLATE "C" CONSTRAINT gifts_pkey PRIMARY KEY,
    campaign_id text COLLATE "C" NOT NULL,
    amount_sat bigint NOT NULL CONSTRAINT gifts_amount_is_satoshis CHECK (amount_sat BETWEEN 1 AND 2100000000000000),
    requested_at timestamptz NOT NULL,
    state text NOT NULL,
    rank smallint NOT NULL,  -- of the state: it only rises
    has_ended boolean NOT NULL,
    reason text NOT NULL,
    state_at timestamptz NOT NULL,
    name text,     -- this and the message: null until the request is seen
    message text,
    payment_request text,
    payment_hash text,
    expires_at timestamptz
) WITH (fillfactor = 60);
CREATE INDEX gifts_registered_idx ON gifts (campaign_id, state_at) WHERE state = 'registered';
