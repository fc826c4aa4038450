"""The thread in which a daemon says that its node lives, and sees what operators wish of it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from threading import Event, Thread

import psutil

from spark_actors.kernel.errors import StorageUnavailableError
from spark_actors.persistence.hand_overs import HandOver, HandOverWatch
from spark_actors.persistence.membership import Membership, NodeFacts

BEAT_SECONDS = 0.5
"""How often a node says that it lives: well below what the root waits for it."""


class Pulse:
    """Beats until it is stopped. While the store is away it knows of no wishes."""

    def __init__(self, dsn: str, facts: Callable[[], NodeFacts] | None) -> None:
        """*facts* of this node; None if its Ray belongs to somebody else."""
        self._dsn, self._facts = dsn, facts
        self._ended = Event()
        self.wished: HandOver | None = None
        """A change of trees that nobody has begun with."""

    def start(self) -> None:
        Thread(target=self._run, name="pulse", daemon=True).start()

    def stop(self) -> None:
        self._ended.set()

    def _run(self) -> None:
        membership = Membership(self._dsn) if self._facts else None
        watch = HandOverWatch(self._dsn)
        while not self._ended.wait(BEAT_SECONDS):
            with suppress(StorageUnavailableError):
                if membership and self._facts:
                    membership.beat(self._facts(), psutil.cpu_percent(), psutil.virtual_memory().used)
                self.wished = watch.wished()
        watch.close()
        if membership:
            membership.close()
