"""Who is who on a running daemon: users, strangers, and passwords that rest nowhere."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar
from urllib.request import urlopen

import psutil
import psycopg
import pytest

from domain.accounting.messages import Deposit
from domain.auth.adapters.passwords import hash_password
from domain.auth.messages import RegisterAccount
from domain.cli.session import log_in
from domain.crowdfunding.messages import CreateCampaign
from domain.dashboard.views import ViewAccountOverview
from spark_actors.ingress.client import SparkClient, UnreachableError, ViewRefusedError
from tests.fixtures.daemon import Daemon, environment, eventually
from tests.integration.embedded.conftest import listening_addresses

T = TypeVar("T")
NOBODY = 65_534
PASSWORD = "correct-horse-battery-staple"
IN_CLEAR = "hunter2-sent-by-mistake"
RAY_STRANGER = "import ray._raylet, sys; ray._raylet.GcsClient(address=sys.argv[1]); print('let in')"


@pytest.fixture(scope="module")
def users(running: Daemon) -> Daemon:
    """The daemon, where ann and bob have signed up."""

    async def play(operator: SparkClient) -> None:
        for name in ("ann", "bob"):
            hashed = await asyncio.to_thread(hash_password, PASSWORD)
            registration = RegisterAccount(account_id=name, username=name, password_hash=hashed)
            assert (await operator.acting_as("").send(registration)).is_done

    talk(running, play)
    return running


def talk(daemon: Daemon, play: Callable[[SparkClient], Coroutine[Any, Any, T]]) -> T:
    """As an operator."""
    card = daemon.card

    async def connected() -> T:
        async with await SparkClient.connect(card.nats_url, card.nats_token, identity=card.operator_token) as client:
            return await play(client)

    return asyncio.run(connected())


def places_that_hold(daemon: Daemon, secret: str) -> list[str]:
    """Files of the daemon in which the text stands."""
    files = [path for path in daemon.data_dir.rglob("*") if path.is_file() and not path.is_symlink()]
    return [str(path) for path in files if path.exists() and secret.encode() in path.read_bytes()]


def test_a_user_signs_up_logs_in_and_acts_for_his_own_account_alone(users: Daemon) -> None:
    async def play(operator: SparkClient) -> None:
        stranger = operator.acting_as("")
        ann = operator.acting_as((await log_in(stranger, "Ann", PASSWORD)).token)

        def campaign(owner: str) -> CreateCampaign:
            return CreateCampaign(campaign_id=f"c-{owner}", account_id=owner, title="A", description="", goal_sat=9)

        assert (await ann.send(campaign("ann"))).is_done
        assert (await ann.send(campaign("bob"))).reason == "forbidden"
        assert (await stranger.send(campaign("bob"))).reason == "unauthenticated"
        assert (await operator.acting_as("forged.token.x").send(campaign("bob"))).reason == "unauthenticated"
        assert (await ann.send(Deposit(account_id="ann", deposit_id="d", amount_sat=9))).reason == "forbidden"
        for asker, whose in ((ann, "bob"), (stranger, "ann")):
            with pytest.raises(ViewRefusedError, match="forbidden|unauthenticated"):
                await asker.view(ViewAccountOverview(account_id=whose))

    talk(users, play)


def test_the_command_line_logs_in_and_acts_with_what_it_got(users: Daemon, tmp_path: Path) -> None:
    token = tmp_path / "ann.token"
    login = users.cli("login", "ann", "--save", str(token), stdin=f"{PASSWORD}\n")
    assert (login.returncode, login.stdout.startswith("logged in as ann until ")) == (0, True), login.stderr
    assert token.stat().st_mode & 0o077 == 0
    sent = users.cli("send", "accounting.open-account", "account_id=ann", "--as", str(token), "--json")
    assert json.loads(sent.stdout)["reason"] == "forbidden"


def test_the_command_line_remembers_who_has_logged_in_until_they_log_out(users: Daemon) -> None:
    words = ("send", "accounting.open-account", "account_id=ann", "--json")
    assert users.cli("login", "ann", stdin=f"{PASSWORD}\n").returncode == 0
    try:
        sent = users.cli(*words)
        told = json.loads(sent.stdout)
        assert (sent.returncode, told["reason"], told["as"]) == (1, "forbidden", "ann")
        assert users.cli("view", "dashboard.account-overview", "account_id=bob").returncode == 1
    finally:
        assert users.cli("logout").stdout == "ann is logged out\n"
    sent = users.cli(*words)
    assert (json.loads(sent.stdout)["as"], "forbidden" in sent.stdout) == ("operator", False)


def test_passwords_are_guessed_a_few_times_only(running: Daemon) -> None:
    async def play(client: SparkClient) -> list[ViewRefusedError]:
        return [await refused(client, "mallory", "guess") for _ in range(6)]

    async def refused(client: SparkClient, name: str, password: str) -> ViewRefusedError:
        with pytest.raises(ViewRefusedError) as error:
            await log_in(client, name, password)
        return error.value

    refusals = talk(running, play)
    assert [refusal.code for refusal in refusals] == ["wrong_credentials"] * 5 + ["too_many_attempts"]
    assert re.search(r"again in \d+ s", refusals[-1].detail)


def test_a_password_sent_in_clear_rests_nowhere(running: Daemon) -> None:
    """Neither in Postgres nor in the broker's files nor in logs, whatever was wrong with the message."""
    register = "spark.commands.auth.register-account"
    event = {"specversion": "1.0", "id": "m", "source": "s", "type": "spark.auth.register-account.v1", "subject": "eve"}
    data = {"account_id": "eve", "username": "eve-was-here"}
    bodies = [
        json.dumps({**event, "data": {**data, "password": IN_CLEAR}}),
        json.dumps({**event, "data": {**data, "password_hash": IN_CLEAR}}),
        json.dumps({**event, "data": {**data, "password": IN_CLEAR}})[:-2],
    ]

    async def play(operator: SparkClient) -> None:
        for client in (operator, operator.acting_as("")):
            for body in bodies:
                assert not (await client.send_raw(register, body.encode())).is_done
            await client.send_raw(
                "spark.commands.auth.login", json.dumps({"username": "eve", "password": IN_CLEAR}).encode()
            )
            with pytest.raises(ViewRefusedError):
                await log_in(client, "eve", IN_CLEAR)

    talk(running, play)
    assert eventually(lambda: bool(places_that_hold(running, "eve-was-here")))  # this does look where things are kept
    assert eventually(lambda: not places_that_hold(running, IN_CLEAR), 10), places_that_hold(running, IN_CLEAR)
    assert IN_CLEAR not in running.last_words()


