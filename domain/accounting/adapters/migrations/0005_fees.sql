-- expands
-- What a withdrawal sets aside for the fee of its route is a movement to @routing; when it was paid, the rest comes back.
-- Of that change: what of the reserve stays there. Null in all other rows, so in all from before.
ALTER TABLE ledger
    ADD COLUMN fee_sat bigint,
    ADD CONSTRAINT ledger_tells_the_fee_of_a_change
        CHECK (CASE WHEN kind = 'fee_change' THEN fee_sat >= 0 AND fee_sat IS NOT NULL ELSE fee_sat IS NULL END) NOT VALID;

-- As it was; and a change takes up a reserve together with the fee that stays, a refund of it takes up all.
CREATE OR REPLACE FUNCTION refuse_another_follow_up() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    PERFORM FROM ledger AS first
    WHERE first.idempotency_key = NEW.follows
      AND first.kind = CASE NEW.kind
          WHEN 'withdrawal_refund' THEN 'withdrawal'
          WHEN 'fee_change' THEN 'fee_reserve'
          WHEN 'fee_refund' THEN 'fee_reserve'
          ELSE 'transfer_debit'
      END
      AND first.amount_sat = NEW.amount_sat + coalesce(NEW.fee_sat, 0)
      AND first.credit_account = NEW.debit_account
      AND NEW.credit_account = CASE NEW.kind
          WHEN 'transfer_credit' THEN coalesce(first.payee, NEW.credit_account)
          ELSE first.debit_account
      END;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'movement % does not take up what it follows', NEW.idempotency_key
            USING ERRCODE = 'check_violation', CONSTRAINT = 'ledger_takes_up_what_it_follows';
    END IF;
    RETURN NULL;
END
$$;

-- What an account has withdrawn on the last day on which it has withdrawn anything.
ALTER TABLE accounts
    ADD COLUMN drawn_on date,
    ADD COLUMN drawn_sat bigint NOT NULL DEFAULT 0;
