-- merge
-- Merge progress by rank, one row a story, in the order of their keys, so that two mergers never deadlock. Gives rows that
-- are at an end and that this changed.
WITH merged AS (
    INSERT INTO {schema}.sagas AS saga
        (kind, saga_id, step, rank, state, last_event, correlation_id, started_at, deadline_at, updated_at)
    SELECT * FROM unnest(
        %(kind)s::text[], %(saga_id)s::text[], %(step)s::text[], %(rank)s::int[], %(state)s::text[],
        %(last_event)s::text[], %(correlation_id)s::text[], %(started_at)s::timestamptz[],
        %(deadline_at)s::timestamptz[], %(updated_at)s::timestamptz[]
    )
    ON CONFLICT ON CONSTRAINT sagas_pkey DO UPDATE SET
        step = CASE WHEN excluded.rank > saga.rank THEN excluded.step ELSE saga.step END,
        state = CASE WHEN excluded.rank > saga.rank THEN excluded.state ELSE saga.state END,
        last_event = CASE WHEN excluded.rank > saga.rank THEN excluded.last_event ELSE saga.last_event END,
        rank = greatest(excluded.rank, saga.rank),
        started_at = least(excluded.started_at, saga.started_at),
        deadline_at = least(excluded.deadline_at, saga.deadline_at),
        updated_at = greatest(excluded.updated_at, saga.updated_at)
    WHERE excluded.rank > saga.rank OR excluded.started_at < saga.started_at OR excluded.deadline_at < saga.deadline_at
    RETURNING *
)
SELECT rank, kind, saga_id, step, state, last_event, correlation_id, started_at, deadline_at, updated_at, overdue_since
FROM merged
WHERE state <> 'running'

-- mark_overdue
-- Mark running sagas whose deadline has passed and give those that were not marked before.
UPDATE {schema}.sagas AS saga
SET overdue_since = %(now)s
FROM (
    SELECT kind, saga_id, correlation_id FROM {schema}.sagas
    WHERE state = 'running' AND deadline_at < %(now)s AND overdue_since IS NULL
    ORDER BY deadline_at
    LIMIT %(limit)s
    FOR NO KEY UPDATE SKIP LOCKED
) AS due
WHERE (saga.kind, saga.saga_id, saga.correlation_id) = (due.kind, due.saga_id, due.correlation_id)
RETURNING saga.kind, saga.saga_id, step, state, last_event, saga.correlation_id, started_at, deadline_at, updated_at,
    overdue_since

-- running
-- How many sagas run, by kind and whether the alarm was raised.
SELECT kind, overdue_since IS NOT NULL, count(*)
FROM {schema}.sagas
WHERE state = 'running'
GROUP BY kind, overdue_since IS NOT NULL

-- forget
-- Delete some of the ended sagas that are past their retention.
DELETE FROM {schema}.sagas
WHERE (kind, saga_id, correlation_id) IN (
    SELECT kind, saga_id, correlation_id FROM {schema}.sagas
    WHERE started_at < least(%(now)s, now()) - %(retention)s AND state <> 'running'
    ORDER BY started_at
    LIMIT %(limit)s
)
