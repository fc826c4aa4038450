"""The numbers that the desk is tuned by."""

from __future__ import annotations

THREADS = 2
"""In which an Ingress answers operators, each with a session of Postgres at a DSN at most. May be changed: what the
deployment asks of Postgres (`bootstrap/sizes`) follows."""
ASKED_AT_ONCE = 16
"""Questions to the desk in hand at most, with those that wait for a thread; who asks more asks again. Well below
the queries that an Ingress answers at once (`ingress`), or views wait for operators."""
ACT_SECONDS = 4.0
"""So long one request to act on many letters goes on; whoever asked then asks for the rest. May be changed, below what
clients wait for an answer."""
OUTCOME_SECONDS = 3.0
"""So long is waited for how a letter ended that was sent to the door again. May be changed; together with ACT_SECONDS
below what clients wait for."""
LOOP_SECONDS = 10.0
"""So long a thread of the desk waits for its event loop at most, which ends before it does. Above OUTCOME_SECONDS and
what it takes to connect."""
