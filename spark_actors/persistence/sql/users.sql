-- load
-- The named users; one that does not exist is missing from the result.
SELECT
    account_id, version, username, password_hash, registered_at
FROM auth.users
WHERE account_id = ANY(%(keys)s::text[])

-- insert
-- Store new users; the primary key refuses one that somebody else has made meanwhile.
INSERT INTO auth.users (
    account_id, version, username, password_hash, registered_at
)
SELECT *
FROM unnest(
    %(keys)s::text[], %(versions)s::bigint[], %(username)s::text[], %(password_hash)s::text[],
    %(registered_at)s::timestamptz[]
)

-- update
-- Store new states of users, each only over the version that it was decided on.
WITH saved AS (
    UPDATE auth.users AS held
    SET version = new.version,
        username = new.username, password_hash = new.password_hash, registered_at = new.registered_at
    FROM unnest(
        %(keys)s::text[], %(expected)s::bigint[], %(versions)s::bigint[], %(username)s::text[],
        %(password_hash)s::text[], %(registered_at)s::timestamptz[]
    ) AS new (
        key, expected, version, username, password_hash, registered_at
    )
    WHERE held.account_id = new.key AND held.version = new.expected
    RETURNING 1
)
SELECT auth.expect_rows(count(*), cardinality(%(keys)s::text[])) FROM saved

-- hold
-- Refuse if users that were only looked at have changed (version 0: have come to be); keep them so until commit.
WITH held AS (
    SELECT 1
    FROM auth.users AS held JOIN unnest(%(keys)s::text[], %(versions)s::bigint[]) AS seen (key, version)
        ON held.account_id = seen.key
    WHERE held.version = seen.version
    FOR SHARE OF held
)
SELECT
    auth.expect_rows((SELECT count(*) FROM held), cardinality(%(keys)s::text[])),
    auth.expect_rows((SELECT count(*) FROM auth.users WHERE account_id = ANY(%(absent)s::text[])), 0)

-- credential
-- The user of a name, for a login.
SELECT account_id, password_hash FROM auth.users WHERE username = %(username)s

-- locked
-- Those of the named users that somebody else holds a lock on. Waits for no row.
WITH free AS MATERIALIZED (
    SELECT account_id FROM auth.users WHERE account_id = ANY(%(keys)s::text[]) FOR NO KEY UPDATE SKIP LOCKED
)
SELECT account_id FROM auth.users WHERE account_id = ANY(%(keys)s::text[]) AND account_id NOT IN (SELECT account_id FROM free)
