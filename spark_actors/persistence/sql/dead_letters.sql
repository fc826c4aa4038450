-- bury
-- Keep letters; one that is here already waits again if an operator had dealt with it, and stays as it is otherwise.
INSERT INTO {schema}.dead_letters
    (message_id, name, key, subscriber, reason, attempts, body, correlation_id, causation_id, died_at,
     version, sequence, occurred_at, sender, why)
SELECT DISTINCT ON (message_id, subscriber, sha256(body)) *
FROM unnest(
    %(message_ids)s::text[], %(names)s::text[], %(keys)s::text[], %(subscribers)s::text[], %(reasons)s::text[],
    %(attempts)s::int[], %(bodies)s::bytea[], %(correlation_ids)s::text[], %(causation_ids)s::text[],
    %(died_at)s::timestamptz[], %(versions)s::int[], %(sequences)s::bigint[], %(occurred_at)s::timestamptz[],
    %(senders)s::text[], %(whys)s::text[]
) AS letter (message_id, name, key, subscriber, reason, attempts, body, correlation_id, causation_id, died_at,
             version, sequence, occurred_at, sender, why)
ON CONFLICT ON CONSTRAINT dead_letters_once DO UPDATE
SET state = 'waiting', handled_at = NULL, reason = excluded.reason, died_at = excluded.died_at,
    attempts = dead_letters.attempts + excluded.attempts
WHERE dead_letters.state <> 'waiting'

-- total
-- How many letters wait for an operator.
SELECT count(*) FROM {schema}.dead_letters WHERE state = 'waiting'

-- newest
-- The letters that came last.
SELECT message_id, name, key, subscriber, reason, attempts, body, correlation_id, causation_id, died_at,
    version, sequence, occurred_at, sender, why
FROM {schema}.dead_letters
ORDER BY died_at DESC, letter_id DESC
LIMIT %(limit)s

-- forget
-- Delete some of the letters that are past their retention.
DELETE FROM {schema}.dead_letters
WHERE letter_id IN (
    SELECT letter_id FROM {schema}.dead_letters
    WHERE died_at < least(%(now)s, now()) - %(retention)s
    ORDER BY died_at
    LIMIT %(limit)s
)

-- trim
-- Delete some of the letters that are older than the newest few.
DELETE FROM {schema}.dead_letters
WHERE letter_id IN (
    SELECT letter_id FROM {schema}.dead_letters
    ORDER BY letter_id DESC
    OFFSET %(most)s LIMIT %(limit)s
)
