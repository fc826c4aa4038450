"""`spark-actors dead-letters`: messages that nobody could take, and what an operator does about them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, TypeAlias

import typer

from spark_actors.cli.daemon import Target
from spark_actors.cli.desk import IF_OLD, check_context, desk_of, operator_of
from spark_actors.cli.errors import CliError, ExitCode, UsageMistakeError
from spark_actors.cli.options import (
    ByOption,
    ConfigOption,
    ContextOption,
    DataDirOption,
    EvenIfOldOption,
    JsonOption,
    KeyOption,
    LimitOption,
    NameOption,
    ReasonOption,
    SinceOption,
    SubscriberOption,
    TimeoutOption,
    WhyOption,
)

if TYPE_CHECKING:
    from spark_actors.persistence.operator_desk import Letter, LetterFilter, Operator, OperatorDesk

AT_ONCE = 10_000
"""Letters that one bulk action may touch."""
LIST_EXAMPLES = """
Examples:

[bold]spark-actors dead-letters list --context orders --reason handler_raised[/]

[bold]spark-actors dead-letters list --since 2026-05-01T00:00:00Z --state discarded --json[/]

What the door refused is of the context `ingress`.
"""
ACT_EXAMPLES = """
Examples:

[bold]spark-actors dead-letters retry orders/17 --why "fixed in 1.4.2"[/]

[bold]spark-actors dead-letters retry --context orders --reason handler_raised --why "fixed in 1.4.2"[/]

Letters are named as `dead-letters list` shows them; without a name, the filters say which (all that wait).
"""
EDIT_EXAMPLES = """
Example:

[bold]spark-actors dead-letters edit orders/17 amount=500 --why "typo of the producer"[/]

