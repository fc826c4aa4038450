-- Keys that must wait, and the messages that wait for them. What a message waits for is `commands` (an aggregate of this
-- context) or the name of the context that could not take an event of this one.
CREATE TABLE parked_keys (
    subscriber text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    state text NOT NULL,    -- parked: its first message failed; paused: by an operator; released: being worked off
    reason text NOT NULL,
    since timestamptz NOT NULL,
    by text NOT NULL,       -- the operator, or `daemon`
    CONSTRAINT parked_keys_pkey PRIMARY KEY (subscriber, key),
    CONSTRAINT parked_keys_state_known CHECK (state IN ('parked', 'paused', 'released'))
);

CREATE SEQUENCE parked_messages_place_seq AS bigint;

CREATE TABLE parked_messages (
    subscriber text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    -- Orders the messages of one key; whoever puts one in front takes a lower place.
    place bigint NOT NULL DEFAULT nextval('parked_messages_place_seq'),
    message_id text COLLATE "C" NOT NULL,
    name text NOT NULL,
    version integer NOT NULL,
    data bytea NOT NULL,
    correlation_id text NOT NULL,
    causation_id text NOT NULL,
    occurred_at timestamptz NOT NULL,
    sequence bigint NOT NULL,
    CONSTRAINT parked_messages_pkey PRIMARY KEY (subscriber, key, place),
    CONSTRAINT parked_messages_once UNIQUE (subscriber, message_id),
    -- Whoever parks a message or ends the parking of a key locks the key first, so that none is left behind.
    CONSTRAINT parked_messages_wait_for_a_parked_key FOREIGN KEY (subscriber, key) REFERENCES parked_keys
);

ALTER SEQUENCE parked_messages_place_seq OWNED BY parked_messages.place;

-- SP003: commands of the turn are for keys that must wait (or for a key that must wait no longer).
CREATE FUNCTION expect_not_parked(parked bigint) RETURNS void
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF parked <> 0 THEN
        RAISE EXCEPTION '% keys have to wait', parked USING ERRCODE = 'SP003';
    END IF;
END
$$;
