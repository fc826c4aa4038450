"""`spark-actors login`: a name and a password for a token."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spark_actors.cli.errors import UsageMistakeError
from spark_actors.cli.options import ConfigOption, DataDirOption, JsonOption

if TYPE_CHECKING:
    from domain.auth.messages import Session
    from spark_actors.cli.daemon import Target

EXAMPLES = """
Examples:

[bold]spark-actors login ada[/]  then  [bold]spark-actors send …[/]  acts as ada, until  [bold]spark-actors logout[/]

[bold]spark-actors login ada --save ada.token[/]  then  [bold]spark-actors send … --as ada.token[/]

[bold]export SPARK_TOKEN=$(spark-actors login ada --print < password-file)[/]

Exit code: 0 logged in · 1 wrong name or password, or too many tries · 3 no daemon.
"""


def login(
    username: Annotated[str, typer.Argument(help="The name that was signed up with.")],
    save: Annotated[
        Path | None,
        typer.Option("--save", help="Keep the token in this file instead (only you can read it).", metavar="FILE"),
    ] = None,
    print_: Annotated[bool, typer.Option("--print", help="Print the token instead, and keep it nowhere.")] = False,
    as_json: JsonOption = False,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
) -> None:
    """Ask for a password (without echo; or read it from a pipe), and act as who it is from now on."""
    from domain.cli.password import ask_password
    from domain.cli.session import log_in
    from spark_actors.cli.daemon import Target
    from spark_actors.cli.output import moment, print_json

    if save is not None and print_:
        raise UsageMistakeError("--save keeps the token in a file, --print prints it: choose one")
    target, password = Target(data_dir, config), ask_password(is_new=False)
    session: Session = target.talk(lambda client: log_in(client.acting_as(""), username, password))
    kept_in = None if print_ else _keep(target, session, save)
    if as_json:
        told = {"account_id": session.account_id, "expires_at": session.expires_at}
        print_json({**told, "token": session.token} if print_ else {**told, "kept_in": str(kept_in)})
    elif print_:
        print(session.token)
    else:
        print(f"logged in as {session.account_id} until {moment(session.expires_at)} UTC; the token is in {kept_in}")


def _keep(target: Target, session: Session, file: Path | None) -> Path:
    """Keep the token in *file*, or else among the logins; gives where it is."""
    from spark_actors.cli.acting import Logins, RememberedLogin
    from spark_actors.embedded.data_dir import write_private_file

    if file is not None:
        write_private_file(file, f"{session.token}\n")
        return file
    logins = Logins()
    logins.keep(target.place, RememberedLogin(session.account_id, session.expires_at.isoformat(), session.token))
    return logins.file
