"""`spark-actors run`: the daemon, in the foreground."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from spark_actors.cli.daemon import Target
from spark_actors.cli.errors import UsageMistakeError
from spark_actors.cli.options import ConfigOption, DataDirOption

if TYPE_CHECKING:
    from config.settings import Settings

EXAMPLES = """
Everything it needs is built in and lives in the data dir: Postgres, NATS, Ray. When all is up it prints one line with
the word ready. Ctrl-C finishes what is under way and stops; a second Ctrl-C stops at once (nothing is lost).

With servers of your own: set [bold]SPARK_POSTGRES__DSN[/], [bold]SPARK_NATS__URL[/], [bold]SPARK_RAY__ADDRESS[/]
(or name them in a file, with --config).

As the head of a cluster: [bold]spark-actors run --listen 10.0.0.1[/], and on the other machines
[bold]spark-actors node[/].
"""


def run(
    listen: Annotated[
        str | None,
        typer.Option("--listen", help="This machine's address, at which nodes join.", show_default=False),
    ] = None,
    standby: Annotated[
        bool, typer.Option("--standby", help="While another daemon works on the tables, wait; take over when it ends.")
    ] = False,
    new_keys: Annotated[
        bool,
        typer.Option(
            "--new-keys", help="Start with none of the keys that were in use: what they signed, and waits, is refused."
        ),
    ] = False,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
) -> None:
    """Start the daemon and stay in the foreground."""
    target = Target(data_dir, config)

    def read() -> Settings:
        return target.settings(cluster__listen=listen)

    if read().needs_embedded_postgres and standby:
        raise UsageMistakeError("--standby is for a Postgres that outlives this machine: set postgres.dsn")
    from spark_actors.daemon import Manner, run_daemon  # takes a moment: only after the settings have proved good

    raise typer.Exit(run_daemon(read, manner=Manner(is_standby=standby, takes_new_keys=new_keys)))
