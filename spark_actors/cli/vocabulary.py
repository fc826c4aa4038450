"""Every message of the application that can be sent, seen or asked for."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from spark_actors.kernel.messages import Action, Command, MessageRegistry, Query

if TYPE_CHECKING:
    from spark_actors.application import Application


@cache
def application() -> Application:
    """That which the environment names, or the usual one; looked up once."""
    from config.settings import application_of

    return application_of()


def registry() -> MessageRegistry:
    """All commands, events and queries of all contexts."""
    return application().registry


def commands() -> list[type[Command]]:
    """What `send` takes."""
    return [cls for cls in registry() if issubclass(cls, Command)]


def queries() -> list[type[Query]]:
    """What `view` takes."""
    return [cls for cls in registry() if issubclass(cls, Query) and not issubclass(cls, Action)]
