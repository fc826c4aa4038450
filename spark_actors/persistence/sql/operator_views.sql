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

-- outbox
-- How many events wait (counting stops at the limit), and for how long the first one has.
SELECT (SELECT count(*) FROM (SELECT FROM {schema}.outbox LIMIT %(limit)s) AS waiting),
       coalesce((SELECT now() - occurred_at FROM {schema}.outbox ORDER BY position LIMIT 1), interval '0')

-- dead_letters
-- How many dead letters wait for an operator; counting stops at the limit.
SELECT count(*) FROM (SELECT FROM {schema}.dead_letters WHERE state = 'waiting' LIMIT %(limit)s) AS letters

-- tasks
-- Durable tasks, those to be done for the longest time first; a filter that is null or false lets everything through.
SELECT task_id, name, key, since, due_at, attempts, problem, correlation_id
FROM {schema}.tasks
WHERE (%(key)s::text IS NULL OR key = %(key)s) AND (NOT %(failing)s::boolean OR problem <> '')
ORDER BY since
LIMIT %(limit)s

-- set_aside
-- How many events subscribers have missed, how many tasks could be done, how many keys and messages are parked (counting stops at the limit), and for
-- how long the first key has been.
SELECT (SELECT count(*) FROM (SELECT FROM {schema}.missed_events LIMIT %(limit)s) AS missed),
       (SELECT count(*) FROM (SELECT FROM {schema}.tasks WHERE since <= now() LIMIT %(limit)s) AS tasks),
       (SELECT count(*) FROM (SELECT FROM {schema}.parked_keys LIMIT %(limit)s) AS keys),
       (SELECT count(*) FROM (SELECT FROM {schema}.parked_messages LIMIT %(limit)s) AS messages),
       coalesce((SELECT now() - min(since) FROM {schema}.parked_keys), interval '0')
