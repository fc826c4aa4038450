"""`python -m tests.lab`: the commands of the laboratory, which `scripts/` start."""

from __future__ import annotations

import typer

from spark_actors.cli.app import HELP_NAMES, OneLineErrors
from tests.lab.bench import command as bench
from tests.lab.chaos import command as chaos

app = typer.Typer(
    cls=OneLineErrors,
    context_settings=HELP_NAMES,
    rich_markup_mode="rich",
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("bench", epilog=bench.EXAMPLES)(bench.bench)
app.command("chaos", epilog=chaos.EXAMPLES)(chaos.chaos)

if __name__ == "__main__":
    app(prog_name="scripts")
