"""`spark-actors migrate`: brings the databases up to this program's schema."""

from __future__ import annotations

from spark_actors.cli.daemon import Target, known_dsns
from spark_actors.cli.options import ConfigOption, DataDirOption, JsonOption

EXAMPLES = """
The daemon does this by itself when it starts. Here you do it beforehand, e.g. with a user that may change schemas:

[bold]SPARK_POSTGRES__DSN=postgresql://admin@db/spark spark-actors migrate[/]
"""


def migrate(as_json: JsonOption = False, data_dir: DataDirOption = None, config: ConfigOption = None) -> None:
    """Bring the databases up to date: those of the settings, or those of the running daemon."""
    from spark_actors.cli.output import print_json
    from spark_actors.persistence.migrations import migrate as apply

    target = Target(data_dir, config)
    applied = apply(target.application(), known_dsns(target))
    if as_json:
        print_json({"applied": [{"context": each.context, "name": each.name} for each in applied]})
        return
    for each in applied:
        print(f"applied {each}")
    print(f"{len(applied)} migrations applied" if applied else "all schemas are up to date")
