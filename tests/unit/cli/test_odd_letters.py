"""What the command line prints where the terminal has fewer letters than people use."""

from __future__ import annotations

import io
import sys

import pytest
import typer

from spark_actors.cli.app import OneLineErrors


def test_a_letter_that_the_terminal_does_not_have_ends_no_command(monkeypatch: pytest.MonkeyPatch) -> None:
    printed = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(printed, encoding="ascii", write_through=True))
    program = typer.Typer(cls=OneLineErrors)
    program.callback()(lambda: None)
    program.command("say")(lambda: typer.echo("Größe", file=sys.stdout))
    with pytest.raises(SystemExit) as ended:
        program(["say"])
    assert ended.value.code == 0
    assert printed.getvalue() == b"Gr\\xf6\\xdfe\n"
