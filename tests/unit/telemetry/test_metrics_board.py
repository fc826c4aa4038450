"""The board puts the actors' numbers together, and totals never go back when an actor dies."""

from datetime import timedelta

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from spark_actors.messaging.telemetry import (
    ActorRestarted,
    InstancesMoved,
    OutboxMeasured,
    OutsideAsked,
    TelemetryEvent,
)
from spark_actors.telemetry.board import MetricsBoard
from spark_actors.telemetry.metrics import ActorMetrics

RESTARTS = "spark_actor_restarts_total"
RESIDENT = "spark_resident_instances"


def metrics_of(*events: TelemetryEvent) -> ActorMetrics:
    metrics = ActorMetrics()
    for event in events:
        metrics(event)
    return metrics


def snapshot(*events: TelemetryEvent) -> bytes:
    return metrics_of(*events).snapshot()


def value(board: MetricsBoard, name: str) -> float | None:
    """The sum over all labels; None if the sample is not there."""
    families = text_string_to_metric_families(board.render().decode())
    values = [sample.value for family in families for sample in family.samples if sample.name == name]
    return sum(values) if values else None


def test_counters_of_several_actors_add_up() -> None:
    board = MetricsBoard()
    board.observe("one", 1, snapshot(ActorRestarted("aggregate")))
    board.observe("two", 1, snapshot(ActorRestarted("aggregate"), ActorRestarted("context")))
    assert value(board, RESTARTS) == 3


def test_a_later_snapshot_replaces_the_one_before() -> None:
    board, metrics = MetricsBoard(), metrics_of(ActorRestarted("aggregate"))
    board.observe("one", 1, metrics.snapshot())
    metrics(ActorRestarted("aggregate"))
    board.observe("one", 1, metrics.snapshot())
    assert value(board, RESTARTS) == 2


def test_an_overtaken_snapshot_is_not_believed() -> None:
    board, metrics = MetricsBoard(), metrics_of(ActorRestarted("aggregate"))
    early = metrics.snapshot()
    metrics(ActorRestarted("aggregate"))
    board.observe("one", 1, metrics.snapshot())
    board.observe("one", 1, early)
    assert value(board, RESTARTS) == 2


def test_what_a_dead_actor_counted_is_kept_and_its_gauges_are_gone() -> None:
    board = MetricsBoard()
    board.observe(
        "one",
        1,
        snapshot(InstancesMoved("auth", 5, 0, 5), OutsideAsked("lightning", "pay", "ok", timedelta(seconds=1))),
    )
    board.retire("one", 1)
    assert value(board, "spark_activations_total") == 5
    assert value(board, "spark_outside_call_duration_seconds_count") == 1
    assert value(board, "spark_outside_call_duration_seconds_sum") == 1
    assert value(board, RESIDENT) is None


def test_a_replaced_actor_counts_on_from_its_predecessor() -> None:
    board = MetricsBoard()
    board.observe("one", 1, snapshot(InstancesMoved("auth", 5, 0, 5)))
    board.observe("one", 2, snapshot(InstancesMoved("auth", 2, 0, 2)))
    assert value(board, "spark_activations_total") == 7
    assert value(board, RESIDENT) == 2


def test_retiring_twice_or_after_the_replacement_counts_once() -> None:
    board = MetricsBoard()
    board.observe("one", 1, snapshot(ActorRestarted("aggregate")))
    board.observe("one", 2, snapshot(ActorRestarted("aggregate")))
    board.retire("one", 1)
    board.retire("one", 1)
    assert value(board, RESTARTS) == 2


def test_the_last_words_of_a_dead_actor_are_not_counted_twice() -> None:
    board, metrics = MetricsBoard(), metrics_of(ActorRestarted("aggregate"))
    board.observe("one", 1, metrics.snapshot())
    board.retire("one", 1)
    board.observe("one", 1, metrics.snapshot())
    assert value(board, RESTARTS) == 1


def test_an_actor_that_was_never_seen_may_be_retired() -> None:
    board = MetricsBoard()
    board.retire("one", 1)
    assert value(board, RESTARTS) is None


def test_views_of_one_outbox_are_not_added_up() -> None:
    board = MetricsBoard()
    board.observe("zombie", 1, snapshot(OutboxMeasured("auth", 10, timedelta(seconds=9))))
    board.observe("supervisor", 1, snapshot(OutboxMeasured("auth", 12, timedelta(seconds=2))))
    assert value(board, "spark_outbox_pending_messages") == 12
    assert value(board, "spark_outbox_oldest_pending_seconds") == 9


def test_parts_of_the_residents_are_added_up() -> None:
    board = MetricsBoard()
    board.observe("one", 1, snapshot(InstancesMoved("auth", 5, 0, 5)))
    board.observe("two", 1, snapshot(InstancesMoved("auth", 7, 0, 7)))
    assert value(board, RESIDENT) == 12


def test_buckets_stand_in_the_order_of_their_bounds() -> None:
    board = MetricsBoard()
    board.observe("one", 1, snapshot(OutsideAsked("lightning", "pay", "ok", timedelta(seconds=1))))
    families = {family.name: family for family in text_string_to_metric_families(board.render().decode())}
    samples = families["spark_outside_call_duration_seconds"].samples
    bounds = [float(sample.labels["le"]) for sample in samples if sample.name.endswith("_bucket")]
    assert bounds == sorted(bounds)
    assert len(bounds) > 5


def test_the_drivers_own_process_is_measured() -> None:
    assert (value(MetricsBoard(), "process_resident_memory_bytes") or 0) > 0


def test_bytes_that_are_no_snapshot_are_refused() -> None:
    with pytest.raises(msgspec.DecodeError):
        MetricsBoard().observe("one", 1, b"nonsense")
