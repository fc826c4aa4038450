-- expands
-- The campaign that a deposit is a gift to; null for any other.
ALTER TABLE invoices
    ADD COLUMN campaign_id text,
    ADD CONSTRAINT invoices_gifts_are_deposits CHECK (campaign_id IS NULL OR kind = 'deposit');
