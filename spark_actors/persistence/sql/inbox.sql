-- handled
-- How those messages ended that were handled before, and which of them wait; also under the ids that they had before.
WITH asked AS (
    SELECT message_id, message_id AS known_as FROM unnest(%(message_ids)s::text[]) AS given (message_id)
    UNION
    SELECT message_id, {schema}.former_id(message_id) FROM unnest(%(message_ids)s::text[]) AS given (message_id)
    WHERE EXISTS (SELECT FROM {schema}.inbox_before)
)
SELECT asked.message_id, verdict, reason, data, digest
FROM asked JOIN {schema}.inbox AS known ON known.message_id = asked.known_as
UNION ALL
SELECT asked.message_id, verdict, reason, data, NULL
FROM asked JOIN {schema}.inbox_before AS known ON known.message_id = asked.known_as
UNION ALL
SELECT asked.message_id, 'parked', 'key_parked', NULL, waiting.digest
FROM asked JOIN {schema}.parked_messages AS waiting
    ON waiting.subscriber = 'commands' AND waiting.message_id = asked.known_as

-- mark
-- Remember messages. The primary key refuses what is known from this week (near its end, from this one or the next),
-- expect_unseen what is from other ones: earlier, or later if a clock was ahead (asked apart, by bounds of partitions,
-- so that this week's, the big one, is left out); and, as long as anything is remembered from before ids had the form
-- that they have now, what is known under an id of that time. expect_not_parked refuses what is for keys that must wait,
-- or has the id of a command that waits (unless these have waited themselves). The outer query reads the inbox as it was
-- before the statement.
WITH marked AS (
    INSERT INTO {schema}.inbox (message_id, week, verdict, reason, data, digest)
    SELECT message_id, week, verdict, reason, data, digest
    FROM unnest(
        %(message_ids)s::text[], %(verdicts)s::text[], %(reasons)s::text[], %(data)s::json[], %(digests)s::bytea[]
    ) AS mark (message_id, verdict, reason, data, digest), {schema}.inbox_weeks(now()) AS week
)
SELECT {schema}.expect_unseen(
    (SELECT count(*) FROM {schema}.inbox
     WHERE message_id = ANY(%(message_ids)s::text[]) AND week < {schema}.week_of(now() - interval '5 minutes'))
    + (SELECT count(*) FROM {schema}.inbox
       WHERE message_id = ANY(%(message_ids)s::text[]) AND week >= {schema}.week_of(now() + interval '5 minutes') + 7)
    + {schema}.known_before(%(message_ids)s::text[])
), {schema}.expect_not_parked(
    (SELECT count(*) FROM {schema}.parked_keys WHERE subscriber = 'commands' AND key = ANY(%(keys)s::text[]))
    + (SELECT count(*) FROM {schema}.parked_messages
       WHERE subscriber = 'commands' AND message_id = ANY(%(message_ids)s::text[]) AND NOT %(have_waited)s::boolean)
)

-- make_partitions
-- Make the partitions that are needed now and soon.
SELECT {schema}.make_inbox_partitions(%(now)s)

-- drop_partitions
-- Forget messages whose retention has passed.
SELECT {schema}.drop_inbox_partitions(%(now)s, %(retention)s)
