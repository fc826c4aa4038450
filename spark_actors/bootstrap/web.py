"""The web process put together: from the settings, for the daemon that keeps it and for one that runs alone."""

from __future__ import annotations

from pathlib import Path

from config.settings import Settings
from spark_actors.embedded.data_dir import DataDir
from spark_actors.web.options import BrokerAddress, FindBroker, WebOptions


def web_options(settings: Settings, log_file: Path | None = None) -> WebOptions:
    """What the settings say of the pages. *log_file*: None for standard error."""
    web = settings.web
    return WebOptions(
        application=settings.application,
        host=web.host,
        port=web.port,
        public_url=web.public_url,
        max_streams=web.max_streams,
        log_file=str(log_file or ""),
        log_level=settings.log.level,
    )


def broker_of(settings: Settings) -> FindBroker:
    """The broker of the settings, else that of the daemon that works on the data dir at that moment."""

    def find() -> BrokerAddress | None:
        if settings.nats.url:
            return BrokerAddress(settings.nats.url, settings.nats.token.get_secret_value())
        card = DataDir(settings.data_dir).read_daemon_card()
        return BrokerAddress(card.nats_url, card.nats_token) if card else None

    return find
