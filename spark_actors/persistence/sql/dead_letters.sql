-- bury
-- Keep letters; one that is here already stays as it is.
INSERT INTO {schema}.dead_letters
    (message_id, name, key, subscriber, reason, attempts, body, correlation_id, causation_id, died_at)
SELECT *
FROM unnest(
    %(message_ids)s::text[], %(names)s::text[], %(keys)s::text[], %(subscribers)s::text[], %(reasons)s::text[],
    %(attempts)s::int[], %(bodies)s::bytea[], %(correlation_ids)s::text[], %(causation_ids)s::text[],
    %(died_at)s::timestamptz[]
)
ON CONFLICT DO NOTHING

-- total
-- How many letters are kept.
SELECT count(*) FROM {schema}.dead_letters

-- newest
-- The letters that came last.
SELECT message_id, name, key, subscriber, reason, attempts, body, correlation_id, causation_id, died_at
FROM {schema}.dead_letters
ORDER BY died_at DESC, letter_id DESC
LIMIT %(limit)s

-- forget
-- Delete some of the letters that are past their retention.
DELETE FROM {schema}.dead_letters
WHERE letter_id IN (
    SELECT letter_id FROM {schema}.dead_letters WHERE died_at < %(before)s ORDER BY died_at LIMIT %(limit)s
)

-- trim
-- Delete some of the letters of one subscriber that are older than its newest few.
DELETE FROM {schema}.dead_letters
WHERE letter_id IN (
    SELECT letter_id FROM {schema}.dead_letters
    WHERE subscriber = %(subscriber)s
    ORDER BY letter_id DESC
    OFFSET %(most)s LIMIT %(limit)s
)
