-- load
-- The named campaigns; one that does not exist is missing from the result.
SELECT
    campaign_id, version, account_id, title, description, goal_sat, created_at, raised_sat, donations, goal_reached
FROM crowdfunding.campaigns
WHERE campaign_id = ANY(%(keys)s::text[])

-- insert
-- Store new campaigns; the primary key refuses one that somebody else has made meanwhile.
INSERT INTO crowdfunding.campaigns (
    campaign_id, version, account_id, title, description, goal_sat, created_at, raised_sat, donations, goal_reached
)
SELECT *
FROM unnest(
    %(keys)s::text[], %(versions)s::bigint[], %(account_id)s::text[], %(title)s::text[], %(description)s::text[],
    %(goal_sat)s::bigint[], %(created_at)s::timestamptz[], %(raised_sat)s::bigint[], %(donations)s::bigint[],
    %(goal_reached)s::boolean[]
)

-- update
-- Store new states of campaigns, each only over the version that it was decided on.
WITH saved AS (
    UPDATE crowdfunding.campaigns AS held
    SET version = new.version,
        account_id = new.account_id, title = new.title, description = new.description, goal_sat = new.goal_sat,
        created_at = new.created_at, raised_sat = new.raised_sat, donations = new.donations,
        goal_reached = new.goal_reached
    FROM unnest(
        %(keys)s::text[], %(expected)s::bigint[], %(versions)s::bigint[], %(account_id)s::text[], %(title)s::text[],
        %(description)s::text[], %(goal_sat)s::bigint[], %(created_at)s::timestamptz[], %(raised_sat)s::bigint[],
        %(donations)s::bigint[], %(goal_reached)s::boolean[]
    ) AS new (
        key, expected, version, account_id, title, description, goal_sat, created_at, raised_sat, donations,
        goal_reached
    )
    WHERE held.campaign_id = new.key AND held.version = new.expected
    RETURNING 1
)
SELECT crowdfunding.expect_rows(count(*), cardinality(%(keys)s::text[])) FROM saved

-- hold
-- Refuse if campaigns that were only looked at have changed (version 0: have come to be); keep them so until commit.
WITH held AS (
    SELECT 1
    FROM crowdfunding.campaigns AS held JOIN unnest(%(keys)s::text[], %(versions)s::bigint[]) AS seen (key, version)
        ON held.campaign_id = seen.key
    WHERE held.version = seen.version
    FOR SHARE OF held
)
SELECT
    crowdfunding.expect_rows((SELECT count(*) FROM held), cardinality(%(keys)s::text[])),
    crowdfunding.expect_rows((SELECT count(*) FROM crowdfunding.campaigns WHERE campaign_id = ANY(%(absent)s::text[])), 0)

-- record_requests
-- Book donations that campaigns have accepted; the primary key refuses an id that was used before.
INSERT INTO crowdfunding.donation_requests (donation_id, campaign_id, account_id, amount_sat, requested_at)
SELECT *
FROM unnest(
    %(donation_id)s::text[], %(campaign_id)s::text[], %(account_id)s::text[], %(amount_sat)s::bigint[],
    %(requested_at)s::timestamptz[]
)

-- record_donations
-- Book donations whose money has arrived, just as they were requested. Of a request that an earlier release accepted only
-- the id is known; what it was about is learned here, from the money that has moved for it.
WITH arrived AS (
    SELECT *
    FROM unnest(
        %(donation_id)s::text[], %(campaign_id)s::text[], %(account_id)s::text[], %(amount_sat)s::bigint[],
        %(registered_at)s::timestamptz[]
    ) AS row (donation_id, campaign_id, account_id, amount_sat, registered_at)
), learned AS (
    UPDATE crowdfunding.donation_requests AS request
    SET campaign_id = arrived.campaign_id, account_id = arrived.account_id, amount_sat = arrived.amount_sat
    FROM arrived
    WHERE request.donation_id = arrived.donation_id AND request.campaign_id IS NULL
)
INSERT INTO crowdfunding.donations (donation_id, campaign_id, account_id, amount_sat, registered_at)
SELECT donation_id, campaign_id, account_id, amount_sat, registered_at FROM arrived

-- locked
-- Those of the named campaigns that somebody else holds a lock on. Waits for no row.
WITH free AS MATERIALIZED (
    SELECT campaign_id FROM crowdfunding.campaigns WHERE campaign_id = ANY(%(keys)s::text[]) FOR NO KEY UPDATE SKIP LOCKED
)
SELECT campaign_id FROM crowdfunding.campaigns WHERE campaign_id = ANY(%(keys)s::text[]) AND campaign_id NOT IN (SELECT campaign_id FROM free)
