"""`spark-actors send`: one command to the daemon, and how it ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from spark_actors.cli.errors import ExitCode
from spark_actors.cli.options import (
    ConfigOption,
    DataDirOption,
    FieldsArgument,
    JsonOption,
    TimeoutOption,
    TokenFileOption,
)

if TYPE_CHECKING:
    from domain.shared.messages import Command
    from spark_actors.cli.daemon import Target
    from spark_actors.ingress.client import Answer

EXAMPLES = """
Examples:

[bold]spark-actors send crowdfunding.donate-to-campaign campaign_id=c1 donation_id=d1 account_id=a1 amount_sat=500[/]

[bold]spark-actors send bitcoin.request-deposit invoice_id=i1 account_id=alice amount_sat=10000 --no-wait[/]

Exit code: 0 done · 1 rejected or failed · 2 not understood · 3 no daemon, or no outcome in time
(the command is safe to send again under the same --id: it takes effect once).
"""


def send(
    command: Annotated[str, typer.Argument(metavar="CONTEXT.COMMAND", help="As `spark-actors messages` lists them.")],
    fields: FieldsArgument = None,
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
    timeout: TimeoutOption = 10.0,
    as_json: JsonOption = False,
    token_file: TokenFileOption = None,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
) -> None:
    """Send a command and see how it ends."""
    from uuid import uuid4

    from spark_actors.cli.arguments import choose, parse_message
    from spark_actors.cli.daemon import Target
    from spark_actors.cli.vocabulary import commands

    message = parse_message(choose(commands(), command), fields or [])
    target, message_id = Target(data_dir, config, token_file), message_id or str(uuid4())
    if wait:
        _show(_ask(target, message, message_id, correlation_id, timeout), as_json=as_json)
    else:
        _post(target, message, message_id, correlation_id, as_json=as_json)


def _ask(target: Target, message: Command, message_id: str, correlation_id: str | None, timeout: float) -> Answer:
    return target.talk(
        lambda client: client.send(message, message_id=message_id, correlation_id=correlation_id, timeout=timeout)
    )


def _post(target: Target, message: Command, message_id: str, correlation_id: str | None, *, as_json: bool) -> None:
    from spark_actors.cli.output import print_json

    target.talk(lambda client: client.post(message, message_id=message_id, correlation_id=correlation_id))
    if as_json:
        print_json({"id": message_id, "outcome": "sent"})
    else:
        print(f"sent as {message_id}")


def _show(answer: Answer, *, as_json: bool) -> None:
    from spark_actors.cli.output import console, print_json
    from spark_actors.cli.render import render_answer

    if as_json:
        print_json(
            {"id": answer.message_id, "outcome": answer.outcome, "reason": answer.reason, "data": dict(answer.data)}
        )
    else:
        console().print(render_answer(answer))
    if not answer.is_done:
        raise typer.Exit(ExitCode.REFUSED)
