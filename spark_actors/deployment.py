"""Where everything of a running daemon is: what the composition root needs besides the settings. Plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from config.settings import Settings


@dataclass(frozen=True)
class Deployment:
    """The settings with the addresses that were only known at start filled in. Picklable; it holds secrets."""

    settings: Settings
    dsn: Mapping[str, str]
    """By context, `ingress` among them."""
    listen_dsn: Mapping[str, str]
    """By context: where LISTEN works."""
    nats_url: str
    nats_token: str
    log_file: Path
    simulated_node: Path
    """Where the simulated Lightning node keeps its books."""
