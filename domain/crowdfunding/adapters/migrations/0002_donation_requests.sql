-- Donations that campaigns have accepted: an id is requested once, by whomever, and what is registered is what was
-- requested. Earlier releases wrote no such rows. Of what they had begun and not yet registered only the id is known: it
-- is taken, and the rest is learned when the money has arrived (see record_donations). All of it is in the progress of
-- the sagas or, as an event, still on its way there.
CREATE TABLE donation_requests (
    donation_id text COLLATE "C" CONSTRAINT donation_requests_pkey PRIMARY KEY,
    campaign_id text COLLATE "C" CONSTRAINT donation_requests_of_known_campaign REFERENCES campaigns (campaign_id),
    account_id text,
    amount_sat bigint,
    requested_at timestamptz NOT NULL,
    CONSTRAINT donation_requests_as_a_whole UNIQUE (donation_id, campaign_id, account_id, amount_sat),
    CONSTRAINT donation_requests_known_as_a_whole CHECK (num_nulls(campaign_id, account_id, amount_sat) IN (0, 3)),
    CONSTRAINT donation_requests_amount_is_satoshis CHECK (amount_sat BETWEEN 1 AND 2100000000000000)
);

INSERT INTO donation_requests
SELECT donation_id, campaign_id, account_id, amount_sat, registered_at FROM donations;

INSERT INTO donation_requests (donation_id, requested_at)
SELECT saga_id, started_at FROM sagas WHERE kind = 'donation'
UNION ALL
SELECT data ->> 'donation_id', occurred_at FROM outbox WHERE name = 'crowdfunding.donation-requested'
UNION ALL
SELECT convert_from(data, 'UTF8')::json ->> 'donation_id', occurred_at
FROM parked_messages WHERE name = 'crowdfunding.donation-requested'
ON CONFLICT (donation_id) DO NOTHING;

-- A request names a known campaign, so its donation does.
ALTER TABLE donations
    DROP CONSTRAINT donations_of_known_campaign,
    ADD CONSTRAINT donations_as_requested FOREIGN KEY (donation_id, campaign_id, account_id, amount_sat)
        REFERENCES donation_requests (donation_id, campaign_id, account_id, amount_sat);
