-- add
-- Add tasks; one that is there already stays as it is.
INSERT INTO {schema}.tasks
    (task_id, name, version, key, data, correlation_id, causation_id, since, due_at, is_scheduled, attempts, problem)
SELECT *
FROM unnest(
    %(task_ids)s::text[], %(names)s::text[], %(versions)s::int[], %(keys)s::text[], %(data)s::json[],
    %(correlation_ids)s::text[], %(causation_ids)s::text[], %(since)s::timestamptz[], %(due_at)s::timestamptz[],
    %(are_scheduled)s::boolean[], %(attempts)s::int[], %(problems)s::text[]
)
ON CONFLICT DO NOTHING

-- due
-- The tasks of a kind that have been due the longest. Nothing that has no time of its own is put off for longer than
-- %(farthest)s: what is, was put off by a clock that has been set back since.
(
    SELECT task_id, name, version, key, data::text, correlation_id, causation_id, since, due_at, is_scheduled, attempts,
           problem
    FROM {schema}.tasks WHERE name = %(name)s AND due_at <= %(now)s ORDER BY due_at LIMIT %(limit)s
)
UNION ALL
(
    SELECT task_id, name, version, key, data::text, correlation_id, causation_id, since, due_at, is_scheduled, attempts,
           problem
    FROM {schema}.tasks WHERE name = %(name)s AND NOT is_scheduled AND due_at > %(now)s + %(farthest)s
    ORDER BY due_at LIMIT %(limit)s
)
ORDER BY due_at
LIMIT %(limit)s

-- put_off
-- Store when tasks are tried again, and why.
UPDATE {schema}.tasks AS task
SET due_at = new.due_at, attempts = new.attempts, problem = new.problem, is_scheduled = false
FROM unnest(%(task_ids)s::text[], %(due_at)s::timestamptz[], %(attempts)s::int[], %(problems)s::text[])
    AS new (task_id, due_at, attempts, problem)
WHERE task.task_id = new.task_id

-- remove
-- Forget tasks when what follows from them is durable.
DELETE FROM {schema}.tasks WHERE task_id = ANY(%(task_ids)s::text[])

-- summary
-- How many tasks of each kind wait, wait for their time, and had a problem; and for how long the first has waited.
SELECT name,
       count(*) FILTER (WHERE since <= now()),
       count(*) FILTER (WHERE since > now()),
       count(*) FILTER (WHERE problem <> ''),
       greatest(now() - min(since), interval '0')
FROM (SELECT name, since, problem FROM {schema}.tasks ORDER BY due_at LIMIT %(limit)s) AS listed
GROUP BY name
ORDER BY name
