"""One tree hands over to another: until the old one finishes nothing has happened; from then on it is done whatever."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from config.settings import Settings
from spark_actors import hand_over
from spark_actors.deployment import Deployment
from spark_actors.hand_over import TreeChange
from spark_actors.kernel.errors import StorageUnavailableError
from spark_actors.messaging.ports import INGRESS
from spark_actors.persistence.cluster import Tree
from spark_actors.persistence.hand_overs import HandOver, HandOverState

WISH = HandOver(1, "/opt/python", "2.0", HandOverState.WISHED, "")


class Root:
    """One tree, as its driver sees it."""

    def __init__(self, done: list[str], name: str, answers: Iterator[Mapping[str, Any]]) -> None:
        self._done, self._name, self._answers = done, name, answers

    def status(self) -> Mapping[str, Any]:
        return next(self._answers)

    def stop(self, grace_seconds: float) -> None:
        self._done.append(f"{self._name} stops")

    def open(self) -> None:
        self._done.append(f"{self._name} begins")


class Scene:
    """A change of trees whose surroundings are told what to do, and note what was done."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path, release: str = "2.0") -> None:
        self.done: list[str] = []
        self.notes: list[str] = []
        self.refusals_of_the_store = 0
        self.looks: list[bool] = []
        warm = {"warm": True, "problems": [], "actors": [{"release": release}]}
        answers = iter([{**warm, "warm": False}, {**warm, "warm": False}, warm])
        scene = self

        class HandOvers:
            def __init__(self, dsn: str) -> None: ...
            def note(self, number: int, state: HandOverState, detail: str = "") -> bool:
                scene.notes.append(f"{state}: {detail}" if detail else str(state))
                return True

        def opened(dsn: str, epoch: int) -> None:
            if scene.refusals_of_the_store:
                scene.refusals_of_the_store -= 1
                raise StorageUnavailableError("away")
            scene.done.append("it is written that the new one works")

        monkeypatch.setattr(hand_over, "HandOvers", HandOvers)
        monkeypatch.setattr(hand_over, "new_tree", lambda *told: Tree(2, "spark/here/2", "2.0", "", {}))
        monkeypatch.setattr(hand_over, "end_tree", lambda *told: scene.done.append("the new one has ended"))
        monkeypatch.setattr(hand_over, "open_tree", opened)
        monkeypatch.setattr(hand_over, "remember_keys", lambda *told: None)
        monkeypatch.setattr(hand_over, "LOOK_SECONDS", 0.0)
        monkeypatch.setattr(TreeChange, "_started", lambda change, successor: Root(scene.done, "the new one", answers))
        settings = Settings(data_dir=folder)
        self.old = Deployment(settings, {INGRESS: ""}, {}, "", "", log_file=folder, ray_namespace="spark/here/1")
        root: Any = Root(self.done, "the old one", iter(()))
        self.change = TreeChange(self.old, root, lambda: settings)

    def make(self, look: Callable[[], bool] = lambda: True) -> None:
        def noted() -> bool:
            self.looks.append(look())
            return self.looks[-1]

        self.change.make(WISH, noted)


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Scene:
    return Scene(monkeypatch, tmp_path)


def test_the_new_tree_begins_when_the_old_one_has_finished_and_it_is_written(scene: Scene) -> None:
    scene.make()
    assert scene.done == ["the old one stops", "it is written that the new one works", "the new one begins"]
    assert (scene.change.deployment.ray_namespace, scene.notes[-1]) == ("spark/here/2", "done: epoch 2")


def test_while_the_new_one_warms_up_the_daemon_looks_after_everything_else(scene: Scene) -> None:
    scene.make()
    assert scene.looks == [True, True]


def test_a_daemon_that_is_to_end_gives_the_new_one_up_and_still_has_the_old_one(scene: Scene) -> None:
    scene.make(lambda: False)
    assert scene.done == ["the new one stops", "the new one has ended"]
    assert scene.change.deployment is scene.old
    assert scene.notes[-1] == "refused: the daemon ends"


def test_a_new_one_that_runs_something_else_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    scene = Scene(monkeypatch, tmp_path, release="1.0")
    scene.make()
    assert scene.change.deployment is scene.old
    assert "its actors run 1.0, expected 2.0" in scene.notes[-1]


def test_a_store_that_is_away_once_the_old_one_has_finished_is_waited_for(scene: Scene) -> None:
    scene.refusals_of_the_store = 3
    scene.make()
    assert scene.done == ["the old one stops", "it is written that the new one works", "the new one begins"]
    assert scene.notes[-1] == "done: epoch 2"
