"""Finds the daemon that a command is meant for: by its data dir, or by settings."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from spark_actors.cli.errors import NoDaemonError

if TYPE_CHECKING:
    from config.settings import Settings
    from spark_actors.application import Application
    from spark_actors.cli.acting import Acting
    from spark_actors.embedded.data_dir import DaemonCard
    from spark_actors.ingress.client import SparkClient

T = TypeVar("T")
OWN_TOKEN = timedelta(minutes=10)


@dataclass(frozen=True)
class Daemon:
    """How to reach a daemon. What is not known is empty."""

    nats_url: str
    nats_token: str = field(default="", repr=False)
    identity: str = field(default="", repr=False)
    """The token with which a command acts there."""
    metrics_url: str = ""
    dsn: Mapping[str, str] = field(default_factory=dict, repr=False)
    pid: int = 0
    started_at: str = ""
    version: str = ""


@dataclass(frozen=True)
class Target:
    """Which daemon a command is meant for, as the options say it."""

    data_dir: Path | None = None
    config: Path | None = None

    def settings(self, **overrides: Any) -> Settings:
        """The settings. Raises SettingsError."""
        from config.settings import load_settings

        return load_settings(self.config, data_dir=self.data_dir, **overrides)

    def application(self) -> Application:
        """What the daemon runs. Raises SettingsError."""
        from spark_actors.application import load_application

        return load_application(self.settings().application)

    @property
    def place(self) -> str:
        """What tells this daemon from others, running or not. Raises SettingsError."""
        settings = self.settings()
        return settings.nats.url or str(settings.data_dir)

    def find(self) -> Daemon:
        """The daemon that runs on the data dir, else the one that the settings point to. Raises NoDaemonError."""
        from spark_actors.embedded.data_dir import DataDir

        settings = self.settings()
        card = DataDir(settings.data_dir).read_daemon_card()
        if card is not None and is_alive(card.pid):
            return Daemon(
                card.nats_url,
                card.nats_token,
                card.operator_token,
                card.metrics_url,
                card.dsn,
                pid=card.pid,
                started_at=card.started_at,
                version=card.version,
            )
        if settings.nats.url:
            return _daemon_elsewhere(settings)
        raise NoDaemonError(_absence(settings.data_dir, card))

    def talk(self, conversation: Callable[[SparkClient], Awaitable[T]], acting: Acting | None = None) -> T:
        """Connect to the daemon, hold the conversation and disconnect. Raises NoDaemonError or UnreachableError.

        Without a token in *acting* it is held as an operator, as far as the daemon's card or the keys can be read here.
        """
        import asyncio

        daemon = self.find()
        if acting is not None and acting.token:
            daemon = replace(daemon, identity=acting.token)
        return asyncio.run(_talk(daemon, conversation))


def known_dsns(target: Target) -> dict[str, str]:
    """The database of each context, from the running daemon or from settings alone. Raises NoDaemonError."""
    settings = target.settings()
    schemas = target.application().schemas
    dsns = {schema: dsn for schema in schemas if (dsn := settings.dsn_of(schema))}
    if len(dsns) == len(schemas):
        return dsns
    daemon = target.find()
    if not daemon.dsn:
        raise NoDaemonError(
            "the databases are not known here: set postgres.dsn, or use the data dir of a running daemon"
        )
    return dict(daemon.dsn)


def operator_token(target: Target) -> str:
    """One of whoever holds the keys, which every node believes; empty for others."""
    return _own_operator_token(target.settings())


def is_alive(pid: int) -> bool:
    """Whether a process of this id exists on this machine."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


async def _talk(daemon: Daemon, conversation: Callable[[SparkClient], Awaitable[T]]) -> T:
    from spark_actors.ingress.client import SparkClient

    async with await SparkClient.connect(daemon.nats_url, daemon.nats_token, identity=daemon.identity) as client:
        return await conversation(client)


def _daemon_elsewhere(settings: Settings) -> Daemon:
    """A daemon on another machine: its broker and databases are in the settings, its metrics are where they say."""
    from spark_actors.application import load_application

    schemas = load_application(settings.application).schemas
    dsns = {schema: dsn for schema in schemas if (dsn := settings.dsn_of(schema))}
    metrics_url = f"http://{settings.http_host}:{settings.http.port}" if settings.http.port else ""
    token = _own_operator_token(settings)
    return Daemon(settings.nats.url, settings.nats.token.get_secret_value(), token, metrics_url, dsns)


def _own_operator_token(settings: Settings) -> str:
    """For who holds the keys; empty for others."""
    from spark_actors.deployment import signing_keys, token_issuer
    from spark_actors.embedded.data_dir import DataDir
    from spark_actors.identity.signing_keys import TokenKeysError
    from spark_actors.messaging.identity import Role

    try:
        keys = signing_keys(settings, DataDir(settings.data_dir), make=False)
    except TokenKeysError:
        return ""
    return token_issuer(settings, keys).issue("operator", [Role.OPERATOR], OWN_TOKEN).text


def _absence(data_dir: Path, card: DaemonCard | None) -> str:
    if card is None:
        return f"no daemon runs on {data_dir}; start one with `spark-actors run`, or name its folder with --data-dir"
    return f"the daemon on {data_dir} (process {card.pid}) is gone; start it again with `spark-actors run`"
