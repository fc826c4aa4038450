-- expands
-- What arrived for a deposit; what a withdrawal set aside, what its route has cost, and the proof that it was paid. Null as
-- long as that is not seen, and in rows of before.
ALTER TABLE invoices
    ADD COLUMN received_sat bigint,
    ADD COLUMN fee_reserve_sat bigint,
    ADD COLUMN fee_sat bigint,
    ADD COLUMN preimage text;
