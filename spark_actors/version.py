"""Which version of the program this is."""

from __future__ import annotations

from importlib import metadata

DISTRIBUTION = "spark-actors"


def version() -> str:
    """The installed version; `0` when it runs from a source tree that was never installed."""
    try:
        return metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return "0"
