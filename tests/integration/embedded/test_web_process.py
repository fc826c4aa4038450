"""The web process as the daemon keeps it, with no broker yet: where it listens, what it knows, how it ends."""

from __future__ import annotations

import os
import signal
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path

import httpx
import psutil
import pytest

from spark_actors.embedded.addresses import ANY_PORT, LOOPBACK
from spark_actors.embedded.data_dir import DataDir
from spark_actors.embedded.errors import AddressUnusableError
from spark_actors.embedded.keeping import ServiceKeeper
from spark_actors.embedded.processes import wait_until
from spark_actors.embedded.web_process import EmbeddedWeb
from spark_actors.web.options import WebOptions
from tests.fixtures.web import OPTIONS

START_SECONDS = 30.0
STREAMS = 50
SECRET = "the-token-of-the-broker"


def options(data_dir: DataDir) -> WebOptions:
    return replace(OPTIONS, log_file=str(data_dir.logs / "daemon.jsonl"))


@pytest.fixture
def web(data_dir: DataDir) -> Iterator[EmbeddedWeb]:
    """Started, and taking connections."""
    process = EmbeddedWeb(data_dir, LOOPBACK, ANY_PORT, asdict(options(data_dir)))
    process.launch()
    try:
        assert wait_until(lambda: process.is_ready, START_SECONDS), process.last_words()
        yield process
    finally:
        process.stop()


def test_before_there_is_a_broker_the_pages_say_that_the_daemon_is_away(web: EmbeddedWeb) -> None:
    answer = httpx.get(web.url)
    assert answer.status_code == 503
    assert "The daemon is away" in answer.text
    assert httpx.get(f"{web.url}/log-in").status_code == 200


def test_a_killed_one_is_back_at_its_address_and_who_comes_meanwhile_waits(web: EmbeddedWeb) -> None:
    keeper, url, former = ServiceKeeper("web", web), web.url, web.pid
    assert former is not None
    os.kill(former, signal.SIGKILL)
    assert wait_until(lambda: web.has_ended, START_SECONDS)
    keeper.look()
    assert keeper.problem
    assert httpx.get(f"{url}/log-in", timeout=START_SECONDS).status_code == 200
    assert web.pid != former
    assert wait_until(lambda: web.is_ready, START_SECONDS)
    keeper.look()
    assert keeper.problem is None


def test_it_takes_leave_of_who_looks_and_ends_within_a_second(web: EmbeddedWeb, data_dir: DataDir) -> None:
    with ExitStack() as stack:
        client = stack.enter_context(httpx.Client(limits=httpx.Limits(max_connections=STREAMS), timeout=START_SECONDS))
        streams = [stack.enter_context(client.stream("GET", f"{web.url}/live/")) for _ in range(3)]
        assert [stream.status_code for stream in streams] == [200] * 3
        refused = httpx.get(f"{web.url}/live/")
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "30")
        assert web.pid is not None
        os.kill(web.pid, signal.SIGTERM)
        for stream in streams:
            assert stream.read().endswith(b"event: bye\ndata: bye\n\n")
    assert wait_until(lambda: web.has_ended, 1.0)
    assert "exit code 0" in web.last_words()
    assert "Traceback" not in web.last_words()
    assert "Traceback" not in (data_dir.logs / "daemon.jsonl").read_text()


def test_fifty_streams_do_not_hold_it_up(data_dir: DataDir) -> None:
    process = EmbeddedWeb(data_dir, LOOPBACK, ANY_PORT, asdict(replace(options(data_dir), max_streams=STREAMS)))
    process.launch()
    try:
        assert wait_until(lambda: process.is_ready, START_SECONDS), process.last_words()
        with ExitStack() as stack:
            client = stack.enter_context(httpx.Client(timeout=START_SECONDS, limits=httpx.Limits(max_connections=60)))
            for _ in range(STREAMS):
                assert stack.enter_context(client.stream("GET", f"{process.url}/live/")).status_code == 200
            begin = time.monotonic()
            process.stop()
            assert time.monotonic() - begin < 2.0
    finally:
        process.stop()
    assert "Traceback" not in (data_dir.logs / "daemon.jsonl").read_text()


def test_where_the_broker_is_stands_in_a_file_of_its_own_and_nowhere_else(web: EmbeddedWeb, data_dir: DataDir) -> None:
    web.tell_broker("nats://127.0.0.1:1", SECRET)
    process = psutil.Process(web.pid)
    told = " ".join([*process.cmdline(), *process.environ().values(), *process.environ()])
    assert SECRET not in told
    assert not [name for name in process.environ() if name.startswith(("SPARK_", "PG"))]
    holding = [
        file for file in data_dir.path.rglob("*") if file.is_file() and SECRET in file.read_text(errors="replace")
    ]
    assert [file.name for file in holding] == ["broker.json"]
    assert stat.S_IMODE(holding[0].stat().st_mode) == 0o600


def test_of_a_daemon_that_was_killed_nothing_is_in_the_way(web: EmbeddedWeb, data_dir: DataDir) -> None:
    """Its process is gone with it; should it not be, it is ended, and so the port is free again."""
    another = EmbeddedWeb(data_dir, LOOPBACK, ANY_PORT, asdict(options(data_dir)))
    another.launch()
    try:
        assert wait_until(lambda: web.has_ended, START_SECONDS)
    finally:
        another.stop()


def test_a_port_that_is_taken_is_replaced_by_a_free_one(data_dir: DataDir) -> None:
    with socket.create_server((LOOPBACK, 0)) as taken:
        process = EmbeddedWeb(data_dir, LOOPBACK, taken.getsockname()[1], asdict(options(data_dir)))
        process.launch()
        try:
            assert process.port not in (0, taken.getsockname()[1])
        finally:
            process.stop()


def test_an_address_that_is_not_ours_is_refused(data_dir: DataDir) -> None:
    with pytest.raises(AddressUnusableError, match="192.0.2.1"):
        EmbeddedWeb(data_dir, "192.0.2.1", 0, {}).launch()


def test_its_log_has_no_line_for_each_request(web: EmbeddedWeb, data_dir: DataDir) -> None:
    for _ in range(20):
        httpx.get(f"{web.url}/log-in", cookies={f"spark-{web.port}": "a.secret.token"})
    log = Path(options(data_dir).log_file).read_text()
    assert "secret" not in log
    assert log.count("\n") < 10
