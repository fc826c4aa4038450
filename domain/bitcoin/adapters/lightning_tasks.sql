-- add
-- Add tasks; one that is there already stays as it is.
INSERT INTO bitcoin.lightning_tasks
    (invoice_id, kind, amount_sat, payment_hash, payment_request, due_at, correlation_id, causation_id, attempts)
SELECT *
FROM unnest(
    %(invoice_ids)s::text[], %(kinds)s::text[], %(amounts_sat)s::bigint[], %(payment_hashes)s::text[],
    %(payment_requests)s::text[], %(due_at)s::timestamptz[], %(correlation_ids)s::text[], %(causation_ids)s::text[],
    %(attempts)s::int[]
)
ON CONFLICT DO NOTHING

-- due
-- The tasks that have been due the longest. Nothing is put off for longer than %(farthest)s: what is, was put off by a
-- clock that has been set back since.
SELECT invoice_id, kind, amount_sat, payment_hash, payment_request, due_at, correlation_id, causation_id, attempts
FROM bitcoin.lightning_tasks
WHERE due_at <= %(now)s OR due_at > %(now)s + %(farthest)s
ORDER BY due_at
LIMIT %(limit)s

-- reschedule
-- Store new due times and attempts.
UPDATE bitcoin.lightning_tasks AS task
SET due_at = new.due_at, attempts = new.attempts
FROM unnest(%(invoice_ids)s::text[], %(kinds)s::text[], %(due_at)s::timestamptz[], %(attempts)s::int[])
    AS new (invoice_id, kind, due_at, attempts)
WHERE task.invoice_id = new.invoice_id AND task.kind = new.kind

-- remove
-- Forget tasks whose answers are durable.
DELETE FROM bitcoin.lightning_tasks AS task
USING unnest(%(invoice_ids)s::text[], %(kinds)s::text[]) AS done (invoice_id, kind)
WHERE task.invoice_id = done.invoice_id AND task.kind = done.kind
