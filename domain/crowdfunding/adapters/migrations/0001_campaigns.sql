CREATE TABLE campaigns (
    campaign_id text COLLATE "C" CONSTRAINT campaigns_pkey PRIMARY KEY,
    version bigint NOT NULL,
    account_id text NOT NULL,
    title text NOT NULL,
    description text NOT NULL,
    goal_sat bigint NOT NULL,
    created_at timestamptz NOT NULL,
    raised_sat bigint NOT NULL,
    donations bigint NOT NULL,
    goal_reached boolean NOT NULL,
    CONSTRAINT campaigns_version_positive CHECK (version > 0),
    CONSTRAINT campaigns_goal_is_satoshis CHECK (goal_sat BETWEEN 1 AND 2100000000000000),
    CONSTRAINT campaigns_each_donation_raises CHECK (donations >= 0 AND raised_sat >= donations AND (raised_sat = 0) = (donations = 0)),
    CONSTRAINT campaigns_goal_reached_by_raising CHECK (goal_reached = (raised_sat >= goal_sat))
) WITH (fillfactor = 70);

-- Donations whose money has arrived.
CREATE TABLE donations (
    donation_id text COLLATE "C" CONSTRAINT donations_pkey PRIMARY KEY,
    campaign_id text COLLATE "C" NOT NULL CONSTRAINT donations_of_known_campaign REFERENCES campaigns (campaign_id),
    account_id text NOT NULL,
    amount_sat bigint NOT NULL,
    registered_at timestamptz NOT NULL,
    CONSTRAINT donations_amount_is_satoshis CHECK (amount_sat BETWEEN 1 AND 2100000000000000)
);
