-- unbalanced_accounts
-- Accounts whose balance is not what their entries sum up to, and entries of accounts that do not exist.
WITH entries AS (
    SELECT credit_account AS account, amount_sat FROM accounting.ledger
    UNION ALL
    SELECT debit_account, -amount_sat FROM accounting.ledger
), sums AS (
    SELECT account, sum(amount_sat) AS sum_sat FROM entries WHERE account NOT LIKE '@%%' GROUP BY account
)
SELECT coalesce(account_id, account), format('balance %%s, entries %%s', balance_sat, coalesce(sum_sat, 0))
FROM accounting.accounts FULL JOIN sums ON account = account_id
WHERE balance_sat IS DISTINCT FROM coalesce(sum_sat, 0)
LIMIT %(limit)s

-- negative_balances
-- Accounts below zero.
SELECT account_id, format('balance %%s', balance_sat)
FROM accounting.accounts
WHERE balance_sat < 0
LIMIT %(limit)s

-- ledger_sum
-- What all accounts hold together, users' balances as they are kept and the system's as they sum up.
WITH system AS (
    SELECT
        coalesce(sum(amount_sat) FILTER (WHERE credit_account LIKE '@%%'), 0)
        - coalesce(sum(amount_sat) FILTER (WHERE debit_account LIKE '@%%'), 0) AS sum_sat
    FROM accounting.ledger
), users AS (
    SELECT coalesce(sum(balance_sat), 0) AS sum_sat FROM accounting.accounts
)
SELECT 'ledger', format('users hold %%s, the system %%s', users.sum_sat, system.sum_sat)
FROM users, system
WHERE users.sum_sat + system.sum_sat <> 0

-- in_transit
-- What is in transit, if it is not what the transfers sum up to that were debited and not ended.
WITH held AS (
    SELECT
        coalesce(sum(amount_sat) FILTER (WHERE credit_account = '@in-transit'), 0)
        - coalesce(sum(amount_sat) FILTER (WHERE debit_account = '@in-transit'), 0) AS sum_sat
    FROM accounting.ledger
), open AS (
    SELECT coalesce(sum(debit.amount_sat), 0) AS sum_sat
    FROM accounting.ledger AS debit
    WHERE debit.kind = 'transfer_debit'
      AND NOT EXISTS (SELECT FROM accounting.ledger AS next WHERE next.follows = debit.idempotency_key)
)
SELECT '@in-transit', format('holds %%s, open transfers are %%s', held.sum_sat, open.sum_sat)
FROM held, open
WHERE held.sum_sat <> open.sum_sat

-- fees
-- What is held for routes, if it is not what the reserves that nothing was given back of and the fees of the others sum up
-- to.
WITH held AS (
    SELECT
        coalesce(sum(amount_sat) FILTER (WHERE credit_account = '@routing'), 0)
        - coalesce(sum(amount_sat) FILTER (WHERE debit_account = '@routing'), 0) AS sum_sat
    FROM accounting.ledger
), due AS (
    SELECT coalesce(sum(CASE WHEN next.follows IS NULL THEN first.amount_sat ELSE coalesce(next.fee_sat, 0) END), 0)
        AS sum_sat
    FROM accounting.ledger AS first LEFT JOIN accounting.ledger AS next ON next.follows = first.idempotency_key
    WHERE first.kind = 'fee_reserve'
)
SELECT '@routing', format('holds %%s, reserves and fees are %%s', held.sum_sat, due.sum_sat)
FROM held, due
WHERE held.sum_sat <> due.sum_sat

-- mismatched_follow_ups
-- Movements that do not take up what the one that they follow put down: another amount, or not where it was put;
-- what goes to somebody else; movements that should follow another and do not.
SELECT next.idempotency_key, format('%%s %%s from %%s to %%s follows %%s %%s from %%s to %%s',
    next.kind, next.amount_sat, next.debit_account, next.credit_account,
    coalesce(first.kind, 'nothing'), first.amount_sat, first.debit_account, coalesce(first.payee, first.credit_account))
