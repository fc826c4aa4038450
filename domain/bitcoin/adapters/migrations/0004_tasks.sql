-- What is to be asked of the Lightning node is a durable task as any other context has them. A process of the release
-- before, which may still run or come back, finds the same tasks under their former name.
ALTER TABLE lightning_tasks RENAME TO former_tasks;

CREATE VIEW lightning_tasks AS
SELECT key AS invoice_id,
       CASE name WHEN 'bitcoin.make-invoice' THEN 'issue' WHEN 'bitcoin.watch-invoice' THEN 'watch' ELSE 'pay' END AS kind,
       coalesce((data ->> 'amount_sat')::bigint, 0) AS amount_sat,
       coalesce(data ->> 'payment_hash', '') AS payment_hash,
       coalesce(data ->> 'payment_request', '') AS payment_request,
       due_at, correlation_id, causation_id, attempts
FROM tasks;

CREATE FUNCTION lightning_task_is_task() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    tasks text := format('%I.tasks', TG_TABLE_SCHEMA);
BEGIN
    IF TG_OP = 'DELETE' THEN
        EXECUTE format('DELETE FROM %s WHERE task_id = $1', tasks) USING OLD.causation_id || '/0';
        RETURN OLD;
    ELSIF TG_OP = 'UPDATE' THEN
        EXECUTE format('UPDATE %s SET due_at = $1, attempts = $2 WHERE task_id = $3', tasks)
        USING NEW.due_at, NEW.attempts, OLD.causation_id || '/0';
        RETURN NEW;
    END IF;
    EXECUTE format(
        'INSERT INTO %s (task_id, name, version, key, data, correlation_id, causation_id, since, due_at, is_scheduled,
                         attempts, problem)
         VALUES ($1, $2, 1, $3, $4, $5, $6, $7, $7, false, $8, '''') ON CONFLICT DO NOTHING', tasks
    ) USING NEW.causation_id || '/0',
        CASE NEW.kind WHEN 'issue' THEN 'bitcoin.make-invoice' WHEN 'watch' THEN 'bitcoin.watch-invoice'
                      ELSE 'bitcoin.pay-invoice' END,
        NEW.invoice_id,
        CASE NEW.kind
            WHEN 'issue' THEN json_build_object('invoice_id', NEW.invoice_id, 'amount_sat', NEW.amount_sat)
            WHEN 'watch' THEN json_build_object('invoice_id', NEW.invoice_id, 'payment_hash', NEW.payment_hash)
            ELSE json_build_object(
                'invoice_id', NEW.invoice_id, 'amount_sat', NEW.amount_sat, 'payment_hash', NEW.payment_hash,
                'payment_request', NEW.payment_request
            )
        END,
        NEW.correlation_id, NEW.causation_id, NEW.due_at, NEW.attempts;
    RETURN NEW;
END
$$;

CREATE TRIGGER lightning_task_is_task INSTEAD OF INSERT OR UPDATE OR DELETE ON lightning_tasks
FOR EACH ROW EXECUTE FUNCTION lightning_task_is_task();

INSERT INTO lightning_tasks
    (invoice_id, kind, amount_sat, payment_hash, payment_request, due_at, correlation_id, causation_id, attempts)
SELECT invoice_id, kind, amount_sat, payment_hash, payment_request, due_at, correlation_id, causation_id, attempts
FROM former_tasks;
DROP TABLE former_tasks;
