-- What operators do with dead letters and parked keys, and what they need for it.
ALTER TABLE dead_letters
    ADD COLUMN version integer NOT NULL DEFAULT 1,
    ADD COLUMN sequence bigint NOT NULL DEFAULT 0,
    ADD COLUMN occurred_at timestamptz,                 -- null when the message could not be read
    ADD COLUMN state text NOT NULL DEFAULT 'waiting',
    ADD COLUMN handled_at timestamptz,                  -- when an operator did something about it
    ADD COLUMN edited_into text NOT NULL DEFAULT '',    -- the id of the message that took its place
    ADD CONSTRAINT dead_letters_state_known CHECK (state IN ('waiting', 'retried', 'edited', 'discarded'));

CREATE INDEX dead_letters_waiting_idx ON dead_letters (subscriber, key) WHERE state = 'waiting';

CREATE TABLE operator_actions (
    action_id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT operator_actions_pkey PRIMARY KEY,
    acted_at timestamptz NOT NULL DEFAULT now(),
    who text NOT NULL,
    why text NOT NULL,
    action text NOT NULL,
    subscriber text NOT NULL,   -- of the key or letter; empty for the ingress
    key text NOT NULL,
    message_id text NOT NULL,   -- empty when a whole key was acted on
    detail text NOT NULL,
    CONSTRAINT operator_actions_say_who_and_why CHECK (who <> '' AND why <> '')
);
