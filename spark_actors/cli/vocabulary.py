"""Every message that can be sent, seen or asked for."""

from __future__ import annotations

from domain.contexts import CONTEXTS
from domain.shared.messages import Command, MessageRegistry, Query


def registry() -> MessageRegistry:
    """All commands, events and queries of all contexts."""
    return MessageRegistry(
        (message for context in CONTEXTS for message in context.messages),
        (upcaster for context in CONTEXTS for upcaster in context.upcasters),
    )


def commands() -> list[type[Command]]:
    """What `send` takes."""
    return [cls for cls in registry() if issubclass(cls, Command)]


def queries() -> list[type[Query]]:
    """What `view` takes."""
    return [cls for cls in registry() if issubclass(cls, Query)]
