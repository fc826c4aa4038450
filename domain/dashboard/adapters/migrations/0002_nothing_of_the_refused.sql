-- What was refused at once is shown to nobody any more, and what is public of a campaign is what was registered for it.
DELETE FROM donations
WHERE state = 'rejected'
  AND reason IN ('unknown_campaign', 'invalid_id', 'invalid_amount', 'own_campaign', 'unknown_donation');
DELETE FROM invoices WHERE rank = 0;
DELETE FROM activity
WHERE event IN ('auth.registration-rejected', 'crowdfunding.campaign-rejected', 'bitcoin.deposit-request-rejected',
                'bitcoin.withdrawal-request-rejected')
   OR event = 'crowdfunding.donation-rejected'
  AND data ->> 'reason' IN ('unknown_campaign', 'invalid_id', 'invalid_amount', 'own_campaign', 'unknown_donation');

ALTER TABLE donations ADD CONSTRAINT donations_amount_is_satoshis CHECK (amount_sat BETWEEN 1 AND 2100000000000000);
ALTER TABLE invoices ADD CONSTRAINT invoices_amount_is_satoshis CHECK (amount_sat BETWEEN 1 AND 2100000000000000);

DROP INDEX donations_of_campaign_idx;
CREATE INDEX donations_registered_idx ON donations (campaign_id, state_at) WHERE state = 'registered';
