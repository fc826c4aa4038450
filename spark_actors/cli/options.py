"""The options that many commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

DataDirOption: TypeAlias = Annotated[
    Path | None,
    typer.Option("--data-dir", help="The daemon's folder (default: .spark).", show_default=False, metavar="FOLDER"),
]
ConfigOption: TypeAlias = Annotated[
    Path | None,
    typer.Option("--config", help="A TOML file with settings.", show_default=False, metavar="FILE"),
]
TokenFileOption: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--as",
        help="A file with a token, as `token issue` prints it: act with it.",
        show_default=False,
        metavar="FILE",
    ),
]
JsonOption: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
TimeoutOption: TypeAlias = Annotated[float, typer.Option("--timeout", help="Seconds to wait for the answer.", min=0.1)]
WhyOption: TypeAlias = Annotated[str, typer.Option("--why", help="Kept with the action.", metavar="TEXT")]
ContextOption: TypeAlias = Annotated[
    str | None, typer.Option("--context", help="Only of this context.", metavar="CONTEXT")
]
ReasonOption: TypeAlias = Annotated[
    str | None, typer.Option("--reason", help="Only where the reason begins like this.", metavar="TEXT")
]
NameOption: TypeAlias = Annotated[
    str | None, typer.Option("--name", help="Only messages of this name.", metavar="CONTEXT.MESSAGE")
]
KeyOption: TypeAlias = Annotated[str | None, typer.Option("--key", help="Only of this key.", metavar="KEY")]
SubscriberOption: TypeAlias = Annotated[
    str | None,
    typer.Option("--for", "--subscriber", help="Only `commands`, or events for this context.", metavar="SUBSCRIBER"),
]
SinceOption: TypeAlias = Annotated[
    str | None, typer.Option("--since", help="Only since this moment (RFC 3339).", metavar="MOMENT")
]
LimitOption: TypeAlias = Annotated[int, typer.Option("--limit", help="How many at most.", min=1, max=10_000)]
EvenIfOldOption: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--even-if-old",
        help="Also what is older than the inbox remembers, which might take effect twice: you have looked.",
    ),
]
ByOption: TypeAlias = Annotated[
    str | None, typer.Option("--by", help="Who acts (default: who is logged in).", show_default=False, metavar="NAME")
]
FieldsArgument: TypeAlias = Annotated[
    list[str] | None, typer.Argument(metavar="FIELD=VALUE…", help="The fields, by name.", show_default=False)
]
