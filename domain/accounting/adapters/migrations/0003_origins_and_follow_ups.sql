-- A deposit by hand and the deposit of an invoice of the same id are two movements: their keys are deposit/<id> and
-- invoice/<id>, their kinds manual_deposit and invoice_deposit. Rows of the kind deposit were written by a program that
-- did not tell them apart, under deposit/<id>: each may be either, so it keeps both from being credited again. Whoever
-- knows better sets the kind of such a row, and frees the other by it.
CREATE UNIQUE INDEX ledger_credits_an_invoice_once ON ledger (substr(idempotency_key, strpos(idempotency_key, '/') + 1))
    WHERE kind IN ('deposit', 'invoice_deposit');

-- Of a transfer's debit: whom the money in transit is for. Null in rows that were written without it: of those only the
-- amount and the payer are known, and what they put in transit goes to whom the credit says, as it did.
ALTER TABLE ledger ADD COLUMN payee text COLLATE "C";

-- A follow-up takes up all that was put down, where it was put down, and gives it to the payee or back to the payer.
-- By a trigger and not by a composite foreign key: that would need a unique index over key, amount and accounts, which
-- every row would pay for; the trigger costs only the rows that follow another. Rows never change, so it is as good.
CREATE FUNCTION refuse_another_follow_up() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    PERFORM FROM ledger AS first
    WHERE first.idempotency_key = NEW.follows
      AND first.kind = CASE NEW.kind WHEN 'withdrawal_refund' THEN 'withdrawal' ELSE 'transfer_debit' END
      AND first.amount_sat = NEW.amount_sat
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

-- After the row, and after the foreign key: what follows nothing at all is refused as that.
CREATE TRIGGER ledger_takes_up_what_it_follows AFTER INSERT ON ledger
    FOR EACH ROW WHEN (NEW.follows IS NOT NULL) EXECUTE FUNCTION refuse_another_follow_up();
