"""Every telemetry event becomes the numbers that the catalogue promises."""

import re
from datetime import timedelta
from typing import get_args

import pytest

from spark_actors.kernel.decisions import Verdict
from spark_actors.kernel.sagas import SagaState
from spark_actors.messaging.telemetry import (
    ActorMoved,
    ActorRestarted,
    ActorsFenced,
    AnswerCut,
    BooksMeasured,
    ClocksCompared,
    CommandsRefused,
    DeadLettersMeasured,
    DeliveryRetried,
    EventsRouted,
    GcsSeen,
    IngressMeasured,
    InstancesMoved,
    KeysParkedMeasured,
    LoginTried,
    MessagesBuried,
    MissedMeasured,
    NodesMeasured,
    OutboxMeasured,
    OutsideAsked,
    OutsideMeasured,
    RoutesMeasured,
    SagasEnded,
    SagasMeasured,
    TasksMeasured,
    TasksTried,
    TelemetryEvent,
    TurnRetried,
    TurnStale,
    TurnTaken,
)
from spark_actors.telemetry.board import MetricsBoard
from spark_actors.telemetry.catalogue import CATALOGUE, Measure
from spark_actors.telemetry.metrics import ActorMetrics

ID_LIKE_LABELS = {"id", "key", "message_id", "account_id", "campaign_id", "correlation_id", "actor"}

