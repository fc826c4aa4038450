-- add
-- Add events, in order.
INSERT INTO {schema}.outbox
    (message_id, name, version, key, sequence, data, correlation_id, causation_id, occurred_at)
SELECT message_id, name, version, key, sequence, data, correlation_id, causation_id, occurred_at
FROM unnest(
    %(message_ids)s::text[], %(names)s::text[], %(versions)s::int[], %(keys)s::text[], %(sequences)s::bigint[],
    %(data)s::json[], %(correlation_ids)s::text[], %(causation_ids)s::text[], %(occurred_at)s::timestamptz[]
) WITH ORDINALITY
    AS event (message_id, name, version, key, sequence, data, correlation_id, causation_id, occurred_at, place)
ORDER BY place

-- pending
-- The first rows by position that the caller does not have in hand already. Nothing lies below the floor. Always gives
-- a row, perhaps with nulls, for the sake of: which run of which server gave them, and for which of the subscribers missed
-- events are kept (what had left the outbox since the read before lay above the floor, too).
SELECT
    pg_postmaster_start_time(),
    ARRAY(
        SELECT asked.subscriber FROM unnest(%(subscribers)s::text[]) AS asked (subscriber)
        WHERE EXISTS (
            SELECT FROM {schema}.missed_events AS kept
            WHERE kept.subscriber = asked.subscriber AND kept.position >= %(floor)s
        )
    ),
    position, message_id, name, version, key, data::text, correlation_id, causation_id, occurred_at, sequence
FROM (SELECT) AS always LEFT JOIN (
    SELECT * FROM {schema}.outbox
    WHERE position >= %(floor)s AND NOT position <@ %(skip)s::int8multirange
    ORDER BY position
    LIMIT %(limit)s
) AS waiting ON true
ORDER BY position

-- settle
-- Forget rows that every subscriber has.
DELETE FROM {schema}.outbox WHERE position = ANY(%(positions)s::bigint[])

-- backlog
-- How many rows wait (counting stops at the limit), and since when the first one does.
SELECT
    (SELECT count(*) FROM (SELECT FROM {schema}.outbox WHERE position >= %(floor)s LIMIT %(limit)s) AS waiting),
    (SELECT occurred_at FROM {schema}.outbox WHERE position >= %(floor)s ORDER BY position LIMIT 1),
    now()

-- writers
-- The transactions that hold the lock which writing to the outbox takes.
SELECT virtualtransaction
FROM pg_locks
WHERE locktype = 'relation' AND mode = 'RowExclusiveLock' AND relation = '{schema}.outbox'::regclass
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())

-- estimate
-- About how many rows wait, by the statistics that the server keeps anyway.
SELECT n_live_tup FROM pg_stat_user_tables WHERE relid = '{schema}.outbox'::regclass
