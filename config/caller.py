"""What the environment says of who calls the command line, besides the settings."""

from __future__ import annotations

import os
from pathlib import Path

TOKEN = "SPARK_TOKEN"
"""Holds the token to act with."""


def token() -> str:
    """The token in SPARK_TOKEN; empty if there is none."""
    return os.environ.get(TOKEN, "").strip()


def config_folder() -> Path:
    """Where the caller's own files are, by the XDG base directory specification."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser() / "spark-actors"