Or give the whole content with --data FILE (`-` reads standard input).
"""

LetterArgument: TypeAlias = Annotated[
    str, typer.Argument(metavar="CONTEXT/NUMBER", help="As `dead-letters list` shows it.")
]
LettersArgument: TypeAlias = Annotated[
    list[str] | None, typer.Argument(metavar="CONTEXT/NUMBER…", help="Letters by name.", show_default=False)
]


class _Address(NamedTuple):
    """What names a letter."""

    context: str
    number: int


@dataclass(frozen=True)
class _Choice:
    """The letters that are named, or else all that wait and pass the filters."""

    named: Sequence[_Address]
    context: str | None
    wanted: LetterFilter

    def letters(self, desk: OperatorDesk) -> list[Letter]:
        """The oldest first: it was sent before the others. Raises CliError for a name that no letter has."""
        if self.named:
            found = [_named(desk, address) for address in self.named]
            return sorted(found, key=lambda letter: (letter.died_at, letter.letter_id))
        return _find(desk, self.context, self.wanted, AT_ONCE)[::-1]


def list_letters(
    context: ContextOption = None,
    reason: ReasonOption = None,
    name: NameOption = None,
    key: KeyOption = None,
    subscriber: SubscriberOption = None,
    since: SinceOption = None,
    state: Annotated[
        str, typer.Option("--state", help="waiting, retried, edited, discarded or all.", metavar="STATE")
    ] = "waiting",
    limit: LimitOption = 50,
    as_json: JsonOption = False,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
) -> None:
    """List dead letters, the newest first."""
    from spark_actors.cli.output import console, print_json
    from spark_actors.cli.render import render_rows

    check_context(context)
    wanted = _filter(state, reason, name, key, subscriber, since)
    letters = _find(desk_of(Target(data_dir, config)), context, wanted, limit)
    if as_json:
        print_json([_as_json(letter) for letter in letters])
    else:
        rows = [
            {"letter": one.address, "name": one.name, "key": one.key, "for": one.subscriber, "reason": one.reason}
            | {"attempts": one.attempts, "state": one.state, "died_at": one.died_at.isoformat()}
            for one in letters
        ]
        console().print(render_rows(rows, title="dead letters") if rows else "no such dead letters")


def show_letter(
    letter: LetterArgument,
    as_json: JsonOption = False,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
) -> None:
    """Show one dead letter with its content."""
    from spark_actors.cli.output import console, print_json
    from spark_actors.cli.render import render_view

    address = _address(letter)
    found = _named(desk_of(Target(data_dir, config)), address)
    if as_json:
        print_json(_as_json(found))
    else:
        console().print(render_view(_as_json(found), title=found.address))


def list_actions(
    context: ContextOption = None,
    limit: LimitOption = 50,
    as_json: JsonOption = False,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
) -> None:
    """List what operators have done by hand, to letters, keys and aggregates, and why, the newest first."""
    from spark_actors.cli.output import console, print_json
    from spark_actors.cli.render import render_rows

    check_context(context)
    desk = desk_of(Target(data_dir, config))
    contexts = [context] if context else desk.contexts
    found = [action for name in contexts for action in desk.actions(name, limit=limit)]
    rows = sorted(found, key=lambda row: row["acted_at"], reverse=True)[:limit]
    if as_json:
        print_json(rows)
    else:
        shown = [{**row, "acted_at": row["acted_at"].isoformat(timespec="seconds")} for row in rows]
        console().print(render_rows(shown, title="actions") if shown else "nothing was done")


def retry_letters(
    letters: LettersArgument = None,
    *,
    why: WhyOption,
    by: ByOption = None,
    even_if_old: EvenIfOldOption = False,
    context: ContextOption = None,
    reason: ReasonOption = None,
    name: NameOption = None,
    key: KeyOption = None,
    subscriber: SubscriberOption = None,
    since: SinceOption = None,
    timeout: TimeoutOption = 10.0,
    as_json: JsonOption = False,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
) -> None:
    """Have messages handled again, as the first of their keys; safe to repeat: the inbox knows what took effect.

    What is older than the inbox remembers, and may have been handled, is refused unless --even-if-old says otherwise.
    """
    from spark_actors.messaging.ports import INGRESS, KEPT_IN_PART
    from spark_actors.persistence.operator_desk import DeskError

    operator = operator_of(by, why)
    choice = _choice(letters, context, _filter("waiting", reason, name, key, subscriber, since))
    target = Target(data_dir, config)
    desk = desk_of(target)

    def retry(letter: Letter, operator: Operator) -> str:
        if KEPT_IN_PART in letter.reason and letter.context == INGRESS:
            raise DeskError(
                f"{letter.address} was kept only in part: whoever has it whole can send it, or `edit --data`"
            )
        is_open = desk.retry(letter, operator, even_if_old=even_if_old)
        if letter.context == INGRESS:
            return _sent_again(target, desk, letter, operator, letter.body, timeout)
        return "released" if is_open else "handled before"

    _act(choice.letters(desk), retry, operator, as_json=as_json)


def discard_letters(
    letters: LettersArgument = None,
    *,
    why: WhyOption,
    by: ByOption = None,
    context: ContextOption = None,
    reason: ReasonOption = None,
    name: NameOption = None,
    key: KeyOption = None,
    subscriber: SubscriberOption = None,
    since: SinceOption = None,
    as_json: JsonOption = False,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
) -> None:
    """Give messages up for good: what waits behind them goes on without them."""
    operator = operator_of(by, why)
    choice = _choice(letters, context, _filter("waiting", reason, name, key, subscriber, since))
    desk = desk_of(Target(data_dir, config))

    def discard(letter: Letter, operator: Operator) -> str:
        desk.discard(letter, operator)
        return "discarded"

    _act(choice.letters(desk), discard, operator, as_json=as_json)


def edit_letter(
    letter: LetterArgument,
    fields: Annotated[
        list[str] | None, typer.Argument(metavar="FIELD=VALUE…", help="What changes.", show_default=False)
    ] = None,
    *,
    why: WhyOption,
    by: ByOption = None,
    data: Annotated[
        Path | None,
        typer.Option("--data", help="A file with the whole content as JSON.", metavar="FILE", allow_dash=True),
    ] = None,
    timeout: TimeoutOption = 10.0,
    as_json: JsonOption = False,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
) -> None:
    """Have a corrected message, under a new id, take the place of one that failed; it is checked like any other."""
    from uuid import uuid4

    from spark_actors.cli.redelivery import edited, edited_event
    from spark_actors.messaging.ports import INGRESS

    operator, address = operator_of(by, why), _address(letter)
    target = Target(data_dir, config)
    desk = desk_of(target)

    def edit(one: Letter, operator: Operator) -> str:
        if one.context == INGRESS:
            new_id, body = edited_event(one.address, one.name, one.body, fields or [], data, operator.why)
            desk.edit(one, operator, new_id=new_id, data=body, version=one.version)
            return _sent_again(target, desk, one, operator, body, timeout)
        new_id = str(uuid4())
        version, content = edited(one.name, one.version, one.key, one.body, fields or [], data)
        desk.edit(one, operator, new_id=new_id, data=content, version=version)
        return f"edited into {new_id}"

    _act([_named(desk, address)], edit, operator, as_json=as_json)


def _filter(
    state: str,
    reason: str | None,
    name: str | None,
    key: str | None,
    subscriber: str | None,
    since: str | None,
) -> LetterFilter:
    from spark_actors.persistence.operator_desk import STATES, LetterFilter

    if state not in (*STATES, "all"):
        raise UsageMistakeError(f"--state: expected {', '.join(STATES)} or all, got {state!r}")
    try:
        moment = datetime.fromisoformat(since) if since else None
    except ValueError:
        raise UsageMistakeError(f"--since: expected a moment such as 2026-05-01T00:00:00Z, got {since!r}") from None
    wanted_state = None if state == "all" else state
    return LetterFilter(None, wanted_state, reason, name, key, subscriber, moment)


def _find(desk: OperatorDesk, context: str | None, wanted: LetterFilter, limit: int) -> list[Letter]:
    contexts = [context] if context else desk.contexts
    found = [letter for name in contexts for letter in desk.letters(name, wanted, limit=limit)]
    return sorted(found, key=lambda letter: letter.died_at, reverse=True)[:limit]


def _address(letter: str) -> _Address:
    """Raises UsageMistakeError for what cannot be a letter's name."""
    context, _, number = letter.partition("/")
    if not number.isdecimal():
        raise UsageMistakeError(f"expected CONTEXT/NUMBER as `dead-letters list` shows it, got {letter!r}")
    check_context(context)
    return _Address(context, int(number))


