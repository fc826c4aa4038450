-- The messages that this context has handled, and how each ended. One partition a week: forgetting is dropping a table.
CREATE TABLE inbox (
    message_id text COLLATE "C" NOT NULL,
    week date NOT NULL,    -- the Monday (UTC) of the week in which it was handled
    verdict text NOT NULL,
    reason text NOT NULL,
    data json,             -- null when there is none
    CONSTRAINT inbox_pkey PRIMARY KEY (message_id, week),
    CONSTRAINT inbox_verdict_known CHECK (verdict IN ('done', 'rejected', 'failed'))
) PARTITION BY RANGE (week);

CREATE FUNCTION week_of(moment timestamptz) RETURNS date
LANGUAGE sql IMMUTABLE
RETURN date_trunc('week', moment AT TIME ZONE 'UTC')::date;

-- Makes the partitions of the given moment's week and the next, where there are none.
CREATE FUNCTION make_inbox_partitions(moment timestamptz) RETURNS void
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    week date;
    partition text;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('inbox partitions of ' || current_schema(), 0));
    FOREACH week IN ARRAY ARRAY[week_of(moment), week_of(moment) + 7] LOOP
        partition := 'inbox_' || to_char(week, 'YYYYMMDD');
        IF to_regclass(partition) IS NULL THEN
            -- Attaching, unlike creating in place, does not stop readers and writers of the inbox.
            EXECUTE format('CREATE TABLE %I (LIKE inbox INCLUDING ALL)', partition);
            EXECUTE format('ALTER TABLE inbox ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', partition, week, week + 7);
        END IF;
    END LOOP;
END
$$;

-- Drops the partitions in which everything is older than the retention. Age is judged by the earlier of the given
-- moment and the database's clock: a caller's wrong clock must not make messages forgotten.
CREATE FUNCTION drop_inbox_partitions(moment timestamptz, retention interval) RETURNS void
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    oldest text := 'inbox_' || to_char(week_of(least(moment, now()) - retention), 'YYYYMMDD');
    partition text;
BEGIN
    FOR partition IN
        SELECT child.relname FROM pg_inherits JOIN pg_class AS child ON child.oid = inhrelid
        WHERE inhparent = 'inbox'::regclass AND child.relname < oldest
    LOOP
        EXECUTE format('DROP TABLE IF EXISTS %I', partition);
    END LOOP;
END
$$;

SELECT make_inbox_partitions(now());
