-- expands
-- Gifts of people without an account that campaigns have accepted: an id is requested once, by whomever.
CREATE TABLE gift_requests (
    gift_id text COLLATE "C" CONSTRAINT gift_requests_pkey PRIMARY KEY,
    campaign_id text COLLATE "C" NOT NULL CONSTRAINT gift_requests_of_known_campaign REFERENCES campaigns (campaign_id),
    amount_sat bigint NOT NULL,
    requested_at timestamptz NOT NULL,
    CONSTRAINT gift_requests_as_a_whole UNIQUE (gift_id, campaign_id),
    CONSTRAINT gift_requests_amount_is_satoshis CHECK (amount_sat BETWEEN 1 AND 2100000000000000)
);

-- Those of them that were paid: what arrived, which may be more than was asked for.
CREATE TABLE gifts (
    gift_id text COLLATE "C" CONSTRAINT gifts_pkey PRIMARY KEY,
    campaign_id text COLLATE "C" NOT NULL,
    amount_sat bigint NOT NULL,
    registered_at timestamptz NOT NULL,
    CONSTRAINT gifts_were_requested FOREIGN KEY (gift_id, campaign_id) REFERENCES gift_requests (gift_id, campaign_id),
    CONSTRAINT gifts_amount_is_satoshis CHECK (amount_sat BETWEEN 1 AND 2100000000000000)
);
