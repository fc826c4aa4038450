"""The `spark-actors` command."""


def main() -> None:
    """The entry point: imports the commands only when they are about to run."""
    from spark_actors.cli.app import main as start

    start()
