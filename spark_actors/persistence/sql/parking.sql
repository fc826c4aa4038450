-- parked
-- Which of these keys must wait.
SELECT key FROM {schema}.parked_keys WHERE subscriber = %(subscriber)s AND key = ANY(%(keys)s::text[])

-- waiting
-- The first messages that wait for a key, in order.
SELECT message_id, name, version, key, data, correlation_id, causation_id, occurred_at, sequence, sender, why
FROM {schema}.parked_messages
WHERE subscriber = %(subscriber)s AND key = %(key)s
ORDER BY place
LIMIT %(limit)s

-- park
-- Make keys wait because their first message failed. A key that an operator has paused stays paused.
INSERT INTO {schema}.parked_keys (subscriber, key, state, reason, since, by)
SELECT DISTINCT ON (subscriber, key) subscriber, key, 'parked', reason, since, 'daemon'
FROM unnest(%(subscribers)s::text[], %(keys)s::text[], %(reasons)s::text[], %(since)s::timestamptz[])
    AS failed (subscriber, key, reason, since)
ON CONFLICT (subscriber, key) DO UPDATE
SET state = 'parked', reason = excluded.reason, since = excluded.since, by = excluded.by
WHERE parked_keys.state <> 'paused'

-- add
-- Let messages wait, in order; one that waits already keeps its place. Refused if a key of theirs does not wait (any
-- more); those that do are kept so until commit.
WITH held AS (
    SELECT key FROM {schema}.parked_keys
    WHERE subscriber = %(subscriber)s AND key = ANY(%(keys)s::text[])
    ORDER BY key
    FOR KEY SHARE
), added AS (
    INSERT INTO {schema}.parked_messages
        (subscriber, key, message_id, name, version, data, correlation_id, causation_id, occurred_at, sequence,
         sender, why, digest)
    SELECT %(subscriber)s, key, message_id, name, version, data, correlation_id, causation_id, occurred_at, sequence,
           sender, why, digest
    FROM unnest(
        %(message_ids)s::text[], %(names)s::text[], %(versions)s::int[], %(keys)s::text[], %(data)s::bytea[],
        %(correlation_ids)s::text[], %(causation_ids)s::text[], %(occurred_at)s::timestamptz[], %(sequences)s::bigint[],
        %(senders)s::text[], %(whys)s::text[], %(digests)s::bytea[]
    ) WITH ORDINALITY
        AS message (message_id, name, version, key, data, correlation_id, causation_id, occurred_at, sequence,
                    sender, why, digest, number)
    WHERE key IN (SELECT key FROM held)
    ORDER BY number
    ON CONFLICT DO NOTHING
)
SELECT {schema}.expect_rows(
    (SELECT count(*) FROM held), (SELECT count(DISTINCT key) FROM unnest(%(keys)s::text[]) AS wanted (key))
)

-- hold
-- Keep a released key as it is until commit; refused if it is not released (any more).
SELECT {schema}.expect_not_parked(1 - count(*)) FROM (
    SELECT FROM {schema}.parked_keys
    WHERE subscriber = %(subscriber)s AND key = %(key)s AND state = 'released'
    FOR UPDATE
) AS held

-- take_out
-- Forget messages that are through.
DELETE FROM {schema}.parked_messages
WHERE subscriber = %(subscriber)s AND message_id = ANY(%(message_ids)s::text[])

-- close
-- End the parking of a released key if nothing waits for it.
DELETE FROM {schema}.parked_keys AS key
WHERE subscriber = %(subscriber)s AND key = %(key)s AND state = 'released' AND NOT EXISTS (
    SELECT FROM {schema}.parked_messages AS waiting
    WHERE waiting.subscriber = key.subscriber AND waiting.key = key.key
)
RETURNING 1

-- keys
-- The next of the keys that wait, or are being worked off.
SELECT subscriber, key, state
FROM {schema}.parked_keys
WHERE (subscriber, key) > (%(subscriber)s, %(key)s)
ORDER BY subscriber, key
LIMIT %(limit)s

-- revision
-- Tells whether there are other keys, or in other states, than before.
SELECT
    count(*), coalesce(bit_xor(hashtextextended(subscriber || E'\n' || key || E'\n' || state, 0)), 0)
FROM {schema}.parked_keys

-- released
-- Keys of commands that are to be worked off.
SELECT key FROM {schema}.parked_keys WHERE subscriber = %(subscriber)s AND state = 'released' LIMIT %(limit)s

-- summary
-- How many keys wait, since when the first one does, and how many messages, by whom and why.
SELECT subscriber, state, split_part(reason, ':', 1) AS cause, count(*), now() - min(since)
FROM {schema}.parked_keys
GROUP BY subscriber, state, cause
ORDER BY count(*) DESC
LIMIT %(limit)s

