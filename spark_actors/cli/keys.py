"""`spark-actors keys`: keys whose messages wait, and what an operator does about them."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, TypeAlias
from uuid import uuid4

import typer

from spark_actors.cli.daemon import Target
from spark_actors.cli.desk import IF_OLD, Desk, check_context, desk_of, listed, reason_of
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
    TokenFileOption,
    WhyOption,
)
from spark_actors.cli.vocabulary import application
from spark_actors.kernel.errors import SparkError

if TYPE_CHECKING:
    from spark_actors.operations.acts import ActOnKey

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
    token_file: TokenFileOption = None,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
) -> None:
    """List keys whose messages wait, the longest first."""
    from spark_actors.cli.output import console, print_json
    from spark_actors.cli.render import render_rows
    from spark_actors.operations.messages import ListKeys

    check_context(context, has_keys=True)
    _check_key(key)
    asked = ListKeys(context or "", subscriber or "", key or "", reason=reason or "")
    desk = desk_of(Target(data_dir, config), token_file)
    rows = [asdict(line) for line in listed(desk, asked, "keys", limit)]
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
    token_file: TokenFileOption = None,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
) -> None:
    """Have the messages of a key wait, durably and in order, until it is resumed."""
    from spark_actors.operations.messages import PauseKey

    said = _checked(context, key, subscriber, why)
    _check_subscriber(context, subscriber)
    _act(desk_of(Target(data_dir, config), token_file, by=by), PauseKey(**said), as_json=as_json)


def resume_key(
    context: ContextArgument,
    key: KeyArgument,
    *,
    why: WhyOption,
    subscriber: ForOption = "commands",
    by: ByOption = None,
    even_if_old: EvenIfOldOption = False,
    as_json: JsonOption = False,
    token_file: TokenFileOption = None,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
) -> None:
    """Have what waits for a key handled in order, the message that failed first of all."""
    from spark_actors.operations.messages import ResumeKey

    action = ResumeKey(**_checked(context, key, subscriber, why), is_even_if_old=even_if_old)
    _act(desk_of(Target(data_dir, config), token_file, by=by), action, as_json=as_json)


def skip_key(
    context: ContextArgument,
    key: KeyArgument,
    *,
    why: WhyOption,
    subscriber: ForOption = "commands",
    by: ByOption = None,
    even_if_old: EvenIfOldOption = False,
    as_json: JsonOption = False,
    token_file: TokenFileOption = None,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
) -> None:
    """Give the first message that waits for a key up for good, and have the rest handled."""
    from spark_actors.operations.messages import SkipKey

    action = SkipKey(**_checked(context, key, subscriber, why), is_even_if_old=even_if_old)
    _act(desk_of(Target(data_dir, config), token_file, by=by), action, as_json=as_json)


def _checked(context: str, key: str, subscriber: str, why: str) -> dict[str, str]:
    """What all actions say. Raises UsageMistakeError for what cannot be meant, before anybody looks for a daemon."""
    check_context(context, has_keys=True)
    _check_key(key)
    said = {"context": context, "instance": key, "subscriber": subscriber}
    return {**said, "why": reason_of(why), "request_id": str(uuid4())}


def _check_key(key: str | None) -> None:
    if key == "":
        raise UsageMistakeError("an empty key is nobody's: expected the key of an aggregate instance")


def _act(desk: Desk, action: ActOnKey, *, as_json: bool) -> None:
    """Raises CliError with the way out for what is refused because it is old."""
    from spark_actors.cli.output import print_json

    try:
        acted = desk.act_on_key(action)
    except SparkError as error:
        if getattr(error, "code", "") != "forgotten":
            raise
        raise CliError(f"{error}; {IF_OLD}") from None
    if as_json:
        print_json(asdict(acted))
    else:
        without = f", without {acted.skipped}" if acted.skipped else ""
        print(f"{acted.context}: {acted.subscriber} {acted.key} {acted.state}{without}")


def _check_subscriber(context: str, subscriber: str) -> None:
    """Raises UsageMistakeError if nobody would ever ask for the key."""
    from spark_actors.messaging.unit_of_work import COMMANDS
    from spark_actors.operations.acts import takers

    known = takers(application(), context)
    if subscriber not in (COMMANDS, *known):
        raise UsageMistakeError(f"--for: expected {', '.join((COMMANDS, *known))} in {context}, got {subscriber!r}")
