-- letters
-- Dead letters, the newest first, behind a place in that order; a filter that is null lets everything through.
SELECT letter_id, message_id, name, version, key, subscriber, reason, attempts, state, died_at, occurred_at, handled_at,
       edited_into, correlation_id, causation_id, CASE WHEN %(has_bodies)s THEN body ELSE '' END AS body
FROM {schema}.dead_letters
WHERE (%(letter_id)s::bigint IS NULL OR letter_id = %(letter_id)s)
  AND (%(letter_ids)s::bigint[] IS NULL OR letter_id = ANY(%(letter_ids)s))
  AND (%(state)s::text IS NULL OR state = %(state)s)
  AND (%(cause)s::text IS NULL OR split_part(reason, ':', 1) = %(cause)s)
  AND (%(reason)s::text IS NULL OR starts_with(reason, %(reason)s))
  AND (%(name)s::text IS NULL OR name = %(name)s OR regexp_replace(name, '\.[0-9]+$', '') = %(name)s)
  AND (%(key)s::text IS NULL OR key = %(key)s)
  AND (%(subscriber)s::text IS NULL OR subscriber = %(subscriber)s)
  AND (%(since)s::timestamptz IS NULL OR died_at >= %(since)s)
  AND (%(up_to)s::bigint IS NULL OR letter_id <= %(up_to)s)
  AND (%(died_until)s::timestamptz IS NULL OR died_at <= %(died_until)s)
  AND (%(after_at)s::timestamptz IS NULL OR (died_at, letter_id) < (%(after_at)s, %(after_id)s))
ORDER BY died_at DESC, letter_id DESC
LIMIT %(limit)s

-- oldest_letters
-- The same, the oldest first.
SELECT letter_id, message_id, name, version, key, subscriber, reason, attempts, state, died_at, occurred_at, handled_at,
       edited_into, correlation_id, causation_id, CASE WHEN %(has_bodies)s THEN body ELSE '' END AS body
FROM {schema}.dead_letters
WHERE (%(letter_id)s::bigint IS NULL OR letter_id = %(letter_id)s)
  AND (%(letter_ids)s::bigint[] IS NULL OR letter_id = ANY(%(letter_ids)s))
  AND (%(state)s::text IS NULL OR state = %(state)s)
  AND (%(cause)s::text IS NULL OR split_part(reason, ':', 1) = %(cause)s)
  AND (%(reason)s::text IS NULL OR starts_with(reason, %(reason)s))
  AND (%(name)s::text IS NULL OR name = %(name)s OR regexp_replace(name, '\.[0-9]+$', '') = %(name)s)
  AND (%(key)s::text IS NULL OR key = %(key)s)
  AND (%(subscriber)s::text IS NULL OR subscriber = %(subscriber)s)
  AND (%(since)s::timestamptz IS NULL OR died_at >= %(since)s)
  AND (%(up_to)s::bigint IS NULL OR letter_id <= %(up_to)s)
  AND (%(died_until)s::timestamptz IS NULL OR died_at <= %(died_until)s)
  AND (%(after_at)s::timestamptz IS NULL OR (died_at, letter_id) > (%(after_at)s, %(after_id)s))
ORDER BY died_at, letter_id
LIMIT %(limit)s

-- letter_groups
-- The letters that wait (counting stops at the limit), by what they have in common; a subject counts without its bucket.
SELECT cause, regexp_replace(alike.name, '\.[0-9]+$', '') AS name, subscriber, sum(letters)::bigint AS letters,
       min(first_died_at) AS first_died_at, max(last_died_at) AS last_died_at, max(up_to) AS up_to
FROM (
    SELECT split_part(reason, ':', 1) AS cause, name, subscriber, count(*) AS letters,
           min(died_at) AS first_died_at, max(died_at) AS last_died_at, max(letter_id) AS up_to
    FROM (
        SELECT reason, name, subscriber, died_at, letter_id FROM {schema}.dead_letters
        WHERE state = 'waiting' ORDER BY died_at DESC, letter_id DESC LIMIT %(most)s
    ) AS letter
    GROUP BY 1, 2, 3
) AS alike
GROUP BY 1, 2, 3
ORDER BY letters DESC, cause, 2, subscriber
LIMIT %(limit)s

