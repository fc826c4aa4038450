"""`spark-actors view`: one question to the read models, and its answer."""

from __future__ import annotations

from typing import Annotated, get_type_hints

import typer

from spark_actors.cli.completion import view_names
from spark_actors.cli.errors import UsageMistakeError
from spark_actors.cli.options import (
    ConfigOption,
    DataDirOption,
    FieldsArgument,
    JsonOption,
    TimeoutOption,
    TokenFileOption,
)

EXAMPLES = """
Examples:

[bold]spark-actors view CONTEXT.VIEW some_id=17 limit=5[/]

[bold]spark-actors view CONTEXT.VIEW --json[/]

[bold]spark-actors messages CONTEXT.VIEW[/] shows how each is written.

It asks as the bearer of the token in --as FILE, else in [bold]SPARK_TOKEN[/], else as who has logged in, else as
operator.

Exit code: 0 found · 1 no such thing · 2 not understood · 3 no daemon. Views follow what happened a moment later.
"""


def view(
    name: Annotated[
        str,
        typer.Argument(
            metavar="CONTEXT.VIEW", help="As `spark-actors messages` lists them.", autocompletion=view_names
        ),
    ],
    fields: FieldsArgument = None,
    timeout: TimeoutOption = 10.0,
    as_json: JsonOption = False,
    token_file: TokenFileOption = None,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
) -> None:
    """Ask for a view."""
    from spark_actors.cli.acting import who_acts
    from spark_actors.cli.arguments import choose, parse_message
    from spark_actors.cli.daemon import Target
    from spark_actors.cli.output import console, print_json
    from spark_actors.cli.render import render_view
    from spark_actors.cli.vocabulary import queries
    from spark_actors.messaging.scrubbing import is_secret_name

    asked = choose(queries(), name)
    if secret := next((word for word in get_type_hints(asked) if is_secret_name(word)), ""):
        raise UsageMistakeError(f"{name} takes a {secret}, which is no word for a command line, as others can see it")
    query = parse_message(asked, fields or [])
    target = Target(data_dir, config)
    acting = who_acts(target.place, token_file)
    result = target.talk(lambda client: client.view(query, timeout=timeout), acting)
    if as_json:
        print_json(result)
    else:
        console().print(render_view(result, title=f"{name} as {acting.name}" if acting.is_chosen else name))
