"""A daemon that cannot start says why, and leaves no actor behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from config.groups import HttpSettings
from config.settings import Settings
from spark_actors import daemon
from spark_actors.actors import references
from spark_actors.deployment import Deployment
from spark_actors.embedded.data_dir import DataDir
from spark_actors.foreground import Signals
from spark_actors.messaging.ports import INGRESS
from spark_actors.persistence.cluster import Tree
from spark_actors.persistence.hand_overs import HandOvers
from spark_actors.persistence.ownership import OwnerLock
from spark_actors.telemetry.http import NotListeningError


class NotedRoot(references.RayRoot):
    """Notes what is asked of it, and makes no actors."""

    done: list[str]

    def start(self, build: object, *, beside: str = "") -> None:
        self.done.append("started")

    def stop(
        self,
        grace_seconds: float,
        *,
        is_worthwhile: Callable[[], bool] = lambda: True,
        has_cluster: Callable[[], bool] = lambda: True,
    ) -> None:
        self.done.append("stopped")


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What becomes of the root actor of a daemon that stands on nothing and leaves this process as it is."""

    @contextmanager
    def services(settings: Settings, data_dir: DataDir, *told: object) -> Iterator[daemon.Surroundings]:
        file = data_dir.path / "file"
        deployment = Deployment(settings, {INGRESS: ""}, {}, "", "", log_file=file, ray_namespace="spark")
        yield daemon.Surroundings(deployment, (), OwnerLock([]), None, None)

    monkeypatch.setattr(daemon, "services", services)
    monkeypatch.setattr(daemon, "current_tree", lambda dsn: None)
    monkeypatch.setattr(daemon, "new_tree", lambda *told: Tree(1, "spark/1", "", "", {}))
    monkeypatch.setattr(HandOvers, "give_up", lambda hand_overs, why: None)
    for name in ("open_tree", "remember_keys"):
        monkeypatch.setattr(daemon, name, lambda *told: None)
    monkeypatch.setattr(daemon, "configure_logging", lambda *words: None)
    monkeypatch.setattr(Signals, "install", lambda signals: None)
    monkeypatch.setattr(NotedRoot, "done", [], raising=False)
    monkeypatch.setattr(references, "RayRoot", NotedRoot)
    return NotedRoot.done


def test_a_host_that_is_not_ours_leaves_no_actor_behind(tmp_path: Path, done: list[str]) -> None:
    settings = Settings(data_dir=tmp_path, http=HttpSettings(host="192.0.2.1"))
    with pytest.raises(NotListeningError, match="192.0.2.1"):
        daemon.run_daemon(lambda: settings)
    assert done == ["started", "stopped"]
