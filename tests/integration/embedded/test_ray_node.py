"""The built-in Ray node: small, on loopback, behind a token, and gone with the daemon."""

import inspect
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray
from ray import _raylet
from ray._private import node, services, worker
from ray._private.parameter import RayParams

from spark_actors.embedded.data_dir import DataDir
from spark_actors.embedded.errors import EmbeddedServiceError
from spark_actors.embedded.ray_node import ENVIRONMENT, PINNED_VERSION, TOKEN, EmbeddedRay
from tests.integration.embedded.conftest import StandIn, all_ended, listening_addresses

STRANGER = "import ray._raylet, sys; ray._raylet.GcsClient(address=sys.argv[1]); print('let in')"


TOO_EARLY = """
import sys
from pathlib import Path
import ray
from spark_actors.embedded.data_dir import DataDir
from spark_actors.embedded.ray_node import EmbeddedRay
EmbeddedRay(DataDir(Path(sys.argv[1]))).launch()
"""


class Greeter:
    def greet(self) -> str:
        return f"hello from {os.getpid()}"


@pytest.fixture
def greeter(ray_node: EmbeddedRay) -> Iterator[Any]:
    """A running actor on the session's node."""
    greeters: Any = ray.remote(Greeter)
    actor = greeters.options(num_cpus=0).remote()
    assert ray.get(actor.greet.remote(), timeout=20).startswith("hello from ")
    yield actor
    ray.kill(actor)


def test_the_private_names_were_read_for_this_version_of_ray() -> None:
    """When this fails, read `ray_node.py` again beside the new Ray: each private name below may have changed."""
    assert ray.__version__ == PINNED_VERSION
    assert "services.resolve_ip_for_localhost(_node_ip_address)" in inspect.getsource(worker)
    assert "bootstrap_host = resolve_ip_for_localhost(host)" in inspect.getsource(services)
    assert "self.start_api_server(" in inspect.getsource(node.Node.start_head_processes)
    assert list(inspect.signature(node.Node.start_api_server).parameters) == [
        "self",
        "include_dashboard",
        "raise_on_failure",
    ]
    assert "self._webui_url" in inspect.getsource(node.Node)
    assert list(inspect.signature(node.Node.kill_all_processes).parameters)[:4] == [
        "self",
        "check_alive",
        "allow_graceful",
        "wait",
    ]
    for name in ("address", "node_id", "node_ip_address", "live_processes", "dead_processes", "get_logs_dir_path"):
        assert hasattr(node.Node, name)
    assert "self.get_gcs_client()" in inspect.getsource(node.Node.start_head_processes)
    assert "self._init_gcs_client()" in inspect.getsource(node.Node.get_gcs_client)
    assert "self._gcs_client = None" in inspect.getsource(node.Node.kill_gcs_server)
    assert "assert self._gcs_address is None" in inspect.getsource(node.Node.start_gcs_server)
    inner: Any = _raylet.InnerGcsClient  # type: ignore[attr-defined]  # made of C
    for name in ("check_alive", "internal_kv_put", "internal_kv_get"):
        assert hasattr(inner, name)
    assert "self.temp_dir" in inspect.getsource(node.Node)
    assert {"include_log_monitor", "no_monitor", "plasma_store_socket_name", "raylet_socket_name"} <= set(
        inspect.signature(RayParams).parameters
    )


def test_each_variable_that_is_set_is_read_by_this_version_of_ray() -> None:
    """By its own Python, or by its raylet, which is built from a list of names without `RAY_`."""
    installed = Path(ray.__file__).parent
    raylet = (installed / "core/src/ray/raylet/raylet").read_bytes()
    python = "\n".join(path.read_text("utf-8") for path in installed.rglob("*.py"))
    names = [name for name in (*ENVIRONMENT, "RAY_AUTH_TOKEN_PATH", "RAY_preload_python_modules") if "RAY_" in name]
    assert [name for name in names if name not in python and name.removeprefix("RAY_").encode() not in raylet] == []


