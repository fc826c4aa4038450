"""The unit for systemd says nothing that the daemon does not keep. (How it takes the signals: tests/acceptance.)"""

from __future__ import annotations

from configparser import ConfigParser
from pathlib import Path

import pytest
from typer.testing import CliRunner

from config.settings import load_settings
from spark_actors.cli.app import whole_app
from spark_actors.daemon import SLACK_SECONDS

UNIT = Path(__file__).parents[3] / "docs" / "spark-actors.service"
SERVERS_SECONDS = 20 + 10 + 15
"""What the built-in Postgres, NATS and Ray may take to stop, one after the other."""


@pytest.fixture
def service() -> dict[str, str]:
    parser = ConfigParser(interpolation=None, delimiters="=", strict=False)
    parser.optionxform = str  # type: ignore[method-assign,assignment]  # names of directives have capitals
    parser.read_string(UNIT.read_text("utf-8"))
    return dict(parser["Service"])


def test_it_waits_for_a_drain_at_the_very_worst(service: dict[str, str]) -> None:
    worst = load_settings().shutdown.grace_seconds + SLACK_SECONDS + SERVERS_SECONDS
    assert float(service["TimeoutStopSec"]) > worst


def test_it_tells_the_daemon_alone_to_stop_and_starts_one_that_could_not_go_on(service: dict[str, str]) -> None:
    assert service["KillMode"] == "mixed"
    assert service["Restart"] == "on-failure"
    assert "SuccessExitStatus" not in service  # 0 is the only good end: what the daemon gives for SIGTERM


def test_its_command_and_its_settings_are_known(service: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    program, command, option, folder = service["ExecStart"].split()
    assert program.endswith("/bin/spark-actors")
    name, _, value = service["Environment"].partition("=")
    monkeypatch.setenv(name, value)
    assert load_settings(data_dir=folder).log.format == "json"
    told = CliRunner().invoke(whole_app(), [command, "--help"])
    assert told.exit_code == 0
    assert option in told.output
    assert folder == f"/var/lib/{service['StateDirectory']}"
