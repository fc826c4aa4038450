-- The inbox remembers what was asked under an id, so that an id is not taken for something else. Ids of commands from
-- outside have another form from now on (who sent it, the source, the id), so what was remembered before stays apart,
-- under the ids of before, until its retention has passed. In a new deployment there is nothing of it.
DO $$
DECLARE
    partition text;
    has_rows boolean;
BEGIN
    FOR partition IN
        SELECT child.relname FROM pg_inherits JOIN pg_class AS child ON child.oid = inhrelid
        WHERE inhparent = 'inbox'::regclass
    LOOP
        EXECUTE format('SELECT EXISTS (SELECT FROM %I)', partition) INTO has_rows;
        IF has_rows THEN
            EXECUTE format('ALTER TABLE %I RENAME CONSTRAINT %I TO %I', partition, partition || '_pkey',
                replace(partition, 'inbox_', 'inbox_before_') || '_pkey');
            EXECUTE format('ALTER TABLE %I RENAME TO %I', partition, replace(partition, 'inbox_', 'inbox_before_'));
        ELSE
            EXECUTE format('DROP TABLE %I', partition);
        END IF;
    END LOOP;
END
$$;

ALTER TABLE inbox RENAME CONSTRAINT inbox_pkey TO inbox_before_pkey;
ALTER TABLE inbox RENAME CONSTRAINT inbox_verdict_known TO inbox_before_verdict_known;
ALTER TABLE inbox RENAME TO inbox_before;

CREATE TABLE inbox (
    message_id text COLLATE "C" NOT NULL,
    week date NOT NULL,    -- the Monday (UTC) of a week in which it may have been handled; near midnight there are two
    verdict text NOT NULL,
    reason text NOT NULL,
    data json,             -- null when there is none
    digest bytea,          -- of what was asked; null where nobody chooses the id
    CONSTRAINT inbox_pkey PRIMARY KEY (message_id, week),
    CONSTRAINT inbox_verdict_known CHECK (verdict IN ('done', 'rejected', 'failed'))
) PARTITION BY RANGE (week);

-- The id that a command had before: `<subject> <id>`, or for operators the bare id.
CREATE FUNCTION former_id(message_id text) RETURNS text
LANGUAGE sql IMMUTABLE
RETURN CASE
    WHEN message_id ~ '^operator [^ ]+ [^ ]+ ' THEN regexp_replace(message_id, '^operator [^ ]+ [^ ]+ ', '')
    WHEN message_id ~ '^(lightning|user|nobody) [^ ]+ [^ ]+ '
        THEN regexp_replace(message_id, '^[^ ]+ ([^ ]+) [^ ]+ ', '\1 ')
    ELSE message_id
END;

-- How many of these are known under an id of that time: from then, or because they waited since, or an older release
-- runs beside. Nothing is looked for once all of that time is forgotten. It does not see what its own statement writes.
CREATE FUNCTION known_before(message_ids text[]) RETURNS bigint
LANGUAGE plpgsql STABLE SET search_path FROM CURRENT AS $$
DECLARE
    former text[];
BEGIN
    IF NOT EXISTS (SELECT FROM inbox_before) THEN
        RETURN 0;
    END IF;
    former := ARRAY(SELECT former_id(message_id) FROM unnest(message_ids) AS given (message_id));
    RETURN (SELECT count(*) FROM inbox_before WHERE message_id = ANY(message_ids || former))
        + (SELECT count(*) FROM inbox WHERE message_id = ANY(former));
END
$$;

-- The weeks under which a message is remembered that is handled at this moment. Near the end of a week there are two,
-- so that of two transactions to either side of it one meets the other's row: neither lasts as long as the margin.
CREATE FUNCTION inbox_weeks(moment timestamptz) RETURNS SETOF date
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT DISTINCT week_of(moment + margin) FROM unnest(ARRAY[interval '-5 minutes', interval '5 minutes']) AS margin;
END;

-- Makes the partitions of the given moment's weeks and the next, where there are none.
CREATE OR REPLACE FUNCTION make_inbox_partitions(moment timestamptz) RETURNS void
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    week date;
    partition text;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('inbox partitions of ' || current_schema(), 0));
    FOR week IN SELECT inbox_weeks(moment) UNION SELECT week_of(moment) + 7 LOOP
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
CREATE OR REPLACE FUNCTION drop_inbox_partitions(moment timestamptz, retention interval) RETURNS void
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    oldest text := to_char(week_of(least(moment, now()) - retention), 'YYYYMMDD');
    partition text;
BEGIN
    FOR partition IN
        SELECT child.relname FROM pg_inherits JOIN pg_class AS child ON child.oid = inhrelid
        WHERE inhparent IN ('inbox'::regclass, 'inbox_before'::regclass) AND right(child.relname, 8) < oldest
    LOOP
        EXECUTE format('DROP TABLE IF EXISTS %I', partition);
    END LOOP;
END
$$;

SELECT make_inbox_partitions(now());
