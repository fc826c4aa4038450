-- expands
-- The withdrawals that are debited and have not ended: few, whatever lies behind.
CREATE INDEX invoices_in_flight ON invoices (payment_hash) INCLUDE (amount_sat, fee_reserve_sat)
    WHERE kind = 'withdrawal' AND state = 'authorized';
