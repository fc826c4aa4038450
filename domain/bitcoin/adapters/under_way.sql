-- under_way
-- What withdrawals hold that are debited and have not ended, and how much of it nobody may have sent yet; counting stops at
-- 100000 of them.
SELECT coalesce(sum(held_sat), 0)::bigint,
       coalesce(sum(held_sat) FILTER (WHERE permits.payment_hash IS NULL), 0)::bigint
FROM (
    SELECT payment_hash, amount_sat + coalesce(fee_reserve_sat, 0) AS held_sat
    FROM bitcoin.invoices
    WHERE kind = 'withdrawal' AND state = 'authorized'
    LIMIT 100000
) AS open LEFT JOIN bitcoin.permits USING (payment_hash)
