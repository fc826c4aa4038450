"""The daemon's metrics: the latest snapshots of its actors put together, and what dead ones had counted."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from threading import Lock

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from spark_actors.telemetry import tuning
from spark_actors.telemetry.catalogue import CATALOGUE, Measure
from spark_actors.telemetry.snapshot import MetricsSnapshot, SampleKey, unpack

Samples = dict[SampleKey, float]


class MetricsBoard:
    """Puts the snapshots of all actors together. Safe to use from several threads.

    Counters and histograms never go back: what a dead incarnation had counted is kept. (What it counted after its
    last snapshot is not known.) Gauges of dead actors are gone.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._live: dict[str, tuple[str | int, MetricsSnapshot]] = {}
        self._retired: Samples = {}
        self._retired_names: OrderedDict[tuple[str, str | int], None] = OrderedDict()
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._registry.register(_BoardCollector(self))

    def observe(self, actor_name: str, incarnation: str | int, snapshot: bytes) -> None:
        """Take an actor's snapshot (see `ActorMetrics.snapshot`).

        A new incarnation retires the one before. Overtaken snapshots, and those of retired incarnations, are
        dropped. Raises msgspec.DecodeError for bytes that are not a snapshot.
        """
        fresh = unpack(snapshot)
        with self._lock:
            if (actor_name, incarnation) in self._retired_names:
                return
            known, last = self._live.get(actor_name, (incarnation, fresh))
            if known != incarnation:
                self._retire(actor_name, known)
            elif fresh.taken < last.taken:
                return
            self._live[actor_name] = (incarnation, fresh)

    def retire(self, actor_name: str, incarnation: str | int) -> None:
        """The incarnation is dead: keep what it counted, drop its gauges. Retiring twice is harmless."""
        with self._lock:
            self._retire(actor_name, incarnation)

    def render(self) -> bytes:
        """All metrics in Prometheus' text format, with those of this very process (`process_*`)."""
        return generate_latest(self._registry)

    def totals(self) -> Samples:
        """Every number there is, over all actors, living and dead."""
        with self._lock:
            totals = dict(self._retired)
            snapshots = [snapshot for _, snapshot in self._live.values()]
        for snapshot in snapshots:
            for key, value in snapshot.samples:
                totals[key] = _together(key, totals.get(key), value)
        return totals

    def _retire(self, actor_name: str, incarnation: str | int) -> None:
        self._retired_names[actor_name, incarnation] = None
        if len(self._retired_names) > tuning.RETIRED_REMEMBERED:
            self._retired_names.popitem(last=False)
        known, snapshot = self._live.get(actor_name, (None, None))
        if snapshot is None or known != incarnation:
            return
        del self._live[actor_name]
        for key, value in snapshot.samples:
            if key.suffix:
                self._retired[key] = self._retired.get(key, 0.0) + value


class _BoardCollector(Collector):
    """Shows a board to prometheus_client."""

    def __init__(self, board: MetricsBoard) -> None:
        self._board = board

    def collect(self) -> Iterator[Metric]:
        totals = self._board.totals()
        for measure in CATALOGUE:
            yield _family(measure, {key: value for key, value in totals.items() if key.family == measure.family})


_TAKES_MAXIMUM = frozenset(measure.family for measure in CATALOGUE if measure.across == "max")


def _together(key: SampleKey, one: float | None, other: float) -> float:
    if one is None:
        return other
    return max(one, other) if key.family in _TAKES_MAXIMUM else one + other


def _family(measure: Measure, samples: Mapping[SampleKey, float]) -> Metric:
    metric = Metric(measure.family, measure.help, measure.kind)
    names = (*measure.labels, "le")
    for key in sorted(samples, key=lambda key: _place(measure, key)):
        metric.add_sample(key.family + key.suffix, dict(zip(names, key.labels, strict=False)), samples[key])
    return metric


def _place(measure: Measure, key: SampleKey) -> tuple[tuple[str, ...], str, float]:
    """Samples of one label set side by side, buckets by their bound, then count and sum."""
    own, bound = key.labels[: len(measure.labels)], key.labels[len(measure.labels) :]
    return own, key.suffix, float(bound[0]) if bound else 0.0
