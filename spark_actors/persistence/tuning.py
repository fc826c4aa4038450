"""The numbers that the store is tuned by. The time limits of sessions are values of their own: `connections.Limits`."""

from __future__ import annotations

# --- connections and sessions ---

POOL_SIZE = 4
"""Connections in a pool at most. May be changed; what the deployment asks of Postgres (`bootstrap/sizes`) follows."""
RECONNECT_SECONDS = 5.0
"""After this a pool stops trying by itself, with a back-off of its own; whoever borrows next makes it try at once. May
be changed freely."""
OPERATOR_CONNECT_SECONDS = 5
"""Time-out of the connections that operators' commands make. May be changed."""
DESK_IDLE_SECONDS = 60.0
"""After this a session of the desk that nobody has used is closed: it costs nothing while nobody looks. May be
changed."""
WAKE_UPS_LIFETIME_SECONDS = 300.0
"""After this the connection that listens for wake-ups is made anew: from a primary that became a standby without a cut
no hint comes any more. May be changed: until then the relay polls."""

# --- who owns the database ---

OWNER_PATIENCE_SECONDS = 3.0
"""How long the session of a daemon that was killed just now may take to end. Not lower than Postgres takes to notice
that on the same machine, or a daemon that is started again at once is refused."""
OWNER_LOOK_SECONDS = 1.0
"""How often the owner looks whether the lock is still its own. May be changed: how soon a daemon that has lost it ends.
What two owners write is safe all the same: the store fences by version."""
OWNER_RETRY_SECONDS = 0.2
"""Between two tries to take the lock. May be changed freely."""

# --- the outbox ---

RISE_DISTANCE = 1_000
"""How many positions are worth a rise of the floor, which costs two looks at the locks. May be changed: that against
settled rows that a read walks through."""
COUNT_LIMIT = 100_000
"""Rows at which counting what waits stops, so that a look costs no more the more waits. May be changed, not below what
operators' alarms compare with."""

# --- parked keys and refused messages ---

PARKED_KEYS_AT_ONCE = 5_000
"""Parked keys in one read: none of them is long, but there may be very many. May be changed."""
MESSAGES_OF_A_KEY = 10_000
"""Where counting the messages that wait for one key stops. May be changed: a page of keys counts for each."""
PARKED_SUMMARY_ROWS = 50
"""Groups in a summary: reasons are few, but nothing stops a bug from making up many. May be changed: each is a series
in the metrics."""
TRIM_EVERY = 1_000
"""Refused messages buried between two trims, and rows deleted in one transaction. May be changed: so many more than the
retention says may be there for a moment."""

# --- what takes long beside the work ---

MAINTENANCE_ROWS = 1_000
"""Rows deleted in one transaction. May be changed: larger, and locks are held for longer."""
MAINTENANCE_BATCHES = 20
"""Batches deleted in one run; what is left is for the next. May be changed, as long as it is more than what comes in
between two runs (the actors' HOUSEKEEPING_SECONDS)."""
MAINTENANCE_LOCK_SECONDS = 0.05
"""How long to wait for a lock that makes the others wait as well. Not much higher: all turns wait meanwhile."""
AUDIT_PAGE_ROWS = 1_000
"""Rows that an audit reads at once. May be changed: memory against round trips."""