CASES: list[tuple[TelemetryEvent, list[str]]] = [
    (
        TurnTaken(
            "auth",
            {("auth.register-account", Verdict.DONE): 3, ("auth.register-account", Verdict.REJECTED): 1},
            2,
            timedelta(seconds=0.3),
        ),
        [
            'spark_commands_total{context="auth",name="auth.register-account",outcome="done"} 3.0',
            'spark_commands_total{context="auth",name="auth.register-account",outcome="rejected"} 1.0',
            'spark_inbox_duplicates_total{context="auth"} 2.0',
            'spark_turn_commands_sum{context="auth"} 4.0',
            'spark_turn_commands_count{context="auth"} 1.0',
            'spark_turn_duration_seconds_sum{context="auth"} 0.3',
            'spark_turn_duration_seconds_bucket{context="auth",le="0.25"} 0.0',
            'spark_turn_duration_seconds_bucket{context="auth",le="0.5"} 1.0',
        ],
    ),
    (
        TurnRetried("accounting", "stale_version"),
        ['spark_retries_total{context="accounting",reason="stale_version",to=""} 1.0'],
    ),
    (
        DeliveryRetried("accounting", "dashboard", 3),
        ['spark_retries_total{context="accounting",reason="not_taken",to="dashboard"} 3.0'],
    ),
    (TurnStale("accounting"), ['spark_turns_stale_total{context="accounting"} 1.0']),
    (
        InstancesMoved("auth", activated=3, passivated=2, resident=7),
        [
            'spark_activations_total{context="auth"} 3.0',
            'spark_passivations_total{context="auth"} 2.0',
            'spark_resident_instances{context="auth"} 7.0',
        ],
    ),
    (CommandsRefused("oversized", 2), ['spark_commands_refused_total{reason="oversized"} 2.0']),
    (LoginTried("wrong_credentials"), ['spark_logins_total{outcome="wrong_credentials"} 1.0']),
    (
        EventsRouted("auth", "accounting", 5),
        ['spark_events_routed_total{context="auth",subscriber="accounting"} 5.0'],
    ),
    (MessagesBuried("auth"), ['spark_dead_letters_buried_total{context="auth"} 1.0']),
    (
        MissedMeasured("auth", {"dashboard": 7}, {"dashboard": timedelta(minutes=1)}),
        [
            'spark_missed_events{context="auth",subscriber="dashboard"} 7.0',
            'spark_missed_oldest_seconds{context="auth",subscriber="dashboard"} 60.0',
        ],
    ),
    (DeadLettersMeasured("auth", 4), ['spark_dead_letters{context="auth"} 4.0']),
    (
        KeysParkedMeasured(
            "auth",
            {("commands", "parked", "malformed"): 2},
            {("commands", "parked", "malformed"): timedelta(minutes=1)},
        ),
        [
            'spark_parked_keys{cause="malformed",context="auth",state="parked",subscriber="commands"} 2.0',
            'spark_parked_oldest_seconds{cause="malformed",context="auth",state="parked",subscriber="commands"} 60.0',
        ],
    ),
    (
        OutboxMeasured("auth", 12, timedelta(minutes=1)),
        [
            'spark_outbox_pending_messages{context="auth"} 12.0',
            'spark_outbox_oldest_pending_seconds{context="auth"} 60.0',
        ],
    ),
    (
        SagasEnded("donation", SagaState.FAILED, [timedelta(seconds=0.5), timedelta(seconds=1.5)]),
        [
            'spark_sagas_ended_total{kind="donation",state="failed"} 2.0',
            'spark_saga_duration_seconds_sum{kind="donation",state="failed"} 2.0',
        ],
    ),
    (SagasMeasured({("donation", True): 2}), ['spark_sagas_running{kind="donation",overdue="true"} 2.0']),
    (ActorRestarted("aggregate"), ['spark_actor_restarts_total{kind="aggregate"} 1.0']),
    (ActorMoved("aggregate"), ['spark_actor_moves_total{kind="aggregate"} 1.0']),
    (
        NodesMeasured({"active": 2, "gone": 0}, {"a": 3, "b": 1}),
        [
            *('spark_nodes{state="active"} 2.0', 'spark_nodes{state="gone"} 0.0'),
            *('spark_slots{node="a"} 3.0', 'spark_slots{node="b"} 1.0'),
        ],
    ),
    (ActorsFenced(2), ["spark_fenced_total 2.0"]),
    (GcsSeen(is_up=True), ["spark_gcs_up 1.0"]),
    (
        RoutesMeasured({"root": 7, "ingress": 6}),
        ['spark_table_version{role="root"} 7.0', 'spark_table_version{role="ingress"} 6.0'],
    ),
    (
        IngressMeasured(waiting=8, in_flight=9),
        ["spark_ingress_waiting_messages 8.0", "spark_ingress_in_flight_messages 9.0"],
    ),
    (ClocksCompared(12.5), ["spark_broker_clock_skew_seconds 12.5"]),
    (
        TasksTried("bitcoin.pay-invoice", "not_yet"),
        ['spark_task_attempts_total{result="not_yet",task="bitcoin.pay-invoice"} 1.0'],
    ),
    (
        TasksMeasured({("bitcoin.pay-invoice", "failing"): 3}, {"bitcoin.pay-invoice": timedelta(minutes=1)}),
        [
            'spark_tasks{state="failing",task="bitcoin.pay-invoice"} 3.0',
            'spark_tasks_oldest_seconds{task="bitcoin.pay-invoice"} 60.0',
        ],
    ),
    (AnswerCut("truncated"), ['spark_answers_cut_total{cut="truncated"} 1.0']),
    (
        OutsideAsked("lightning", "pay", "ok", timedelta(seconds=0.02)),
        [
            'spark_outside_calls_total{answer="ok",call="pay",service="lightning"} 1.0',
            'spark_outside_call_duration_seconds_sum{call="pay",service="lightning"} 0.02',
        ],
    ),
    (
        OutsideMeasured("lightning", "balance_sat", 70),
        ['spark_outside_amount{service="lightning",what="balance_sat"} 70.0'],
    ),
    (
        BooksMeasured("accounting", "owed_sat", 60),
        ['spark_books_amount{context="accounting",what="owed_sat"} 60.0'],
    ),
]


def shown(metrics: ActorMetrics) -> list[str]:
    board = MetricsBoard()
    board.observe("actor", 1, metrics.snapshot())
    return board.render().decode().splitlines()


