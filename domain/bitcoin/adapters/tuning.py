"""The numbers that the ways to real Lightning nodes are tuned by."""

from __future__ import annotations

# --- how long a call may take ---

CONNECT_SECONDS = 5.0
"""Until there is a connection. May be changed: what is not connected by then was certainly not asked."""
CALL_SECONDS = 10.0
"""Calls that a node answers from its own tables, or by making an invoice. May be changed."""
PAY_SECONDS = 8.0
"""Until LNbits says where a payment stands: it waits up to five seconds for its backend, and does one at a time. May be
changed, below lightning.call_timeout_seconds: after it the payment is looked up."""
LOOK_UP_SECONDS = 45.0
"""LNbits asks its backend about a payment that is under way. Not below 35: with LND as the backend it takes 30."""
FOLLOW_SECONDS = 5.0
"""For how long a payment that LND has begun is followed. May be changed: most are through within a second, and one that
takes longer is looked up later."""
SETTLED_SECONDS = 5.0
"""How long LND may be silent when it is asked what was settled since. May be changed: it says nothing if there was
nothing, so each such call takes this long."""
QUIET_SECONDS = 0.3
"""After so long without a line, LND has told all that was settled. May be changed: what comes later is told by the next
call."""

# --- sizes ---

ANSWER_BYTES = 16 * 1024 * 1024
"""An answer that is longer is refused. Not below what a page of LNbits's rows takes, about a megabyte."""
RECEIVED_AT_ONCE = 500
"""Received payments that are told at once. May be changed."""
SENT_AT_ONCE = 100
"""Payments that are told at once. May be changed: LND tells each with all its tries, some kilobytes."""
FIRST_ROWS, MORE_ROWS = 20, 500
"""Rows of LNbits that are read first to learn what was received, which is next to nothing as a rule; and then, if that
does not reach back far enough. The second not above 1000: LNbits gives no more."""
LNBITS_OVERLAP_SECONDS = 30.0
"""Rows of LNbits may appear so much later than the time that they bear: it writes one at a time. Not below the longest
that it waits for its database."""

# --- the check at the start ---

CHECK_FIRST_SECONDS, CHECK_LONGEST_SECONDS = 2.0, 300.0
"""Pauses before a node that cannot be used is checked again: the first and the longest. May be changed."""
