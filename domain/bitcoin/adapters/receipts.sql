-- cursor
-- Where reading the node's receipts goes on.
SELECT cursor FROM bitcoin.receipts_read

-- go_on_at
-- All before this place was told.
INSERT INTO bitcoin.receipts_read (cursor) VALUES (%(cursor)s)
ON CONFLICT (is_only) DO UPDATE SET cursor = excluded.cursor

-- unconfirmed
-- The deposits with these payment hashes that are not paid yet, and their stories.
SELECT invoice.invoice_id, invoice.payment_hash, coalesce(story.correlation_id, '')
FROM bitcoin.invoices AS invoice
LEFT JOIN LATERAL (
    SELECT correlation_id FROM bitcoin.sagas AS saga
    WHERE saga.kind = 'deposit' AND saga.saga_id = invoice.invoice_id
    ORDER BY started_at LIMIT 1
) AS story ON true
WHERE invoice.payment_hash = ANY(%(payment_hashes)s::text[]) AND invoice.kind = 'deposit'
    AND invoice.state NOT IN ('rejected', 'failed') AND invoice.state <> 'paid'
