"""`spark-actors tasks`: what is to be done outside or later, when, and what stood in the way."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from spark_actors.cli.daemon import Target
from spark_actors.cli.desk import check_context, desk_of
from spark_actors.cli.options import (
    ConfigOption,
    ContextOption,
    DataDirOption,
    JsonOption,
    KeyOption,
    LimitOption,
    TokenFileOption,
)

EXAMPLES = """
A task is tried again until there is a final answer, ever more slowly, every half a minute in the end. It is never given
up: what stands in the way is to be mended.

Examples:

[bold]spark-actors tasks --failing[/]

[bold]spark-actors tasks --key KEY --json[/]
"""


def tasks(
    context: ContextOption = None,
    key: KeyOption = None,
    failing: Annotated[bool, typer.Option("--failing", help="Only those with which something was wrong.")] = False,
    limit: LimitOption = 50,
    as_json: JsonOption = False,
    token_file: TokenFileOption = None,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
) -> None:
    """List durable tasks, those that have waited longest first: what is to be done outside, or later."""
    from spark_actors.cli.output import console, print_json
    from spark_actors.cli.render import render_rows
    from spark_actors.operations.messages import ListTasks

    check_context(context, has_keys=True)
    asked = ListTasks(context or "", key or "", is_failing=failing, limit=limit)
    rows = desk_of(Target(data_dir, config), token_file).ask(asked).tasks
    if as_json:
        print_json([asdict(row) for row in rows])
    else:
        shown = [
            {
                "task": row.name,
                "key": row.key,
                "since": row.since,
                "next try": row.due_at,
                "attempts": row.attempts,
                "problem": row.problem,
                "correlation_id": row.correlation_id,
            }
            for row in rows
        ]
        console().print(render_rows(shown, title="tasks") if shown else "nothing is to be done")
