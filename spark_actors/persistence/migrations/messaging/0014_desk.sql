-- expands
-- Failed stories are few among many, and keys are asked for by how long they have waited.
CREATE INDEX sagas_failed_idx ON sagas (started_at) WHERE state = 'failed';
CREATE INDEX parked_keys_since_idx ON parked_keys (since, subscriber, key);
