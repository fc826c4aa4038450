"""The numbers that the built-in services are tuned by. What their servers are told stands with each of them."""

from __future__ import annotations

from spark_actors.kernel.back_off import BackOff

# --- keeping a service alive ---

REVIVAL_BACK_OFF = BackOff(first_seconds=0.5, longest_seconds=15.0)
"""Between the starts of a service that does not stay. May be changed: how soon it is back against load and log. No
jitter: one daemon starts one server of each kind."""

# --- time-outs ---

POSTGRES_START_SECONDS = 60.0
"""Until Postgres is ready, or at least says that it is on its way. Not lower than a start takes on a machine under full
load; a long recovery may take longer, and is waited for."""
POSTGRES_TELL_SECONDS = 10.0
"""How often a long recovery is told of. May be changed freely."""
POSTGRES_LEFTOVER_SECONDS = 60.0
"""Until the server of a daemon that was killed has ended. Not lower than its shutdown takes, a checkpoint and all."""
NATS_START_SECONDS = 60.0
"""Until NATS is ready: reading back a large stream may take a while. Not lower than that takes."""
NATS_LEFTOVER_SECONDS = 30.0
"""The same as with Postgres, for NATS."""
NATS_CHOKED_SECONDS = 5.0
"""Grace for a server that cannot write for want of room: it may not end by itself, either. May be changed."""
WEB_LEFTOVER_SECONDS = 5.0
"""Until the web process of a daemon that was killed has ended: it holds the port. May be changed."""
WEB_STOP_SECONDS = 2.0
"""Grace for the web process, which has nothing to save. Not lower than the farewell to open streams takes, and well
below what a shutdown may take."""
WEB_WAITING_CONNECTIONS = 512
"""Connections that may wait while the web process is started again. May be changed."""
RAY_KILLED_SECONDS = 15.0
"""Until a process of Ray that was killed is gone. May be changed: then its node counts as not stopped."""
RAY_LOST_GRACE_SECONDS = 1.0
"""For what is left of a node that is lost: its agents would try for a minute to reach the GCS. May be changed."""
RAY_GCS_START_SECONDS = 120.0
"""Until a GCS has read what it knew and takes connections. Not lower than that takes, which grows with the cluster."""
RAY_HEAD_SECONDS = 3.0
"""For each question to a head that a node wants to join. May be changed: how soon is told that nobody is there."""
FORK_ASKED_SECONDS = 5.0
"""Until a launcher has said what it wants. May be changed: for so long one that was stopped holds up the others."""
FORK_IDLE_SECONDS = 60.0
"""A fork server ends when nobody whom it has made lives for so long. May be changed: until then it costs memory."""
POLL_SECONDS = 0.02
"""How often is looked whether something that is waited for has come true. May be changed: latency against CPU."""

# --- sizes ---

NEEDED_BYTES = 16 * 1024 * 1024
"""With less room on a disk, something that is built in will soon fail to write. Not lower than a WAL segment and a
block of the stream take."""
WAL_SEGMENT_MB = 1
"""All commits wait while a new segment is filled with zeros: with the usual 16 MB for 80 ms now and then. A power of
two; may be changed, for a data folder that is made anew only."""
OBJECT_STORE_BYTES = 80 * 1024 * 1024
"""Ray's minimum is 75 MiB; only a call of more than 1 MiB goes through it. Not lower; more is memory for nothing."""
FORK_READ_BYTES = 65_536
"""Read at once of what a launcher says. May be changed freely."""
RAY_KEPT_SESSIONS = 1
"""Folders of earlier runs of Ray, with their logs. May be changed: room on the disk."""
NATS_LOG_FILE_BYTES = 10_000_000
"""When NATS begins a new log file. May be changed freely."""
NATS_LOG_FILES = 3
"""How many of them are kept. May be changed freely."""
LAST_WORDS_BYTES = 2_000
"""Of a failed service's output, quoted in the error. May be changed freely."""
