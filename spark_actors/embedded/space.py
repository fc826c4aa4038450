"""How much room the disks below some folders have left."""

from __future__ import annotations

import os
from pathlib import Path

from spark_actors.embedded import tuning


def shortage(*folders: Path) -> str | None:
    """What is wrong with the room that is left for the first of *folders* that has too little; None if all have enough.

    Each may lie on a disk of its own; what is not there needs none.
    """
    for folder in folders:
        free, needed = _free_bytes(folder) if folder.exists() else tuning.NEEDED_BYTES, tuning.NEEDED_BYTES
        if free < needed:
            return f"no space: {free // 1024} KiB are free in {folder}, at least {needed // 1024} KiB are needed"
    return None


def _free_bytes(folder: Path) -> int:
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize
