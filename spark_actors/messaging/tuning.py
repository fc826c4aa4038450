"""The numbers that messaging is tuned by. Lengths and names that are part of a contract stand where it is."""

from __future__ import annotations

# --- the relay: how far a subscriber may fall behind ---

WEIGHT_BYTES = 1_024
"""A row weighs as much as one more for each of these that its content has, so that few large rows fill memory no more
than many small ones. May be changed: memory against how soon a subscriber with large events is set aside."""
HOARD_FACTOR = 15
"""How many times what one subscriber may have in hand is taken in at most. May be changed: memory against reads. More
than FAR_BEHIND_FACTOR, or the reader stops before anybody is set aside, and one that is away holds up all others."""
FAR_BEHIND_FACTOR = 12
"""When so many times that is taken in, whoever has more than its part to do is set aside. May be changed, not below 2:
lower, and a subscriber is set aside (each of its events is written once more) for a short pause."""

# --- deaths: finding the message that kills its taker ---

DEADLY_DEATHS = 3
"""So often a taker may die under the same messages before these are suspected, and under one message alone before that
is given up: machines, and operators, end processes too. May be changed, not below 2: lower, and a process that somebody
ends by chance buries a message that did nothing."""
LARGEST_BATCH = 10_000
"""Batches are smaller than that: a search for a deadly message whose steps have grown so far is over. Not lower than
the settings allow a batch to be."""

# --- the log ---

QUIET_SECONDS = 10.0
"""The first of a burst is told at once; then, how many more there were, once in so long. May be changed freely."""
