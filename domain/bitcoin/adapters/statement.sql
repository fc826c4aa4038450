-- cursor
-- Where reading a list goes on.
SELECT cursor FROM bitcoin.node_statement_read WHERE list = %(list)s

-- go_on_at
-- All before this place is written; it may be the end of what there is.
INSERT INTO bitcoin.node_statement_read AS before (list, cursor, begun_at, complete_at)
VALUES (%(list)s, %(cursor)s, CASE WHEN %(is_end)s THEN now() END, CASE WHEN %(is_end)s THEN now() END)
ON CONFLICT (list) DO UPDATE SET
    cursor = excluded.cursor,
    begun_at = coalesce(before.begun_at, excluded.begun_at),
    complete_at = coalesce(excluded.complete_at, before.complete_at)

-- payments
-- Write payments down as the node tells them now.
INSERT INTO bitcoin.node_payments AS before (payment_hash, amount_sat, fee_sat)
SELECT * FROM unnest(%(payment_hashes)s::text[], %(amounts_sat)s::bigint[], %(fees_sat)s::bigint[])
ON CONFLICT (payment_hash) DO UPDATE SET amount_sat = excluded.amount_sat, fee_sat = excluded.fee_sat
WHERE (before.amount_sat, before.fee_sat) <> (excluded.amount_sat, excluded.fee_sat)

-- unknown
-- Write those of these receipts down that no deposit has, and give those that are new.
INSERT INTO bitcoin.node_receipts_unknown (payment_hash)
SELECT payment_hash FROM unnest(%(payment_hashes)s::text[]) AS told (payment_hash)
WHERE NOT EXISTS (
    SELECT FROM bitcoin.invoices WHERE kind = 'deposit' AND invoices.payment_hash = told.payment_hash
)
ON CONFLICT DO NOTHING
RETURNING payment_hash

-- unknown_payments
-- Write those of these payments down that no withdrawal has, and give those that are new. What the node had paid before
-- its statement was first read through is its own affair.
INSERT INTO bitcoin.node_payments_unknown (payment_hash)
SELECT payment_hash FROM unnest(%(payment_hashes)s::text[]) AS told (payment_hash)
WHERE EXISTS (SELECT FROM bitcoin.node_statement_read WHERE list = 'payments' AND begun_at IS NOT NULL)
  AND NOT EXISTS (
      SELECT FROM bitcoin.invoices
      WHERE kind = 'withdrawal' AND state <> 'rejected' AND invoices.payment_hash = told.payment_hash)
ON CONFLICT DO NOTHING
RETURNING payment_hash

-- unbooked
-- Payments that no withdrawal has to this moment, and that nobody has explained: the first few.
SELECT payment_hash, payment.amount_sat, payment.fee_sat
FROM bitcoin.node_payments_unknown AS unknown JOIN bitcoin.node_payments AS payment USING (payment_hash)
WHERE NOT EXISTS (
    SELECT FROM bitcoin.invoices
    WHERE kind = 'withdrawal' AND state <> 'rejected' AND invoices.payment_hash = unknown.payment_hash)
  AND NOT EXISTS (SELECT FROM bitcoin.node_explained WHERE node_explained.payment_hash = unknown.payment_hash)
ORDER BY unknown.seen_at, payment_hash
LIMIT 10
