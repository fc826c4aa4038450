-- Events that a subscriber which is away or far behind has not had yet, for it alone; see missed.py. It gets them in the
-- order of their positions, the same as in the outbox.
CREATE TABLE missed_events (
    subscriber text COLLATE "C" NOT NULL,
    position bigint NOT NULL,
    message_id text NOT NULL,
    name text NOT NULL,
    version integer NOT NULL,
    key text NOT NULL,
    sequence bigint NOT NULL,
    data json NOT NULL,
    correlation_id text NOT NULL,
    causation_id text NOT NULL,
    occurred_at timestamptz NOT NULL,
    CONSTRAINT missed_events_pkey PRIMARY KEY (subscriber, position)
) WITH (
    autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_cost_delay = 0
);
