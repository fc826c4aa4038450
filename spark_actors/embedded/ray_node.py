"""A Ray node of its own for the daemon: as few processes as Ray allows, behind a token, never an orphan.

Alone it stays on loopback. With an address, nodes of other machines join it. Their actors live on while the head is
away, and go on with the one that comes back to its address and data folder, where the GCS keeps all that it knows.

A node is built from Ray's private `Node`, because `ray.init()` can neither leave out the log monitor, the autoscaler
and the API server nor stay on loopback. All private names of Ray that the project uses are in this file, and a test
pins them to the Ray version for which they were read.
"""

from __future__ import annotations

import json
import logging
import os
import platform
import shutil
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path
from types import MappingProxyType
from typing import Any

import psutil

from spark_actors.embedded import tuning, worker_launcher
from spark_actors.embedded.addresses import (
    ANY_PORT,
    LOOPBACK,
    Address,
    is_answering,
    is_port_free,
    own_address_towards,
    refuse_foreign,
    speaks_http2,
)
from spark_actors.embedded.data_dir import DataDir, is_plain, make_private_folder, write_private_file
from spark_actors.embedded.errors import (
    EmbeddedServiceError,
    HeadUnreachableError,
    NodeMismatchError,
    PortTakenError,
    ServiceFailedError,
    ServiceLostError,
    ServiceTimeoutError,
    TokenRefusedError,
)
from spark_actors.embedded.processes import Watchdog, require_main_thread, tail, wait_until
from spark_actors.version import version

SERVICE = "ray"
RAYLET, GCS = "raylet", "gcs_server"  # Ray's names for them
PINNED_VERSION = "2.60.0"
TOKEN = "ray-token"
DEFAULT_PORT = 6379
LONGEST_SOCKET_PATH = 107  # bytes; sun_path of <linux/un.h> less its closing zero
SOCKET_NAMES_BYTES = len("/12345678/fork-01000000")
VERSIONS_KEY, OUR_KEYS = b"versions", b"spark-actors"

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
        "RAY_gcs_rpc_server_reconnect_timeout_s": "600",  # after this Ray ends all whom the GCS does not answer
    }
)

STORING: Mapping[str, str] = MappingProxyType({"RAY_gcs_storage": "rocksdb"})
"""With its storage a GCS that has ended can be started again, and all else goes on."""
WATCHFUL: Mapping[str, str] = MappingProxyType(
    {
        "RAY_health_check_initial_delay_ms": "1000",
        "RAY_health_check_period_ms": "1000",
        "RAY_health_check_timeout_ms": "2000",
        "RAY_health_check_failure_threshold": "4",
    }
)
"""Ray gives up a node that has been mute for twelve seconds, instead of a minute. Sooner would be worse than later: a
node that was given up in error ends with all its actors, and one on busy cores may well be mute for five."""

_logger = logging.getLogger(__name__)


class Standing(Enum):
    """What a head makes of a node."""

    KNOWN = "known"
    """It counts it among the living."""
    UNKNOWN = "unknown"
    """It answers, and does not know it or has given it up: leave, and join anew."""
    AWAY = "away"
    """It does not answer; it may come back."""


