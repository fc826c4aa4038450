-- Why it was rejected or failed, and when money was known to be in, out, or to stay; null in rows from before.
ALTER TABLE invoices ADD COLUMN reason text, ADD COLUMN settled_at timestamptz;

-- A deposit may fail, too: its invoice is never made.
ALTER TABLE invoices
    DROP CONSTRAINT invoices_state_of_its_kind,
    ADD CONSTRAINT invoices_state_of_its_kind CHECK (
        (kind = 'deposit' AND state IN ('requested', 'issued', 'expired', 'failed', 'paid'))
        OR (kind = 'withdrawal' AND state IN ('requested', 'authorized', 'rejected', 'failed', 'paid'))
    ),
    DROP CONSTRAINT invoices_terms_known_once_made,
    ADD CONSTRAINT invoices_terms_known_once_made CHECK (
        payment_hash IS NOT NULL OR (kind = 'deposit' AND state IN ('requested', 'expired', 'failed'))
    ),
    ADD CONSTRAINT invoices_reason_why_it_ended CHECK (reason IS NULL OR state IN ('rejected', 'failed')),
    ADD CONSTRAINT invoices_settled_in_the_end CHECK (
        settled_at IS NULL OR state = 'paid' OR (kind = 'withdrawal' AND state = 'failed')
    );

-- Nothing is paid out twice, and no payment is credited twice. What was rejected or has failed is not paid and never
-- will be, so it keeps nobody from paying the same invoice under another id: no state follows from which it could be.
DROP INDEX invoices_payment_hash_unique;
CREATE UNIQUE INDEX invoices_payment_hash_unique ON invoices (payment_hash, kind)
    WHERE state NOT IN ('rejected', 'failed');
