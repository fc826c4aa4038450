"""Every metric of the daemon: name, labels, buckets, and help for somebody who has just been woken up by it.

Labels are bounded (contexts, wire names, reasons, states), never an id.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

LATENCY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Seconds."""
SAGA_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 3600.0, 21600.0, 86400.0)
"""Seconds, up to a day: a story may wait for somebody outside."""
TURN_BUCKETS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0)
"""Commands."""


@dataclass(frozen=True)
class Measure:
    """One metric family."""

    name: str
    """As Prometheus shows it; a counter ends in `_total`."""
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    across: Literal["sum", "max"] = "sum"
    """How a gauge is put together from several actors: parts of a whole, or views of one and the same thing."""

    @property
    def family(self) -> str:
        return self.name.removesuffix("_total")


def _counter(name: str, text: str, *labels: str) -> Measure:
    return Measure(name, "counter", text, labels)


def _part(name: str, text: str, *labels: str) -> Measure:
    return Measure(name, "gauge", text, labels, across="sum")


def _view(name: str, text: str, *labels: str) -> Measure:
    return Measure(name, "gauge", text, labels, across="max")


def _histogram(name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Measure:
    return Measure(name, "histogram", text, labels, buckets)


COMMANDS_HANDLED = _counter(
    "spark_commands_total",
    "Commands handled and committed, by how they ended: done, rejected (the business said no), failed (a bug), parked.",
    *("context", "name", "outcome"),
)
TURN_COMMANDS = _histogram(
    "spark_turn_commands",
    "Commands committed together in one turn; large turns mean that load is grouped well.",
    TURN_BUCKETS,
    "context",
)
TURN_DURATION = _histogram(
    "spark_turn_duration_seconds",
    "Time of one turn, from its first load to its commit; grows when Postgres is slow.",
    LATENCY_BUCKETS,
    "context",
)
INBOX_DUPLICATES = _counter(
    "spark_inbox_duplicates_total",
    "Commands delivered again and answered from the inbox without effect; a rise means lost acknowledgements.",
    "context",
)
RETRIES = _counter(
    "spark_retries_total",
    "Work taken again: a turn that was not committed (reason), or messages that a receiver did not take yet (to).",
    *("context", "reason", "to"),
)
TURNS_STALE = _counter(
    "spark_turns_stale_total",
    "Turns with commands for instances that another slot has now; more than a few after a change of the slots: "
    "somebody does not learn of it.",
    "context",
)
RESIDENT_INSTANCES = _part("spark_resident_instances", "Aggregate instances that actors hold in memory now.", "context")
ACTIVATIONS = _counter(
    "spark_activations_total",
    "Aggregate instances loaded into an actor; near the rate of commands, the actors' room is too small.",
    "context",
)
PASSIVATIONS = _counter("spark_passivations_total", "Aggregate instances that left an actor's memory.", "context")
COMMANDS_REFUSED = _counter(
    "spark_commands_refused_total",
    "Messages refused at the door, or whose id is that of another, by why. Dead letters keep what was not understood.",
    "reason",
)
LOGINS = _counter(
    "spark_logins_total",
    "Logins tried, by how they ended; many wrong_credentials, too_many_attempts or busy: somebody guesses passwords.",
    "outcome",
)
EVENTS_ROUTED = _counter(
    "spark_events_routed_total",
    "Events that a subscriber has taken durably; flat while the outbox grows, that subscriber is stuck.",
    *("context", "subscriber"),
)
OUTBOX_PENDING = _view(
    "spark_outbox_pending_messages",
    "Events committed and not yet taken by every subscriber; counting stops at 100000.",
    "context",
)
OUTBOX_OLDEST = _view(
    "spark_outbox_oldest_pending_seconds",
    "Age of the oldest event still in the outbox; growing without pause, the relay or a subscriber is stuck.",
    "context",
)
MISSED_EVENTS = _view(
    "spark_missed_events",
    "Events that a subscriber which is away or far behind has still to get, for it alone; counting stops at 100000.",
    *("context", "subscriber"),
)
MISSED_OLDEST = _view(
    "spark_missed_oldest_seconds",
    "Age of the oldest of these; growing without pause, that subscriber is away or cannot keep up.",
    *("context", "subscriber"),
)
DEAD_LETTERS = _view("spark_dead_letters", "Messages that nobody could take, waiting for an operator.", "context")
DEAD_LETTERS_BURIED = _counter("spark_dead_letters_buried_total", "Messages that became dead letters.", "context")
PARKED_KEYS = _view(
    "spark_parked_keys",
    "Keys whose messages wait, by who waits (commands, or a subscriber) and why; see `spark-actors keys list`.",
    *("context", "subscriber", "state", "cause"),
)
PARKED_OLDEST = _view(
    "spark_parked_oldest_seconds",
    "For how long the first of these keys has waited; nothing but an operator ends it.",
    *("context", "subscriber", "state", "cause"),
)
SAGAS_RUNNING = _view(
    "spark_sagas_running", "Sagas that have not ended; overdue ones are past their deadline.", *("kind", "overdue")
)
SAGAS_ENDED = _counter("spark_sagas_ended_total", "Sagas that have ended, by how.", *("kind", "state"))
SAGA_DURATION = _histogram(
    "spark_saga_duration_seconds", "Time of a saga from its first event to its last.", SAGA_BUCKETS, *("kind", "state")
)
ACTOR_RESTARTS = _counter(
    "spark_actor_restarts_total", "Actors that died and were replaced; look for the reason in the log.", "kind"
)
ACTOR_MOVES = _counter("spark_actor_moves_total", "Actors that moved to another node while both lived.", "kind")
NODES = _part(
    "spark_nodes",
    "Nodes of the cluster by state; suspect, draining and refused ones have their reason in `spark-actors nodes`.",
    "state",
)
SLOTS = _part("spark_slots", "AggregateActors, by the node they live on; uneven for long, a move is stuck.", "node")
TABLE_VERSION = _view(
    "spark_table_version",
    "Of the table of routes that the last actor of a role goes by; below the root's for long, actors call dead ones.",
    "role",
)
FENCED = _counter(
    "spark_fenced_total", "Actors that had a successor and have ended themselves: their machine was cut off, or silent."
)
GCS_UP = _view("spark_gcs_up", "Whether Ray's control service answers (1); without it no actor can be made or moved.")
INGRESS_WAITING = _part(
    "spark_ingress_waiting_messages", "Commands in the broker that were not pulled yet: the ingress lag."
)
INGRESS_IN_FLIGHT = _part(
    "spark_ingress_in_flight_messages", "Commands pulled from the broker and not acknowledged yet."
)
CLOCK_SKEW = _view(
    "spark_broker_clock_skew_seconds",
    "How far the broker's clock and ours are apart, at least; near identity.leeway_seconds, good tokens are refused.",
)
ANSWERS_CUT = _counter(
    "spark_answers_cut_total",
    "Answers that the broker takes in no single piece: truncated (the next page has the rest) or too_large.",
    "cut",
)
TASKS = _view(
    "spark_tasks",
    "Durable tasks listed: waiting to be done, failing (something was wrong when last tried), scheduled for later.",
    *("task", "state"),
)
TASKS_OLDEST = _view(
    "spark_tasks_oldest_seconds",
    "For how long the first task of its kind has waited; growing while others are done, see `spark-actors tasks`.",
    "task",
)
TASK_ATTEMPTS = _counter(
    "spark_task_attempts_total",
    "Durable tasks tried, by result: done, not_yet (no final answer: tried again), failed (a bug: tried again).",
    *("task", "result"),
)
OUTSIDE_CALLS = _counter(
    "spark_outside_calls_total", "Calls to services outside, by their answer.", *("service", "call", "answer")
)
OUTSIDE_CALL_DURATION = _histogram(
    "spark_outside_call_duration_seconds", "Time of a call to a service outside.", LATENCY_BUCKETS, *("service", "call")
)
OUTSIDE_AMOUNT = _view(
    "spark_outside_amount",
    "How much of something a service outside has; `what` ends with the unit.",
    *("service", "what"),
)
BOOKS_AMOUNT = _view(
    "spark_books_amount",
    "How much of something a context has on its books; `what` ends with the unit.",
    *("context", "what"),
)

CATALOGUE: tuple[Measure, ...] = (
    COMMANDS_HANDLED,
    TURN_COMMANDS,
    TURN_DURATION,
    INBOX_DUPLICATES,
    RETRIES,
    TURNS_STALE,
    RESIDENT_INSTANCES,
    ACTIVATIONS,
    PASSIVATIONS,
    COMMANDS_REFUSED,
    LOGINS,
    EVENTS_ROUTED,
    OUTBOX_PENDING,
    OUTBOX_OLDEST,
    MISSED_EVENTS,
    MISSED_OLDEST,
    DEAD_LETTERS,
    DEAD_LETTERS_BURIED,
    PARKED_KEYS,
    PARKED_OLDEST,
    SAGAS_RUNNING,
    SAGAS_ENDED,
    SAGA_DURATION,
    ACTOR_RESTARTS,
    ACTOR_MOVES,
    NODES,
    SLOTS,
    TABLE_VERSION,
    FENCED,
    GCS_UP,
    INGRESS_WAITING,
    INGRESS_IN_FLIGHT,
    CLOCK_SKEW,
    ANSWERS_CUT,
    TASKS,
    TASKS_OLDEST,
    TASK_ATTEMPTS,
    OUTSIDE_CALLS,
    OUTSIDE_CALL_DURATION,
    OUTSIDE_AMOUNT,
    BOOKS_AMOUNT,
)