@pytest.mark.parametrize(("event", "lines"), CASES, ids=[type(event).__name__ for event, _ in CASES])
def test_an_event_becomes_its_metrics(event: TelemetryEvent, lines: list[str]) -> None:
    metrics = ActorMetrics()
    metrics(event)
    assert set(lines) <= set(shown(metrics))


def test_keys_that_are_free_again_are_told_as_none() -> None:
    metrics = ActorMetrics()
    group = ("dashboard", "paused", "paused")
    metrics(KeysParkedMeasured("auth", {group: 1}, {group: timedelta(seconds=1)}))
    metrics(KeysParkedMeasured("auth", {}, {}))
    line = 'spark_parked_keys{cause="paused",context="auth",state="paused",subscriber="dashboard"} 0.0'
    assert line in shown(metrics)


def test_a_subscriber_that_has_caught_up_has_missed_nothing() -> None:
    metrics = ActorMetrics()
    metrics(MissedMeasured("auth", {"dashboard": 7}, {"dashboard": timedelta(minutes=1)}))
    metrics(MissedMeasured("auth", {}, {}))
    assert 'spark_missed_events{context="auth",subscriber="dashboard"} 0.0' in shown(metrics)


def test_no_event_is_left_out() -> None:
    assert {type(event) for event, _ in CASES} == set(get_args(TelemetryEvent))


def test_no_metric_is_left_out() -> None:
    metrics = ActorMetrics()
    for event, _ in CASES:
        metrics(event)
    samples = [line for line in shown(metrics) if not line.startswith("#")]
    assert [m.name for m in CATALOGUE if not any(re.match(rf"{m.name}(_count)?[{{ ]", line) for line in samples)] == []


def test_a_node_that_has_gone_has_no_slots_and_no_series() -> None:
    metrics = ActorMetrics()
    metrics(NodesMeasured({}, {"a": 1, "b": 1}))
    metrics(NodesMeasured({}, {"a": 2}))
    assert [line for line in shown(metrics) if line.startswith("spark_slots{")] == ['spark_slots{node="a"} 2.0']


def test_a_kind_of_saga_that_no_longer_runs_goes_to_zero() -> None:
    metrics = ActorMetrics()
    metrics(SagasMeasured({("donation", False): 2, ("deposit", False): 1}))
    metrics(SagasMeasured({("deposit", False): 1}))
    lines = shown(metrics)
    assert 'spark_sagas_running{kind="donation",overdue="false"} 0.0' in lines
    assert 'spark_sagas_running{kind="deposit",overdue="false"} 1.0' in lines


def test_two_actors_in_one_process_count_apart() -> None:
    one, other = ActorMetrics(), ActorMetrics()
    one(ActorRestarted("aggregate"))
    assert not [line for line in shown(other) if line.startswith("spark_actor_restarts_total{")]


def test_a_snapshot_fits_into_a_heartbeat() -> None:
    metrics = ActorMetrics()
    for event, _ in CASES:
        metrics(event)
    assert len(metrics.snapshot()) < 8192


@pytest.mark.parametrize("measure", CATALOGUE, ids=lambda measure: measure.name)
def test_a_metric_is_named_in_base_units_and_labelled_within_bounds(measure: Measure) -> None:
    assert measure.name.startswith("spark_")
    assert measure.name.endswith("_total") == (measure.kind == "counter")
    assert not re.search(r"_(ms|millis|minutes|kb|mb)\b", measure.name)
    assert not ID_LIKE_LABELS & set(measure.labels)
    assert measure.help.endswith(".")
    assert bool(measure.buckets) == (measure.kind == "histogram")


def test_a_kind_of_task_of_which_none_is_left_is_told_as_none() -> None:
    metrics = ActorMetrics()
    metrics(TasksMeasured({("a", "waiting"): 2}, {"a": timedelta(minutes=1)}))
    metrics(TasksMeasured({}, {}))
    lines = shown(metrics)
    assert 'spark_tasks{state="waiting",task="a"} 0.0' in lines
    assert 'spark_tasks_oldest_seconds{task="a"} 0.0' in lines