-- letter_bound
-- How far a look at the letters goes.
SELECT coalesce(max(letter_id), 0) AS up_to, coalesce(max(died_at), now()) AS died_until FROM {schema}.dead_letters

-- lock_letter
-- Have a letter to oneself until commit.
SELECT state FROM {schema}.dead_letters WHERE letter_id = %(letter_id)s FOR UPDATE

-- mark_letter
-- Remember what was done about a letter.
UPDATE {schema}.dead_letters
SET state = %(state)s, edited_into = %(edited_into)s, handled_at = CASE %(state)s::text WHEN 'waiting' THEN NULL ELSE now() END
WHERE letter_id = %(letter_id)s

-- mark_letters_of_key
-- The waiting letters of a key are being dealt with.
UPDATE {schema}.dead_letters SET state = %(state)s, handled_at = now()
WHERE subscriber = %(subscriber)s AND key = %(key)s AND state = 'waiting'
  AND (%(message_id)s::text IS NULL OR message_id = %(message_id)s)

-- open_key
-- Have a key wait and be worked off, if it does not wait already; it is kept until commit. One that is paused stays so.
INSERT INTO {schema}.parked_keys AS held (subscriber, key, state, reason, since, by)
VALUES (%(subscriber)s, %(key)s, 'released', 'retried', now(), %(who)s)
ON CONFLICT (subscriber, key) DO UPDATE
SET state = CASE held.state WHEN 'paused' THEN 'paused' ELSE 'released' END, by = excluded.by

-- put_in_front
-- Have a letter's message wait as the first of its key, unless it waits already.
INSERT INTO {schema}.parked_messages
    (subscriber, key, place, message_id, name, version, data, correlation_id, causation_id, occurred_at, sequence,
     sender, why)
SELECT subscriber, key,
       coalesce(
           (SELECT min(place) - 1 FROM {schema}.parked_messages WHERE subscriber = letter.subscriber AND key = letter.key),
           nextval('{schema}.parked_messages_place_seq')
       ),
       message_id, name, version, body, correlation_id, causation_id, coalesce(occurred_at, died_at), sequence,
       sender, why
FROM {schema}.dead_letters AS letter
WHERE letter_id = %(letter_id)s
ON CONFLICT ON CONSTRAINT parked_messages_once DO NOTHING

-- handled
-- How a command ended, if the inbox knows it.
SELECT verdict FROM {schema}.inbox WHERE message_id = %(message_id)s LIMIT 1

-- waits
-- Whether a message waits among those of its key.
SELECT FROM {schema}.parked_messages WHERE subscriber = %(subscriber)s AND message_id = %(message_id)s

-- known_since
-- From which day on the inbox knows everything that was handled: the first of the weeks that it has not forgotten.
SELECT to_date(right(min(child.relname), 8), 'YYYYMMDD')::timestamp AT TIME ZONE 'UTC'
FROM pg_inherits JOIN pg_class AS child ON child.oid = inhrelid
WHERE inhparent = '{schema}.inbox'::regclass

-- oldest_waiting
-- When the oldest of the messages happened that wait for a key.
SELECT min(occurred_at) FROM {schema}.parked_messages WHERE subscriber = %(subscriber)s AND key = %(key)s

-- replace
-- A message that waits becomes another, in its place, and names the one that it came from.
UPDATE {schema}.parked_messages
SET message_id = %(new_id)s, data = %(data)s, version = %(version)s, causation_id = message_id, digest = NULL
WHERE subscriber = %(subscriber)s AND message_id = %(message_id)s

-- drop_message
-- A message waits no longer.
DELETE FROM {schema}.parked_messages WHERE subscriber = %(subscriber)s AND message_id = %(message_id)s

-- refuse_again
-- A command that is given up is not handled should it be delivered again.
INSERT INTO {schema}.inbox (message_id, week, verdict, reason)
SELECT %(message_id)s, week, 'failed', %(reason)s
FROM {schema}.inbox_weeks(now()) AS week
WHERE NOT EXISTS (SELECT FROM {schema}.inbox WHERE message_id = %(message_id)s)
ON CONFLICT DO NOTHING

