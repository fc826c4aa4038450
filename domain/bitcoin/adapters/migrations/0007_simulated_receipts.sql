-- expands
-- What comes in for an invoice of the simulated node may be more than it asks for, and may come late; sending costs fees.
ALTER TABLE simulated_invoices
    ADD COLUMN received_sat bigint;  -- what arrives at paid_at, even if it is late; null: the amount, unless it is

ALTER TABLE simulated_payments ADD COLUMN fee_sat bigint NOT NULL DEFAULT 0;

CREATE INDEX simulated_invoices_paid_idx ON simulated_invoices (paid_at, payment_hash) WHERE paid_at IS NOT NULL;
