"""`spark-actors login`: a name and a password for a token."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spark_actors.cli.options import ConfigOption, DataDirOption, JsonOption

if TYPE_CHECKING:
    from domain.auth.messages import Session

EXAMPLES = """
Examples:

[bold]spark-actors login ada --save ada.token[/]  then  [bold]spark-actors send … --as ada.token[/]

[bold]token=$(spark-actors login ada < password-file)[/]

Exit code: 0 logged in · 1 wrong name or password, or too many tries · 3 no daemon.
"""


def login(
    username: Annotated[str, typer.Argument(help="The name that was signed up with.")],
    save: Annotated[
        Path | None,
        typer.Option("--save", help="Keep the token in this file (only you can read it).", metavar="FILE"),
    ] = None,
    as_json: JsonOption = False,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
) -> None:
    """Ask for a password (without echo; or read it from a pipe) and print, or keep, the token that it is good for."""
    from spark_actors.cli.daemon import Target
    from spark_actors.cli.output import moment, print_json
    from spark_actors.cli.password import ask_password

    password = ask_password(is_new=False)
    session: Session = Target(data_dir, config).talk(lambda client: client.acting_as("").log_in(username, password))
    if save is not None:
        from spark_actors.embedded.data_dir import write_private_file

        write_private_file(save, f"{session.token}\n")
    if as_json:
        told = {"account_id": session.account_id, "expires_at": session.expires_at}
        print_json(told if save else {**told, "token": session.token})
    elif save:
        print(f"logged in as {session.account_id} until {moment(session.expires_at)} UTC; the token is in {save}")
    else:
        print(session.token)
