"""The numbers that the actors are tuned by. What an operator may want to change is a setting (`config`), not here."""

from __future__ import annotations

from spark_actors.kernel.back_off import BackOff

# --- retries: the back-off of each ---

LOOP_BACK_OFF = BackOff(first_seconds=0.1, longest_seconds=2.0)
"""Between the rounds of a loop whose step fails. May be changed: how soon work goes on after a failure against load on
what is failing. No jitter: each loop has its own store, broker or actor to wait for."""
HOST_BACK_OFF = BackOff(first_seconds=0.1, longest_seconds=2.0, jitter=0.5)
"""Before a batch of commands is sent again whose fate is unknown: its host or the store is away. May be changed. The
jitter is for all those who wait for the same host."""
LOCKED_BACK_OFF = BackOff(first_seconds=0.05, longest_seconds=2.0)
"""Before a command is sent again whose instance somebody else has locked. May be changed: how soon it is done once the
lock is gone, against turns that find it locked still."""
AWAY_BACK_OFF = BackOff(first_seconds=0.3, longest_seconds=0.3, jitter=2 / 3)
"""Before a batch of events is offered again to a subscriber that is away: 0.1 to 0.3 seconds, and no longer the longer
it is away, so that it goes on at once when it is back. May be changed: that against calls in vain."""

LETTER_BACK_OFF = BackOff(first_seconds=0.05, longest_seconds=2.0)
"""Before refused messages are kept again as dead letters while the store is away. May be changed. No jitter: each
Ingress has one such call at a time."""

# --- batches: how long they gather ---

BUSY_SIZE = 25
"""Messages in a batch from which on there is load. May be changed: throughput under load against latency."""
RELAY_GROWTH_SECONDS = 0.1
"""How long the next batch of a relay may take to gather under load, while the commands before it have the processors.
May be changed: CPU against the latency of events under load."""
SETTLE_PACE_SECONDS = 0.05
"""After a settlement the next may take so long to grow: nobody waits for it. May be changed: transactions against rows
that stay in the outbox a little longer."""

# --- parked keys ---

PARKED_LOOK_SECONDS = 0.5
"""How soon what an operator does to a key is seen. May be changed: that against queries at rest."""
PARKED_KEYS_A_SECOND = 100_000
"""How many parked keys are looked at a second at most, so that many of them are looked at more rarely. May be
changed."""
RELEASED_AT_ONCE = 100
"""Messages of a released key that are handed over together, and released keys that are looked at together. May be
changed: larger, and a released key holds up its lane for longer."""

# --- one actor alive: keepers, time-outs, what has an actor to itself ---

STORE_SECONDS = 120.0
"""So long a turn may wait for Postgres before that counts as not moving. Not lower than the statement time-out that the
store sets (`persistence`), or a host is replaced that only waits for its commit."""
WORK_SECONDS = STORE_SECONDS + 60
"""Time-out of a call that waits for the store. Not lower than STORE_SECONDS: a call that is given up while the actor
still works is handed over again for nothing."""
SLOW_STORE_SECONDS = 5.0
"""From then on an actor that waits for Postgres says so as a problem. May be changed freely."""
START_SECONDS = 60.0
"""Time-out of an actor's start. Not lower than a process with all its imports takes on a machine under full load."""
ANSWER_SECONDS = 5.0
"""Time-out of a call that an actor answers beside its work. May be changed: longer, and a hung one is noticed later."""
ANSWER_LOOK_SECONDS = 0.1
"""How often the daemon, while it waits for the root's answer, looks whether to wait is still worthwhile. May be changed
freely."""
CLUSTER_SECONDS = 5.0
"""Time-out of Ray's own calls, which block for as long as its control service is away. May be changed; tests of
liveness wait for several of these."""
ROUTE_SECONDS = 5.0
"""How long a call waits for a way to an actor that is being replaced, before whoever wants it counts a failure. May be
changed: longer than a replacement takes, or senders count failures that are none."""
TURN_KEPT_SECONDS = 5.0
"""For so long a host's next turn is kept for who has asked to be alone with it. Longer than a call takes to come, or
nobody is ever alone with a host under load; meanwhile the host does nothing."""
CONTEXT_KEPT_SECONDS = 2.0
"""The same at a ContextActor, which also waits for so long until those inside have gone."""

# --- the cluster: where actors live ---

