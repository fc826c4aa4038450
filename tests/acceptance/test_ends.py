"""However a daemon ends, by itself or because it is told to, nothing of it is left and the next one starts clean."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from uuid import uuid4

import psutil
import pytest

from spark_actors.embedded.processes import wait_until
from tests.fixtures.daemon import Daemon, daemon_in_temporary_folder, environment

LOST_SECONDS = 10.0
"""How long a daemon without Ray may take to end."""
STOP_SECONDS = 15.0


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    with daemon_in_temporary_folder() as daemon:
        yield daemon


@pytest.fixture
def started(daemon: Daemon) -> Daemon:
    if not daemon.is_running:
        daemon.start()
    return daemon


def part_of(daemon: Daemon, name: str) -> psutil.Process:
    """The daemon's process of this name."""
    (part,) = [it for it in psutil.Process(daemon.pid).children(recursive=True) if name in it.name()]
    return part


def deposit(daemon: Daemon, account: str) -> subprocess.CompletedProcess[str]:
    words = (f"account_id={account}", f"deposit_id={uuid4()}", "amount_sat=7", "--why", "a test")
    done = daemon.cli("send", "accounting.deposit", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def assert_starts_clean(daemon: Daemon, account: str) -> None:
    """Nothing was left, and the next start has what the last one had acknowledged."""
    assert daemon.left_behind() == []
    daemon.start()
    view = daemon.cli("view", "dashboard.account-overview", f"account_id={account}", "--json")
    assert '"balance_sat":7' in view.stdout.replace(" ", "").replace("\n", ""), view.stdout + view.stderr
    audit = daemon.cli("audit")
    assert audit.returncode == 0, audit.stdout + audit.stderr


@pytest.mark.timeout(240)
@pytest.mark.parametrize("part", ["raylet", "ray::DashboardAgent"])
def test_a_daemon_whose_ray_has_ended_ends_too_with_an_error_and_leaves_nothing(started: Daemon, part: str) -> None:
    account = uuid4().hex
    deposit(started, account)
    part_of(started, part[:15]).kill()
    assert started.ended_within(LOST_SECONDS) == 1
    assert "ray has ended by itself" in started.last_words()
    assert_starts_clean(started, account)


@pytest.mark.timeout(240)
def test_a_daemon_whose_gcs_has_ended_starts_it_again_and_serves_all_the_while(started: Daemon) -> None:
    before = part_of(started, "gcs_server")
    tree = psutil.Process(started.pid).children(recursive=True)
    before.kill()
    deposit(started, uuid4().hex)
    assert wait_until(lambda: is_running_anew(started, before), LOST_SECONDS)
    assert started.is_running
    assert all(process.is_running() for process in tree if process != before)


def is_running_anew(daemon: Daemon, before: psutil.Process) -> bool:
    children = psutil.Process(daemon.pid).children(recursive=True)
    return any(process.name() == "gcs_server" and process != before for process in children)


@pytest.mark.timeout(240)
def test_a_signal_to_every_process_at_once_ends_the_daemon_in_order(started: Daemon) -> None:
    """What a service manager does that knows the processes of a service and not who of them is in charge."""
    account = uuid4().hex
    deposit(started, account)
    daemon = psutil.Process(started.pid)
    for process in [daemon, *daemon.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGTERM)
    assert started.ended_within(STOP_SECONDS) == 0, started.last_words()
    assert_starts_clean(started, account)


@pytest.mark.timeout(240)
def test_of_two_daemons_on_the_same_tables_the_second_is_refused_and_the_first_goes_on(started: Daemon) -> None:
    account = uuid4().hex
    with daemon_in_temporary_folder() as second:
        variables = {**environment(), "SPARK_POSTGRES__DSN": next(iter(started.card.dsn.values()))}
        refused = subprocess.run(
            [sys.executable, "-m", "spark_actors.cli", "run", "--data-dir", str(second.data_dir)],
            env=variables,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert refused.returncode == 1
    assert "belong to another daemon" in refused.stderr
    assert f"process {started.pid} on " in refused.stderr
    deposit(started, account)
    assert started.is_running
