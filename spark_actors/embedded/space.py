"""How much room the disk below a folder has left."""

from __future__ import annotations

import os
from pathlib import Path

NEEDED_BYTES = 16 * 1024 * 1024
"""With less, something that is built in will soon fail to write."""


def shortage(folder: Path) -> str | None:
    """What is wrong with the room that is left for *folder*, in words; None if there is enough."""
    disk = os.statvfs(folder)
    free = disk.f_bavail * disk.f_frsize
    if free >= NEEDED_BYTES:
        return None
    return f"no space: {free // 1024} KiB are free in {folder}, at least {NEEDED_BYTES // 1024} KiB are needed"
