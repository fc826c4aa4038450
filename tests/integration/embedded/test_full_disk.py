"""A disk that was full once: what is built in works again once there is room, and says meanwhile what is wrong."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import nats
import nats.errors
import psycopg
import pytest

from config.settings import Settings
from spark_actors.daemon import Surroundings
from spark_actors.deployment import Deployment
from spark_actors.embedded.addresses import ANY_PORT
from spark_actors.embedded.data_dir import DataDir
from spark_actors.embedded.keeping import ServiceKeeper
from spark_actors.embedded.nats_server import EmbeddedNats, NatsOptions
from spark_actors.embedded.postgres import EmbeddedPostgres
from spark_actors.embedded.space import shortage
from spark_actors.persistence.ownership import OwnerLock

PATIENCE_SECONDS = 60.0


class Disk:
    """A small disk of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ballast = folder / "ballast"

    def fill(self) -> None:
        with suppress(OSError), self._ballast.open("wb", buffering=0) as ballast:
            while True:
                ballast.write(bytes(4096))

    def clear(self) -> None:
        self._ballast.unlink()


@pytest.fixture
def disk() -> Iterator[Disk]:
    with TemporaryDirectory(prefix="spark-disk-", ignore_cleanup_errors=True) as folder:
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=160m,mode=755", "tmpfs", folder], capture_output=True, check=False
        )
        if mounted.returncode:
            pytest.skip("only root may make a small disk")
        try:
            yield Disk(Path(folder))
        finally:
            subprocess.run(["umount", "--lazy", folder], check=True)


def kept_until(works: Callable[[], bool], keeper: ServiceKeeper) -> float:
    """Look after a service, as the daemon does, until it works; gives how many seconds it took."""
    began = time.monotonic()
    while not works():
        keeper.look()
        assert time.monotonic() < began + PATIENCE_SECONDS
    return time.monotonic() - began


def test_how_much_is_missing_is_told_of_whichever_disk(disk: Disk, tmp_path: Path) -> None:
    assert shortage(disk.folder) is None
    disk.fill()
    assert str(shortage(disk.folder)).startswith(f"no space: 0 KiB are free in {disk.folder}")
    assert str(shortage(tmp_path, tmp_path / "not there", disk.folder)) == str(shortage(disk.folder))
    disk.clear()
    assert shortage(disk.folder) is None


def test_nats_stores_again_and_has_kept_what_it_had_confirmed(disk: Disk) -> None:
    server = EmbeddedNats(DataDir(disk.folder / "data"), NatsOptions(port=ANY_PORT))
    server.start()
    keeper = ServiceKeeper("nats", server)

    async def store(body: bytes, *, first: bool = False) -> int:
        async with await nats.connect(server.url, token=server.token, allow_reconnect=False) as connection:
            if first:
                await connection.jetstream().add_stream(name="S", subjects=["s"])
            await connection.jetstream().publish("s", body, timeout=1)
            return (await connection.jetstream().stream_info("S")).state.messages

    def stores() -> bool:
        try:
            return asyncio.run(store(bytes(9_000))) >= 2
        except (nats.errors.Error, OSError):
            return False

    try:
        assert asyncio.run(store(b"before", first=True)) == 1
        disk.fill()
        assert not stores()
        assert not server.is_choked()
        disk.clear()
        assert kept_until(stores, keeper) < PATIENCE_SECONDS
        keeper.look()
        assert keeper.problem is None
    finally:
        server.stop()


def test_a_disk_that_was_full_between_two_looks_is_learnt_from_the_log(disk: Disk) -> None:
    """Nobody looked while there was no room; the server itself says so, as soon as it can write that down."""
    server = EmbeddedNats(DataDir(disk.folder / "data"), NatsOptions(port=ANY_PORT))
    server.start()

    async def publish(*, first: bool = False) -> None:
        async with await nats.connect(server.url, token=server.token, allow_reconnect=False) as connection:
            if first:
                await connection.jetstream().add_stream(name="S", subjects=["s"])
            with suppress(nats.errors.Error):
                await connection.jetstream().publish("s", b"x" * 9_000, timeout=1)

    try:
        asyncio.run(publish(first=True))
        disk.fill()
        asyncio.run(publish())
        disk.clear()
        asyncio.run(publish())
        assert server.is_choked()
    finally:
        server.stop()


def test_postgres_commits_again_and_has_kept_what_it_had_committed(disk: Disk) -> None:
    server = EmbeddedPostgres(DataDir(disk.folder / "data"), extra_settings={"shared_buffers": "16MB"})
    server.start()
    keeper = ServiceKeeper("postgres", server)

    def commit(count: int = 1) -> bool:
        try:
            with psycopg.connect(server.dsn(), connect_timeout=5) as connection:
                connection.execute("INSERT INTO kept SELECT repeat('x', 900) FROM generate_series(1, %s)", [count])
        except psycopg.Error:
            return False
        return True

    try:
        with psycopg.connect(server.dsn()) as connection:
            connection.execute("CREATE TABLE kept (word text)")
        assert commit()
        disk.fill()
        while commit(20_000):
            pass
        disk.clear()
        assert kept_until(commit, keeper) < PATIENCE_SECONDS
        with psycopg.connect(server.dsn()) as connection:
            row = connection.execute("SELECT count(*) FROM kept").fetchone()
        assert row is not None
        assert row[0] % 20_000 == 2
    finally:
        server.stop()


def test_readiness_says_that_there_is_no_space(disk: Disk) -> None:
    settings, file = Settings(data_dir=disk.folder), disk.folder / "file"
    deployment = Deployment(settings, {}, {}, "", "", log_file=file, ray_namespace="spark")
    surroundings = Surroundings(deployment, (), OwnerLock([]), None, None)
    assert surroundings.problems()["disk"] is None
    disk.fill()
    assert "no space" in str(surroundings.problems()["disk"])
