"""The commands themselves; what takes time to import is imported by the command that needs it."""

from __future__ import annotations

import typer

from domain.cli import lightning, login
from domain.cli.demo import command as demo


def hash_password() -> None:
    """Ask for a password (without echo; or read it from a pipe) and print the hash that sign-up takes."""
    from domain.cli.password import ask_password
    from domain.cli.password import hash_password as hashed

    print(hashed(ask_password()))


def add_commands(app: typer.Typer) -> None:
    """Add them to the command line of the runtime."""
    app.command("demo", epilog=demo.EXAMPLES)(demo.demo)
    app.command("deposit", epilog=lightning.DEPOSIT_EXAMPLES)(lightning.deposit)
    app.command("give", epilog=lightning.GIVE_EXAMPLES)(lightning.give)
    app.command("withdraw", epilog=lightning.WITHDRAW_EXAMPLES)(lightning.withdraw)
    app.command("login", epilog=login.EXAMPLES)(login.login)
    app.command("hash-password")(hash_password)
