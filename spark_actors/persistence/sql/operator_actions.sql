-- add
-- Remember what was done by hand, by whom and why.
INSERT INTO {schema}.operator_actions (who, why, action, subscriber, key, message_id, detail)
SELECT who, why, action, 'commands', key, message_id, detail
FROM unnest(
    %(who)s::text[], %(why)s::text[], %(action)s::text[], %(keys)s::text[], %(message_ids)s::text[], %(details)s::text[]
) AS done (who, why, action, key, message_id, detail)
