"""The tables of the contexts hang together."""

from __future__ import annotations

import dataclasses
import inspect
import sys

import pytest

from domain.accounting import account, refusals
from domain.auth import user
from domain.bitcoin import invoice
from domain.crowdfunding import campaign
from spark_actors.kernel.context import BoundedContext
from spark_actors.kernel.messages import Command, Event, MessageRegistry, Query
from tests.fixtures.application import CONTEXTS

COMMANDS = [message for context in CONTEXTS for message in context.messages if issubclass(message, Command)]
EVENTS = [message for context in CONTEXTS for message in context.messages if issubclass(message, Event)]


def test_every_context_has_its_place() -> None:
    assert [context.name for context in CONTEXTS] == ["auth", "accounting", "crowdfunding", "bitcoin", "dashboard"]


@pytest.mark.parametrize("context", CONTEXTS, ids=lambda context: str(context.name))
def test_every_message_is_named_after_its_context(context: BoundedContext) -> None:
    assert {message.TYPE.context for message in context.messages} == {context.name}


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: str(command.TYPE.name))
def test_every_command_has_one_handler(command: type[Command]) -> None:
    assert [context.name for context in CONTEXTS if command in context.commands] == [command.TYPE.context]


def test_every_message_can_be_found_by_its_name() -> None:
    registry = MessageRegistry(message for context in CONTEXTS for message in context.messages)
    for context in CONTEXTS:
        assert all(registry.find(message.TYPE.name, message.TYPE.version) is message for message in context.messages)


def test_the_newest_version_of_a_message_is_said() -> None:
    registry = MessageRegistry(message for context in CONTEXTS for message in context.messages)
    for message in (message for context in CONTEXTS for message in context.messages):
        is_newest = registry.current(message.TYPE.name) is message
        assert is_newest or message.TYPE.is_former


def test_what_only_earlier_releases_said_can_be_read_and_is_listed_nowhere() -> None:
    registry = MessageRegistry(message for context in CONTEXTS for message in context.messages)
    former = [event for event in EVENTS if event.TYPE.is_former]
    assert former
    assert all(registry.has(event.TYPE.name, event.TYPE.version) for event in former)
    assert not set(former) & set(registry)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: str(command.TYPE.name))
def test_every_command_says_why_it_may_be_refused(command: type[Command]) -> None:
    assert command.TYPE.reasons
    module = sys.modules[command.__module__]
    assert set(command.TYPE.reasons) <= set(module.Reason)
    assert len(set(command.TYPE.reasons)) == len(command.TYPE.reasons)


def test_every_reason_that_a_context_publishes_is_one_of_a_command() -> None:
    for name in ("auth", "accounting", "crowdfunding", "bitcoin"):
        mine = [command for command in COMMANDS if command.TYPE.context == name]
        module = sys.modules[mine[0].__module__]
        assert {reason for command in mine for reason in command.TYPE.reasons} == set(module.Reason)


@pytest.mark.parametrize("message", [*COMMANDS, *EVENTS], ids=lambda message: str(message.TYPE.name))
def test_every_message_is_frozen_and_has_the_field_that_is_its_key(message: type[Command | Event]) -> None:
    assert message.__dataclass_params__.frozen  # type: ignore[union-attr]
    names = [field.name for field in dataclasses.fields(message)]  # type: ignore[arg-type]
    assert message.TYPE.key_field in names


def test_an_event_is_followed_only_if_some_context_publishes_it() -> None:
    followed = {event for context in CONTEXTS for event in context.subscriptions}
    assert followed <= set(EVENTS)


def test_the_dashboard_reads_every_event_and_answers_queries_alone() -> None:
    dashboard = CONTEXTS[-1]
    assert set(dashboard.reads) >= {event for event in EVENTS if not event.TYPE.is_former}
    assert all(issubclass(message, Query) for message in dashboard.messages)
    assert not dashboard.commands


def test_a_refusal_has_a_reason_that_the_context_publishes() -> None:
    for module in (account, refusals, user, invoice, campaign):
        reasons = inspect.getmodule(module.Reason)
        assert reasons is not None
        assert reasons.__name__.endswith(".messages")
        assert all(reason == reason.lower() and " " not in reason for reason in module.Reason)
