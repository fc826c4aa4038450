-- add_invoice
-- Write down an invoice; of one invoice id the first stays, and is given.
INSERT INTO bitcoin.simulated_invoices AS known
    (payment_hash, invoice_id, payment_request, amount_sat, expires_at, paid_at, received_sat)
VALUES (%(payment_hash)s, %(invoice_id)s, %(payment_request)s, %(amount_sat)s, %(expires_at)s, %(paid_at)s,
        %(received_sat)s)
ON CONFLICT (invoice_id) DO UPDATE SET invoice_id = known.invoice_id
RETURNING payment_hash, invoice_id, payment_request, amount_sat, expires_at, paid_at, received_sat

-- lock
-- Have whoever else wants to change what is written of this hash wait until the transaction ends, whether or not there
-- is a row yet.
SELECT pg_advisory_xact_lock(hashtextextended('simulated payment ' || %(payment_hash)s, 0))

-- payment
-- The payment of a hash.
SELECT payment_hash, amount_sat, attempts, result, known_at, preimage, reason, fee_sat
FROM bitcoin.simulated_payments WHERE payment_hash = %(payment_hash)s

-- invoice
-- The invoice of a hash.
SELECT payment_hash, invoice_id, payment_request, amount_sat, expires_at, paid_at, received_sat
FROM bitcoin.simulated_invoices WHERE payment_hash = %(payment_hash)s

-- write_payment
-- Write a payment as it is now.
INSERT INTO bitcoin.simulated_payments
    (payment_hash, amount_sat, attempts, result, known_at, preimage, reason, fee_sat)
VALUES (%(payment_hash)s, %(amount_sat)s, %(attempts)s, %(result)s, %(known_at)s, %(preimage)s, %(reason)s, %(fee_sat)s)
ON CONFLICT (payment_hash) DO UPDATE SET
    attempts = excluded.attempts, result = excluded.result, known_at = excluded.known_at,
    preimage = excluded.preimage, reason = excluded.reason, fee_sat = excluded.fee_sat

-- write_receipt
-- Write when an invoice is paid, and by how much.
UPDATE bitcoin.simulated_invoices SET paid_at = %(paid_at)s, received_sat = %(received_sat)s
WHERE payment_hash = %(payment_hash)s

-- received
-- What was paid behind a place in the order of payments, from there on.
SELECT paid_at, payment_hash
FROM bitcoin.simulated_invoices
WHERE (paid_at, payment_hash) > (%(paid_at)s::timestamptz, %(payment_hash)s) AND paid_at <= %(until)s
    AND (received_sat IS NOT NULL OR paid_at < expires_at)
ORDER BY paid_at, payment_hash
LIMIT %(limit)s

-- sent
-- What was paid behind a place in the order of payments, from there on.
SELECT payment_hash, amount_sat, attempts, result, known_at, preimage, reason, fee_sat
FROM bitcoin.simulated_payments
WHERE (known_at, payment_hash) > (%(known_at)s::timestamptz, %(payment_hash)s) AND known_at <= %(until)s
    AND result = 'paid'
ORDER BY known_at, payment_hash
LIMIT %(limit)s

-- totals
-- What has come in, and what is gone or on its way.
SELECT
    (SELECT coalesce(sum(coalesce(received_sat, amount_sat)), 0) FROM bitcoin.simulated_invoices
     WHERE paid_at <= %(now)s AND (received_sat IS NOT NULL OR paid_at < expires_at)),
    (SELECT coalesce(sum(amount_sat + fee_sat), 0) FROM bitcoin.simulated_payments WHERE result = 'paid')

-- all_invoices
-- Every invoice.
SELECT payment_hash, invoice_id, payment_request, amount_sat, expires_at, paid_at, received_sat
FROM bitcoin.simulated_invoices

-- all_payments
-- Every payment.
SELECT payment_hash, amount_sat, attempts, result, known_at, preimage, reason, fee_sat
FROM bitcoin.simulated_payments ORDER BY payment_hash

-- take_over_invoice
-- Write down an invoice of a former release; one that is there already stays.
INSERT INTO bitcoin.simulated_invoices (payment_hash, invoice_id, payment_request, amount_sat, expires_at, paid_at)
VALUES (%s, %s, %s, %s, %s, %s)
ON CONFLICT DO NOTHING

-- take_over_payment
-- Write down a payment of a former release; one that is there already stays.
INSERT INTO bitcoin.simulated_payments (payment_hash, amount_sat, attempts, result, known_at, preimage, reason)
VALUES (%s, %s, %s, %s, %s, %s, %s)
ON CONFLICT DO NOTHING
