-- take
-- Give the permit, unless it was given.
INSERT INTO bitcoin.permits (payment_hash, invoice_id) VALUES (%(payment_hash)s, %(invoice_id)s)
ON CONFLICT (payment_hash) DO NOTHING
RETURNING true

-- give_back
-- Have it as if it had never been given.
DELETE FROM bitcoin.permits WHERE payment_hash = %(payment_hash)s RETURNING true

-- holder
-- The withdrawal that it was given for.
SELECT invoice_id FROM bitcoin.permits WHERE payment_hash = %(payment_hash)s
