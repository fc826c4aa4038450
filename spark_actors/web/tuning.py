"""The numbers that the web process is tuned by. Settings say where it listens and how many streams there may be."""

from __future__ import annotations

# --- the broker ---

RECONNECT_SECONDS = 0.5
"""Between two tries to reach the broker. May be changed: how soon pages recover against load on a broker."""
VIEW_SECONDS = 4.0
"""How long a page waits for a view. May be changed: beyond what people wait for a page nobody looks at it."""
ACTION_SECONDS = 12.0
"""How long a page waits for what an operator has had done. Above what the daemon gives itself for one request to act on
many letters (`operations`), the last one's outcome included."""
OUTCOME_SECONDS = 2.0
"""How long a page waits for how a command ended; then it says that it is under way. May be changed."""

# --- streams ---

QUICK_SECONDS = 0.4
"""Between two looks at what a page shows while it changes. May be changed: how live it is against questions asked."""
SLOW_SECONDS = 2.0
"""The same when nothing changes. May be changed."""
LIVELY_SECONDS = 4.0
"""For how long after a change, or a command sent from here, looks are quick. May be changed."""
COMMENT_SECONDS = 15.0
"""After so much silence a stream says that it lives. Below the idle time-outs of proxies, mostly 30 to 60 s."""
QUESTIONS_A_SECOND = 50.0
"""Looks of all streams together; beyond that they take turns. May be changed: how live pages are against the daemon's
load."""
RETRY_AFTER_SECONDS = 30
"""When somebody for whom there is no stream may ask again. May be changed."""

# --- the server ---

BODY_BYTES = 65_536
"""Of a form. Not lower than the longest text that a form takes, with each character escaped."""
FORM_FIELDS = 50
"""Of one form. Not lower than the largest form has."""
FAREWELL_SECONDS = 1
"""Until a shutdown cuts off who has not taken leave. Below the time that the daemon gives the process to end."""
KEEP_ALIVE_SECONDS = 30
"""Until an idle connection is closed. May be changed."""
THREADS = 2
"""For work that takes long in a thread, such as hashing: each may take 64 MiB. May be changed."""
WORK_WAITING_MOST = 8
"""Such pieces of work in hand: more are refused rather than kept waiting. May be changed."""

# --- the API ---

API_BODY_BYTES = 65_536
"""Of a request. What the daemon's door takes, as it is set if nobody has set it."""
API_IN_HAND = 200
"""Requests that wait for the daemon; more are refused with 503. May be changed."""
WAIT_SECONDS_MOST = 30.0
"""Whoever prefers to wait longer for an outcome waits so long. Below the idle time-outs of proxies."""
ACTION_SECONDS = 30.0
"""How long an action may take. Not below what the daemon gives one."""
