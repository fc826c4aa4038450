-- become_root
-- The next root's number.
UPDATE {schema}.trees SET root = root + 1 WHERE epoch = %(epoch)s RETURNING root

-- seats
-- Who fills which place.
SELECT place, incarnation, node_id, wanted_node FROM {schema}.places WHERE epoch = %(epoch)s AND incarnation > 0

-- nodes
-- Every node that was ever heard of, until it is forgotten.
SELECT node_id, name, address, release, fingerprint, epoch,
    extract(epoch FROM clock_timestamp() - heartbeat_at)::float8 AS silent_seconds, is_to_leave, state, reason
FROM {schema}.nodes ORDER BY joined_at, node_id

-- pools
-- How many slots operators wish.
SELECT pool, slots FROM {schema}.pools

-- seat
-- The next incarnation of a place, if this is still the root, and stays it until this is written.
INSERT INTO {schema}.places AS ours (epoch, place, incarnation, issued, node_id)
SELECT epoch, %(place)s, 1, 1, %(node_id)s FROM {schema}.trees WHERE epoch = %(epoch)s AND root = %(root)s
FOR SHARE
ON CONFLICT (epoch, place) DO UPDATE
    SET incarnation = ours.issued + 1, issued = ours.issued + 1, node_id = excluded.node_id, since = now()
RETURNING incarnation

-- seat_again
-- An actor that had the place before has it again, since its successor never came to be, if this is still the root.
UPDATE {schema}.places SET incarnation = %(incarnation)s, node_id = %(node_id)s
WHERE epoch = %(epoch)s AND place = %(place)s
  AND EXISTS (SELECT FROM {schema}.trees WHERE epoch = %(epoch)s AND root = %(root)s)

-- vacate
-- Nobody has a right to a place any more, if this is still the root. The numbers of those who had one are used up.
UPDATE {schema}.places SET incarnation = 0
WHERE epoch = %(epoch)s AND place = %(place)s
  AND EXISTS (SELECT FROM {schema}.trees WHERE epoch = %(epoch)s AND root = %(root)s)

-- is_root
-- Whether this is still the root.
SELECT root = %(root)s FROM {schema}.trees WHERE epoch = %(epoch)s

-- note
-- What is held of nodes, if this is still the root.
INSERT INTO {schema}.nodes AS ours (node_id, name, address, state, reason)
SELECT given.node_id, given.name, given.address, given.state, given.reason
FROM unnest(%(node_ids)s::text[], %(names)s::text[], %(addresses)s::text[], %(states)s::text[], %(reasons)s::text[])
    AS given (node_id, name, address, state, reason)
WHERE EXISTS (SELECT FROM {schema}.trees WHERE epoch = %(epoch)s AND root = %(root)s)
ON CONFLICT (node_id) DO UPDATE SET state = excluded.state, reason = excluded.reason, since = now()
    WHERE (ours.state, ours.reason) IS DISTINCT FROM (excluded.state, excluded.reason)

-- introduce
-- What was found out about a node, if this is still the root.
UPDATE {schema}.nodes SET release = %(release)s, fingerprint = %(fingerprint)s
WHERE node_id = %(node_id)s AND EXISTS (SELECT FROM {schema}.trees WHERE epoch = %(epoch)s AND root = %(root)s)

-- forget_nodes
-- Nodes that are gone for long.
DELETE FROM {schema}.nodes WHERE state = 'gone' AND since < now() - interval '1 day'

-- incarnation
-- The actor that has a right to a place.
SELECT incarnation FROM {schema}.places WHERE epoch = %(epoch)s AND place = %(place)s

-- tree
-- The newest root of a tree that has not ended, and whether it works.
SELECT root, state = 'open' AS is_open, fenced FROM {schema}.trees WHERE epoch = %(epoch)s AND state <> 'ended'

-- root
-- The newest root of a tree that has not ended.
SELECT root FROM {schema}.trees WHERE epoch = %(epoch)s AND state <> 'ended'

-- count_fenced
-- An actor of this tree ends itself.
UPDATE {schema}.trees SET fenced = fenced + 1 WHERE epoch = %(epoch)s

-- current_tree
-- The tree that works.
SELECT epoch, namespace, release, fingerprint, settings FROM {schema}.trees WHERE state = 'open' ORDER BY epoch DESC LIMIT 1

-- newest_tree
-- The tree that was made last.
SELECT epoch, namespace, release, fingerprint, settings FROM {schema}.trees ORDER BY epoch DESC LIMIT 1

-- new_tree
-- A tree is about to be made.
INSERT INTO {schema}.trees (release, fingerprint, settings)
VALUES (%(release)s, %(fingerprint)s, %(settings)s) RETURNING epoch

-- name_tree
-- Where its actors are.
UPDATE {schema}.trees SET namespace = %(deployment)s || '/' || epoch WHERE epoch = %(epoch)s
RETURNING epoch, namespace, release, fingerprint, settings

-- open_tree
-- This tree works from now on, and no other.
UPDATE {schema}.trees SET state = CASE WHEN epoch = %(epoch)s THEN 'open' ELSE 'ended' END, since = now()
WHERE state <> 'ended'

-- end_places
-- No actor of a tree that has ended has a right to anything.
DELETE FROM {schema}.places WHERE epoch IN (SELECT epoch FROM {schema}.trees WHERE state = 'ended')

-- end_tree
-- This tree works no more.
UPDATE {schema}.trees SET state = 'ended', since = now() WHERE epoch = %(epoch)s

-- heartbeat
-- What a node says of itself.
INSERT INTO {schema}.nodes AS ours
    (node_id, name, address, release, python, fingerprint, epoch, pid, metrics_url, cpu_percent, memory_bytes,
     heartbeat_at)
VALUES (%(node_id)s, %(name)s, %(address)s, %(release)s, %(python)s, %(fingerprint)s, %(epoch)s, %(pid)s,
    %(metrics_url)s, %(cpu_percent)s, %(memory_bytes)s, clock_timestamp())
ON CONFLICT (node_id) DO UPDATE
SET name = excluded.name, address = excluded.address, release = excluded.release, python = excluded.python,
    fingerprint = excluded.fingerprint, epoch = excluded.epoch, pid = excluded.pid, metrics_url = excluded.metrics_url,
    cpu_percent = excluded.cpu_percent, memory_bytes = excluded.memory_bytes, heartbeat_at = excluded.heartbeat_at
RETURNING state, reason, (SELECT coalesce(max(epoch), 0) FROM {schema}.trees)

-- leave
-- A node is to be emptied.
UPDATE {schema}.nodes SET is_to_leave = true WHERE node_id = %(node_id)s

-- keys
-- Digests of the keys that were in use last.
SELECT digest FROM {schema}.keys_in_use ORDER BY digest

-- forget_keys
-- None is in use any more ...
DELETE FROM {schema}.keys_in_use

-- use_key
-- ... but for this one.
INSERT INTO {schema}.keys_in_use (digest) VALUES (%(digest)s) ON CONFLICT DO NOTHING
