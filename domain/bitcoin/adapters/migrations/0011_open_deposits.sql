-- expands
-- Of the deposits that wait for their invoice or for its payer an account has at most 100, and a campaign at most 1000 gifts:
-- each costs an invoice at the node, and is looked up there until it ends. Whoever has more already keeps them.
CREATE INDEX invoices_open_deposits ON invoices (account_id)
    WHERE kind = 'deposit' AND state IN ('requested', 'issued') AND campaign_id IS NULL;
CREATE INDEX invoices_open_gifts ON invoices (campaign_id)
    WHERE kind = 'deposit' AND state IN ('requested', 'issued') AND campaign_id IS NOT NULL;

-- Looks at what is open alone, and at no more of it than tells, by its index from the first row on. Takes no lock: what another transaction commits at the same
-- instant is not counted, so there may be a few more, at most as many again for each AggregateActor beside this one.
CREATE FUNCTION refuse_too_many_open() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT SET enable_seqscan = off AS $$
DECLARE
    refused text;
BEGIN
    SELECT wanted.account_id INTO refused
    FROM (
        SELECT DISTINCT account_id FROM inserted
        WHERE kind = 'deposit' AND state IN ('requested', 'issued') AND campaign_id IS NULL
    ) AS wanted
    WHERE EXISTS (
        SELECT FROM invoices
        WHERE invoices.account_id = wanted.account_id
          AND kind = 'deposit' AND state IN ('requested', 'issued') AND campaign_id IS NULL
        OFFSET 100
    )
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'account % has too many open deposits', refused
            USING ERRCODE = 'check_violation', CONSTRAINT = 'invoices_open_deposits_of_an_account';
    END IF;
    SELECT wanted.campaign_id INTO refused
    FROM (
        SELECT DISTINCT campaign_id FROM inserted
        WHERE kind = 'deposit' AND state IN ('requested', 'issued') AND campaign_id IS NOT NULL
    ) AS wanted
    WHERE EXISTS (
        SELECT FROM invoices
        WHERE invoices.campaign_id = wanted.campaign_id
          AND kind = 'deposit' AND state IN ('requested', 'issued') AND campaign_id IS NOT NULL
        OFFSET 1000
    )
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'campaign % has too many open gifts', refused
            USING ERRCODE = 'check_violation', CONSTRAINT = 'invoices_open_gifts_to_a_campaign';
    END IF;
    RETURN NULL;
END
$$;

-- Nothing that exists becomes open again, so only a new row can be one too many.
CREATE TRIGGER invoices_open_deposits_bounded AFTER INSERT ON invoices
    REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION refuse_too_many_open();