FROM accounting.ledger AS next LEFT JOIN accounting.ledger AS first ON first.idempotency_key = next.follows
WHERE CASE next.kind
    WHEN 'transfer_credit' THEN
        first.kind = 'transfer_debit' AND next.credit_account = coalesce(first.payee, next.credit_account)
    WHEN 'transfer_refund' THEN first.kind = 'transfer_debit' AND next.credit_account = first.debit_account
    WHEN 'withdrawal_refund' THEN first.kind = 'withdrawal' AND next.credit_account = first.debit_account
    WHEN 'fee_change' THEN first.kind = 'fee_reserve' AND next.credit_account = first.debit_account
    WHEN 'fee_refund' THEN first.kind = 'fee_reserve' AND next.credit_account = first.debit_account
    ELSE next.follows IS NULL
END IS NOT TRUE
OR next.amount_sat + coalesce(next.fee_sat, 0) <> first.amount_sat
OR next.debit_account <> first.credit_account
LIMIT %(limit)s

-- campaign_totals
-- Campaigns whose totals are not those of their donations.
SELECT campaign_id, format('raised %%s by %%s donations, registered are %%s by %%s',
    raised_sat, campaigns.donations, coalesce(sum_sat, 0), coalesce(registered, 0))
FROM crowdfunding.campaigns LEFT JOIN (
    SELECT campaign_id, sum(amount_sat) AS sum_sat, count(*) AS registered
    FROM (
        SELECT campaign_id, amount_sat FROM crowdfunding.donations
        UNION ALL
        SELECT campaign_id, amount_sat FROM crowdfunding.gifts
    ) AS given GROUP BY campaign_id
) AS sums USING (campaign_id)
WHERE (raised_sat, campaigns.donations) <> (coalesce(sum_sat, 0), coalesce(registered, 0))
LIMIT %(limit)s

-- donations_page
-- Registered donations after an id, in the order of ids.
SELECT donation_id, account_id, amount_sat
FROM crowdfunding.donations
WHERE donation_id > %(after)s
ORDER BY donation_id
LIMIT %(limit)s

-- ended_donations_page
-- Donations of which every story has ended, after an id, in the order of ids, whether they are registered, and what was
-- requested (null if an earlier release accepted it).
SELECT saga_id, string_agg(DISTINCT sagas.state, ' and '), bool_or(donations.donation_id IS NOT NULL),
       request.account_id, request.amount_sat
FROM crowdfunding.sagas
    LEFT JOIN crowdfunding.donations ON donations.donation_id = saga_id
    LEFT JOIN crowdfunding.donation_requests AS request ON request.donation_id = saga_id
WHERE kind = 'donation' AND saga_id > %(after)s
GROUP BY saga_id, request.account_id, request.amount_sat
HAVING bool_and(sagas.state <> 'running')
ORDER BY saga_id
LIMIT %(limit)s

-- gifts_page
-- Gifts that are registered or of which every story has ended, after an id, in the order of ids, each with its campaign's
-- owner and what was registered, null if it was not.
SELECT gift_id, campaigns.account_id, gifts.amount_sat
FROM crowdfunding.gift_requests AS request
    JOIN crowdfunding.campaigns USING (campaign_id)
    LEFT JOIN crowdfunding.gifts USING (gift_id)
WHERE gift_id > %(after)s
  AND (gifts.gift_id IS NOT NULL OR EXISTS (
      SELECT FROM crowdfunding.sagas WHERE kind = 'gift' AND saga_id = gift_id HAVING bool_and(state <> 'running')))
ORDER BY gift_id
LIMIT %(limit)s

-- invoices_page
-- Invoices for which money has moved or must have, after an id, in the order of ids, and whether the ledger has had time
-- enough to follow: what was settled before that was noted has had it long ago.
SELECT invoice_id, kind, state, account_id, coalesce(received_sat, amount_sat),
       coalesce(settled_at < now() - %(stuck_after)s::interval, true), coalesce(fee_reserve_sat, 0), coalesce(fee_sat, 0)
FROM bitcoin.invoices
WHERE invoice_id > %(after)s
  AND (state IN ('authorized', 'paid') OR (kind = 'withdrawal' AND state = 'failed'))
ORDER BY invoice_id
LIMIT %(limit)s

