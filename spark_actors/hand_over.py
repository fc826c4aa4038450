"""One tree of actors hands over to another, of other settings or another release, while commands come in.

The new tree starts beside the old one, up to the point at which it could begin. Then the old one finishes what it has
in hand, from the way in to the store, and the new one begins: what comes in meanwhile waits in the broker, and the
order of each sender's commands stays as it is. Until the old one is asked to finish, nothing has happened that could
not be undone.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from config.errors import SettingsError
from config.settings import OF_ONE_MACHINE, Settings
from spark_actors.actors import names
from spark_actors.actors.errors import ActorUnavailableError
from spark_actors.deployment import Deployment, signing_keys
from spark_actors.embedded.data_dir import DataDir
from spark_actors.kernel.errors import DetailedError, SparkError, StorageUnavailableError
from spark_actors.messaging.ports import INGRESS
from spark_actors.persistence.cluster import Tree, end_tree, new_tree, open_tree
from spark_actors.persistence.hand_overs import HandOver, HandOvers, HandOverState
from spark_actors.persistence.key_record import remember_keys
from spark_actors.version import version

if TYPE_CHECKING:
    from spark_actors.actors.references import RayRoot

log = structlog.get_logger(__name__)

WARM_SECONDS = 120.0
"""A tree that is not warm by then is given up, and the old one works on."""
LOOK_SECONDS = 0.2
SLACK_SECONDS = 5.0
NEEDS_A_START = sorted(OF_ONE_MACHINE - {"log"})
"""Groups of settings by which services and addresses go: they are read once, at the start."""


class HandOverRefusedError(DetailedError):
    """The new tree did not come to be; the old one works on."""


class TreeChange:
    """Has the tree that works hand over when an operator wishes it."""

    def __init__(self, deployment: Deployment, root: RayRoot, read: Callable[[], Settings]) -> None:
        """*read* gives the settings as they are now."""
        self.deployment, self.root = deployment, root
        """Of the tree that works."""
        self._read = read
        self._hand_overs = HandOvers(deployment.dsn[INGRESS])

    def make(self, wish: HandOver, look: Callable[[], bool]) -> None:
        """Do what was wished, and note how far it is. Never raises for what goes wrong with the new tree.

        Meanwhile *look* is called again and again, that nothing else stands still; whether the daemon is to go on.
        Raises what *look* raises.
        """
        try:
            self._make(wish, look)
        except (SparkError, SettingsError) as error:
            log.error("hand_over_refused", error=str(error))
            with suppress(StorageUnavailableError):
                self._hand_overs.note(wish.hand_over, HandOverState.REFUSED, str(error))

    def _make(self, wish: HandOver, look: Callable[[], bool]) -> None:
        old, successor = self.deployment, self._successor(wish)
        dsn, release = old.dsn[INGRESS], wish.release or version()
        tree = new_tree(
            dsn,
            names.deployment_of(old.ray_namespace),
            release,
            successor.fingerprint,
            successor.settings.common,
        )
        successor = replace(successor, ray_namespace=tree.namespace)
        successor.keep(successor.settings.data_dir)
        root = self._started(successor)
        try:
            self._wait_until_warm(wish, root, look)
            if not self._hand_overs.note(wish.hand_over, HandOverState.HANDING_OVER):
                raise HandOverRefusedError("an operator has stopped it")
        except BaseException:
            old.keep(old.settings.data_dir)
            root.stop(SLACK_SECONDS)
            end_tree(dsn, tree.epoch)
            raise
        log.info("handing_over", epoch=tree.epoch, release=release)
        self.root.stop(old.settings.shutdown.grace_seconds + SLACK_SECONDS)
        self.deployment, self.root = successor, root  # from here on there is no way back
        while not self._is_open(wish, tree) and look():
            time.sleep(LOOK_SECONDS)

    def _is_open(self, wish: HandOver, tree: Tree) -> bool:
        """Whether it is written, and told, that the new tree works; not as long as the store is away."""
        dsn = self.deployment.dsn[INGRESS]
        try:
            open_tree(dsn, tree.epoch)
            remember_keys(dsn, self.deployment.keys)
            self._hand_overs.note(wish.hand_over, HandOverState.DONE, f"epoch {tree.epoch}")
        except StorageUnavailableError as error:
            log.warning("not_opened_yet", epoch=tree.epoch, error=str(error))
            return False
        with suppress(ActorUnavailableError):  # it reads by itself that it may begin
            self.root.open()
        return True

    def _successor(self, wish: HandOver) -> Deployment:
        """What the new tree is told. Raises SettingsError, HandOverRefusedError."""
        if wish.python:
            return replace(self.deployment, python=wish.python)
        settings = self._read()
        for group in NEEDS_A_START:
            if getattr(settings, group) != getattr(self.deployment.settings, group):
                raise HandOverRefusedError(f"{group} was changed, which only a new start of the daemon takes up")
        keys = signing_keys(settings, DataDir(settings.data_dir), make=False)
        return replace(self.deployment, settings=settings, keys=keys)

    def _refuse_another_release(self, wish: HandOver, found: str) -> None:
        """Ray has actors look first into the folder in which the daemon was started: a source tree there wins."""
        if wish.release and found != wish.release:
            raise HandOverRefusedError(
                f"its actors run {found}, expected {wish.release}: is there a source tree in {Path.cwd()}, where this "
                "daemon was started? Start it in another folder"
            )

    def _started(self, successor: Deployment) -> RayRoot:
        from spark_actors.actors.references import RayRoot
        from spark_actors.bootstrap.root import root_builder

        root = RayRoot(successor.ray_namespace, successor.python)
        root.start(root_builder(successor.origin), beside=self.deployment.ray_namespace)
        return root

    def _wait_until_warm(self, wish: HandOver, root: RayRoot, look: Callable[[], bool]) -> None:
        """Raises HandOverRefusedError if it takes too long, or an operator stops it, or the daemon."""
        deadline, problems = time.monotonic() + WARM_SECONDS, ["it has not answered"]
        while time.monotonic() < deadline:
            with suppress(ActorUnavailableError):
                status = root.status()
                if status["warm"]:
                    self._refuse_another_release(wish, status["actors"][0]["release"])
                    return
                problems = status["problems"]
            if not self._hand_overs.note(wish.hand_over, HandOverState.WARMING):
                raise HandOverRefusedError("an operator has stopped it")
            if not look():
                raise HandOverRefusedError("the daemon ends")
            time.sleep(LOOK_SECONDS)
        raise HandOverRefusedError(f"not warm after {WARM_SECONDS:.0f} s: {'; '.join(problems)}")