-- release_if_mended
-- A key that was parked is worked off once no letter of it waits for an operator.
UPDATE {schema}.parked_keys AS parked SET state = 'released', by = %(who)s
WHERE subscriber = %(subscriber)s AND key = %(key)s AND state = 'parked' AND NOT EXISTS (
    SELECT FROM {schema}.dead_letters AS letter
    WHERE letter.subscriber = %(subscriber)s AND letter.key = %(key)s AND letter.state = 'waiting'
)

-- audit
-- Remember who did what, and why.
INSERT INTO {schema}.operator_actions (who, why, action, subscriber, key, message_id, detail, request_id)
VALUES (%(who)s, %(why)s, %(action)s, %(subscriber)s, %(key)s, %(message_id)s, %(detail)s, %(request_id)s)

-- done_before
-- What an action under this request has done to a letter or key already.
SELECT message_id FROM {schema}.operator_actions
WHERE request_id = %(request_id)s AND request_id <> '' AND subscriber = %(subscriber)s AND key = %(key)s
  AND (%(of_message)s::text IS NULL OR message_id = %(of_message)s)
LIMIT 1

-- forget_request
-- An action under this request has come to nothing.
UPDATE {schema}.operator_actions SET request_id = ''
WHERE request_id = %(request_id)s AND request_id <> '' AND message_id = %(message_id)s

-- actions
-- What operators have done, the newest first, behind a place in that order; commands of one turn that are alike are one row.
SELECT acted_at, who, why, action, subscriber,
       coalesce(command ->> 0, key) AS key,
       coalesce(command ->> 1, message_id) AS message_id,
       coalesce(command ->> 2, detail) AS detail,
       action_id, coalesce(place, 0) AS place
FROM {schema}.operator_actions LEFT JOIN LATERAL
    json_array_elements(commands) WITH ORDINALITY AS each (command, place) ON true
WHERE (%(after_at)s::timestamptz IS NULL OR acted_at <= %(after_at)s
       AND (acted_at, action_id, coalesce(place, 0)) < (%(after_at)s, %(after_id)s, %(after_place)s))
ORDER BY acted_at DESC, action_id DESC, place DESC LIMIT %(limit)s

-- keys
-- Keys that wait, the longest first, behind a place in that order, and how many messages wait for each (counting stops at
-- the most).
SELECT subscriber, key, state, reason, since, by,
       (SELECT count(*) FROM (
            SELECT FROM {schema}.parked_messages AS waiting
            WHERE waiting.subscriber = parked.subscriber AND waiting.key = parked.key LIMIT %(most)s
        ) AS counted) AS messages,
       coalesce((
            SELECT message_id FROM {schema}.parked_messages AS waiting
            WHERE waiting.subscriber = parked.subscriber AND waiting.key = parked.key ORDER BY place LIMIT 1
        ), '') AS first_message_id
FROM {schema}.parked_keys AS parked
WHERE (%(subscriber)s::text IS NULL OR subscriber = %(subscriber)s)
  AND (%(key)s::text IS NULL OR key = %(key)s)
  AND (%(state)s::text IS NULL OR state = %(state)s)
  AND (%(reason)s::text IS NULL OR starts_with(reason, %(reason)s))
  AND (%(after_at)s::timestamptz IS NULL
       OR (since, subscriber, key) > (%(after_at)s, %(after_subscriber)s, %(after_key)s))
ORDER BY since, subscriber, key
LIMIT %(limit)s

-- pause_key
-- Have the messages of a key wait from now on.
INSERT INTO {schema}.parked_keys (subscriber, key, state, reason, since, by)
VALUES (%(subscriber)s, %(key)s, 'paused', %(reason)s, now(), %(who)s)
ON CONFLICT (subscriber, key) DO UPDATE SET state = 'paused', reason = excluded.reason, by = excluded.by

-- release_key
-- Have what waits for a key worked off.
UPDATE {schema}.parked_keys SET state = 'released', by = %(who)s
WHERE subscriber = %(subscriber)s AND key = %(key)s

-- drop_first
-- The first message of a key waits no longer.
DELETE FROM {schema}.parked_messages
WHERE subscriber = %(subscriber)s AND key = %(key)s AND place = (
    SELECT min(place) FROM {schema}.parked_messages WHERE subscriber = %(subscriber)s AND key = %(key)s
)
RETURNING message_id, name
