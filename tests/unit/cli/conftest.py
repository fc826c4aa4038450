"""Fixtures for the command line: a runner, and a daemon that it finds."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from spark_actors.embedded.data_dir import DaemonCard, DataDir
from spark_actors.ingress.client import SparkClient
from tests.unit.cli.fakes import FakeClient

Cli = Callable[..., Result]


def error_of(result: Result) -> dict[str, Any]:
    """What a command with --json has said of its error: one JSON object on standard error, and nothing else there."""
    told: dict[str, Any] = json.loads(result.stderr)["error"]
    assert told["exit_code"] == result.exit_code
    return told


built = cache(typer.main.get_command)


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in os.environ:
        if name.startswith("SPARK_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config of mine"))


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Runs the command line with these words. It is put together once: for each run, that would be most of its time."""
    from spark_actors.cli.app import whole_app

    monkeypatch.setattr("typer.testing._get_command", built)

    def run(*words: str, stdin: str = "") -> Result:
        return CliRunner().invoke(whole_app(), list(words), input=stdin, prog_name="spark-actors")

    return run


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A data dir with the card of a running daemon (this very process)."""
    folder = tmp_path / "data"
    folder.mkdir()
    card = DaemonCard(
        pid=os.getpid(),
        nats_url="nats://127.0.0.1:1",
        nats_token="t",
        metrics_url="http://127.0.0.1:1",
        started_at="2026-01-01T00:00:00+00:00",
        version="1",
        dsn={},
        operator_token="an operator's token",
    )
    DataDir(folder).write_daemon_card(card)
    return folder


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> FakeClient:
    """What commands talk to instead of a broker."""
    fake = FakeClient()

    async def connect(url: str, token: str = "", *, identity: str = "") -> FakeClient:
        fake.identity = identity
        return fake

    monkeypatch.setattr(SparkClient, "connect", connect)
    return fake
