"""`spark-actors dead-letters`: messages that nobody could take, and what an operator does about them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, TypeAlias, TypeVar
from uuid import uuid4

import typer

from spark_actors.cli.daemon import Target
from spark_actors.cli.desk import IF_OLD, Desk, check_context, desk_of, listed, reason_of
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
    TokenFileOption,
    WhyOption,
)

if TYPE_CHECKING:
    from spark_actors.operations.acts import ActOnLetters
    from spark_actors.operations.messages import LetterLine, LetterResult

T = TypeVar("T")
BODIES_AT_ONCE = 10
"""Letters with their content in one answer: each may be large."""
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
class _Filter:
    """Which letters are meant, as the options say it; an empty one lets everything through."""

    context: str
    reason: str
    name: str
    instance: str
    subscriber: str
    since: datetime | None


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
    token_file: TokenFileOption = None,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
) -> None:
    """List dead letters, the newest first."""
    from spark_actors.cli.output import console, print_json
    from spark_actors.cli.render import render_rows
    from spark_actors.operations.messages import ListLetters

    wanted = _filter(context, reason, name, key, subscriber, since)
    asked = ListLetters(**vars(wanted), state=_state(state), has_bodies=as_json)
    desk = desk_of(Target(data_dir, config), token_file)
    letters = listed(desk, asked, "letters", limit, at_once=BODIES_AT_ONCE if as_json else 200)
    if as_json:
        print_json([_as_json(letter) for letter in letters])
    else:
        rows = [
            {"letter": _address_of(one), "name": one.name, "key": one.key, "for": one.subscriber, "reason": one.reason}
            | {"attempts": one.attempts, "state": one.state, "died_at": one.died_at.isoformat()}
            for one in letters
        ]
        console().print(render_rows(rows, title="dead letters") if rows else "no such dead letters")


def show_letter(
    letter: LetterArgument,
    as_json: JsonOption = False,
    token_file: TokenFileOption = None,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
) -> None:
    """Show one dead letter with its content."""
    from spark_actors.cli.output import console, print_json
    from spark_actors.cli.render import render_view
    from spark_actors.operations.messages import ShowLetter

    address = _address(letter)
    found = desk_of(Target(data_dir, config), token_file).ask(ShowLetter(*address))
    if found is None:
        raise CliError(f"there is no dead letter {letter}")
    if as_json:
        print_json(_as_json(found))
    else:
        console().print(render_view(_as_json(found), title=letter))


def list_actions(
    context: ContextOption = None,
    limit: LimitOption = 50,
    as_json: JsonOption = False,
    token_file: TokenFileOption = None,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
) -> None:
    """List what operators have done by hand, to letters, keys and aggregates, and why, the newest first."""
    from spark_actors.cli.output import console, print_json
    from spark_actors.cli.render import render_rows
    from spark_actors.operations.messages import ListActions

    check_context(context)
    desk = desk_of(Target(data_dir, config), token_file)
    rows = [asdict(line) for line in listed(desk, ListActions(context or ""), "actions", limit)]
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
    token_file: TokenFileOption = None,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
) -> None:
    """Have messages handled again, as the first of their keys; safe to repeat: the inbox knows what took effect.

    What is older than the inbox remembers, and may have been handled, is refused unless --even-if-old says otherwise.
    """
    from spark_actors.operations.messages import RetryLetters, RetryMatchingLetters

    wanted, addresses = _filter(context, reason, name, key, subscriber, since), _addresses(letters)
    said: dict[str, Any] = {"why": reason_of(why), "request_id": str(uuid4()), "is_even_if_old": even_if_old}
    _refuse_all_of_it(addresses, wanted)
    desk = desk_of(Target(data_dir, config), token_file, by=by, timeout=timeout)
    named = [RetryLetters(place, numbers, **said) for place, numbers in addresses.items()]
    _act(desk, named or _matching(desk, RetryMatchingLetters, wanted, said), as_json=as_json)


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
    token_file: TokenFileOption = None,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
) -> None:
    """Give messages up for good: what waits behind them goes on without them."""
    from spark_actors.operations.messages import DiscardLetters, DiscardMatchingLetters

    wanted, addresses = _filter(context, reason, name, key, subscriber, since), _addresses(letters)
    said = {"why": reason_of(why), "request_id": str(uuid4())}
    _refuse_all_of_it(addresses, wanted)
    desk = desk_of(Target(data_dir, config), token_file, by=by)
    named = [DiscardLetters(place, numbers, **said) for place, numbers in addresses.items()]
    _act(desk, named or _matching(desk, DiscardMatchingLetters, wanted, said), as_json=as_json)


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
    token_file: TokenFileOption = None,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
) -> None:
    """Have a corrected message, under a new id, take the place of one that failed; it is checked like any other."""
    from spark_actors.cli.arguments import json_object, read_input
    from spark_actors.operations.messages import EditLetter

    context, number = _address(letter)
    content = json_object(read_input(data)) if data is not None else None
    action = EditLetter(context, number, reason_of(why), _changes(fields or []), content, str(uuid4()))
    _act(desk_of(Target(data_dir, config), token_file, by=by, timeout=timeout), [action], as_json=as_json)


def _filter(
    context: str | None,
    reason: str | None,
    name: str | None,
    key: str | None,
    subscriber: str | None,
    since: str | None,
) -> _Filter:
    """Raises UsageMistakeError for what cannot be meant."""
    check_context(context)
    try:
        moment = datetime.fromisoformat(since) if since else None
    except ValueError:
        raise UsageMistakeError(f"--since: expected a moment such as 2026-05-01T00:00:00Z, got {since!r}") from None
    return _Filter(context or "", reason or "", name or "", key or "", subscriber or "", moment)


def _state(state: str) -> str:
    """As the desk has it. Raises UsageMistakeError."""
    from spark_actors.persistence.operator_desk import STATES

    if state not in (*STATES, "all"):
        raise UsageMistakeError(f"--state: expected {', '.join(STATES)} or all, got {state!r}")
    return "" if state == "all" else state


def _changes(fields: Sequence[str]) -> dict[str, Any]:
    """Fields with their new values, as JSON has them where they are a number, true, false or null; else as text."""
    from spark_actors.cli.arguments import split_fields

    return {name: _value(text) for name, text in split_fields(fields).items()}


def _value(text: str) -> Any:
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return text if isinstance(value, (str, list, dict)) else value


def _addresses(letters: Sequence[str] | None) -> dict[str, tuple[int, ...]]:
    """The numbers that are named, by context. Raises UsageMistakeError."""
    found: dict[str, tuple[int, ...]] = {}
    for context, number in map(_address, letters or ()):
        found[context] = (*found.get(context, ()), number)
    return found


def _refuse_all_of_it(named: Mapping[str, object], wanted: _Filter) -> None:
    """Raises UsageMistakeError if nobody says which letters are meant."""
    if not (named or any(vars(wanted).values())):
        raise UsageMistakeError("name letters, or say which with --context, --reason, --name, --key, --since …")


def _matching(desk: Desk, action: type[T], wanted: _Filter, said: Mapping[str, Any]) -> list[T]:
    """An action for each context on all that match and wait now, and on nothing that dies from now on."""
    from spark_actors.operations.messages import ListLetters

    bounds = desk.ask(ListLetters(wanted.context, limit=1)).bounds
    return [
        action(**{**vars(wanted), "context": each.context, "up_to": each.up_to, "died_until": each.died_until, **said})
        for each in bounds
    ]


def _address(letter: str) -> _Address:
    """Raises UsageMistakeError for what cannot be a letter's name."""
    context, _, number = letter.partition("/")
    if not number.isdecimal():
        raise UsageMistakeError(f"expected CONTEXT/NUMBER as `dead-letters list` shows it, got {letter!r}")
    check_context(context)
    return _Address(context, int(number))


