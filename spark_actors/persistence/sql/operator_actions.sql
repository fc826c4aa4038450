-- add
-- Remember which commands of one kind somebody has sent by hand, for one reason.
INSERT INTO {schema}.operator_actions (who, why, action, subscriber, key, message_id, detail, commands)
VALUES (%(who)s, %(why)s, %(action)s, 'commands', '', '', '', %(commands)s::json)