def _named(desk: OperatorDesk, address: _Address) -> Letter:
    from spark_actors.persistence.operator_desk import LetterFilter

    found = desk.letters(address.context, LetterFilter(letter_id=address.number), limit=1)
    if not found:
        raise CliError(f"there is no dead letter {address.context}/{address.number}")
    return found[0]


def _choice(letters: Sequence[str] | None, context: str | None, wanted: LetterFilter) -> _Choice:
    """Raises UsageMistakeError if it says nothing, or what cannot be."""
    check_context(context)
    if letters:
        return _Choice([_address(letter) for letter in letters], context, wanted)
    if not (context or any((wanted.reason, wanted.name, wanted.key, wanted.subscriber, wanted.since))):
        raise UsageMistakeError("name letters, or say which with --context, --reason, --name, --key, --since …")
    return _Choice([], context, wanted)


def _sent_again(
    target: Target, desk: OperatorDesk, letter: Letter, operator: Operator, body: bytes, timeout: float
) -> str:
    """How the message ended that was sent to the door again; if it could not be sent, its letter waits on."""
    from spark_actors.cli.redelivery import redeliver
    from spark_actors.ingress.client import OutcomeUnknownError

    try:
        return redeliver(target, letter.name, body, timeout)
    except OutcomeUnknownError:
        raise  # the queue keeps it
    except BaseException as error:  # also when somebody interrupts it
        desk.put_back(letter, operator, str(error) or "interrupted")
        raise


def _act(
    letters: Sequence[Letter], action: Callable[[Letter, Operator], str], operator: Operator, *, as_json: bool
) -> None:
    """Act on each, in a transaction of its own, and tell how it went.

    One that is refused (DeskError, UsageMistakeError) stops none. Anything else, such as a daemon or database that is
    away, would befall the others too, and ends it.
    """
    from spark_actors.persistence.operator_desk import DeskError, ForgottenError

    results: list[dict[str, str]] = []
    try:
        for letter in letters:
            about = {"letter": letter.address, "message_id": letter.message_id}
            try:
                results.append({**about, "result": action(letter, operator)})
            except ForgottenError as error:
                results.append({**about, "error": f"{error}; {IF_OLD}", "code": "forgotten"})
            except DeskError as error:
                results.append({**about, "error": str(error), "code": ExitCode.REFUSED.word})
            except UsageMistakeError as error:
                results.append({**about, "error": str(error), "code": error.exit_code.word})
    finally:  # a daemon that goes away ends it, and what was done until then was done
        _tell(results, as_json=as_json)
    if any("error" in result for result in results):
        raise typer.Exit(ExitCode.REFUSED)


def _tell(results: Sequence[Mapping[str, str]], *, as_json: bool) -> None:
    from spark_actors.cli.output import print_json

    if as_json:
        print_json(results)
    else:
        for result in results:
            print(f"{result['letter']}: {result.get('result') or 'error: ' + result['error']}")
        print(f"{len(results)} dead letters")


def _as_json(letter: Letter) -> dict[str, Any]:
    """A letter with its content as JSON, or as text if it is none."""
    text = letter.body.decode("utf-8", "replace")
    try:
        content = json.loads(text)
    except ValueError:
        content = text
    return {"letter": letter.address, **asdict(letter), "body": content}