class RayNode(ABC):
    """What a head and a node that joins one have in common: one Ray node in the data folder.

    Call `prepare_environment` before anything imports ray, then `launch` in the main thread: Ray's processes die with
    the thread that started them. All methods are safe to call twice.
    """

    def __init__(self, data_dir: DataDir, *, cpus: int, preload_modules: Sequence[str]) -> None:
        self._data_dir = data_dir
        self._cpus = cpus  # idle worker processes that Ray keeps warm; actors here ask for none
        self._preload_modules = tuple(preload_modules)  # what actors need: imported once for all of them
        self._node: Any = None
        self._guard: Watchdog | None = None
        self._sockets: Path | None = None
        self._raylet: Any = None

    def prepare_environment(self) -> None:
        """Set what Ray reads once, at its import. Nothing is read from the environment here."""
        self._data_dir.create()
        own = {
            "RAY_AUTH_TOKEN_PATH": str(self._prepare_token()),
            "RAY_preload_python_modules": ",".join(self._preload_modules),
        }
        os.environ.update({**ENVIRONMENT, **own, **self._variables()})

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
        self._prepare()
        temporary = self._data_dir.ray / "node"
        make_private_folder(temporary)
        _tidy_sessions(temporary)
        self._sockets = self._make_socket_folder()
        if not is_plain(temporary):  # Ray writes it into command lines and splits these again
            (self._sockets / "node").symlink_to(temporary)
            temporary = self._sockets / "node"
        self._node = self._start_node(temporary, self._sockets)
        self._guard = _guard_agents(self._node)
        self._raylet = _process(self._node, RAYLET)

    @abstractmethod
    def _prepare_token(self) -> Path:
        """Return the file that holds the token."""

    @abstractmethod
    def _variables(self) -> Mapping[str, str]:
        """What else Ray reads from the environment."""

    @abstractmethod
    def _prepare(self) -> None:
        """Do what comes before the start; raise if the node cannot be started."""

    @abstractmethod
    def _start_node(self, temporary: Path, sockets: Path) -> Any: ...

    def wait_ready(self) -> None:
        """Return at once: a launched node is ready. It is here so that all three services look alike."""
        self._started()

    @property
    def address(self) -> str:
        """What `ray.init(address=...)` takes: where the GCS listens."""
        return str(self._started().address)

    @property
    def node_id(self) -> str:
        """By what Ray knows this node, in hexadecimal digits: another one after each launch."""
        return str(self._started().node_id)

    @property
    def host(self) -> str:
        """The address at which this node is reached by the others."""
        return str(self._started().node_ip_address)

    def connect(self, namespace: str) -> None:
        """Make this process a driver of the node. `stop` disconnects it. Does nothing when it is one already.

        Ray replaces this process's SIGTERM handler here: install your own afterwards.
        """
        import ray

        if not ray.is_initialized():
            ray.init(
                address=self.address,
                namespace=namespace,
                log_to_driver=False,
                logging_level=logging.WARNING,
                _node_ip_address=self.host,
                _temp_dir=self._node.temp_dir,  # it looks for raylets among all processes of the machine
            )

    @property
    def lost(self) -> ServiceLostError | None:
        """What has become of a node whose raylet has ended, by itself or because the node was drained.

        Its actors are gone, and a driver in this process with them: `stop` it. To be asked regularly: as long as nobody
        has taken notice of the raylet's end, actors take it to be alive.
        """
        if self.exit_code is None:
            return None
        return ServiceLostError(SERVICE, f"{RAYLET} with {self.exit_code}")

    @property
    def exit_code(self) -> int | None:
        """How the raylet has ended: 0 after a drain, negative when a signal ended it. None while it runs."""
        return None if self._raylet is None else self._raylet.poll()

    def stop(self, *, grace_seconds: float = 15.0) -> None:
        """Disconnect, end the node and wait until none of its processes is left. Safe before start and after stop."""
        if self._node is None:
            return
        import ray

        is_broken = bool(self._node.dead_processes())
        node, raylet = self._node, self._raylet
        self._node = self._raylet = None
        processes = [*_processes_of(node), *(_orphans_of(raylet.pid) if is_broken else [])]
        if self._guard is not None:
            self._guard.dismiss()
        ray.shutdown()
        node.kill_all_processes(check_alive=False, allow_graceful=not is_broken, wait=True)
        if self._sockets is not None:
            shutil.rmtree(self._sockets, ignore_errors=True)
        _wait_for_end(processes, min(grace_seconds, tuning.RAY_LOST_GRACE_SECONDS) if is_broken else grace_seconds)

    def _started(self) -> Any:
        if self._node is None:
            raise EmbeddedServiceError("ray is asked for before it was launched")
        return self._node

    def _make_socket_folder(self) -> Path:
        """Make a new folder for each start: a socket that a killed node left would mislead the next one."""
        parent = self._data_dir.short_folder(self._data_dir.ray, LONGEST_SOCKET_PATH - SOCKET_NAMES_BYTES)
        for old in parent.iterdir():
            shutil.rmtree(old, ignore_errors=True)
        return Path(tempfile.mkdtemp(prefix="", dir=parent))