def _act(desk: Desk, actions: Sequence[ActOnLetters], *, as_json: bool) -> None:
    """Act on letters and tell of each how it went.

    One that is refused stops none. Anything else, such as a daemon or database that is away, would befall the others
    too, and ends it.
    """
    results: list[dict[str, str]] = []
    try:
        for action in actions:
            for result in desk.act(action):
                results.append(_told(result))
    finally:  # a daemon that goes away ends it, and what was done until then was done
        _tell(results, as_json=as_json)
    if any(result.get("code") == ExitCode.UNKNOWN_OUTCOME.word for result in results):
        raise typer.Exit(ExitCode.UNKNOWN_OUTCOME)
    if any("error" in result for result in results):
        raise typer.Exit(ExitCode.REFUSED)


def _told(result: LetterResult) -> dict[str, str]:
    about = {"letter": _address_of(result), "message_id": result.message_id}
    if not result.code:
        return {**about, "result": result.result}
    way_out = f"; {IF_OLD}" if result.code == "forgotten" else ""
    return {**about, "error": f"{result.problem}{way_out}", "code": result.code}


def _tell(results: Sequence[Mapping[str, str]], *, as_json: bool) -> None:
    from spark_actors.cli.output import print_json

    if as_json:
        print_json(results)
    else:
        for result in results:
            print(f"{result['letter']}: {result.get('result') or 'error: ' + result['error']}")
        print(f"{len(results)} dead letters")


def _address_of(letter: LetterLine | LetterResult) -> str:
    """Names it on the command line."""
    return f"{letter.context}/{letter.letter_id}"


def _as_json(letter: LetterLine) -> dict[str, Any]:
    """A letter with its content as JSON, or as text if it is none."""
    try:
        content = json.loads(letter.body)
    except ValueError:
        content = letter.body
    return {"letter": _address_of(letter), **asdict(letter), "body": content}
