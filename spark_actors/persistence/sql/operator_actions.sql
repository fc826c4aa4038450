-- add
-- Remember what somebody has done by hand, for one reason: whoever does much of it does it in one go.
INSERT INTO {schema}.operator_actions (who, why, action, subscriber, key, message_id, detail)
SELECT %(who)s, %(why)s, %(action)s, 'commands', key, message_id, detail
FROM unnest(%(keys)s::text[], %(message_ids)s::text[], %(details)s::text[]) AS done (key, message_id, detail)