class EmbeddedRay(RayNode):
    """The head: the one Ray node of a daemon that is alone, or the one that others join.

    `listen` is an address of this machine, by which other machines reach it; None keeps the node on loopback. Whoever
    has the token may do anything on all nodes, and nothing is encrypted.

    Its GCS can be started again in place when it has ended (see `revive`). A raylet cannot: only `stop` and a new
    `launch` bring it back, as another node, while the actors of other nodes live on.
    """

    def __init__(
        self,
        data_dir: DataDir,
        *,
        listen: Address | None = None,
        cpus: int = 0,
        preload_modules: Sequence[str] = (),
    ) -> None:
        super().__init__(data_dir, cpus=cpus, preload_modules=preload_modules)
        self._listen = listen

    @property
    def token(self) -> str:
        """What nodes that join must show."""
        return self._data_dir.secret(TOKEN)

    def _prepare_token(self) -> Path:
        self._data_dir.secret(TOKEN)
        return self._data_dir.secret_path(TOKEN)

    @property
    def _storage(self) -> Path:
        """What a GCS wrote serves only one of the same version at the same address."""
        owner = "alone" if self._listen is None else f"{self._listen.host}-{self._listen.port}"
        return self._data_dir.ray / "gcs" / f"{PINNED_VERSION}-{owner}"

    def _variables(self) -> Mapping[str, str]:
        watchful = {} if self._listen is None else WATCHFUL
        return {**STORING, "RAY_gcs_storage_path": str(self._storage), **watchful}

    def _prepare(self) -> None:
        if self._listen is None:
            _stay_on_loopback()
        else:
            refuse_foreign(self._listen.host)
            if not is_port_free(self._listen.host, self._listen.port):
                raise PortTakenError(SERVICE, self._listen.host, self._listen.port)
        _keep_only(self._data_dir.ray / "gcs", None if self._listen is None else self._storage)
        make_private_folder(self._storage)

    def _start_node(self, temporary: Path, sockets: Path) -> Any:
        where = self._listen or Address(LOOPBACK, ANY_PORT)
        specifics = {
            "node_ip_address": where.host,
            "gcs_server_port": where.port or None,
            "include_dashboard": False,
            "no_monitor": True,
            "ray_client_server_port": None,
        }
        return _start_node(temporary, sockets, self._cpus, specifics, is_head=True)

    # --- the GCS, as its keeper sees it ---

    @property
    def has_ended(self) -> bool:
        """Whether the GCS was launched and has ended by itself. Actors work on without it; none is started or found."""
        if self._node is None:
            return False
        gcs = _process(self._node, GCS)
        return gcs is None or gcs.poll() is not None

    @property
    def is_ready(self) -> bool:
        """Whether the GCS answers."""
        return self._node is not None and not self.has_ended and _is_gcs_there(self._node)

    def is_choked(self) -> bool:
        """Never: one that cannot write ends itself."""
        return False

    def revive(self) -> None:
        """Launch a GCS that has ended by itself once more, with all that it knew; do not wait for it.

        Within ten minutes of its end neither nodes nor actors nor this process's driver notice more than a pause.
        """
        if self.has_ended:
            require_main_thread(SERVICE)
            self._node.kill_gcs_server(check_alive=False)
            self._node.start_gcs_server()

    def last_words(self) -> str:
        """Why the GCS has ended, as far as it says."""
        if self._node is None:
            return ""
        logs = Path(self._node.get_logs_dir_path()).glob(f"{GCS}*.err")
        newest = max(logs, key=lambda path: path.stat().st_mtime, default=Path())
        gcs = _process(self._node, GCS)
        return f"exit code {None if gcs is None else gcs.poll()}; {tail(newest)}"


