-- Events that wait, since the commit that made them, until every subscriber has them.
CREATE SEQUENCE outbox_position_seq AS bigint;

CREATE TABLE outbox (
    -- The transaction id is assigned before the position is drawn (CASE keeps that order). The relay relies on it to
    -- know when no open transaction can show a lower position any more; see outbox.py.
    position bigint NOT NULL
        DEFAULT CASE WHEN pg_current_xact_id() IS NULL THEN NULL ELSE nextval('outbox_position_seq') END
        CONSTRAINT outbox_pkey PRIMARY KEY,
    message_id text NOT NULL,
    name text NOT NULL,
    version integer NOT NULL,
    key text NOT NULL,
    sequence bigint NOT NULL,
    data json NOT NULL,
    correlation_id text NOT NULL,
    causation_id text NOT NULL,
    occurred_at timestamptz NOT NULL
) WITH (
    -- Rows live for moments: clean up often, by count and not by share of the table.
    autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_cost_delay = 0
);

ALTER SEQUENCE outbox_position_seq OWNED BY outbox.position;
