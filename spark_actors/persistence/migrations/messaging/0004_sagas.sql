-- The visible progress of the sagas that this context has started. Nothing decides by it.
CREATE TABLE sagas (
    kind text COLLATE "C" NOT NULL,
    saga_id text COLLATE "C" NOT NULL,
    step text NOT NULL,
    rank integer NOT NULL,        -- of the step: the highest seen wins
    state text NOT NULL,
    last_event text NOT NULL,
    correlation_id text NOT NULL,
    started_at timestamptz NOT NULL,
    deadline_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    overdue_since timestamptz,    -- when the alarm was raised
    CONSTRAINT sagas_pkey PRIMARY KEY (kind, saga_id),
    CONSTRAINT sagas_state_known CHECK (state IN ('running', 'completed', 'failed'))
) WITH (fillfactor = 80);

-- Only the step that ends a saga changes the state and so touches this index.
CREATE INDEX sagas_running_idx ON sagas (deadline_at) WHERE state = 'running';
CREATE INDEX sagas_started_at_idx ON sagas (started_at);
