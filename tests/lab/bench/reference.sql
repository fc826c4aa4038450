\set account random(0, 9999)
BEGIN;
SELECT balance, version FROM accounts WHERE id = 'account-' || :account;
UPDATE accounts SET balance = balance + 1000, version = version + 1 WHERE id = 'account-' || :account;
INSERT INTO inbox (message_id) VALUES (gen_random_uuid()::text);
INSERT INTO outbox (key, data) VALUES ('account-' || :account, '{"account_id": "account-12345", "amount_sat": 1000, "balance_sat": 8000}');
COMMIT;