def test_a_node_refuses_to_start_where_ray_was_imported_too_early(data_dir: DataDir) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    told = subprocess.run(
        [sys.executable, "-c", TOO_EARLY, str(data_dir.path)],
        env=kept,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "EmbeddedServiceError: ray was imported before" in told.stderr


def test_ray_tells_an_actor_which_raylet_it_belongs_to(ray_node: EmbeddedRay, greeter: Any) -> None:
    """And whoever looks from outside: it is in the environment that the kernel shows, which its agents write over."""
    [raylet] = [process for process in psutil.Process().children(recursive=True) if process.name() == "raylet"]
    actor = psutil.Process(int(ray.get(greeter.greet.remote(), timeout=20).rpartition(" ")[2]))
    assert actor.environ()["RAY_RAYLET_PID"] == str(raylet.pid)


def test_ray_makes_a_folder_of_its_session_for_each_run(ray_node: EmbeddedRay) -> None:
    processes = psutil.Process().children(recursive=True)
    words = [word for process in processes if process.name() == "raylet" for word in process.cmdline()]
    [session] = [word.partition("=")[2] for word in words if word.startswith("--session_dir=")]
    assert Path(session).name.startswith("session_")


def test_an_actor_works_on_it(greeter: Any) -> None:
    assert ray.get(greeter.greet.remote(), timeout=20) != f"hello from {os.getpid()}"


def test_nothing_of_it_listens_beyond_loopback(ray_node: EmbeddedRay, greeter: Any) -> None:
    found = listening_addresses(os.getpid())
    assert found
    assert {address.removeprefix("::ffff:") for address in found} == {"127.0.0.1"}
    assert ray_node.address.startswith("127.0.0.1:")


def test_it_runs_no_more_processes_than_it_must(ray_node: EmbeddedRay) -> None:
    processes = psutil.Process().children(recursive=True)
    assert {"gcs_server", "raylet"} <= {process.name() for process in processes}
    python = [" ".join(process.cmdline()) for process in processes if "python" in process.name()]
    assert not [line for line in python if "/ray/" in line]  # API server, monitors; other tests may have processes, too


@pytest.mark.parametrize("credentials", [{"RAY_AUTH_TOKEN": "f" * 64}, {"RAY_AUTH_MODE": "disabled"}])
def test_a_stranger_without_the_token_is_refused(ray_node: EmbeddedRay, credentials: dict[str, str]) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "RAY_AUTH_TOKEN_PATH"} | credentials
    told = subprocess.run(
        [sys.executable, "-c", STRANGER, ray_node.address],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "let in" not in told.stdout
    assert "AuthenticationError" in told.stderr


def test_it_can_be_stopped_and_launched_in_the_main_thread_alone(data_dir: DataDir) -> None:
    node = EmbeddedRay(data_dir)
    node.stop()
    with ThreadPoolExecutor(1) as pool, pytest.raises(EmbeddedServiceError, match="main thread"):
        pool.submit(node.launch).result()


def test_a_ctrl_c_on_the_terminal_does_not_reach_the_actors_and_a_stop_leaves_no_process(
    data_dir: DataDir, start_stand_in: Callable[[str, DataDir], StandIn]
) -> None:
    daemon = start_stand_in("ray", data_dir)
    processes = daemon.service_processes()
    assert daemon.told["address"].startswith("127.0.0.1:")
    assert stat.S_IMODE(data_dir.secret_path(TOKEN).stat().st_mode) == 0o600
    assert stat.S_IMODE(data_dir.ray.stat().st_mode) == 0o700
    os.killpg(daemon.process.pid, signal.SIGINT)
    assert all(process.is_running() for process in processes)
    assert daemon.process.stdin is not None
    daemon.process.stdin.close()
    assert daemon.process.wait(timeout=30) == 0
    assert not [process for process in processes if process.is_running()]


def test_a_killed_daemon_takes_all_its_ray_processes_and_actors_along(
    data_dir: DataDir, start_stand_in: Callable[[str, DataDir], StandIn]
) -> None:
    daemon = start_stand_in("ray", data_dir)
    processes = daemon.service_processes()
    assert set(daemon.told["actors"]) < {process.pid for process in processes}
    daemon.process.kill()
    assert all_ended(processes)


def test_only_the_newest_folder_of_earlier_runs_is_kept(tmp_path: Path) -> None:
    from spark_actors.embedded.ray_node import _tidy_sessions

    for day in ("01", "02", "03"):
        (tmp_path / f"session_2026-01-{day}_00-00-00_000000_1" / "logs").mkdir(parents=True)
    _tidy_sessions(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["session_2026-01-03_00-00-00_000000_1"]


def test_of_runs_that_share_a_folder_the_logs_of_this_and_the_last_are_kept(tmp_path: Path) -> None:
    from spark_actors.embedded.ray_node import _tidy_sessions

    session = tmp_path / "session_2026-01-01_00-00-00_000000_1"
    for run in ("first", "second", "third"):
        _tidy_sessions(tmp_path)
        (session / "logs").mkdir(parents=True)
        (session / "logs" / run).touch()
    assert sorted(str(path.relative_to(session)) for path in session.rglob("*") if path.is_file()) == [
        "logs.before/second",
        "logs/third",
    ]
