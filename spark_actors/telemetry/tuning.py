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

# --- logs that operators ask for ---

LOG_FILES_KEPT = 3
"""Files that rotation keeps beside the one that is being written. May be changed: disk against how far back one can
look."""
LOG_CHUNK_BYTES = 65_536
"""So much of a log file is read at once. May be changed freely."""
LOG_LINES = 1_000
"""Lines that a look back gives unless somebody wants another number. May be changed freely."""
LOG_MOST_LINES = 10_000
"""More than so many no look back gives. May be changed: memory for each who asks."""
LOG_KEPT_CHARACTERS = 8 * 1024 * 1024
"""So much is kept in memory of what a look back gives; what is older is left out. May be changed: memory for each who
asks."""
LOG_READERS = 8
"""Who may read the log of a node at the same time. May be changed: each holds a thread, and reads through the files."""
LOG_LOOK_SECONDS = 0.3
"""How often who follows a log is given what is new. May be changed freely."""
LOG_SIGN_SECONDS = 3.0
"""After so long without a line, who follows is given an empty one, so that both sides notice when the other is gone.
Well below the time-out of who reads."""
TARGETS_SECONDS = 5.0
"""For so long the list of nodes for Prometheus is good: who asks more often costs the store nothing. May be changed."""