class JoiningRay(RayNode):
    """A node that joins the head at *head*, with the head's token.

    `address` is one of this machine by which the others reach it; None: the one by which it speaks with the head.
    """

    def __init__(
        self,
        data_dir: DataDir,
        head: Address,
        token: str,
        *,
        address: str | None = None,
        cpus: int = 0,
        preload_modules: Sequence[str] = (),
    ) -> None:
        super().__init__(data_dir, cpus=cpus, preload_modules=preload_modules)
        self._head = head
        self._token = token
        self._address = address

    def launch(self) -> None:
        """Join the head and return when this node takes work.

        Raises HeadUnreachableError, TokenRefusedError or NodeMismatchError, before anything is started, within seconds;
        AddressUnusableError, ServiceFailedError. After each of them, and after `stop`, it can be tried again.
        """
        super().launch()

    def _prepare_token(self) -> Path:
        path = self._data_dir.secret_path(TOKEN)
        write_private_file(path, self._token)
        return path

    def _variables(self) -> Mapping[str, str]:
        return {}

    def _prepare(self) -> None:
        if self._address is not None:
            refuse_foreign(self._address)
        refuse_mismatch(own_versions(), _versions_at(self._head))

    def _start_node(self, temporary: Path, sockets: Path) -> Any:
        specifics = {
            "node_ip_address": self._address or own_address_towards(self._head),
            "gcs_address": str(self._head),
        }
        return _start_node(temporary, sockets, self._cpus, specifics, is_head=False)

    def standing(self, *, timeout_seconds: float = 2.0) -> Standing:
        """Ask the head what it makes of this node. Blocks for *timeout_seconds* at most, roughly."""
        import ray
        from ray.exceptions import AuthenticationError, RpcError

        client = self._started().get_gcs_client()
        try:
            [is_alive] = client.check_alive([ray.NodeID.from_hex(self.node_id)], timeout=timeout_seconds)
        except AuthenticationError:  # one that has begun anew, without what it knew
            return Standing.UNKNOWN
        except RpcError:
            return Standing.AWAY
        return Standing.KNOWN if is_alive else Standing.UNKNOWN


def own_versions() -> dict[str, str]:
    """What must be the same on all machines."""
    import ray

    return {"release": version(), "Python": platform.python_version(), "Ray": ray.__version__}


def refuse_mismatch(here: Mapping[str, str], there: Mapping[str, str]) -> None:
    """Raise NodeMismatchError for the first of *here* that is not the same *there*."""
    for what, own in here.items():
        if own != there.get(what, ""):
            raise NodeMismatchError(what, own, there.get(what, "unknown"))


def _versions_at(head: Address) -> dict[str, str]:
    """What the head says of itself."""
    from ray._raylet import GcsClient  # type: ignore[attr-defined]  # made of C
    from ray.exceptions import AuthenticationError, RaySystemError, RpcError

    if not is_answering(head, tuning.RAY_HEAD_SECONDS):
        raise HeadUnreachableError(str(head), "nobody takes connections there")
    if not speaks_http2(head, tuning.RAY_HEAD_SECONDS):  # to what else it may be Ray would talk for minutes
        raise HeadUnreachableError(str(head), "what answers there is no head")
    try:
        client = GcsClient(address=str(head))
        said = client.internal_kv_get(VERSIONS_KEY, OUR_KEYS, timeout=tuning.RAY_HEAD_SECONDS)
    except AuthenticationError as error:
        raise TokenRefusedError(str(head)) from error
    except (RpcError, RaySystemError) as error:
        raise HeadUnreachableError(str(head), f"it does not answer ({error})") from error
    if said is None:
        raise HeadUnreachableError(str(head), "it is not one of ours, or just starting")
    return dict(json.loads(said))


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


