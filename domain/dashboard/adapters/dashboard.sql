-- merge_accounts
-- Add what was seen of accounts: the latest balance wins, a name or an opening once seen stays.
INSERT INTO dashboard.accounts AS known (account_id, username, is_open, balance_sat, sequence)
SELECT * FROM unnest(%(account_id)b::text[], %(username)b::text[], %(is_open)b::boolean[], %(balance_sat)b::bigint[],
                     %(sequence)b::bigint[])
ON CONFLICT (account_id) DO UPDATE SET
    username = coalesce(known.username, excluded.username),
    is_open = known.is_open OR excluded.is_open,
    balance_sat = CASE WHEN excluded.sequence > known.sequence THEN excluded.balance_sat ELSE known.balance_sat END,
    sequence = greatest(known.sequence, excluded.sequence)

-- merge_campaigns
-- Add what was seen of campaigns: the latest totals win, a creation or a goal reached once seen stays.
INSERT INTO dashboard.campaigns AS known
    (campaign_id, account_id, title, description, goal_sat, created_at, goal_reached, raised_sat, donations, sequence)
SELECT * FROM unnest(%(campaign_id)b::text[], %(account_id)b::text[], %(title)b::text[], %(description)b::text[],
                     %(goal_sat)b::bigint[], %(created_at)b::timestamptz[], %(goal_reached)b::boolean[],
                     %(raised_sat)b::bigint[], %(donations)b::bigint[], %(sequence)b::bigint[])
ON CONFLICT (campaign_id) DO UPDATE SET
    account_id = coalesce(known.account_id, excluded.account_id),
    title = coalesce(known.title, excluded.title),
    description = coalesce(known.description, excluded.description),
    goal_sat = coalesce(known.goal_sat, excluded.goal_sat),
    created_at = coalesce(known.created_at, excluded.created_at),
    goal_reached = known.goal_reached OR excluded.goal_reached,
    raised_sat = CASE WHEN excluded.sequence > known.sequence THEN excluded.raised_sat ELSE known.raised_sat END,
    donations = CASE WHEN excluded.sequence > known.sequence THEN excluded.donations ELSE known.donations END,
    sequence = greatest(known.sequence, excluded.sequence)

-- merge_donations
-- Add what was seen of donations: the higher rank wins, the earlier among equals. Whose it is and how much never changes.
INSERT INTO dashboard.donations AS known
    (donation_id, campaign_id, account_id, amount_sat, requested_at, state, rank, has_ended, reason, state_at)
SELECT * FROM unnest(%(donation_id)b::text[], %(campaign_id)b::text[], %(account_id)b::text[], %(amount_sat)b::bigint[],
                     %(requested_at)b::timestamptz[], %(state)b::text[], %(rank)b::smallint[], %(has_ended)b::boolean[],
                     %(reason)b::text[], %(state_at)b::timestamptz[])
ON CONFLICT (donation_id) DO UPDATE SET
    requested_at = least(known.requested_at, excluded.requested_at),
    (state, rank, has_ended, reason, state_at) = (
        SELECT (winner).state, (winner).rank, (winner).has_ended, (winner).reason, (winner).state_at
        FROM (SELECT CASE WHEN (excluded.rank, known.state_at) > (known.rank, excluded.state_at)
                          THEN excluded ELSE known END) AS pick (winner))
WHERE (known.campaign_id, known.account_id, known.amount_sat)
    = (excluded.campaign_id, excluded.account_id, excluded.amount_sat)

-- merge_invoices
-- Add what was seen of invoices: the higher rank wins, the earlier among equals; payment terms once seen stay. Whose it
-- is, of which kind and how much was asked for never changes; where that equals what arrived, it may be only that.
INSERT INTO dashboard.invoices AS known
    (invoice_id, account_id, kind, amount_sat, requested_at, state, rank, has_ended, reason, state_at,
     payment_request, payment_hash, expires_at, received_sat, fee_reserve_sat, fee_sat, preimage)
SELECT * FROM unnest(%(invoice_id)b::text[], %(account_id)b::text[], %(kind)b::text[], %(amount_sat)b::bigint[],
                     %(requested_at)b::timestamptz[], %(state)b::text[], %(rank)b::smallint[], %(has_ended)b::boolean[],
                     %(reason)b::text[], %(state_at)b::timestamptz[], %(payment_request)b::text[],
                     %(payment_hash)b::text[], %(expires_at)b::timestamptz[], %(received_sat)b::bigint[],
                     %(fee_reserve_sat)b::bigint[], %(fee_sat)b::bigint[], %(preimage)b::text[])
