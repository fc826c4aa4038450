-- make
-- The tables of the reference, with its accounts.
CREATE TABLE accounts (id text PRIMARY KEY, balance bigint NOT NULL, version bigint NOT NULL);
CREATE TABLE inbox (message_id text PRIMARY KEY);
CREATE TABLE outbox (position bigserial PRIMARY KEY, key text NOT NULL, data jsonb NOT NULL);
INSERT INTO accounts SELECT 'account-' || n, 0, 1 FROM generate_series(0, 9999) AS n;
ANALYZE accounts
