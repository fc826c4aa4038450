"""What a newcomer and an operator see: start, demo, views, metrics."""

from __future__ import annotations

import json
import urllib.request

import pytest

from spark_actors.cli.errors import ExitCode
from tests.fixtures.daemon import Daemon
from tests.fixtures.pages import README, block


def fetch(daemon: Daemon, path: str) -> tuple[int, str]:
    with urllib.request.urlopen(f"{daemon.card.metrics_url}{path}", timeout=10) as response:
        return response.status, response.read().decode()


@pytest.fixture(scope="module")
def played(running: Daemon) -> Daemon:
    """The daemon after a demo: everything has happened there that can happen on a good day."""
    running.typed(block(README, ".venv/bin/spark-actors demo").text)
    return running


def test_the_demo_passes_its_own_audit(running: Daemon) -> None:
    demo = running.cli("demo", "--quick", "--json")
    assert demo.returncode == 0, demo.stdout + demo.stderr
    assert json.loads(demo.stdout)["audit"]["passed"]


def test_the_audit_finds_nothing_wrong(played: Daemon) -> None:
    audit = played.cli("audit")
    assert audit.returncode == 0, audit.stdout + audit.stderr


def test_a_command_of_ones_own_is_answered(running: Daemon) -> None:
    sent = running.cli("send", "accounting.open-account", "account_id=newcomer", "--json")
    assert sent.returncode == 0, sent.stderr
    assert json.loads(sent.stdout)["outcome"] == "done"
    refused = running.cli(
        "send",
        "accounting.withdraw",
        "account_id=newcomer",
        "withdrawal_id=w1",
        "amount_sat=5",
        "--why",
        "a test",
        "--json",
    )
    assert refused.returncode == ExitCode.REJECTED
    assert json.loads(refused.stdout)["reason"] == "insufficient_funds"


def test_it_is_ready_and_tells_the_on_call_what_it_does(played: Daemon) -> None:
    assert fetch(played, "/healthz")[0] == 200
    assert fetch(played, "/readyz")[0] == 200
    metrics = fetch(played, "/metrics")[1]
    for name in (
        "spark_commands_total",
        "spark_turn_commands_bucket",
        "spark_turn_duration_seconds_bucket",
        "spark_outbox_pending_messages",
        "spark_outbox_oldest_pending_seconds",
        "spark_events_routed_total",
        "spark_sagas_ended_total",
        "spark_saga_duration_seconds_bucket",
        "spark_resident_instances",
        "spark_activations_total",
        "spark_ingress_waiting_messages",
        "spark_dead_letters",
    ):
        assert name in metrics
    assert 'outcome="rejected"' in metrics


def test_no_secret_is_readable_by_others(running: Daemon) -> None:
    secrets = list((running.data_dir / "secrets").iterdir())
    assert secrets
    for path in (*secrets, running.data_dir / "daemon.json"):
        assert path.stat().st_mode & 0o077 == 0, path


def test_no_secret_is_in_the_logs(played: Daemon) -> None:
    lines = (played.data_dir / "logs" / "daemon.jsonl").read_text()
    assert lines
    for secret in (played.data_dir / "secrets").iterdir():
        assert secret.read_text().strip() not in lines
    assert "$argon2" not in lines
    assert "eyJ" not in lines  # how every JSON Web Token begins
    assert all(json.loads(line)["event"] for line in lines.splitlines())


def test_a_second_daemon_on_the_same_folder_is_refused(running: Daemon) -> None:
    second = running.cli("run")
    assert second.returncode not in (0, None)
    assert str(running.pid) in second.stderr
