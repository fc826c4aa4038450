"""The numbers that the way to the broker, and its client, are tuned by. Settings say how much may be in flight."""

from __future__ import annotations

# --- time-outs of the Ingress ---

BROKER_CONNECT_SECONDS = 2
"""Of a connection to one server of the broker. May be changed: longer, and it takes longer to come to the next one."""
BROKER_ANSWER_SECONDS = 5.0
"""How long the server may be silent beyond the time that a request for messages is good for. Not below a second: it
would be taken for gone under load."""
BROKER_CLOSE_SECONDS = 5.0
"""How long the answers to the last queries, and what was published last, may take when the connection is closed. May be
changed: part of what a shutdown may take."""
GIVE_WAY_SECONDS = 10.0
"""For how long an Ingress leaves the queue to another that has taken its place, before it takes it back. Longer than a
start takes, and than whoever moves an Ingress takes to end the old one once the new one is open, or two take it from
each other again and again."""

# --- batches ---

BATCH_BYTES = 262_144
"""A batch of messages ends with the one that makes it so big: checking them must not hold up everything else. May be
changed: throughput of large messages against latency."""
GATHER_SECONDS = 0.05
"""How long the rest of a batch may take after its first message: it comes at once, or waits for acknowledgements. May
be changed."""

# --- queries: what comes beyond these is dropped, and whoever asked asks again ---

QUERIES_AT_ONCE = 32
"""Queries that one Ingress answers at the same time. May be changed; each may hold a connection of a pool for reads."""
QUERIES_WAITING = 1_000
"""Queries that wait for that at most, of each subject that is listened on. May be changed: memory, and how old a query
is when its turn comes."""
QUERIES_WAITING_BYTES = 8 * 1024 * 1024
"""The same in bytes. Not lower than the largest message."""

# --- the client ---

CLIENT_CONNECT_SECONDS = 3
"""Time-out of a client's connection. May be changed."""
OUTCOME_SECONDS = 10.0
"""How long a client waits for an outcome or a view unless it says otherwise. May be changed; a command is done all the
same if it is sent once, and asking again under its id gives the same outcome."""
ACCEPT_SECONDS = 5.0
"""How long the broker may take to confirm that it has a command durably. May be changed."""
