-- load
-- The named invoices; one that does not exist is missing from the result.
SELECT
    invoice_id, version, kind, state, account_id, amount_sat, requested_at, payment_hash, payment_request,
    expires_at, preimage, reason, settled_at
FROM bitcoin.invoices
WHERE invoice_id = ANY(%(keys)s::text[])

-- insert
-- Store new invoices; the primary key refuses one that somebody else has made meanwhile.
INSERT INTO bitcoin.invoices (
    invoice_id, version, kind, state, account_id, amount_sat, requested_at, payment_hash, payment_request,
    expires_at, preimage, reason, settled_at
)
SELECT *
FROM unnest(
    %(keys)s::text[], %(versions)s::bigint[], %(kind)s::text[], %(state)s::text[], %(account_id)s::text[],
    %(amount_sat)s::bigint[], %(requested_at)s::timestamptz[], %(payment_hash)s::text[],
    %(payment_request)s::text[], %(expires_at)s::timestamptz[], %(preimage)s::text[], %(reason)s::text[],
    %(settled_at)s::timestamptz[]
)

-- update
-- Store new states of invoices, each only over the version that it was decided on.
WITH saved AS (
    UPDATE bitcoin.invoices AS held
    SET version = new.version,
        kind = new.kind, state = new.state, account_id = new.account_id, amount_sat = new.amount_sat,
        requested_at = new.requested_at, payment_hash = new.payment_hash, payment_request = new.payment_request,
        expires_at = new.expires_at, preimage = new.preimage, reason = new.reason, settled_at = new.settled_at
    FROM unnest(
        %(keys)s::text[], %(expected)s::bigint[], %(versions)s::bigint[], %(kind)s::text[], %(state)s::text[],
        %(account_id)s::text[], %(amount_sat)s::bigint[], %(requested_at)s::timestamptz[], %(payment_hash)s::text[],
        %(payment_request)s::text[], %(expires_at)s::timestamptz[], %(preimage)s::text[],
        %(reason)s::text[], %(settled_at)s::timestamptz[]
    ) AS new (
        key, expected, version, kind, state, account_id, amount_sat, requested_at, payment_hash, payment_request,
        expires_at, preimage, reason, settled_at
    )
    WHERE held.invoice_id = new.key AND held.version = new.expected
    RETURNING 1
)
SELECT bitcoin.expect_rows(count(*), cardinality(%(keys)s::text[])) FROM saved

-- hold
-- Refuse if invoices that were only looked at have changed (version 0: have come to be); keep them so until commit.
WITH held AS (
    SELECT 1
    FROM bitcoin.invoices AS held JOIN unnest(%(keys)s::text[], %(versions)s::bigint[]) AS seen (key, version)
        ON held.invoice_id = seen.key
    WHERE held.version = seen.version
    FOR SHARE OF held
)
SELECT
    bitcoin.expect_rows((SELECT count(*) FROM held), cardinality(%(keys)s::text[])),
    bitcoin.expect_rows((SELECT count(*) FROM bitcoin.invoices WHERE invoice_id = ANY(%(absent)s::text[])), 0)

-- locked
-- Those of the named invoices that somebody else holds a lock on. Waits for no row.
WITH free AS MATERIALIZED (
    SELECT invoice_id FROM bitcoin.invoices WHERE invoice_id = ANY(%(keys)s::text[]) FOR NO KEY UPDATE SKIP LOCKED
)
SELECT invoice_id FROM bitcoin.invoices WHERE invoice_id = ANY(%(keys)s::text[]) AND invoice_id NOT IN (SELECT invoice_id FROM free)