def _start_node(temporary: Path, sockets: Path, cpus: int, specifics: Mapping[str, Any], *, is_head: bool) -> Any:
    """Start the processes of a node: raylet and its two agents, without which it ends itself; on a head gcs_server."""
    from ray._private.node import Node
    from ray._private.parameter import RayParams

    class OwnNode(Node):
        def __init__(self, parameters: RayParams) -> None:
            """Start it; what was started goes again if not all can be. Raises ServiceFailedError."""
            try:
                super().__init__(parameters, head=is_head, shutdown_at_exit=False, spawn_reaper=True)
            except Exception as error:  # it raises nothing more exact
                self.kill_all_processes(check_alive=False, wait=True)
                raise ServiceFailedError(SERVICE, str(error)) from error

        def _init_gcs_client(self) -> None:
            """As soon as the GCS is there: by itself it would look only once a second."""
            if is_head:
                wait_until(lambda: _has_gcs_or_none_any_more(self), tuning.RAY_GCS_START_SECONDS)
            super()._init_gcs_client()  # type: ignore[no-untyped-call]

        def start_head_processes(self) -> None:
            """Say what this head runs before anybody can join it."""
            super().start_head_processes()  # type: ignore[no-untyped-call]
            _publish_versions(self)

        def start_api_server(self, *, include_dashboard: bool | None, raise_on_failure: bool) -> None:
            """Start none: without the dashboard it only idles, on 57 MiB, and delays the start by 0.7 s."""
            self._webui_url = ""

    parameters = RayParams(
        num_cpus=cpus,
        num_gpus=0,
        include_log_monitor=False,  # type: ignore[arg-type]  # a bool by its use, a str by its annotation
        object_store_memory=tuning.OBJECT_STORE_BYTES,
        temp_dir=str(temporary),
        plasma_store_socket_name=str(sockets / "plasma_store"),
        raylet_socket_name=str(sockets / "raylet"),
        dashboard_agent_listen_port=0,
        min_worker_port=0,
        max_worker_port=0,
        setup_worker_path=worker_launcher.__file__,
        **specifics,
    )
    return OwnNode(parameters)


def _process(node: Any, kind: str) -> Any:
    """The node's one process of this kind, alive or dead; None if there is none."""
    processes = (*node.live_processes(), *node.dead_processes())
    return next((process for name, process in processes if name == kind), None)


def _publish_versions(node: Any) -> None:
    node.get_gcs_client().internal_kv_put(VERSIONS_KEY, json.dumps(own_versions()).encode(), True, OUR_KEYS)


def _has_gcs_or_none_any_more(node: Any) -> bool:
    return _is_gcs_there(node) or bool(node.dead_processes())


def _is_gcs_there(node: Any) -> bool:
    """Whether the GCS takes connections, which it does when it has read all that it knew."""
    host, _, port = str(node.address).rpartition(":")
    return is_answering(Address(host, int(port)), tuning.POLL_SECONDS)


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


def _tidy_sessions(temporary: Path) -> None:
    """Remove the folders of earlier runs, which Ray keeps for ever, save the newest, whose logs may explain a crash.

    Runs of one cluster have one folder. So its logs are put aside, and those of the run before are removed.
    """
    sessions = sorted(path for path in temporary.glob("session_*") if path.is_dir() and not path.is_symlink())
    for old in sessions[: max(0, len(sessions) - tuning.RAY_KEPT_SESSIONS)]:
        shutil.rmtree(old, ignore_errors=True)
    for kept in sessions[-tuning.RAY_KEPT_SESSIONS :]:
        logs, aside = kept / "logs", kept / "logs.before"
        if logs.exists():
            shutil.rmtree(aside, ignore_errors=True)
            logs.rename(aside)


def _keep_only(folder: Path, kept: Path | None) -> None:
    """Remove all that is in *folder*, save what is *kept*."""
    make_private_folder(folder)
    for path in folder.iterdir():
        if path != kept:
            shutil.rmtree(path)
