"""`spark-actors send`: one command to the daemon, and how it ended."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from spark_actors.cli.completion import command_names
from spark_actors.cli.errors import ExitCode, OutcomeUnsureError, StoppedError, UsageMistakeError
from spark_actors.cli.options import (
    ConfigOption,
    DataDirOption,
    FieldsArgument,
    JsonOption,
    TimeoutOption,
    TokenFileOption,
)
from spark_actors.kernel.decisions import Verdict

if TYPE_CHECKING:
    from spark_actors.cli.acting import Acting
    from spark_actors.cli.daemon import Target
    from spark_actors.ingress.client import Answer, SparkClient
    from spark_actors.kernel.messages import Command

T = TypeVar("T")
EXAMPLES = """
Examples:

[bold]spark-actors send CONTEXT.COMMAND order_id=17 amount=500[/]

[bold]spark-actors send CONTEXT.COMMAND order_id=17 amount=500 --no-wait[/]

[bold]echo '{"order_id": "17", "amount": 500}' | spark-actors send CONTEXT.COMMAND --data -[/]

[bold]spark-actors messages CONTEXT.COMMAND[/] shows how each is written.

Exit code: 0 done · 1 failed, or not yours to send · 2 not understood · 3 no daemon, nothing was sent · 4 rejected by
the business · 5 parked: it waits durably and will be handled · 6 sent, and how it ended is not known: it is safe to
send it again under the same --id, under which it takes effect once.

It acts as the bearer of the token in --as FILE, else in [bold]SPARK_TOKEN[/], else as who has logged in
([bold]spark-actors whoami[/] says who that is), else as the operator of the daemon on this machine.
"""
EXIT_CODE_OF = {
    Verdict.DONE: ExitCode.DONE,
    Verdict.REJECTED: ExitCode.REJECTED,
    Verdict.FAILED: ExitCode.REFUSED,
    Verdict.PARKED: ExitCode.PARKED,
}


@dataclass(frozen=True)
class _Order:
    """A command that is to be sent, and by whom."""

    command: Command
    acting: Acting
    message_id: str
    correlation_id: str | None
    why: str


def send(
    command: Annotated[
        str,
        typer.Argument(
            metavar="CONTEXT.COMMAND", help="As `spark-actors messages` lists them.", autocompletion=command_names
        ),
    ],
    fields: FieldsArgument = None,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data", help="A file with all fields as JSON (`-`: standard input).", metavar="FILE", allow_dash=True
        ),
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Wait for the outcome, or only until it is stored.")
    ] = True,
    message_id: Annotated[
        str | None,
        typer.Option("--id", help="Message id: sent again under the same id, it takes effect once.", metavar="ID"),
    ] = None,
    correlation_id: Annotated[
        str | None,
        typer.Option("--correlation-id", help="The story it belongs to (default: its own id).", metavar="ID"),
    ] = None,
    why: Annotated[
        str, typer.Option("--why", help="Kept with what an operator does by hand.", metavar="TEXT", show_default=False)
    ] = "",
    timeout: TimeoutOption = 10.0,
    as_json: JsonOption = False,
    token_file: TokenFileOption = None,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
) -> None:
    """Send a command and see how it ends."""
    from uuid import uuid4

    from spark_actors.cli.acting import who_acts
    from spark_actors.cli.arguments import choose, parse_json, parse_message
    from spark_actors.cli.daemon import Target
    from spark_actors.cli.vocabulary import commands

    cls = choose(commands(), command)
    if data is not None and fields:
        raise UsageMistakeError("give the fields as words or with --data, not both")
    if message_id is not None and not message_id.strip():
        raise UsageMistakeError("--id: expected an id, got nothing")
    message = parse_json(cls, data) if data is not None else parse_message(cls, fields or [])
    target = Target(data_dir, config)
    order = _Order(message, who_acts(target.place, token_file), message_id or str(uuid4()), correlation_id, why.strip())
    if wait:
        _show(order, _ask(target, order, timeout), as_json=as_json)
    else:
        _post(target, order, as_json=as_json)


def _ask(target: Target, order: _Order, timeout: float) -> Answer:
    return _talk(
        target,
        order,
        lambda client: client.send(
            order.command,
            message_id=order.message_id,
            correlation_id=order.correlation_id,
            why=order.why,
            timeout=timeout,
        ),
    )


def _post(target: Target, order: _Order, *, as_json: bool) -> None:
    from spark_actors.cli.output import print_json

    _talk(
        target,
        order,
        lambda client: client.post(
            order.command, message_id=order.message_id, correlation_id=order.correlation_id, why=order.why
        ),
    )
    if as_json:
        print_json({"id": order.message_id, "outcome": "sent", "as": order.acting.name})
    else:
        print(f"sent as {order.message_id}{_by(order.acting)}")


def _talk(target: Target, order: _Order, say: Callable[[SparkClient], Awaitable[T]]) -> T:
    """What the client answers. Whatever goes wrong once there is a connection, the command may have been sent."""
    from spark_actors.ingress.client import ClientError

    is_connected = False

    async def conversation(client: SparkClient) -> T:
        nonlocal is_connected
        is_connected = True
        return await say(client)

    try:
        return target.talk(conversation, order.acting)
    except ClientError as error:
        if not is_connected:
            raise
        raise OutcomeUnsureError(order.message_id, str(error)) from error
    except KeyboardInterrupt:
        if not is_connected:
            raise
        raise StoppedError(order.message_id, "stopped before the outcome was known") from None


def _show(order: _Order, answer: Answer, *, as_json: bool) -> None:
    from spark_actors.cli.output import console, print_json
    from spark_actors.cli.render import render_answer
    from spark_actors.messaging.identity import WHY_REQUIRED

    if as_json:
        told = {"id": answer.message_id, "outcome": answer.outcome, "reason": answer.reason, "data": dict(answer.data)}
        print_json({**told, "as": order.acting.name})
    else:
        console().print(render_answer(answer).append(_by(order.acting), style="dim"))
        if answer.reason == WHY_REQUIRED:
            print(f"say why: send it again with --why TEXT, which is kept with it (--id {order.message_id})")
    if not answer.is_done:
        raise typer.Exit(EXIT_CODE_OF[answer.outcome])


def _by(acting: Acting) -> str:
    """Who it was sent as, if that was chosen by somebody: a login may have been forgotten."""
    return f"  as {acting.name} ({acting.source})" if acting.is_chosen else ""
