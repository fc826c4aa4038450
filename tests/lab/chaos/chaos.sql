-- movements
-- The whole ledger.
SELECT idempotency_key, debit_account, credit_account, amount_sat FROM accounting.ledger

-- balances
-- Every balance.
SELECT account_id, balance_sat FROM accounting.accounts

-- seen_balances
-- Every balance as the read model has it.
SELECT account_id, balance_sat FROM dashboard.accounts

-- donations
-- What each campaign says of itself.
SELECT campaign_id, raised_sat, donations FROM crowdfunding.campaigns

-- seen_donations
-- What the read model says of each campaign.
SELECT campaign_id, raised_sat, donations FROM dashboard.campaigns

-- registered
-- Every donation that was registered, and every gift.
SELECT donation_id, campaign_id, amount_sat FROM crowdfunding.donations
UNION ALL
SELECT gift_id, campaign_id, amount_sat FROM crowdfunding.gifts

-- handled
-- How often each message was handled here, by the inbox: in how many transactions. One may mark it under two weeks.
-- By the id that the sender chose.
SELECT regexp_replace(message_id, '^[^ ]+ [^ ]+ [^ ]+ ', '') AS message_id, count(DISTINCT xmin::text)
FROM {schema}.inbox
GROUP BY 1

-- waiting
-- What has not come to an end in this context.
SELECT 'outbox: ' || name || ' ' || key FROM {schema}.outbox
UNION ALL
SELECT 'missed by ' || subscriber || ': ' || name || ' ' || key FROM {schema}.missed_events
UNION ALL
SELECT 'saga: ' || kind || ' ' || saga_id || ' at ' || step FROM {schema}.sagas WHERE state = 'running'
UNION ALL
SELECT 'task: ' || name || ' ' || key FROM {schema}.tasks
LIMIT 1000

-- letters
-- Messages that were given up, and that no operator had handled again.
SELECT message_id, name, reason FROM {schema}.dead_letters WHERE state <> 'retried' LIMIT 100

-- clients
-- The processes of whoever has a session.
SELECT DISTINCT split_part(application_name, ' ', 2) FROM pg_stat_activity WHERE application_name ~ '^spark [0-9]+$'

-- cut
-- End all other sessions.
SELECT pg_terminate_backend(pid)
FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND usename = current_user

-- make_refusal
-- From now on a share of the events that are to be stored is refused.
CREATE OR REPLACE FUNCTION {schema}.chaos_refuse() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF random() < TG_ARGV[1]::float8 THEN
        RAISE EXCEPTION 'refused on purpose' USING ERRCODE = TG_ARGV[0];
    END IF;
    RETURN NULL;
END
$$

-- refuse
-- Arm it. The values are put in as text: a trigger takes no parameters.
CREATE TRIGGER chaos_refuse AFTER INSERT ON {schema}.outbox FOR EACH STATEMENT
EXECUTE FUNCTION {schema}.chaos_refuse(%(state)s, %(share)s)

-- accept
-- Disarm it.
DROP TRIGGER IF EXISTS chaos_refuse ON {schema}.outbox

-- is_registered
-- Whether a donation counts.
SELECT exists(SELECT FROM crowdfunding.donations WHERE donation_id = %(donation_id)s)

-- lock_account
-- Hold the row of one account.
SELECT FROM accounting.accounts WHERE account_id = %(account_id)s FOR UPDATE

-- waiting_for_locks
-- How many sessions wait for a lock.
SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'

-- cut_database
-- End all sessions of one database.
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %(database)s AND pid <> pg_backend_pid()

-- turn_read_only
-- New transactions of all sessions may only read, once the settings are read again.
ALTER SYSTEM SET default_transaction_read_only = on

-- turn_back
-- As it was before.
ALTER SYSTEM RESET default_transaction_read_only

-- reload
-- Have all sessions read the settings again.
SELECT pg_reload_conf()

-- write_to_log
-- A record, without which a segment would not be left.
SELECT pg_logical_emit_message(false, 'chaos', 'more')

-- next_segment
-- Begin another segment of the log.
SELECT pg_switch_wal()
