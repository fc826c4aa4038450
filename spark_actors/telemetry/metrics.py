"""The metrics of one actor: listens to its telemetry events and gives snapshots for the daemon's board."""

from __future__ import annotations

from datetime import timedelta
from functools import singledispatchmethod
from itertools import count

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics_core import Metric

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
from spark_actors.telemetry import catalogue
from spark_actors.telemetry.catalogue import CATALOGUE, Measure
from spark_actors.telemetry.snapshot import MetricsSnapshot, SampleKey, pack


class ActorMetrics:
    """Counts what one actor process tells. Safe to call from several threads.

    Serves one supervisor at most: `SagasMeasured` and `TasksMeasured` speak for all that it has seen so far.
    """

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._counters = {m: Counter(m.name, m.help, m.labels, registry=self._registry) for m in _of_kind("counter")}
        self._gauges = {m: Gauge(m.name, m.help, m.labels, registry=self._registry) for m in _of_kind("gauge")}
        self._histograms = {
            m: Histogram(m.name, m.help, m.labels, buckets=m.buckets, registry=self._registry)
            for m in _of_kind("histogram")
        }
        self._sagas_seen: frozenset[tuple[str, bool]] = frozenset()
        self._parked_seen: frozenset[tuple[str, str, str, str]] = frozenset()
        self._missed_seen: frozenset[tuple[str, str]] = frozenset()
        self._tasks_seen: frozenset[tuple[str, str]] = frozenset()
        self._taken = count(1)

    def __call__(self, event: TelemetryEvent) -> None:
        """Take in an event. An event of a type that has no metric is passed over."""
        self._record(event)

    def snapshot(self) -> bytes:
        """All numbers so far, packed for `MetricsBoard.observe`."""
        samples = [sample for family in self._registry.collect() for sample in _samples(family)]
        return pack(MetricsSnapshot(next(self._taken), samples))

    @singledispatchmethod
    def _record(self, event: object) -> None:
        """The default, for an event that no metric is made of."""

    @_record.register
    def _turn_taken(self, event: TurnTaken) -> None:
        for (name, verdict), commands in event.outcomes.items():
            self._add(catalogue.COMMANDS_HANDLED, commands, event.context, name, verdict)
        if event.duplicates:
            self._add(catalogue.INBOX_DUPLICATES, event.duplicates, event.context)
        if event.commands:
            self._observe(catalogue.TURN_COMMANDS, event.commands, event.context)
        self._observe(catalogue.TURN_DURATION, event.duration.total_seconds(), event.context)

    @_record.register
    def _turn_retried(self, event: TurnRetried) -> None:
        self._add(catalogue.RETRIES, 1, event.context, event.reason, "")

    @_record.register
    def _turn_stale(self, event: TurnStale) -> None:
        self._add(catalogue.TURNS_STALE, 1, event.context)

    @_record.register
    def _instances_moved(self, event: InstancesMoved) -> None:
        self._add(catalogue.ACTIVATIONS, event.activated, event.context)
        self._add(catalogue.PASSIVATIONS, event.passivated, event.context)
        self._set(catalogue.RESIDENT_INSTANCES, event.resident, event.context)

    @_record.register
    def _commands_refused(self, event: CommandsRefused) -> None:
        self._add(catalogue.COMMANDS_REFUSED, event.count, event.reason)

    @_record.register
    def _login_tried(self, event: LoginTried) -> None:
        self._add(catalogue.LOGINS, 1, event.outcome)

    @_record.register
    def _events_routed(self, event: EventsRouted) -> None:
        self._add(catalogue.EVENTS_ROUTED, event.count, event.context, event.subscriber)

    @_record.register
    def _delivery_retried(self, event: DeliveryRetried) -> None:
        self._add(catalogue.RETRIES, event.count, event.context, "not_taken", event.to)

    @_record.register
    def _messages_buried(self, event: MessagesBuried) -> None:
        self._add(catalogue.DEAD_LETTERS_BURIED, event.count, event.context)

    @_record.register
    def _outbox_measured(self, event: OutboxMeasured) -> None:
        self._set(catalogue.OUTBOX_PENDING, event.pending, event.context)
        self._set(catalogue.OUTBOX_OLDEST, event.oldest_age.total_seconds(), event.context)

    @_record.register
    def _missed_measured(self, event: MissedMeasured) -> None:
        self._missed_seen |= {(event.context, subscriber) for subscriber in event.events}
        for context, subscriber in self._missed_seen:
            if context == event.context:
                age = event.oldest_ages.get(subscriber, timedelta())
                self._set(catalogue.MISSED_EVENTS, event.events.get(subscriber, 0), context, subscriber)
                self._set(catalogue.MISSED_OLDEST, age.total_seconds(), context, subscriber)

    @_record.register
    def _dead_letters_measured(self, event: DeadLettersMeasured) -> None:
        self._set(catalogue.DEAD_LETTERS, event.count, event.context)

    @_record.register
    def _keys_parked_measured(self, event: KeysParkedMeasured) -> None:
        self._parked_seen |= {(event.context, *group) for group in event.keys}
        for labels in self._parked_seen:
            context, *group = labels
            if context == event.context:
                about = (group[0], group[1], group[2])
                self._set(catalogue.PARKED_KEYS, event.keys.get(about, 0), *labels)
                age = event.oldest_ages.get(about, timedelta())
                self._set(catalogue.PARKED_OLDEST, age.total_seconds(), *labels)

    @_record.register
    def _sagas_have_ended(self, event: SagasEnded) -> None:
        self._add(catalogue.SAGAS_ENDED, len(event.durations), event.kind, event.state)
        durations = self._histograms[catalogue.SAGA_DURATION].labels(event.kind, event.state)
        for duration in event.durations:
            durations.observe(duration.total_seconds())

    @_record.register
    def _sagas_measured(self, event: SagasMeasured) -> None:
        self._sagas_seen |= event.running.keys()
        for kind, overdue in self._sagas_seen:
            running = event.running.get((kind, overdue), 0)
            self._set(catalogue.SAGAS_RUNNING, running, kind, "true" if overdue else "false")

    @_record.register
    def _actor_restarted(self, event: ActorRestarted) -> None:
        self._add(catalogue.ACTOR_RESTARTS, 1, event.kind)

    @_record.register
    def _actor_moved(self, event: ActorMoved) -> None:
        self._add(catalogue.ACTOR_MOVES, 1, event.kind)

    @_record.register
    def _nodes_measured(self, event: NodesMeasured) -> None:
        for state, nodes in event.by_state.items():
            self._set(catalogue.NODES, nodes, state)
        self._gauges[catalogue.SLOTS].clear()  # of a node that has gone there is nothing to say
        for node, slots in event.slots.items():
            self._set(catalogue.SLOTS, slots, node)

    @_record.register
    def _routes_measured(self, event: RoutesMeasured) -> None:
        for role, version in event.versions.items():
            self._set(catalogue.TABLE_VERSION, version, role)

    @_record.register
    def _actors_fenced(self, event: ActorsFenced) -> None:
        self._add(catalogue.FENCED, event.count)

    @_record.register
    def _gcs_seen(self, event: GcsSeen) -> None:
        self._set(catalogue.GCS_UP, int(event.is_up))

    @_record.register
    def _ingress_measured(self, event: IngressMeasured) -> None:
        self._set(catalogue.INGRESS_WAITING, event.waiting)
        self._set(catalogue.INGRESS_IN_FLIGHT, event.in_flight)

    @_record.register
    def _clocks_compared(self, event: ClocksCompared) -> None:
        self._set(catalogue.CLOCK_SKEW, event.apart_seconds)

    @_record.register
    def _answer_cut(self, event: AnswerCut) -> None:
        self._add(catalogue.ANSWERS_CUT, 1, event.cut)

    @_record.register
    def _tasks_tried(self, event: TasksTried) -> None:
        self._add(catalogue.TASK_ATTEMPTS, event.count, event.name, event.result)

    @_record.register
    def _tasks_measured(self, event: TasksMeasured) -> None:
        self._tasks_seen |= event.tasks.keys()
        for name, state in self._tasks_seen:
            self._set(catalogue.TASKS, event.tasks.get((name, state), 0), name, state)
            self._set(catalogue.TASKS_OLDEST, event.oldest_ages.get(name, timedelta()).total_seconds(), name)

    @_record.register
    def _outside_asked(self, event: OutsideAsked) -> None:
        self._add(catalogue.OUTSIDE_CALLS, 1, event.service, event.call, event.answer)
        self._observe(catalogue.OUTSIDE_CALL_DURATION, event.duration.total_seconds(), event.service, event.call)

    @_record.register
    def _outside_measured(self, event: OutsideMeasured) -> None:
        self._set(catalogue.OUTSIDE_AMOUNT, event.amount, event.service, event.what)

    @_record.register
    def _books_measured(self, event: BooksMeasured) -> None:
        self._set(catalogue.BOOKS_AMOUNT, event.amount, event.context, event.what)

    def _add(self, measure: Measure, amount: int, *labels: str) -> None:
        counter = self._counters[measure]
        (counter.labels(*labels) if labels else counter).inc(amount)

    def _set(self, measure: Measure, value: float, *labels: str) -> None:
        gauge = self._gauges[measure]
        (gauge.labels(*labels) if labels else gauge).set(value)

    def _observe(self, measure: Measure, value: float, *labels: str) -> None:
        histogram = self._histograms[measure]
        (histogram.labels(*labels) if labels else histogram).observe(value)


def _of_kind(kind: str) -> list[Measure]:
    return [measure for measure in CATALOGUE if measure.kind == kind]


def _samples(family: Metric) -> list[tuple[SampleKey, float]]:
    """The numbers of a family, without the creation times that prometheus_client adds."""
    return [
        (SampleKey(family.name, sample.name.removeprefix(family.name), tuple(sample.labels.values())), sample.value)
        for sample in family.samples
        if not sample.name.endswith("_created")
    ]
