-- become_root
-- The next root's number, for one of the tree that was made last.
UPDATE {schema}.deployment SET root = root + 1 WHERE namespace = %(namespace)s RETURNING root

-- seats
-- Who fills which place.
SELECT place, incarnation, node_id, wanted_node FROM {schema}.places

-- nodes
-- Every node that was ever heard of, until it is forgotten.
SELECT node_id, name, address, release, fingerprint,
    extract(epoch FROM clock_timestamp() - heartbeat_at)::float8 AS silent_seconds, is_to_leave, state, reason
FROM {schema}.nodes ORDER BY joined_at, node_id

-- pools
-- How many slots operators wish.
SELECT pool, slots FROM {schema}.pools

-- seat
-- The next incarnation of a place, if this is still the root, and stays it until this is written.
INSERT INTO {schema}.places AS ours (place, incarnation, node_id)
SELECT %(place)s, 1, %(node_id)s FROM {schema}.deployment WHERE root = %(root)s FOR SHARE
ON CONFLICT (place) DO UPDATE
    SET incarnation = ours.incarnation + 1, node_id = excluded.node_id, since = now()
RETURNING incarnation

-- vacate
-- A place that is no more, if this is still the root.
DELETE FROM {schema}.places WHERE place = %(place)s AND EXISTS (SELECT FROM {schema}.deployment WHERE root = %(root)s)

-- is_root
-- Whether this is still the root.
SELECT root = %(root)s FROM {schema}.deployment

-- note
-- What is held of nodes, if this is still the root.
INSERT INTO {schema}.nodes AS ours (node_id, name, address, state, reason)
SELECT given.node_id, given.name, given.address, given.state, given.reason
FROM unnest(%(node_ids)s::text[], %(names)s::text[], %(addresses)s::text[], %(states)s::text[], %(reasons)s::text[])
    AS given (node_id, name, address, state, reason)
WHERE EXISTS (SELECT FROM {schema}.deployment WHERE root = %(root)s)
ON CONFLICT (node_id) DO UPDATE SET state = excluded.state, reason = excluded.reason, since = now()
    WHERE (ours.state, ours.reason) IS DISTINCT FROM (excluded.state, excluded.reason)

-- forget_nodes
-- Nodes that are gone for long.
DELETE FROM {schema}.nodes WHERE state = 'gone' AND since < now() - interval '1 day'

-- incarnation
-- The newest actor of a place.
SELECT incarnation FROM {schema}.places WHERE place = %(place)s

-- root
-- The newest root.
SELECT root FROM {schema}.deployment

-- epoch
-- The tree that was made last.
SELECT epoch AS number, fingerprint, release, namespace FROM {schema}.deployment

-- next_epoch
-- A new tree is about to be made: roots of earlier ones may write no more.
UPDATE {schema}.deployment
SET epoch = epoch + 1, root = root + 1, fingerprint = %(fingerprint)s, release = %(release)s, since = now(),
    namespace = %(deployment)s || '/' || epoch + 1
RETURNING epoch AS number, fingerprint, release, namespace

-- heartbeat
-- What a node says of itself.
INSERT INTO {schema}.nodes AS ours
    (node_id, name, address, release, python, fingerprint, pid, cpu_percent, memory_bytes, heartbeat_at)
VALUES (%(node_id)s, %(name)s, %(address)s, %(release)s, %(python)s, %(fingerprint)s, %(pid)s, %(cpu_percent)s,
    %(memory_bytes)s, clock_timestamp())
ON CONFLICT (node_id) DO UPDATE
SET name = excluded.name, address = excluded.address, release = excluded.release, python = excluded.python,
    fingerprint = excluded.fingerprint, pid = excluded.pid, cpu_percent = excluded.cpu_percent,
    memory_bytes = excluded.memory_bytes, heartbeat_at = excluded.heartbeat_at
RETURNING state, reason

-- leave
-- A node is to be emptied.
UPDATE {schema}.nodes SET is_to_leave = true WHERE node_id = %(node_id)s
