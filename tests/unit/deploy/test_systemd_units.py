"""The units for systemd say nothing that head and node do not keep. (How they take the signals: tests/acceptance.)"""

from __future__ import annotations

import shutil
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest
from typer.testing import CliRunner

from config.settings import load_settings
from spark_actors.cli.app import whole_app
from spark_actors.daemon import SLACK_SECONDS

FOLDER = Path(__file__).parents[3] / "deploy" / "systemd"
HEAD, NODE = FOLDER / "spark-head.service", FOLDER / "spark-node.service"
SERVERS_SECONDS = 20 + 10 + 15
"""What the built-in Postgres, NATS and Ray may take to stop, one after the other."""
RAY_SECONDS = 15


def service(unit: Path) -> dict[str, str]:
    parser = ConfigParser(interpolation=None, delimiters="=", strict=False)
    parser.optionxform = str  # type: ignore[method-assign,assignment]  # names of directives have capitals
    parser.read_string(unit.read_text("utf-8"))
    return dict(parser["Service"])


def test_they_wait_for_a_drain_at_the_very_worst() -> None:
    settings = load_settings()
    worst = settings.shutdown.grace_seconds + SLACK_SECONDS + SERVERS_SECONDS
    assert float(service(HEAD)["TimeoutStopSec"]) > worst
    assert float(service(NODE)["TimeoutStopSec"]) > settings.cluster.drain_seconds + RAY_SECONDS


@pytest.mark.parametrize("unit", [HEAD, NODE], ids=lambda unit: unit.name)
def test_they_tell_the_one_process_alone_to_stop_and_start_what_could_not_go_on(unit: Path) -> None:
    assert service(unit)["KillMode"] == "mixed"
    assert service(unit)["Restart"] == "on-failure"  # a node that an operator has drained ends with 0 and stays off
    assert "SuccessExitStatus" not in service(unit)  # 0 is the only good end: what they give for SIGTERM


@pytest.mark.parametrize("unit", [HEAD, NODE], ids=lambda unit: unit.name)
def test_their_commands_and_their_settings_are_known(unit: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program, command, *options = service(unit)["ExecStart"].split()
    assert program.endswith("/bin/spark-actors")
    name, _, value = service(unit)["Environment"].partition("=")
    monkeypatch.setenv(name, value)
    given = dict(zip(options[::2], options[1::2], strict=True))
    assert load_settings(data_dir=given["--data-dir"]).log.format == "json"
    told = CliRunner().invoke(whole_app(), [command, "--help"])
    assert told.exit_code == 0
    assert all(option in told.output for option in given)
    assert given["--data-dir"] == f"/var/lib/{service(unit)['StateDirectory']}"


def test_both_are_kept_from_the_same() -> None:
    """What one of them may not do, the other does not need either."""
    own = {"ExecStart", "EnvironmentFile", "StateDirectory", "TimeoutStopSec"}
    head, node = ({name: each[name] for name in each.keys() - own} for each in (service(HEAD), service(NODE)))
    assert head == node


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
@pytest.mark.parametrize("unit", [HEAD, NODE], ids=lambda unit: unit.name)
def test_systemd_understands_them(unit: Path, tmp_path: Path) -> None:
    program = Path(sys.executable).with_name("spark-actors")
    own = tmp_path / unit.name
    own.write_text(unit.read_text("utf-8").replace("/opt/spark/.venv/bin/spark-actors", str(program)))
    said = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(own)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (said.returncode, said.stderr) == (0, "")
