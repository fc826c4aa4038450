-- Who sent the command that moved the money, where it came from outside; empty for what the sagas do.
ALTER TABLE ledger ADD COLUMN sent_by text NOT NULL DEFAULT '';
