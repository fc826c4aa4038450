"""`spark-actors keys`: keys whose messages wait, and what an operator does about them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, TypeAlias, TypeVar

import typer

from spark_actors.cli.daemon import Target
from spark_actors.cli.desk import IF_OLD, check_context, desk_of, operator_of
from spark_actors.cli.errors import CliError, UsageMistakeError
from spark_actors.cli.options import (
    ByOption,
    ConfigOption,
    ContextOption,
    DataDirOption,
    EvenIfOldOption,
    JsonOption,
    KeyOption,
    LimitOption,
    ReasonOption,
    SubscriberOption,
    WhyOption,
)
from spark_actors.cli.vocabulary import application

if TYPE_CHECKING:
    from spark_actors.persistence.operator_desk import Operator

T = TypeVar("T")
EXAMPLES = """
Examples:

[bold]spark-actors keys list --context orders[/]

[bold]spark-actors keys resume orders o-17 --why "fixed in 1.4.2"[/]

[bold]spark-actors keys skip orders o-17 --for overview --why "the row can be made by hand"[/]
"""

ContextArgument: TypeAlias = Annotated[
    str, typer.Argument(metavar="CONTEXT", help="Whose aggregates the commands are for, or the events from.")
]
KeyArgument: TypeAlias = Annotated[str, typer.Argument(metavar="KEY", help="Of the aggregate instance.")]
ForOption: TypeAlias = Annotated[
    str, typer.Option("--for", help="What waits: `commands`, or the events for this context.", metavar="SUBSCRIBER")
]


def list_keys(
    context: ContextOption = None,
    subscriber: SubscriberOption = None,
    key: KeyOption = None,
    reason: ReasonOption = None,
    limit: LimitOption = 50,
    as_json: JsonOption = False,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
) -> None:
    """List keys whose messages wait, the longest first."""
    from spark_actors.cli.output import console, print_json
    from spark_actors.cli.render import render_rows
    from spark_actors.messaging.ports import INGRESS

    check_context(context, has_keys=True)
    _check_key(key)
    desk = desk_of(Target(data_dir, config))
    contexts = [context] if context else [name for name in desk.contexts if name != INGRESS]
    found = [
        asdict(waiting)
        for name in contexts
        for waiting in desk.keys(name, subscriber=subscriber, key=key, reason=reason, limit=limit)
    ]
    rows = sorted(found, key=lambda row: row["since"])[:limit]
    if as_json:
        print_json(rows)
    else:
        shown = [{**row, "since": row["since"].isoformat(timespec="seconds")} for row in rows]
        console().print(render_rows(shown, title="keys that wait") if shown else "no key waits")


def pause_key(
    context: ContextArgument,
    key: KeyArgument,
    *,
    why: WhyOption,
    subscriber: ForOption = "commands",
    by: ByOption = None,
    as_json: JsonOption = False,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
) -> None:
    """Have the messages of a key wait, durably and in order, until it is resumed."""
    operator = _checked(context, key, by, why)
    _check_subscriber(context, subscriber)
    desk_of(Target(data_dir, config)).pause(context, subscriber, key, operator)
    _tell(context, subscriber, key, "paused", as_json=as_json)


def resume_key(
    context: ContextArgument,
    key: KeyArgument,
    *,
    why: WhyOption,
    subscriber: ForOption = "commands",
    by: ByOption = None,
    even_if_old: EvenIfOldOption = False,
    as_json: JsonOption = False,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
) -> None:
    """Have what waits for a key handled in order, the message that failed first of all."""
    operator = _checked(context, key, by, why)
    _act(lambda: desk_of(Target(data_dir, config)).resume(context, subscriber, key, operator, even_if_old=even_if_old))
    _tell(context, subscriber, key, "released", as_json=as_json)


def skip_key(
    context: ContextArgument,
    key: KeyArgument,
    *,
    why: WhyOption,
    subscriber: ForOption = "commands",
    by: ByOption = None,
    even_if_old: EvenIfOldOption = False,
    as_json: JsonOption = False,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
) -> None:
    """Give the first message that waits for a key up for good, and have the rest handled."""
    operator = _checked(context, key, by, why)
    skipped = _act(
        lambda: desk_of(Target(data_dir, config)).skip(context, subscriber, key, operator, even_if_old=even_if_old)
    )
    _tell(context, subscriber, key, "released", as_json=as_json, skipped=skipped)


def _checked(context: str, key: str, by: str | None, why: str) -> Operator:
    """Who acts. Raises UsageMistakeError if that or the key cannot be meant, before anybody looks for a daemon."""
    check_context(context, has_keys=True)
    _check_key(key)
    return operator_of(by, why)


def _check_key(key: str | None) -> None:
    if key == "":
        raise UsageMistakeError("an empty key is nobody's: expected the key of an aggregate instance")


def _act(action: Callable[[], T]) -> T:
    """Raises CliError with the way out for what is refused because it is old."""
    from spark_actors.persistence.operator_desk import ForgottenError

    try:
        return action()
    except ForgottenError as error:
        raise CliError(f"{error}; {IF_OLD}") from None


def _check_subscriber(context: str, subscriber: str) -> None:
    """Raises UsageMistakeError if nobody would ever ask for the key."""
    from spark_actors.messaging.unit_of_work import COMMANDS

    contexts = application().bounded_contexts
    takers = [one.name for one in contexts if any(event.TYPE.context == context for event in one.subscriptions)]
    if subscriber not in (COMMANDS, *takers):
        raise UsageMistakeError(f"--for: expected {', '.join((COMMANDS, *takers))} in {context}, got {subscriber!r}")


def _tell(context: str, subscriber: str, key: str, state: str, *, as_json: bool, skipped: str = "") -> None:
    from spark_actors.cli.output import print_json

    if as_json:
        print_json({"context": context, "subscriber": subscriber, "key": key, "state": state, "skipped": skipped})
    else:
        print(f"{context}: {subscriber} {key} {state}{f', without {skipped}' if skipped else ''}")
