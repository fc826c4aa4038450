-- Double entry, one row a movement: what one account loses another gains, so the sum is zero at every instant.
-- Accounts that begin with @ belong to the system: @lightning and @in-transit. They have no row in accounts.
CREATE TABLE ledger (
    idempotency_key text COLLATE "C" CONSTRAINT ledger_idempotency_key_unique PRIMARY KEY,
    debit_account text COLLATE "C" NOT NULL,
    credit_account text COLLATE "C" NOT NULL,
    amount_sat bigint NOT NULL,
    kind text NOT NULL,
    follows text COLLATE "C" CONSTRAINT ledger_follows_known_movement REFERENCES ledger (idempotency_key),
    recorded_at timestamptz NOT NULL,
    CONSTRAINT ledger_amount_is_satoshis CHECK (amount_sat BETWEEN 1 AND 2100000000000000),
    CONSTRAINT ledger_moves_between_two_accounts CHECK (debit_account <> credit_account)
);

-- A transfer's debit is followed by its credit or its refund, never by both.
CREATE UNIQUE INDEX ledger_follows_once ON ledger (follows) WHERE follows IS NOT NULL;
