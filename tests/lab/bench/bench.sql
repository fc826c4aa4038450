-- first_waiting
-- The first event that waits in the outbox, if any. By position, so that rows that were settled are not read again.
SELECT position FROM {schema}.outbox WHERE position >= %(floor)s ORDER BY position LIMIT 1

-- last_position
-- The highest position that was ever given out.
SELECT coalesce(pg_sequence_last_value(pg_get_serial_sequence('{schema}.outbox', 'position')), 0)

-- waiting
-- How many events wait.
SELECT count(*) FROM {schema}.outbox

-- letters
-- How many messages could not be delivered.
SELECT count(*) FROM {schema}.dead_letters

-- books
-- What users hold together, how many deposits the ledger has and of how much, and what is in transit.
SELECT
    (SELECT coalesce(sum(balance_sat), 0)::bigint FROM accounting.accounts),
    count(*) FILTER (WHERE kind IN ('deposit', 'manual_deposit', 'invoice_deposit')),
    coalesce(sum(amount_sat) FILTER (WHERE kind IN ('deposit', 'manual_deposit', 'invoice_deposit')), 0)::bigint,
    (coalesce(sum(amount_sat) FILTER (WHERE credit_account = '@in-transit'), 0)
        - coalesce(sum(amount_sat) FILTER (WHERE debit_account = '@in-transit'), 0))::bigint
FROM accounting.ledger

-- donations
-- How many donations the campaigns have registered, and how much they have raised.
SELECT coalesce(sum(donations), 0)::bigint, coalesce(sum(raised_sat), 0)::bigint FROM crowdfunding.campaigns

-- is_registered
-- Whether this donation has reached its campaign's total.
SELECT EXISTS (SELECT FROM crowdfunding.donations WHERE donation_id = %(donation_id)s)

-- add_accounts
-- Store many open accounts.
INSERT INTO accounting.accounts (account_id, version, status, balance_sat)
SELECT %(prefix)s::text || n, 2, 'open', %(amount_sat)s::bigint FROM generate_series(0, %(count)s::integer - 1) AS n

-- add_opening_deposits
-- Book what they hold.
INSERT INTO accounting.ledger (idempotency_key, debit_account, credit_account, amount_sat, kind, recorded_at)
SELECT 'deposit/' || %(prefix)s::text || n, '@lightning', %(prefix)s::text || n, %(amount_sat)s::bigint, 'manual_deposit', now()
FROM generate_series(0, %(count)s::integer - 1) AS n

-- add_pending_events
-- Leave many events to the relay, as if deposits had just been committed.
INSERT INTO accounting.outbox
    (message_id, name, version, key, sequence, data, correlation_id, causation_id, occurred_at)
SELECT
    %(prefix)s::text || n, 'accounting.deposited', 1, %(prefix)s::text || (n %% %(accounts)s::integer), n / %(accounts)s::integer + 1,
    json_build_object(
        'account_id', %(prefix)s::text || (n %% %(accounts)s::integer), 'deposit_id', %(prefix)s::text || n, 'amount_sat', 1000,
        'balance_sat', (n / %(accounts)s::integer + 1) * 1000, 'purpose', ''
    ),
    %(prefix)s::text || n, '', now()
FROM generate_series(0, %(count)s::integer - 1) AS n

-- pending_positions
-- The first and the last position that waits.
SELECT
    (SELECT position FROM accounting.outbox ORDER BY position LIMIT 1),
    (SELECT position FROM accounting.outbox ORDER BY position DESC LIMIT 1)

-- hold
-- Take a transaction id and a snapshot.
SELECT pg_current_xact_id(), (SELECT count(*) FROM pg_class)
