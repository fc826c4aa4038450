-- Guards: they raise inside a pipeline, so that the COMMIT behind them is never reached.

-- SP001: rows that a turn was decided on have another version by now.
CREATE FUNCTION expect_rows(actual bigint, wanted bigint) RETURNS void
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF actual <> wanted THEN
        RAISE EXCEPTION 'expected % rows of the decided version, found %', wanted, actual USING ERRCODE = 'SP001';
    END IF;
END
$$;

-- SP002: messages of a turn were handled in an earlier week (in the same week, the primary key says so).
CREATE FUNCTION expect_unseen(seen bigint) RETURNS void
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF seen <> 0 THEN
        RAISE EXCEPTION '% messages were handled before', seen USING ERRCODE = 'SP002';
    END IF;
END
$$;
