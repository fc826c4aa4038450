"""`spark-actors run`: the daemon, in the foreground."""

from __future__ import annotations

import typer

from spark_actors.cli.daemon import Target
from spark_actors.cli.options import ConfigOption, DataDirOption

EXAMPLES = """
Everything it needs is built in and lives in the data dir: Postgres, NATS, Ray. When all is up it prints one line with
the word ready. Ctrl-C finishes what is under way and stops; a second Ctrl-C stops at once (nothing is lost).

With servers of your own: set [bold]SPARK_POSTGRES__DSN[/], [bold]SPARK_NATS__URL[/], [bold]SPARK_RAY__ADDRESS[/]
(or name them in a file, with --config).
"""


def run(data_dir: DataDirOption = None, config: ConfigOption = None) -> None:
    """Start the daemon and stay in the foreground."""
    settings = Target(data_dir, config).settings()
    from spark_actors.daemon import run_daemon  # takes a moment: only after the settings have proved good

    raise typer.Exit(run_daemon(settings))
