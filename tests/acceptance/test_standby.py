"""Two daemons for one deployment: the second is refused in words, or stands by and takes over when the first ends."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from spark_actors.embedded.nats_server import EmbeddedNats
from tests.fixtures.daemon import Daemon, eventually

pytestmark = pytest.mark.timeout(300)
OURS = f"ours:{'k' * 32}"
OTHER = f"ours:{'x' * 32}"


@pytest.fixture(scope="module")
def settings(template_database: str, new_database: Callable[[str], str], nats_server: EmbeddedNats) -> dict[str, str]:
    """Of the deployment: its stores outlive both."""
    return {
        "SPARK_POSTGRES__DSN": new_database(template_database),
        "SPARK_NATS__URL": nats_server.url,
        "SPARK_NATS__TOKEN": nats_server.token,
        "SPARK_IDENTITY__KEYS": json.dumps([OURS]),
    }


@pytest.fixture(scope="module")
def pair(settings: dict[str, str]) -> Iterator[tuple[Daemon, Daemon]]:
    """The first runs, the second does not."""
    with TemporaryDirectory(prefix="spark-standby-", ignore_cleanup_errors=True) as folder:
        first, second = (Daemon(Path(folder) / name / "spark", settings) for name in ("first", "second"))
        for daemon in (first, second):
            daemon.data_dir.parent.mkdir()
        try:
            first.start()
            yield first, second
        finally:
            for daemon in (first, second):
                daemon.kill()
                daemon.left_behind()


def test_a_second_daemon_is_refused_and_the_first_undisturbed(pair: tuple[Daemon, Daemon]) -> None:
    first, second = pair
    before = first.status()["status"]["actors"]
    refused = second.cli("run")
    assert refused.returncode == 1
    assert "belong to another daemon" in refused.stderr
    assert first.status()["status"]["actors"] == before


def test_one_that_stands_by_takes_over_with_the_keys_that_were_in_use_alone(
    pair: tuple[Daemon, Daemon], settings: dict[str, str]
) -> None:
    first, second = pair
    assert first.cli("demo").returncode == 0
    second.launch("--standby")
    assert eventually(lambda: "standing_by" in second.last_words())
    assert second.is_running
    first.interrupt(signal.SIGKILL)
    assert "ready" in second.wait_until_ready()
    assert second.cli("audit").returncode == 0
    assert second.terminate() == 0

    foreign = Daemon(second.data_dir, {**settings, "SPARK_IDENTITY__KEYS": json.dumps([OTHER])})
    refused = foreign.cli("run")
    assert refused.returncode == 1
    assert "none of the keys that signed" in refused.stderr
    assert "x" * 32 not in refused.stderr