-- node_payments
-- What the node says it has paid that the books did not pay out so, and what they paid out of which it knows nothing.
-- What the node had paid before its statement was first read through, for whomever, is not asked for.
WITH read AS (
    SELECT begun_at, complete_at FROM bitcoin.node_statement_read WHERE list = 'payments'
), withdrawals AS (
    SELECT DISTINCT ON (payment_hash) payment_hash, invoice_id, state, amount_sat, fee_reserve_sat, fee_sat
    FROM bitcoin.invoices WHERE kind = 'withdrawal'
    ORDER BY payment_hash, state IN ('authorized', 'paid') DESC, state
), payments AS (
    SELECT payment_hash, seen_at, payment.amount_sat AS sent_sat, payment.fee_sat AS cost_sat, invoice_id, state,
        booked.amount_sat AS booked_sat, booked.fee_sat AS charged_sat, fee_reserve_sat,
        payment.fee_sat - fee_reserve_sat AS beyond_sat
    FROM bitcoin.node_payments AS payment LEFT JOIN withdrawals AS booked USING (payment_hash)
), findings AS (
    SELECT payment_hash, coalesce(invoice_id, payment_hash) AS subject,
        CASE
            WHEN invoice_id IS NULL
                THEN format('the node has paid %%s and a fee of %%s, for no withdrawal of the books', sent_sat, cost_sat)
            WHEN state NOT IN ('authorized', 'paid')
                THEN format('the node has paid %%s and a fee of %%s, and the withdrawal is %%s', sent_sat, cost_sat, state)
            WHEN sent_sat <> booked_sat THEN format('the node has paid %%s, the withdrawal is of %%s', sent_sat, booked_sat)
            WHEN beyond_sat > 0
                THEN format('the node has paid a fee of %%s, %%s more than was set aside: the loss is the operator''s',
                            cost_sat, beyond_sat)
            ELSE format('the node has paid a fee of %%s, the books say %%s', cost_sat, coalesce(charged_sat, 0))
        END AS detail
    FROM payments
    WHERE CASE
        WHEN invoice_id IS NULL THEN seen_at > (SELECT begun_at FROM read)
        WHEN state NOT IN ('authorized', 'paid') OR sent_sat <> booked_sat THEN true
        -- Withdrawals of former releases have set nothing aside, and none of them knows of a fee.
        ELSE state = 'paid' AND fee_reserve_sat IS NOT NULL AND cost_sat <> coalesce(charged_sat, 0)
    END
    UNION ALL
    SELECT payment_hash, invoice_id, format('paid out %%s, and the node knows nothing of it', amount_sat)
    FROM bitcoin.invoices, read
    WHERE kind = 'withdrawal' AND state = 'paid' AND settled_at > read.begun_at
      -- Clocks differ, and nodes may tell a payment a little later than they make it.
      AND settled_at < read.complete_at - greatest(%(stuck_after)s::interval, interval '1 minute')
      AND NOT EXISTS (SELECT FROM bitcoin.node_payments WHERE node_payments.payment_hash = invoices.payment_hash)
)
SELECT subject, detail FROM findings
WHERE NOT EXISTS (SELECT FROM bitcoin.node_explained WHERE node_explained.payment_hash = findings.payment_hash)
LIMIT %(limit)s

-- node_receipts
-- What the node has received, since its statement was first read through, for no deposit of the books.
SELECT payment_hash, format('received for nobody here, seen %%s', seen_at)
FROM bitcoin.node_receipts_unknown AS receipt
WHERE seen_at > (SELECT begun_at FROM bitcoin.node_statement_read WHERE list = 'receipts')
  AND NOT EXISTS (
      SELECT FROM bitcoin.invoices WHERE kind = 'deposit' AND invoices.payment_hash = receipt.payment_hash)
  AND NOT EXISTS (SELECT FROM bitcoin.node_explained WHERE node_explained.payment_hash = receipt.payment_hash)
ORDER BY seen_at, payment_hash
LIMIT %(limit)s

-- movements
-- The movements under these keys.
SELECT idempotency_key, debit_account, credit_account, amount_sat, kind
FROM accounting.ledger
WHERE idempotency_key = ANY(%(keys)s::text[])
