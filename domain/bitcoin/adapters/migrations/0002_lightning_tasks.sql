-- What is to be asked of the Lightning node, kept until the answer is durable in the invoice.
CREATE TABLE lightning_tasks (
    invoice_id text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL,
    amount_sat bigint NOT NULL,
    payment_hash text NOT NULL,
    payment_request text NOT NULL,
    due_at timestamptz NOT NULL,
    correlation_id text NOT NULL,
    causation_id text NOT NULL,
    attempts integer NOT NULL,
    CONSTRAINT lightning_tasks_pkey PRIMARY KEY (invoice_id, kind),
    CONSTRAINT lightning_tasks_kind_known CHECK (kind IN ('issue', 'watch', 'pay')),
    CONSTRAINT lightning_tasks_hash_unless_issue CHECK ((kind = 'issue') = (payment_hash = '')),
    CONSTRAINT lightning_tasks_attempts_not_negative CHECK (attempts >= 0)
);

CREATE INDEX lightning_tasks_due_idx ON lightning_tasks (due_at);