NODE_SILENT_SECONDS = 2.0
"""A node whose actors have all been silent for so long, and which sends no heartbeats either, is suspected: what is
there is made anew elsewhere. May be changed: how soon keys of a lost machine are served again against actors that are
replaced for nothing because a machine was slow. Not lower than several heartbeats."""
LAG_SECONDS = 0.5
"""A root whose own round came so much too late has not listened: it suspects nobody for what it has not heard. May be
changed."""
CLUSTER_LOOK_SECONDS = 0.5
"""How often the root compares what should be with what is. May be changed: how soon operators' wishes and new nodes are
seen against queries at rest."""
INTRODUCTION_SECONDS = 3.0
"""So long a new node may take to say what it runs; then it is looked at. May be changed freely."""
EXAMINE_AGAIN_SECONDS = 15.0
"""How often a node on which nothing of ours works is looked at again. May be changed: each look starts a process."""
MOVES_AT_ONCE = 2
"""Actors that move between nodes at the same time. May be changed: how soon a node is empty against how much the moves
disturb the work."""
ROUTES_SECONDS = 5.0
"""How long an actor that moves waits for every sender to have heard of the new one before the old one is ended. May be
changed; who has not heard by then sees a call fail, and makes it again by the next table."""
ROUTES_LOOK_SECONDS = 0.02
"""How often it looks whether they have. May be changed freely."""
UNASKED_SECONDS = 10.0
"""After this an actor that nobody has asked for a heartbeat looks whether its place is still its own. May be changed,
well above heartbeats: how long a zombie lives against looks in vain."""
FENCE_LOOK_SECONDS = 2.0
"""How often it looks from then on. May be changed freely."""
FENCED_SECONDS = UNASKED_SECONDS + 2 * FENCE_LOOK_SECONDS
"""By then one that nobody has asked any more has ended, if its store answers: so long a node from which an actor was
lost is not said to be empty. Not lower than that sum."""
UNSURE_SECONDS = 600.0
"""An actor that nobody asks, and that cannot ask the store either for so long, ends itself: without the store it can
do nothing. May be changed, well above the longest time that the store may be away."""
FENCED_EXIT_CODE = 75
"""Of a process that ends itself because it has a successor (EX_TEMPFAIL of sysexits.h). May be changed freely."""

# --- the watch over tables ---

MEASURE_SECONDS = 2.0
"""How often the backlog and the sagas are looked at. May be changed: how fresh metrics and alarms are against
queries."""
HOUSEKEEPING_SECONDS = 60.0
"""At most so long nothing can be stored after the clock has jumped into a week that has no partition yet. May be
changed: that against queries at rest."""
OVERDUE_AT_ONCE = 500
"""How many overdue sagas are marked in one statement. May be changed: larger, and a statement holds more locks."""

# --- turns ---

REFUSAL_PASSES = 3
"""How often a turn is decided anew because the store has refused some of its commands by its rules: a refusal may
change what later commands of the same instance do. What is refused then still is looked for by halves. May be changed:
round trips of a turn with many offenders; `tests/contracts/test_costs.py` counts them."""
MET_KEYS = 10_000
"""How many parked keys an actor remembers, to ask about them before it decides; the store knows all. May be changed:
memory against turns that are refused once."""

# --- the way in ---

PULL_WAIT_SECONDS = 1.0
"""How long the broker is asked to wait for the first message of a batch. May be changed: idle requests against how soon
an Ingress stops."""
INGRESS_GROWTH_SECONDS = 0.025
"""How long the next batch may take to gather under load. May be changed: throughput against latency under load."""
RELAYS_BEHIND_SECONDS = 0.5
"""Longest pause before a batch while the relays are far behind: commands wait in the broker then, not as events in
Postgres. May be changed: how hard the way in is slowed, never to a stop."""
SKEW_WORTH_TELLING_SECONDS = 1.0
"""Of two clocks that far apart the log tells, however much the tokens' leeway is. May be changed freely."""

# --- what is kept and told of refused messages ---

REFUSED_KEPT_BYTES = 16_384
"""Of the body of a refused message so much is kept: a flood of big ones must not fill the disk. May be changed."""
REASON_CHARACTERS = 1_000
"""Of the reason so much is kept. May be changed, not above what the column of dead letters takes."""
LOGGED_CHARACTERS = 200
"""Of a subject, or a name, in the log. May be changed freely."""
LOGGED_REFUSALS = 3
"""Of each batch: who sends rubbish must not push everything else out of the log. May be changed freely."""

# --- durable tasks ---

TASKS_A_ROUND = 200
"""How many tasks of a kind a worker has in hand at most. May be changed: memory and the length of a round."""
TASKS_GATHER_SECONDS = 0.1
"""How long a round waits for the tasks that it has taken up, so that what came of them is stored together; those that
take longer are settled by a later round. May be changed: a task that is listed meanwhile waits as long."""
TASKS_UNKNOWN_SECONDS = 30.0
"""How often tasks that nobody here does are told of. May be changed."""
TASK_BACK_OFF_FACTOR = 1.5
"""By which the pause before a task is tried again grows: each is about half of the time waited so far. May be changed,
not below 1."""
TASK_LONGEST_SECONDS = 30.0
"""The longest of these pauses. May be changed, below `FARTHEST` of the port: what is put off for longer counts as put
off by a wrong clock."""