ON CONFLICT (invoice_id) DO UPDATE SET
    amount_sat = CASE WHEN excluded.amount_sat IS DISTINCT FROM excluded.received_sat
                      THEN excluded.amount_sat ELSE known.amount_sat END,
    received_sat = coalesce(known.received_sat, excluded.received_sat),
    fee_reserve_sat = coalesce(known.fee_reserve_sat, excluded.fee_reserve_sat),
    fee_sat = coalesce(known.fee_sat, excluded.fee_sat),
    preimage = coalesce(known.preimage, excluded.preimage),
    requested_at = least(known.requested_at, excluded.requested_at),
    payment_request = coalesce(known.payment_request, excluded.payment_request),
    payment_hash = coalesce(known.payment_hash, excluded.payment_hash),
    expires_at = coalesce(known.expires_at, excluded.expires_at),
    (state, rank, has_ended, reason, state_at) = (
        SELECT (winner).state, (winner).rank, (winner).has_ended, (winner).reason, (winner).state_at
        FROM (SELECT CASE WHEN (excluded.rank, known.state_at) > (known.rank, excluded.state_at)
                          THEN excluded ELSE known END) AS pick (winner))
WHERE (known.account_id, known.kind) = (excluded.account_id, excluded.kind)
  AND (known.amount_sat = excluded.amount_sat
       OR known.amount_sat IS NOT DISTINCT FROM known.received_sat
       OR excluded.amount_sat IS NOT DISTINCT FROM excluded.received_sat)

-- merge_gifts
-- Add what was seen of gifts: the higher rank wins, the earlier among equals; name, message and payment terms once seen
-- stay. To which campaign it is never changes.
INSERT INTO dashboard.gifts AS known
    (gift_id, campaign_id, amount_sat, requested_at, state, rank, has_ended, reason, state_at, name, message,
     payment_request, payment_hash, expires_at)
SELECT * FROM unnest(%(gift_id)b::text[], %(campaign_id)b::text[], %(amount_sat)b::bigint[],
                     %(requested_at)b::timestamptz[], %(state)b::text[], %(rank)b::smallint[], %(has_ended)b::boolean[],
                     %(reason)b::text[], %(state_at)b::timestamptz[], %(name)b::text[], %(message)b::text[],
                     %(payment_request)b::text[], %(payment_hash)b::text[], %(expires_at)b::timestamptz[])
ON CONFLICT (gift_id) DO UPDATE SET
    requested_at = least(known.requested_at, excluded.requested_at),
    name = coalesce(known.name, excluded.name),
    message = coalesce(known.message, excluded.message),
    payment_request = coalesce(known.payment_request, excluded.payment_request),
    payment_hash = coalesce(known.payment_hash, excluded.payment_hash),
    expires_at = coalesce(known.expires_at, excluded.expires_at),
    (amount_sat, state, rank, has_ended, reason, state_at) = (
        SELECT (winner).amount_sat, (winner).state, (winner).rank, (winner).has_ended, (winner).reason, (winner).state_at
        FROM (SELECT CASE WHEN (excluded.rank, known.state_at) > (known.rank, excluded.state_at)
                          THEN excluded ELSE known END) AS pick (winner))
WHERE known.campaign_id = excluded.campaign_id

-- add_activity
-- Show events in the feed; one that is there already stays as it is.
INSERT INTO dashboard.activity
    (occurred_at, message_id, event, event_key, account_id, correlation_id, causation_id, data)
SELECT * FROM unnest(%(occurred_at)b::timestamptz[], %(message_id)b::text[], %(event)b::text[], %(event_key)b::text[],
                     %(account_id)b::text[], %(correlation_id)b::text[], %(causation_id)b::text[], %(data)b::text[]::json[])
ON CONFLICT (occurred_at, message_id) DO NOTHING

-- make_activity_partitions
-- Make the partitions that events of these moments go to.
SELECT dashboard.make_activity_partitions(%(moments)b::timestamptz[])

-- drop_activity_partitions
-- Forget the activity of weeks past their retention.
SELECT dashboard.drop_activity_partitions(%(moment)s, %(retention)s)

-- view_account
-- One account.
SELECT account_id, coalesce(username, '') AS username, balance_sat, is_open
FROM dashboard.accounts WHERE account_id = %(account_id)s

-- view_campaigns
-- The newest campaigns, or those behind one that was seen.
SELECT campaign_id, title, goal_sat, raised_sat, donations, goal_reached, created_at
FROM dashboard.campaigns
WHERE (created_at, campaign_id) < (coalesce(%(before)s::timestamptz, 'infinity'), %(before_id)s)
ORDER BY created_at DESC, campaign_id DESC LIMIT %(limit)s

-- view_campaign
-- One campaign.
SELECT campaign_id, title, goal_sat, raised_sat, donations, goal_reached, created_at, description
FROM dashboard.campaigns WHERE campaign_id = %(campaign_id)s AND created_at IS NOT NULL

-- view_campaigns_of_account
-- The newest campaigns of an owner.
SELECT campaign_id, title, goal_sat, raised_sat, donations, goal_reached, created_at
FROM dashboard.campaigns WHERE account_id = %(account_id)s
ORDER BY created_at DESC LIMIT %(limit)s

