"""A Ray node of its own for the daemon: as few processes as Ray allows, loopback only, behind a token, never an orphan.

It is built from Ray's private `Node`, because `ray.init()` can neither leave out the log monitor, the autoscaler and
the API server nor stay on loopback. All private names of Ray that the project uses are in this file, and a test pins
them to the Ray version for which they were read.
"""

import logging
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import psutil

from spark_actors.embedded import tuning
from spark_actors.embedded.data_dir import DataDir, is_plain, make_private_folder
from spark_actors.embedded.errors import EmbeddedServiceError, ServiceLostError, ServiceTimeoutError
from spark_actors.embedded.processes import Watchdog, require_main_thread, wait_until

SERVICE = "ray"
RAYLET = "raylet"  # Ray's name for it
PINNED_VERSION = "2.60.0"
HOST = "127.0.0.1"
TOKEN = "ray-token"
LONGEST_SOCKET_PATH = 107  # bytes; sun_path of <linux/un.h> less its closing zero
SOCKET_NAMES_BYTES = len("/12345678/plasma_store")

ENVIRONMENT: Mapping[str, str] = MappingProxyType(
    {
        "RAY_AUTH_MODE": "token",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
        "RAY_LOG_TO_DRIVER": "0",
        "RAY_ROTATION_MAX_BYTES": "20000000",
        "RAY_ROTATION_BACKUP_COUNT": "2",
        "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0",  # the daemon drains itself before it stops the node
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        "RAY_worker_niceness": "0",  # not 15: Postgres on the same cores would starve the actors
        "RAY_worker_maximum_startup_concurrency": "2",  # with no logical CPUs Ray would start one actor at a time
        "RAY_worker_num_grpc_internal_threads": "1",
        "RAY_max_direct_call_object_size": "1048576",  # a full turn fits; by way of the object store it takes 3 ms more
        "RAY_task_events_report_interval_ms": "0",
        "RAY_enable_timeline": "0",
        "RAY_enable_metrics_collection": "0",  # the daemon has its own metrics
        "RAY_maximum_gcs_destroyed_actor_cached_count": "1000",
        "RAY_maximum_gcs_dead_worker_cached_count": "1000",
        "RAY_maximum_gcs_dead_node_cached_count": "50",
        "MALLOC_ARENA_MAX": "2",  # glibc's pools: one for each of Ray's many threads would cost each actor memory
        "RAY_memory_monitor_refresh_ms": "0",  # it would kill actors for memory that other programs use
    }
)

_logger = logging.getLogger(__name__)


class EmbeddedRay:
    """One Ray node in the data folder, for this process and the actors that it starts.

    Call `prepare_environment` before anything imports ray, then `launch` in the main thread: Ray's processes die with
    the thread that started them. All methods are safe to call twice.
    """

    def __init__(self, data_dir: DataDir, *, cpus: int = 0, preload_modules: Sequence[str] = ()) -> None:
        self._data_dir = data_dir
        self._cpus = cpus  # idle worker processes that Ray keeps warm; actors here ask for none
        self._preload_modules = tuple(preload_modules)  # imported by each actor's process before it takes work
        self._node: Any = None
        self._guard: Watchdog | None = None
        self._sockets: Path | None = None
        self._raylet_pid = 0

    def prepare_environment(self) -> None:
        """Set what Ray reads once, at its import. Nothing is read from the environment here."""
        self._data_dir.create()
        self._data_dir.secret(TOKEN)
        own = {
            "RAY_AUTH_TOKEN_PATH": str(self._data_dir.secret_path(TOKEN)),
            "RAY_preload_python_modules": ",".join(self._preload_modules),
        }
        os.environ.update({**ENVIRONMENT, **own})

    def start(self) -> None:
        """Start the node and return when it takes work."""
        self.launch()

    def launch(self) -> None:
        """Start the node and return when it takes work: Ray has no way to start it without waiting."""
        if self._node is not None:
            return
        require_main_thread(SERVICE)
        self.prepare_environment()
        _refuse_late_environment()
        _stay_on_loopback()
        temporary = self._data_dir.ray / "node"
        make_private_folder(temporary)
        _remove_old_sessions(temporary)
        self._sockets = self._make_socket_folder()
        if not is_plain(temporary):  # Ray writes it into command lines and splits these again
            (self._sockets / "node").symlink_to(temporary)
            temporary = self._sockets / "node"
        self._node = _start_head_node(temporary, self._sockets, self._cpus)
        self._guard = _guard_agents(self._node)
        self._raylet_pid = next(process.pid for kind, process in self._node.live_processes() if kind == RAYLET)

    def wait_ready(self) -> None:
        """Return at once: a launched node is ready. It is here so that all three services look alike."""
        if self._node is None:
            raise EmbeddedServiceError("ray is awaited before it was launched")

    @property
    def address(self) -> str:
        """What `ray.init(address=...)` takes."""
        if self._node is None:
            raise EmbeddedServiceError("ray has no address before it is launched")
        return str(self._node.address)

    def connect(self, namespace: str) -> None:
        """Make this process a driver of the node. `stop` disconnects it. Does nothing when it is one already.

        Ray replaces this process's SIGTERM handler here: install your own afterwards.
        """
        import ray

        if not ray.is_initialized():
            ray.init(address=self.address, namespace=namespace, log_to_driver=False, logging_level=logging.WARNING)

    @property
    def lost(self) -> ServiceLostError | None:
        """What has become of a node that has ended by itself, or of one of the processes without which it does so.

        It cannot be started again while this process lives: its actors and all that knows them are gone, and Ray ends
        a driver, without a word to anybody, whose GCS has been away for a minute.
        """
        if self._node is None:
            return None
        ended = [f"{kind} with {process.returncode}" for kind, process in self._node.dead_processes()]
        return ServiceLostError(SERVICE, ", ".join(ended)) if ended else None

    def stop(self, *, grace_seconds: float = 15.0) -> None:
        """Disconnect, end the node and wait until none of its processes is left. Safe before start and after stop."""
        if self._node is None:
            return
        import ray

        is_lost = self.lost is not None
        node, self._node = self._node, None
        processes = [*_processes_of(node), *(_orphans_of(self._raylet_pid) if is_lost else [])]
        if self._guard is not None:
            self._guard.dismiss()
        ray.shutdown()
        node.kill_all_processes(check_alive=False, allow_graceful=not is_lost, wait=True)
        if self._sockets is not None:
            shutil.rmtree(self._sockets, ignore_errors=True)
        _wait_for_end(processes, min(grace_seconds, tuning.RAY_LOST_GRACE_SECONDS) if is_lost else grace_seconds)

    def _make_socket_folder(self) -> Path:
        """Make a new folder for each start: a socket that a killed node left would mislead the next one."""
        parent = self._data_dir.short_folder(self._data_dir.ray, LONGEST_SOCKET_PATH - SOCKET_NAMES_BYTES)
        for old in parent.iterdir():
            shutil.rmtree(old, ignore_errors=True)
        return Path(tempfile.mkdtemp(prefix="", dir=parent))


