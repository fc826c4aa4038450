-- nodes
-- Every node, with what is there.
SELECT nodes.node_id, name, address, release, python, state, reason, nodes.since, joined_at, pid, metrics_url,
    cpu_percent, memory_bytes, extract(epoch FROM clock_timestamp() - heartbeat_at)::float8 AS silent_seconds,
    count(place) FILTER (WHERE place LIKE 'spark/pool/%%') AS slots, count(place) AS actors
FROM {schema}.nodes LEFT JOIN {schema}.places ON places.node_id = nodes.node_id AND incarnation > 0
GROUP BY nodes.node_id ORDER BY nodes.state = 'gone', joined_at, nodes.node_id

-- places
-- Where everything lives.
SELECT place, incarnation, node_id, since, wanted_node FROM {schema}.places
WHERE epoch = (SELECT max(epoch) FROM {schema}.trees WHERE state = 'open') AND incarnation > 0 ORDER BY place

-- drain
-- A node is to be emptied.
UPDATE {schema}.nodes SET is_to_leave = true WHERE node_id = %(node_id)s

-- scale
-- A pool is to have so many slots, whatever the settings say.
INSERT INTO {schema}.pools (pool, slots) VALUES (%(pool)s, %(slots)s)
ON CONFLICT (pool) DO UPDATE SET slots = excluded.slots

-- move
-- A place is to be filled there.
UPDATE {schema}.places SET wanted_node = %(node_id)s WHERE place = %(place)s
