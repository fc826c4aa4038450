-- The read models. Everything here is derived from events and holds what is known so far: a row may be there before the
-- event that begins it, since contexts are relayed independently. No foreign keys, few indexes: each event is written here.
-- Columns that change often are in no index and pages keep room, so that an update stays on its page (HOT).

CREATE TABLE accounts (
    account_id text COLLATE "C" CONSTRAINT accounts_pkey PRIMARY KEY,
    username text,  -- NULL until the sign-up is seen
    is_open boolean NOT NULL,
    balance_sat bigint NOT NULL CONSTRAINT accounts_balance_not_negative CHECK (balance_sat >= 0),
    sequence bigint NOT NULL  -- version of the account that the balance is of; 0: none seen
) WITH (fillfactor = 70);

CREATE TABLE campaigns (
    campaign_id text COLLATE "C" CONSTRAINT campaigns_pkey PRIMARY KEY,
    account_id text COLLATE "C",  -- the owner
    title text,
    description text,
    goal_sat bigint,
    created_at timestamptz,
    goal_reached boolean NOT NULL,
    raised_sat bigint NOT NULL CONSTRAINT campaigns_raised_not_negative CHECK (raised_sat >= 0),
    donations bigint NOT NULL CONSTRAINT campaigns_donations_not_negative CHECK (donations >= 0),
    sequence bigint NOT NULL,  -- version of the campaign that the totals are of; 0: none seen
    CONSTRAINT campaigns_created_as_a_whole CHECK (num_nulls(account_id, title, description, goal_sat, created_at) IN (0, 5))
) WITH (fillfactor = 50);
CREATE INDEX campaigns_newest_idx ON campaigns (created_at, campaign_id);
CREATE INDEX campaigns_of_account_idx ON campaigns (account_id, created_at);

CREATE TABLE donations (
    donation_id text COLLATE "C" CONSTRAINT donations_pkey PRIMARY KEY,
    campaign_id text COLLATE "C" NOT NULL,
    account_id text COLLATE "C" NOT NULL,  -- the donor
    amount_sat bigint NOT NULL,  -- as asked for: a refused one may be anything
    requested_at timestamptz NOT NULL,
    state text NOT NULL CONSTRAINT donations_state_is_known CHECK (state IN ('requested', 'rejected', 'registered')),
    rank smallint NOT NULL,  -- of the state: it only rises
    has_ended boolean NOT NULL,
    reason text NOT NULL,
    state_at timestamptz NOT NULL
) WITH (fillfactor = 80);
CREATE INDEX donations_of_campaign_idx ON donations (campaign_id, requested_at);
CREATE INDEX donations_of_account_idx ON donations (account_id, requested_at);

CREATE TABLE invoices (
    invoice_id text COLLATE "C" CONSTRAINT invoices_pkey PRIMARY KEY,
    account_id text COLLATE "C" NOT NULL,
    kind text NOT NULL CONSTRAINT invoices_kind_is_known CHECK (kind IN ('deposit', 'withdrawal')),
    amount_sat bigint NOT NULL,  -- as asked for: a refused one may be anything
    requested_at timestamptz NOT NULL,
    state text NOT NULL,
    rank smallint NOT NULL,  -- of the state: it only rises
    has_ended boolean NOT NULL,
    reason text NOT NULL,
    state_at timestamptz NOT NULL,
    payment_request text,
    payment_hash text,
    expires_at timestamptz
) WITH (fillfactor = 60);
CREATE INDEX invoices_of_account_idx ON invoices (account_id, kind, requested_at);

-- One row per event; partitions by week are dropped past their retention. The primary key makes redelivery harmless
-- (when an event occurred never changes), grows at its right edge and pages through the feed of everybody.
CREATE SEQUENCE activity_position_seq AS bigint;
CREATE TABLE activity (
    occurred_at timestamptz NOT NULL,
    message_id text COLLATE "C" NOT NULL,
    position bigint NOT NULL DEFAULT nextval('activity_position_seq'),  -- order of arrival, for events of one instant
    event text NOT NULL,
    event_key text NOT NULL,
    account_id text COLLATE "C" NOT NULL,  -- the one in whose feed it is shown, or empty
    correlation_id text COLLATE "C" NOT NULL,
    causation_id text NOT NULL,
    data json NOT NULL,
    CONSTRAINT activity_pkey PRIMARY KEY (occurred_at, message_id)
) PARTITION BY RANGE (occurred_at);
ALTER SEQUENCE activity_position_seq OWNED BY activity.position;
CREATE INDEX activity_of_account_idx ON activity (account_id, occurred_at) WHERE account_id <> '';
CREATE INDEX activity_of_story_idx ON activity (correlation_id);

-- Makes the partitions that events of the given moments go to, where they are missing.
CREATE FUNCTION make_activity_partitions(moments timestamptz[]) RETURNS void
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    week date;
    partition text;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('activity partitions of ' || current_schema(), 0));
    FOR week IN SELECT DISTINCT date_trunc('week', moment AT TIME ZONE 'UTC')::date FROM unnest(moments) AS moment LOOP
        partition := 'activity_' || to_char(week, 'YYYYMMDD');
        IF to_regclass(partition) IS NULL THEN
            -- Attaching, unlike creating in place, does not stop readers and writers of the activity.
            EXECUTE format('CREATE TABLE %I (LIKE activity INCLUDING ALL)', partition);
            EXECUTE format('ALTER TABLE activity ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', partition,
                           week::timestamp AT TIME ZONE 'UTC', (week + 7)::timestamp AT TIME ZONE 'UTC');
        END IF;
    END LOOP;
END
$$;

-- Drops the partitions that only hold events from before the given moment; gives up, to be called again, rather than
-- let everybody wait behind a long query. What is too old is judged by the earlier of the caller's and the database's
-- clock: a wrong clock must not make activity forgotten.
CREATE FUNCTION drop_activity_partitions(moment timestamptz, retention interval) RETURNS void
LANGUAGE plpgsql SET search_path FROM CURRENT SET lock_timeout = '3s' AS $$
DECLARE
    oldest timestamp := least(moment, now()) AT TIME ZONE 'UTC' - retention;
    partition text;
BEGIN
    FOR partition IN
        SELECT child.relname FROM pg_inherits JOIN pg_class AS child ON child.oid = inhrelid
        WHERE inhparent = 'activity'::regclass
          AND child.relname < 'activity_' || to_char(date_trunc('week', oldest), 'YYYYMMDD')
    LOOP
        EXECUTE format('DROP TABLE IF EXISTS %I', partition);
    END LOOP;
END
$$;

SELECT make_activity_partitions(ARRAY[now(), now() + interval '7 days']);
