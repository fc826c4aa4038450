-- What a context has to do outside or later, kept until what follows from it is durable; see kernel/tasks.py.
CREATE TABLE tasks (
    task_id text COLLATE "C" NOT NULL,  -- repeats with the event that the task follows from
    name text NOT NULL,
    version integer NOT NULL,
    key text NOT NULL,
    data json NOT NULL,
    correlation_id text NOT NULL,
    causation_id text NOT NULL,
    since timestamptz NOT NULL,         -- from when on it is to be done
    due_at timestamptz NOT NULL,        -- when it is done next
    is_scheduled boolean NOT NULL,      -- whether due_at is a time that the task itself names
    attempts integer NOT NULL,
    problem text NOT NULL,              -- what was wrong when it was last tried; empty if nothing was
    CONSTRAINT tasks_pkey PRIMARY KEY (task_id),
    CONSTRAINT tasks_attempts_not_negative CHECK (attempts >= 0)
) WITH (
    fillfactor = 70,
    autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_cost_delay = 0
);

CREATE INDEX tasks_due_idx ON tasks (due_at);
CREATE INDEX tasks_put_off_idx ON tasks (due_at) WHERE NOT is_scheduled;
