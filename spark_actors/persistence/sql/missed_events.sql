-- subscribers
-- Those for whom something is kept; a look for each, so that it costs the same however much that is.
WITH RECURSIVE found AS (
    (SELECT subscriber FROM {schema}.missed_events ORDER BY subscriber LIMIT 1)
    UNION ALL
    SELECT (SELECT next.subscriber FROM {schema}.missed_events AS next
            WHERE next.subscriber > found.subscriber ORDER BY next.subscriber LIMIT 1)
    FROM found
    WHERE found.subscriber IS NOT NULL
)
SELECT subscriber FROM found WHERE subscriber IS NOT NULL

-- keep
-- Have rows of the outbox wait for a subscriber, too.
INSERT INTO {schema}.missed_events
    (subscriber, position, message_id, name, version, key, sequence, data, correlation_id, causation_id, occurred_at)
SELECT
    %(subscriber)s, position, message_id, name, version, key, sequence, data, correlation_id, causation_id, occurred_at
FROM {schema}.outbox
WHERE position = ANY(%(positions)s::bigint[])
ON CONFLICT DO NOTHING

-- next
-- The first that wait for a subscriber, by position, and that the caller does not have in hand already.
SELECT position, message_id, name, version, key, data::text, correlation_id, causation_id, occurred_at, sequence
FROM {schema}.missed_events
WHERE subscriber = %(subscriber)s AND position >= %(floor)s AND NOT position <@ %(skip)s::int8multirange
ORDER BY position
LIMIT %(limit)s

-- forget
-- Forget what a subscriber has had.
DELETE FROM {schema}.missed_events WHERE subscriber = %(subscriber)s AND position = ANY(%(positions)s::bigint[])

-- summary
-- How many events wait for a subscriber (counting stops at the limit), and since when the first one does.
SELECT
    (SELECT count(*) FROM (
        SELECT FROM {schema}.missed_events WHERE subscriber = %(subscriber)s LIMIT %(limit)s
    ) AS waiting),
    (SELECT now() - occurred_at FROM {schema}.missed_events WHERE subscriber = %(subscriber)s ORDER BY position LIMIT 1)