def _refuse_late_environment() -> None:
    """Refuse to start a node that would let anybody in, because ray was imported before its environment was set."""
    from ray._private.authentication.authentication_utils import is_token_auth_enabled

    if not is_token_auth_enabled():
        raise EmbeddedServiceError("ray was imported before prepare_environment(): it would run without its token")


def _stay_on_loopback() -> None:
    """Keep 127.0.0.1 as it is.

    Ray turns a loopback address into the machine's outward one wherever a driver gives it, so that other machines can
    reach it. Here the node listens on loopback alone and nobody else shall reach it: the driver would dial the outward
    address and hang.
    """
    from ray._private import services

    services.resolve_ip_for_localhost = lambda host: host


def _start_head_node(temporary: Path, sockets: Path, cpus: int) -> Any:
    """Start the processes of a head node: gcs_server, raylet and raylet's two agents, without which it ends itself."""
    from ray._private.node import Node
    from ray._private.parameter import RayParams

    class HeadNode(Node):
        def start_api_server(self, *, include_dashboard: bool | None, raise_on_failure: bool) -> None:
            """Start none: without the dashboard it only idles, on 57 MiB, and delays the start by 0.7 s."""
            self._webui_url = ""

    parameters = RayParams(
        node_ip_address=HOST,
        num_cpus=cpus,
        num_gpus=0,
        include_dashboard=False,
        include_log_monitor=False,  # type: ignore[arg-type]  # a bool by its use, a str by its annotation
        no_monitor=True,
        object_store_memory=tuning.OBJECT_STORE_BYTES,
        temp_dir=str(temporary),
        plasma_store_socket_name=str(sockets / "plasma_store"),
        raylet_socket_name=str(sockets / "raylet"),
        dashboard_agent_listen_port=0,
        min_worker_port=0,
        max_worker_port=0,
        ray_client_server_port=None,
    )
    return HeadNode(parameters, head=True, shutdown_at_exit=False, spawn_reaper=True)


def _guard_agents(node: Any) -> Watchdog:
    """See to it that the raylet's agents go with a killed daemon.

    The kernel kills the raylet then, but not what the raylet started. Actors notice within seconds; the two agents
    first try for a minute to report to the GCS, which is dead as well.
    """
    return Watchdog(_processes_of(node))


def _processes_of(node: Any) -> list[psutil.Process]:
    """List the node's processes and, below the raylet, those of its agents and actors."""
    found: list[psutil.Process] = []
    for _, process in node.live_processes():
        try:
            top = psutil.Process(process.pid)
            found += [top, *top.children(recursive=True)]
        except psutil.NoSuchProcess:
            continue
    return found


def _orphans_of(raylet_pid: int) -> list[psutil.Process]:
    """Find what is left of what a raylet that is gone had started: Ray notes its process id in their environment."""
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("RAY_RAYLET_PID") == str(raylet_pid):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
    return found


def _wait_for_end(processes: Sequence[psutil.Process], grace_seconds: float) -> None:
    """Wait for actors that are on their way out; kill what stays and wait again, for a last time."""
    _, alive = psutil.wait_procs(processes, timeout=grace_seconds)
    for process in alive:
        _logger.warning("ray's process %s did not end within %s s and is killed", process.pid, grace_seconds)
        process.kill()
    if not wait_until(lambda: not any(process.is_running() for process in alive), tuning.RAY_KILLED_SECONDS):
        raise ServiceTimeoutError(SERVICE, "stopped", tuning.RAY_KILLED_SECONDS)


def _remove_old_sessions(temporary: Path) -> None:
    """Remove the folders of earlier runs, which Ray keeps for ever, save the newest, whose logs may explain a crash."""
    sessions = sorted(path for path in temporary.glob("session_*") if path.is_dir() and not path.is_symlink())
    for old in sessions[: max(0, len(sessions) - tuning.RAY_KEPT_SESSIONS)]:
        shutil.rmtree(old, ignore_errors=True)
