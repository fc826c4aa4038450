-- Guards: they raise inside a pipeline, so that the COMMIT behind them is never reached.

-- SP001: rows that a turn was decided on have another version by now.
CREATE FUNCTION expect_rows(found bigint, wanted bigint) RETURNS void
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF found <> wanted THEN
        RAISE EXCEPTION 'expected % rows of the decided version, found %', wanted, found USING ERRCODE = 'SP001';
    END IF;
END
$$;

-- SP002: messages of a turn were handled in an earlier week (in the same week, the primary key says so).
CREATE FUNCTION expect_unseen(found bigint) RETURNS void
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF found <> 0 THEN
        RAISE EXCEPTION '% messages were handled before', found USING ERRCODE = 'SP002';
    END IF;
END
$$;