def test_nothing_listens_beyond_loopback(running: Daemon) -> None:
    found = {address.removeprefix("::ffff:") for address in listening_addresses(running.pid)}
    assert found == {"127.0.0.1"}


def test_a_stranger_to_the_broker_is_refused(running: Daemon) -> None:
    for token in ("", "guessed"):
        with pytest.raises(UnreachableError, match="(?i)authorization|may refuse the token"):
            asyncio.run(SparkClient.connect(running.card.nats_url, token))


def test_a_stranger_to_postgres_is_refused(running: Daemon) -> None:
    for context, dsn in running.card.dsn.items():
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(dsn, password="guessed", dbname=context)


def command_lines(pid: int) -> Iterator[list[str]]:
    """Of all processes below this one; sessions of Postgres come and go meanwhile."""
    for process in psutil.Process(pid).children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            yield process.cmdline()


def test_a_stranger_to_ray_is_refused(running: Daemon) -> None:
    words = [word for line in command_lines(running.pid) for word in line]
    [address] = {word.partition("=")[2] for word in words if word.startswith("--gcs-address=")}
    credentials = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "f" * 64}
    told = subprocess.run(
        [sys.executable, "-c", RAY_STRANGER, address],
        env=environment() | credentials,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "let in" not in told.stdout
    assert "AuthenticationError" in told.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_another_user_of_the_machine_reads_no_secret_and_reaches_no_socket(running: Daemon) -> None:
    sockets = Path(str(psycopg.conninfo.conninfo_to_dict(running.card.dsn["auth"])["host"]))
    secret = [running.data_dir / name for name in ("daemon.json", "secrets/token-keys", "nats/nats-server.conf")]
    for path in (*secret, running.data_dir / "logs", running.data_dir / "ray", sockets):
        look = "ls" if path.is_dir() else "cat"
        tried = subprocess.run([look, str(path)], user=NOBODY, capture_output=True, check=False)
        assert tried.returncode != 0, path
        assert b"denied" in tried.stderr


def test_refused_senders_and_logins_are_counted_and_no_token_is_in_the_logs(users: Daemon) -> None:
    async def play(operator: SparkClient) -> None:
        command = Deposit(account_id="ann", deposit_id="d", amount_sat=9)
        session = await log_in(operator, "bob", PASSWORD)
        for identity in ("", session.token, "forged.token.x"):
            assert not (await operator.acting_as(identity).send(command)).is_done

    talk(users, play)
    samples = [
        'spark_commands_refused_total{reason="forbidden"}',
        'spark_commands_refused_total{reason="unauthenticated"}',
        'spark_logins_total{outcome="ok"}',
    ]
    assert eventually(lambda: all(sample in metrics(users) for sample in samples))
    log = (users.data_dir / "logs" / "daemon.jsonl").read_text()
    assert "senders_refused" in log
    assert not re.search(r"eyJ[\w-]+\.", log)


def metrics(daemon: Daemon) -> str:
    with urlopen(f"{daemon.card.metrics_url}/metrics", timeout=10) as response:
        text: str = response.read().decode()
        return text
