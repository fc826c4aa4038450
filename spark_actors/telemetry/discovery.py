"""What Prometheus is to scrape: the head and its nodes, as `http_sd_configs` take them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from threading import Lock
from typing import Any, Protocol
from urllib.parse import urlsplit

from spark_actors.telemetry import tuning


class Listed(Protocol):
    """A node that says where its metrics are."""

    @property
    def name(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def metrics_url(self) -> str: ...


class Discovery:
    """Lists what is there; safe to use from several threads, and asks the store rarely, however often it is asked."""

    def __init__(
        self,
        own_name: str,
        own_url: Callable[[], str],
        nodes: Callable[[], Iterable[Listed]],
        *,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._own_name, self._own_url, self._nodes, self._now = own_name, own_url, nodes, now
        self._lock = Lock()
        self._known: Sequence[Mapping[str, Any]] = ()
        self._good_until = float("-inf")

    def targets(self) -> Sequence[Mapping[str, Any]]:
        """The head, and the nodes that have not gone. Raises what keeps the nodes from being known."""
        with self._lock:
            if self._now() > self._good_until:
                own = self._own_url()
                others = [
                    _target(node.name, node.metrics_url, "node")
                    for node in self._nodes()
                    if node.state != "gone" and node.metrics_url not in ("", own)
                ]
                self._known = [_target(self._own_name, own, "head"), *others]
                self._good_until = self._now() + tuning.TARGETS_SECONDS
            return self._known


def _target(name: str, url: str, role: str) -> Mapping[str, Any]:
    return {"targets": [urlsplit(url).netloc], "labels": {"node": name, "role": role}}
