"""Where a node of the cluster keeps what its actors need to know: told to them by the environment that they inherit."""

from __future__ import annotations

import os
from pathlib import Path

FOLDER = "SPARK_NODE_FOLDER"
"""Set by who starts Ray on a machine, for all processes that Ray starts there."""


def node_folder() -> Path | None:
    """This node's folder; None on one where nobody but Ray looks after it."""
    named = os.environ.get(FOLDER, "")
    return Path(named) if named else None


def set_node_folder(folder: Path) -> None:
    """For this process and all that it starts from now on."""
    os.environ[FOLDER] = str(folder)
