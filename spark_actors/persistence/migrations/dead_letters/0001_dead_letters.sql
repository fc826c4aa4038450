-- Messages that nobody could take, kept for an operator.
CREATE TABLE dead_letters (
    letter_id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT dead_letters_pkey PRIMARY KEY,
    message_id text COLLATE "C" NOT NULL,  -- empty when the message could not even be read
    name text NOT NULL,                    -- wire name, or the subject that it came on
    key text NOT NULL,
    subscriber text COLLATE "C" NOT NULL,
    reason text NOT NULL,
    attempts integer NOT NULL,
    body bytea NOT NULL,
    digest bytea NOT NULL GENERATED ALWAYS AS (sha256(body)) STORED,
    correlation_id text NOT NULL,
    causation_id text NOT NULL,
    died_at timestamptz NOT NULL,
    CONSTRAINT dead_letters_attempts_not_negative CHECK (attempts >= 0),
    -- The digest tells messages apart that came without an id, or under the same one.
    CONSTRAINT dead_letters_once UNIQUE (message_id, subscriber, digest)
);

CREATE INDEX dead_letters_died_at_idx ON dead_letters (died_at);