-- view_donation
-- One donation.
SELECT donation_id, campaign_id, account_id, amount_sat, state, reason, requested_at,
       CASE WHEN has_ended THEN state_at END AS ended_at
FROM dashboard.donations WHERE donation_id = %(donation_id)s

-- view_donations_of_account
-- The newest donations of a donor.
SELECT donation_id, campaign_id, account_id, amount_sat, state, reason, requested_at,
       CASE WHEN has_ended THEN state_at END AS ended_at
FROM dashboard.donations WHERE account_id = %(account_id)s
ORDER BY requested_at DESC LIMIT %(limit)s

-- view_gifts_to_campaign
-- What was registered last for a campaign, and nothing of who gave it but what they wanted to be shown.
(SELECT amount_sat, state_at AS registered_at, '' AS name, '' AS message
 FROM dashboard.donations WHERE campaign_id = %(campaign_id)s AND state = 'registered'
 ORDER BY state_at DESC LIMIT %(limit)s)
UNION ALL
(SELECT amount_sat, state_at, coalesce(name, ''), coalesce(message, '')
 FROM dashboard.gifts WHERE campaign_id = %(campaign_id)s AND state = 'registered'
 ORDER BY state_at DESC LIMIT %(limit)s)
ORDER BY registered_at DESC LIMIT %(limit)s

-- view_gift
-- One gift of somebody without an account.
SELECT gift_id, gifts.campaign_id, coalesce(title, '') AS campaign_title, amount_sat, state, reason,
       coalesce(name, '') AS name, coalesce(message, '') AS message,
       coalesce(payment_request, '') AS payment_request, coalesce(payment_hash, '') AS payment_hash,
       coalesce('lightning:' || upper(payment_request), '') AS uri, expires_at, requested_at,
       CASE WHEN has_ended THEN state_at END AS ended_at
FROM dashboard.gifts LEFT JOIN dashboard.campaigns USING (campaign_id) WHERE gift_id = %(gift_id)s

-- view_invoice
-- One deposit or withdrawal.
SELECT invoice_id, account_id, kind, amount_sat, state, reason, coalesce(payment_request, '') AS payment_request,
       coalesce(payment_hash, '') AS payment_hash, expires_at, requested_at,
       CASE WHEN has_ended THEN state_at END AS ended_at, received_sat, fee_reserve_sat, fee_sat,
       coalesce(preimage, '') AS preimage,
       CASE WHEN kind = 'deposit' THEN coalesce('lightning:' || upper(payment_request), '') ELSE '' END AS uri
FROM dashboard.invoices WHERE invoice_id = %(invoice_id)s

-- view_invoices_of_account
-- The newest deposits or withdrawals of an account.
SELECT invoice_id, account_id, kind, amount_sat, state, reason, coalesce(payment_request, '') AS payment_request,
       coalesce(payment_hash, '') AS payment_hash, expires_at, requested_at,
       CASE WHEN has_ended THEN state_at END AS ended_at, received_sat, fee_reserve_sat, fee_sat
FROM dashboard.invoices WHERE account_id = %(account_id)s AND kind = %(kind)s
ORDER BY requested_at DESC LIMIT %(limit)s

-- view_activity
-- The newest events, or those behind one that was seen.
SELECT occurred_at AS at, event, event_key AS key, account_id, message_id, correlation_id, causation_id, data
FROM dashboard.activity
WHERE (occurred_at, message_id) < (coalesce(%(before)s::timestamptz, 'infinity'), %(before_id)s)
ORDER BY occurred_at DESC, message_id DESC LIMIT %(limit)s

-- view_activity_of_account
-- The newest events in an account's feed, or those behind one that was seen.
SELECT occurred_at AS at, event, event_key AS key, account_id, message_id, correlation_id, causation_id, data
FROM dashboard.activity
WHERE account_id = %(account_id)s AND account_id <> '' AND occurred_at <= coalesce(%(before)s::timestamptz, 'infinity')
  AND (occurred_at, message_id) < (coalesce(%(before)s::timestamptz, 'infinity'), %(before_id)s)
ORDER BY occurred_at DESC, message_id DESC LIMIT %(limit)s

-- view_timeline
-- The events of one story, the oldest first; those of one instant in the order in which they arrived here. All of them, or
-- those behind one that was seen.
SELECT occurred_at AS at, event, event_key AS key, account_id, message_id, correlation_id, causation_id, data
FROM dashboard.activity
WHERE correlation_id = %(correlation_id)s
  AND (%(after_id)s = '' OR (occurred_at, position) > (
      SELECT seen.occurred_at, seen.position FROM dashboard.activity AS seen
      WHERE seen.correlation_id = %(correlation_id)s AND seen.message_id = %(after_id)s
      ORDER BY seen.occurred_at DESC LIMIT 1))
ORDER BY occurred_at, position LIMIT %(limit)s
