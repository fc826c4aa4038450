-- nodes
-- Every node, with what is there.
SELECT node_id, name, address, release, python, state, reason, since, joined_at, pid, cpu_percent, memory_bytes,
    extract(epoch FROM clock_timestamp() - heartbeat_at)::float8 AS silent_seconds,
    (SELECT count(*) FROM {schema}.places WHERE places.node_id = nodes.node_id AND place LIKE 'spark/pool/%%') AS slots,
    (SELECT count(*) FROM {schema}.places WHERE places.node_id = nodes.node_id) AS actors
FROM {schema}.nodes ORDER BY state = 'gone', joined_at, node_id

-- places
-- Where everything lives.
SELECT place, incarnation, node_id, since, wanted_node FROM {schema}.places ORDER BY place

-- drain
-- A node is to be emptied.
UPDATE {schema}.nodes SET is_to_leave = true WHERE node_id = %(node_id)s

-- move
-- A place is to be filled there.
UPDATE {schema}.places SET wanted_node = %(node_id)s WHERE place = %(place)s
