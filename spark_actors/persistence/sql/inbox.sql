-- outcomes
-- How those messages that were handled before ended.
SELECT message_id, verdict, reason, data
FROM {schema}.inbox
WHERE message_id = ANY(%(message_ids)s::text[])

-- mark
-- Remember messages. The primary key refuses what is known from this week, expect_unseen what is from other ones:
-- earlier, or later if a clock was ahead (asked apart, by bounds of partitions, so that this week's, the big one, is
-- left out);
-- expect_not_parked what is for keys that must wait. The outer query reads the inbox as it was before the statement.
WITH marked AS (
    INSERT INTO {schema}.inbox (message_id, week, verdict, reason, data)
    SELECT message_id, {schema}.week_of(now()), verdict, reason, data
    FROM unnest(%(message_ids)s::text[], %(verdicts)s::text[], %(reasons)s::text[], %(data)s::json[])
        AS mark (message_id, verdict, reason, data)
)
SELECT {schema}.expect_unseen(
    (SELECT count(*) FROM {schema}.inbox
     WHERE message_id = ANY(%(message_ids)s::text[]) AND week < {schema}.week_of(now()))
    + (SELECT count(*) FROM {schema}.inbox
       WHERE message_id = ANY(%(message_ids)s::text[]) AND week >= {schema}.week_of(now()) + 7)
), {schema}.expect_not_parked((
    SELECT count(*) FROM {schema}.parked_keys WHERE subscriber = 'commands' AND key = ANY(%(keys)s::text[])
))

-- make_partitions
-- Make the partitions that are needed now and soon.
SELECT {schema}.make_inbox_partitions(%(now)s)

-- drop_partitions
-- Forget messages whose retention has passed.
SELECT {schema}.drop_inbox_partitions(%(now)s, %(retention)s)
