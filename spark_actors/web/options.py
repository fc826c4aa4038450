"""What the web process is told, and where the broker is: as files of the daemon that keeps it, or from settings."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit


@dataclass(frozen=True, kw_only=True)
class WebOptions:
    """Plain values without secrets."""

    application: str
    """`package.module:NAME`."""
    host: str
    port: int
    public_url: str
    max_streams: int
    log_file: str
    """Empty: standard error."""
    log_level: str

    @property
    def is_encrypted(self) -> bool:
        """Whether people reach the pages by https alone, as far as is known."""
        return self.public_url.startswith("https://")

    @property
    def origins(self) -> frozenset[str]:
        """Under which addresses a browser may know the pages: scheme, host and port."""
        names = {self.host, "127.0.0.1", "localhost", "[::1]"}
        local = {f"http://[{name}]" if ":" in name and "[" not in name else f"http://{name}" for name in names}
        return frozenset({*(f"{each}:{self.port}" for each in local), *([self.public_url] if self.public_url else [])})

    @property
    def hosts(self) -> frozenset[str]:
        """What may stand in the header Host."""
        return frozenset(urlsplit(origin).netloc.lower() for origin in self.origins)

    @property
    def url(self) -> str:
        """By which address people are told to come, without a slash at the end."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return self.public_url or f"http://{host}:{self.port}"


class BrokerAddress(NamedTuple):
    """Where the broker is, and the token that it wants."""

    url: str
    token: str


FindBroker = Callable[[], BrokerAddress | None]
"""Where the broker is at this moment; None: nowhere. May be asked again and again."""


def broker_in(file: Path) -> FindBroker:
    """As the daemon has written it there, once it knows."""

    def find() -> BrokerAddress | None:
        try:
            return BrokerAddress(**json.loads(file.read_text("utf-8")))
        except FileNotFoundError:
            return None

    return find
