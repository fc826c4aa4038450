"""The numbers that telemetry is tuned by. Names and buckets of metrics are a contract: they stand in the catalogue."""

from __future__ import annotations

# --- liveness: when the daemon counts as stuck ---

LOOP_SECONDS = 60.0
"""How long the main loop may take to come round: it waits for each of those it looks after for seconds at most. Not
lower than all these together, or a daemon that only waits is ended."""
ROOT_SECONDS = 60.0
"""How long the root may be silent. Ray starts it again within seconds; not lower than that takes on a busy machine."""

# --- the HTTP endpoint, the log, the metrics board ---

HTTP_STOP_POLL_SECONDS = 0.05
"""How soon the listening thread sees that it must stop. May be changed freely."""
HTTP_READ_SECONDS = 10
"""Time-out of a client that opens a connection and says nothing. May be changed: each holds a thread."""
TAIL_RETRY_SECONDS = 5.0
"""How long to wait when the log file cannot be read or renamed. May be changed freely."""
RETIRED_REMEMBERED = 1_000
"""Incarnations of actors whose last words count no more; only those of one that has just died can come too late. May be
changed: memory."""
