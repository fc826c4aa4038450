"""`spark-actors messages`: everything that can be sent, seen or asked for."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from spark_actors.cli.completion import message_names
from spark_actors.cli.options import JsonOption

if TYPE_CHECKING:
    from rich.console import RenderableType

    from spark_actors.kernel.messages import Message

EXAMPLES = """
Examples:

[bold]spark-actors messages CONTEXT.COMMAND[/]  its fields, its JSON Schema and an example

[bold]spark-actors messages --asyncapi > asyncapi.json[/]
"""
TITLES = {
    "command": "commands: publish them, or use `send`",
    "event": "events: what happened; they stay inside, and views show them",
    "query": "views: ask for them with `view`",
    "action": "actions: what operators have done; the commands of the command line that look alike send them",
}


def messages(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="Only this one, with its JSON Schema.", autocompletion=message_names),
    ] = None,
    as_json: JsonOption = False,
    asyncapi: Annotated[bool, typer.Option("--asyncapi", help="Print an AsyncAPI 3 document (JSON).")] = False,
) -> None:
    """List every command, event and view; with a name, show its fields, JSON Schema and an example."""
    from spark_actors.cli.arguments import choose
    from spark_actors.cli.output import console, print_json
    from spark_actors.cli.vocabulary import application
    from spark_actors.messaging import catalogue
    from spark_actors.version import version

    of = application()
    if asyncapi:
        print_json(catalogue.asyncapi(of.registry, of.examples, title=of.name, version=version()))
        return
    chosen = choose(of.registry, name) if name else None
    if as_json:
        entries = [asdict(entry) for entry in catalogue.entries(of.registry, of.examples) if name in (None, entry.name)]
        print_json(entries[0] if chosen else entries)
    else:
        console().print(_details(chosen) if chosen else _overview())


def _overview() -> RenderableType:
    from rich.console import Group
    from rich.table import Table

    from spark_actors.cli.vocabulary import registry

    tables = []
    for kind, title in TITLES.items():
        table = Table(title=title, title_justify="left", title_style="bold", show_header=False, box=None)
        table.add_column(style="cyan", no_wrap=True)
        table.add_column(overflow="fold")
        for cls in sorted((cls for cls in registry() if cls.TYPE.kind == kind), key=lambda cls: cls.TYPE.name):
            table.add_row(cls.TYPE.name, (cls.__doc__ or "").partition("\n")[0])
        tables.append(table)
    return Group(*tables)


def _details(cls: type[Message]) -> RenderableType:
    from rich.console import Group
    from rich.json import JSON
    from rich.panel import Panel
    from rich.text import Text

    from spark_actors.cli.vocabulary import application
    from spark_actors.messaging import catalogue

    of = application()
    entry = next(entry for entry in catalogue.entries(of.registry, of.examples) if entry.name == cls.TYPE.name)
    facts = Text()
    for label, value in (
        ("subject", entry.subject),
        ("type", entry.type),
        ("key", entry.key_field),
        ("sent by", entry.sent_by),
        ("rejected", ", ".join(entry.reasons)),
    ):
        if value:
            facts.append(f"{label:<9}", style="dim").append(f"{value}\n")
    parts: list[RenderableType] = [Text(entry.description), Text(), facts, Text(_command_line(cls), style="bold")]
    parts.append(Panel(JSON.from_data(entry.schema), title="JSON Schema", title_align="left", border_style="dim"))
    parts.append(Panel(JSON.from_data(entry.example), title="example", title_align="left", border_style="dim"))
    if entry.result_schema:
        parts.append(Panel(JSON.from_data(entry.result_schema), title="answer", title_align="left", border_style="dim"))
    return Group(Text.assemble((entry.name, "bold cyan"), f"  {entry.kind}"), *parts)


def _command_line(cls: type[Message]) -> str:
    """How it is written on the command line; empty for an event."""
    from spark_actors.cli.arguments import usage

    verbs = {"command": "send", "query": "view"}
    return f"spark-actors {verbs[cls.TYPE.kind]} {usage(cls)}" if cls.TYPE.kind in verbs else ""
