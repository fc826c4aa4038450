"""`spark-actors completion`: the shell's tab key knows commands, options and the names of messages."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

EXAMPLES = """
[bold]source <(spark-actors completion bash)[/]  in ~/.bashrc

[bold]source <(spark-actors completion zsh)[/]  in ~/.zshrc, after compinit

[bold]spark-actors completion fish > ~/.config/fish/completions/spark-actors.fish[/]
"""
PROGRAM = "spark-actors"
VARIABLE = "_SPARK_ACTORS_COMPLETE"
"""Where the script says what is to be completed; the framework's name for this program."""


class Shell(StrEnum):
    """What can be completed in."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def completion(shell: Annotated[Shell, typer.Argument(help="Which shell.", show_default=False)]) -> None:
    """Print the script that completes commands with the tab key."""
    from typer.completion import get_completion_script  # type: ignore[attr-defined]  # its module re-exports it

    print(get_completion_script(prog_name=PROGRAM, complete_var=VARIABLE, shell=shell))


def prepare() -> None:
    """Make the program able to answer what the script asks: the framework does so only for scripts of its own."""
    from typer.completion import completion_init  # type: ignore[attr-defined]  # its module re-exports it

    completion_init()


def command_names(incomplete: str) -> list[str]:
    """Commands that begin so."""
    from spark_actors.cli.vocabulary import commands

    return [cls.TYPE.name for cls in commands() if cls.TYPE.name.startswith(incomplete)]


def view_names(incomplete: str) -> list[str]:
    """Views that begin so."""
    from spark_actors.cli.vocabulary import queries

    return [cls.TYPE.name for cls in queries() if cls.TYPE.name.startswith(incomplete)]


def message_names(incomplete: str) -> list[str]:
    """Messages of any kind that begin so."""
    from spark_actors.cli.vocabulary import registry

    return [cls.TYPE.name for cls in registry() if cls.TYPE.name.startswith(incomplete)]
