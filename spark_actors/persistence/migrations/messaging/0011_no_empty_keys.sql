-- No aggregate has an empty key, so nothing ever waits for one; but an operator could pause it, and nobody could undo that.
WITH undone AS (
    DELETE FROM parked_keys AS parked
    WHERE key = '' AND NOT EXISTS (
        SELECT FROM parked_messages AS waiting
        WHERE waiting.subscriber = parked.subscriber AND waiting.key = parked.key
    )
    RETURNING subscriber, key, reason
)
INSERT INTO operator_actions (who, why, action, subscriber, key, message_id, detail)
SELECT 'daemon', 'an empty key is nobody''s', 'resume', subscriber, key, '', reason FROM undone;

ALTER TABLE parked_keys ADD CONSTRAINT parked_keys_key_not_empty CHECK (key <> '') NOT VALID;
