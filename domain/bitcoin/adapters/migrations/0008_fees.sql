-- expands
-- What a withdrawal sets aside for its route and what that has cost; what a deposit has brought in. Null in rows of before,
-- and in those that a program writes which does not know of them.
ALTER TABLE invoices
    ADD COLUMN fee_reserve_sat bigint,
    ADD COLUMN fee_sat bigint,
    ADD COLUMN received_sat bigint,
    ADD CONSTRAINT invoices_reserve_of_a_withdrawal CHECK (
        fee_reserve_sat IS NULL OR (kind = 'withdrawal' AND fee_reserve_sat BETWEEN 0 AND 2100000000000000)
    ) NOT VALID,
    ADD CONSTRAINT invoices_fee_within_its_reserve CHECK (
        fee_sat IS NULL OR (kind = 'withdrawal' AND state = 'paid' AND fee_sat BETWEEN 0 AND coalesce(fee_reserve_sat, 0))
    ) NOT VALID,
    ADD CONSTRAINT invoices_received_if_paid CHECK (
        received_sat IS NULL OR (kind = 'deposit' AND state = 'paid' AND received_sat BETWEEN 1 AND 2100000000000000)
    ) NOT VALID;

-- No withdrawal pays the invoice of a deposit here. Those of before may: they are told by having no reserve.
CREATE UNIQUE INDEX invoices_no_withdrawal_of_a_deposit ON invoices (payment_hash)
    WHERE kind = 'deposit' OR (fee_reserve_sat IS NOT NULL AND state NOT IN ('rejected', 'failed'));
