"""Satoshi Spark: crowdfunding over the Bitcoin Lightning Network, as one value that the runtime runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from domain.accounting.adapters.installed import INSTALLED as ACCOUNTING
from domain.auth.adapters.installed import INSTALLED as AUTH
from domain.bitcoin.adapters.installed import INSTALLED as BITCOIN
from domain.crowdfunding.adapters.installed import INSTALLED as CROWDFUNDING
from domain.dashboard.adapters.installed import INSTALLED as DASHBOARD
from domain.dashboard.views import ViewTimeline
from domain.examples import WORDS
from spark_actors.application import Application

if TYPE_CHECKING:
    import typer

    from domain.settings import SparkSettings
    from spark_actors.persistence.audit import OwnAudit
    from spark_actors.web.pages import Pages


def _settings() -> type[SparkSettings]:
    from domain.settings import SparkSettings

    return SparkSettings


def _audit() -> OwnAudit:
    from domain.audit.money import ORDER, checks
    from spark_actors.persistence.audit import OwnAudit

    return OwnAudit(ORDER, checks)


def _add_commands(app: typer.Typer) -> None:
    from domain.cli.commands import add_commands

    add_commands(app)


def _pages() -> Pages:
    from domain.web.pages import PAGES

    return PAGES


APPLICATION = Application(
    name="Satoshi Spark",
    contexts=(AUTH, ACCOUNTING, CROWDFUNDING, BITCOIN, DASHBOARD),
    settings=_settings,
    defaults=Path(__file__).with_name("default.toml"),
    example_words=WORDS,
    audit=_audit,
    units=("sat",),
    timeline=lambda story: ViewTimeline(correlation_id=story),
    add_commands=_add_commands,
    pages=_pages,
)
