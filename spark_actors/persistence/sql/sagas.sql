-- merge
-- Merge progress by rank and give the rows that ended by it. Rows are locked first and in order, so that two mergers
-- neither deadlock nor both report the same end.
WITH told AS (
    SELECT kind, saga_id, step, rank, state, last_event, correlation_id, at, deadline_at, place,
        min(at) OVER saga AS started_at, max(at) OVER saga AS updated_at, min(deadline_at) OVER saga AS first_deadline_at
    FROM unnest(
        %(kinds)s::text[], %(saga_ids)s::text[], %(steps)s::text[], %(ranks)s::int[], %(states)s::text[],
        %(last_events)s::text[], %(correlation_ids)s::text[], %(at)s::timestamptz[], %(deadlines_at)s::timestamptz[]
    ) WITH ORDINALITY AS told (kind, saga_id, step, rank, state, last_event, correlation_id, at, deadline_at, place)
    WINDOW saga AS (PARTITION BY kind, saga_id)
), news AS (
    SELECT DISTINCT ON (kind, saga_id) * FROM told ORDER BY kind, saga_id, rank DESC, place
), before AS (
    SELECT kind, saga_id, saga.state
    FROM {schema}.sagas AS saga JOIN news USING (kind, saga_id)
    ORDER BY kind, saga_id
    FOR NO KEY UPDATE OF saga
), merged AS (
    INSERT INTO {schema}.sagas AS saga
        (kind, saga_id, step, rank, state, last_event, correlation_id, started_at, deadline_at, updated_at)
    SELECT kind, saga_id, step, rank, news.state, last_event, correlation_id, started_at, first_deadline_at, updated_at
    FROM news LEFT JOIN before USING (kind, saga_id)
    ORDER BY kind, saga_id
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
SELECT kind, saga_id, merged.step, merged.state, last_event, correlation_id, started_at, deadline_at, updated_at,
    overdue_since
FROM merged LEFT JOIN before USING (kind, saga_id)
WHERE merged.state <> 'running' AND coalesce(before.state, 'running') = 'running'

-- mark_overdue
-- Mark running sagas whose deadline has passed and give those that were not marked before.
UPDATE {schema}.sagas AS saga
SET overdue_since = %(now)s
FROM (
    SELECT kind, saga_id FROM {schema}.sagas
    WHERE state = 'running' AND deadline_at < %(now)s AND overdue_since IS NULL
    ORDER BY deadline_at
    LIMIT %(limit)s
    FOR NO KEY UPDATE SKIP LOCKED
) AS due
WHERE saga.kind = due.kind AND saga.saga_id = due.saga_id
RETURNING saga.kind, saga.saga_id, step, state, last_event, correlation_id, started_at, deadline_at, updated_at,
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
WHERE (kind, saga_id) IN (
    SELECT kind, saga_id FROM {schema}.sagas
    WHERE started_at < %(before)s AND state <> 'running'
    ORDER BY started_at
    LIMIT %(limit)s
)
