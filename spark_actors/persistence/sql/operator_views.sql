-- sagas
-- The sagas that started last, without those that do not fit a filter; a filter that is null lets everything through.
SELECT kind, saga_id, step, state, last_event, correlation_id, started_at, deadline_at, updated_at, overdue_since
FROM {schema}.sagas
WHERE (%(kind)s::text IS NULL OR kind = %(kind)s)
  AND (%(saga_id)s::text IS NULL OR saga_id = %(saga_id)s)
  AND (%(state)s::text IS NULL OR state = %(state)s)
  AND (NOT %(overdue)s::boolean OR state = 'running' AND deadline_at < now())
ORDER BY started_at DESC
LIMIT %(limit)s

-- backlog
-- How much waits: events in the outbox, the age of the oldest, and dead letters. Counting stops at the limit.
SELECT (SELECT count(*) FROM (SELECT FROM {schema}.outbox LIMIT %(limit)s) AS waiting),
       coalesce((SELECT now() - min(occurred_at) FROM (SELECT occurred_at FROM {schema}.outbox ORDER BY position LIMIT 1)
                 AS first), interval '0'),
       (SELECT count(*) FROM (SELECT FROM {schema}.dead_letters LIMIT %(limit)s) AS letters)
