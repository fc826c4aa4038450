"""The numbers that the composition root tunes by: who yields to whom, and how much is taken at once."""

from __future__ import annotations

# --- niceness: under load commands come first, then sagas, then read models ---

HOST_NICENESS = 3
"""Less than the way in and Postgres, which feed and serve all hosts: turns are larger, however many hosts there are.
May be changed, not below 0."""
RELAY_NICENESS = 5
"""Of Supervisors and of ContextActors with sagas. May be changed; above HOST_NICENESS, or events take the processors
from commands."""
READERS_NICENESS = 10
"""Of read models, which may lag. May be changed; above RELAY_NICENESS."""

# --- batches ---

READERS_PATIENCE_SECONDS = 0.05
"""How long the next batch of a context that may lag grows after a small one: fewer, larger batches cost less. May be
changed: CPU against how fresh read models are."""
PULLED_AT_ONCE = 250
"""Commands that an Ingress checks in one go: answers that have come in meanwhile wait for so long. May be changed:
throughput against latency."""

# --- retries and spare room ---

RETRY_JITTER = 0.3
"""Part of the delay before an event is offered again that is left to chance. May be changed, 0 to 1; the rest of that
back-off are settings."""
DAEMON_SESSIONS = 2
"""Sessions of the daemon's own process beside the owner's lock: heartbeats, and a look at what operators wish. Follows
what `pulse` opens."""
SPARE_SESSIONS = 5
"""Sessions of Postgres for operators' commands, audits and migrations beside the daemon. Not lower than what an
operator runs at once: the daemon refuses to start if the server allows fewer than this and its own."""
