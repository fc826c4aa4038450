-- wish
-- Another tree is to take over.
INSERT INTO {schema}.hand_overs (python, release) VALUES (%(python)s, %(release)s) RETURNING hand_over

-- under_way
-- The one that has not come to its end.
SELECT hand_over, python, release, state, detail FROM {schema}.hand_overs
WHERE state IN ('wished', 'warming', 'handing over')

-- one
-- How far one has come.
SELECT hand_over, python, release, state, detail FROM {schema}.hand_overs WHERE hand_over = %(hand_over)s

-- note
-- It has come so far.
UPDATE {schema}.hand_overs SET state = %(state)s, detail = %(detail)s, since = now()
WHERE hand_over = %(hand_over)s AND state IN ('wished', 'warming', 'handing over')

-- abort
-- It is not to be, as long as nothing has been handed over.
UPDATE {schema}.hand_overs SET state = 'aborted', since = now() WHERE state IN ('wished', 'warming')

-- give_up
-- Nobody is there any more who would come to its end.
UPDATE {schema}.hand_overs SET state = 'refused', detail = %(detail)s, since = now()
WHERE state IN ('wished', 'warming', 'handing over')
