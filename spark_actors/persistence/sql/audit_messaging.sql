-- unseen_overdue_sagas
-- Sagas that ran out of time a while ago without an alarm.
SELECT kind || ' ' || saga_id, format('due %%s, at step %%s', deadline_at, step)
FROM {schema}.sagas
WHERE state = 'running' AND overdue_since IS NULL AND deadline_at < now() - %(stuck_after)s
ORDER BY deadline_at
LIMIT %(limit)s

-- stuck_messages
-- Events that wait in the outbox for too long.
SELECT message_id, format('%%s of %%s, from %%s', name, key, occurred_at)
FROM {schema}.outbox
WHERE occurred_at < now() - %(stuck_after)s
ORDER BY position
LIMIT %(limit)s

-- dead_letters
-- Messages that could not be delivered.
SELECT message_id, format('%%s for %%s: %%s', name, subscriber, reason)
FROM {schema}.dead_letters
WHERE state = 'waiting'
ORDER BY died_at DESC
LIMIT %(limit)s
