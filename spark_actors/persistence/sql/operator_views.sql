-- sagas
-- The sagas that started last, behind a place in that order; a filter that is null lets everything through.
SELECT kind, saga_id, step, state, last_event, correlation_id, started_at, deadline_at, updated_at, overdue_since
FROM {schema}.sagas
WHERE (%(kinds)s::text[] IS NULL OR kind = ANY(%(kinds)s))
  AND (%(saga_id)s::text IS NULL OR saga_id = %(saga_id)s)
  AND (%(state)s::text IS NULL OR state = %(state)s)
  AND (NOT %(overdue)s::boolean OR state = 'running' AND deadline_at < now())
  AND (%(after_at)s::timestamptz IS NULL
       OR (started_at, kind, saga_id, correlation_id)
          < (%(after_at)s, %(after_kind)s, %(after_saga)s, %(after_story)s))
ORDER BY started_at DESC, kind DESC, saga_id DESC, correlation_id DESC
LIMIT %(limit)s

-- saga_counts
-- How many sagas run, run past their deadline, and have failed of those that began within a day; counting stops at the limit.
SELECT (SELECT count(*) FROM (SELECT FROM {schema}.sagas WHERE state = 'running' LIMIT %(limit)s) AS running),
       (SELECT count(*) FROM (
            SELECT FROM {schema}.sagas WHERE state = 'running' AND deadline_at < now() LIMIT %(limit)s
        ) AS overdue),
       (SELECT count(*) FROM (
            SELECT FROM {schema}.sagas
            WHERE state = 'failed' AND started_at > now() - interval '1 day' LIMIT %(limit)s
        ) AS failed)

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

-- missed
-- How many events each subscriber has missed that has missed any (counting stops at the limit), and for how long the first waits.
SELECT subscriber, count(*) AS events, now() - min(occurred_at) AS oldest_age
FROM (SELECT subscriber, occurred_at FROM {schema}.missed_events LIMIT %(limit)s) AS missed
GROUP BY subscriber

-- parked
-- How many keys wait for each subscriber (counting stops at the limit), and for how long the first does.
SELECT subscriber, count(*) AS keys, now() - min(since) AS oldest_age
FROM (SELECT subscriber, since FROM {schema}.parked_keys ORDER BY since LIMIT %(limit)s) AS parked
GROUP BY subscriber
