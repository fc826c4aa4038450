-- load
-- The named accounts; one that does not exist is missing from the result.
SELECT
    account_id, version, status, balance_sat
FROM accounting.accounts
WHERE account_id = ANY(%(keys)s::text[])

-- insert
-- Store new accounts; the primary key refuses one that somebody else has made meanwhile.
INSERT INTO accounting.accounts (
    account_id, version, status, balance_sat
)
SELECT *
FROM unnest(
    %(keys)s::text[], %(versions)s::bigint[], %(status)s::text[], %(balance_sat)s::bigint[]
)

-- update
-- Store new states of accounts, each only over the version that it was decided on.
WITH saved AS (
    UPDATE accounting.accounts AS held
    SET version = new.version,
        status = new.status, balance_sat = new.balance_sat
    FROM unnest(
        %(keys)s::text[], %(expected)s::bigint[], %(versions)s::bigint[], %(status)s::text[],
        %(balance_sat)s::bigint[]
    ) AS new (
        key, expected, version, status, balance_sat
    )
    WHERE held.account_id = new.key AND held.version = new.expected
    RETURNING 1
)
SELECT accounting.expect_rows(count(*), cardinality(%(keys)s::text[])) FROM saved

-- hold
-- Refuse if accounts that were only looked at have changed (version 0: have come to be); keep them so until commit.
WITH held AS (
    SELECT 1
    FROM accounting.accounts AS held JOIN unnest(%(keys)s::text[], %(versions)s::bigint[]) AS seen (key, version)
        ON held.account_id = seen.key
    WHERE held.version = seen.version
    FOR SHARE OF held
)
SELECT
    accounting.expect_rows((SELECT count(*) FROM held), cardinality(%(keys)s::text[])),
    accounting.expect_rows((SELECT count(*) FROM accounting.accounts WHERE account_id = ANY(%(absent)s::text[])), 0)

-- record
-- Book movements of money, in order.
INSERT INTO accounting.ledger
    (idempotency_key, debit_account, credit_account, amount_sat, kind, follows, payee, recorded_at, sent_by)
SELECT *
FROM unnest(
    %(idempotency_key)s::text[], %(debit_account)s::text[], %(credit_account)s::text[], %(amount_sat)s::bigint[],
    %(kind)s::text[], %(follows)s::text[], %(payee)s::text[], %(recorded_at)s::timestamptz[], %(sent_by)s::text[]
)

-- locked
-- Those of the named accounts that somebody else holds a lock on. Waits for no row.
WITH free AS MATERIALIZED (
    SELECT account_id FROM accounting.accounts WHERE account_id = ANY(%(keys)s::text[]) FOR NO KEY UPDATE SKIP LOCKED
)
SELECT account_id FROM accounting.accounts WHERE account_id = ANY(%(keys)s::text[]) AND account_id NOT IN (SELECT account_id FROM free)
