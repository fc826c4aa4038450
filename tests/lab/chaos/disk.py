"""A disk that can be filled to its last byte and given room again: a tmpfs, which only root may mount."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from spark_actors.kernel.errors import DetailedError

SIZE = "8g"
"""Room in plenty; what is not used costs no memory."""
SUPERUSER_UID = 0
TRIES = 20


class DiskError(DetailedError):
    """The disk cannot be mounted, filled or given up."""


class Disk:
    """A folder on a disk of its own. Only root may have one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @staticmethod
    def can_be_had() -> bool:
        """Whether this process may mount one."""
        return os.geteuid() == SUPERUSER_UID

    def mount(self) -> None:
        """Have the folder, which is there and empty, on the disk; its owner and rights stay. Safe to call twice.

        Raises DiskError, for anybody but root too.
        """
        if self.folder.is_mount():
            return
        if not self.can_be_had():
            raise DiskError("only root may mount a disk")
        found = self.folder.stat()
        options = f"size={SIZE},mode={found.st_mode & 0o7777:o},uid={found.st_uid},gid={found.st_gid}"
        _run("mount", "-t", "tmpfs", "-o", options, "spark-chaos", str(self.folder))

    @contextmanager
    def full(self) -> Iterator[None]:
        """There is no room for another byte meanwhile: the disk is as large as what is on it."""
        self._fill()
        try:
            yield
        finally:
            self._resize(SIZE)

    def unmount(self) -> None:
        """Give the disk and all on it up; whoever still has a file of it open keeps that. Safe to call twice."""
        if self.folder.is_mount():
            _run("umount", "--lazy", str(self.folder))

    def _fill(self) -> None:
        """Raises DiskError if others write faster than the disk can shrink."""
        for tries_left in reversed(range(TRIES)):
            found = os.statvfs(self.folder)
            try:
                self._resize(str((found.f_blocks - found.f_bfree) * found.f_frsize))
            except DiskError:  # more was written meanwhile than would fit
                if not tries_left:
                    raise
            else:
                return

    def _resize(self, size: str) -> None:
        _run("mount", "-o", f"remount,size={size}", str(self.folder))


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise DiskError(f"{' '.join(command)}: {done.stderr.strip()}")
