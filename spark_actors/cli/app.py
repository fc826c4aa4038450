"""The commands put together. Modules that take time to import are imported by the command that needs them."""

from __future__ import annotations

import io
import sys
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from domain.shared.errors import SparkError
from spark_actors.cli import (
    audit,
    bench,
    chaos,
    dead_letters,
    keys,
    login,
    migrate,
    run,
    sagas,
    send,
    status,
    token,
    view,
)
from spark_actors.cli import messages as messages_
from spark_actors.cli.demo import command as demo
from spark_actors.cli.errors import CliError, ExitCode

HELP_NAMES = {"help_option_names": ["-h", "--help"]}


class OneLineErrors(TyperGroup):
    """Says what went wrong in one line on standard error, and with the exit code: never a traceback."""

    def main(self, *args: Any, **extra: Any) -> Any:
        if isinstance(sys.stdout, io.TextIOWrapper):  # a letter that the terminal does not have ends no command
            sys.stdout.reconfigure(errors="backslashreplace")
        try:
            code = super().main(*args, **{**extra, "standalone_mode": False})
        except typer.TyperException as error:
            _fail(f"{error.format_message()}{_hint(error)}", error.exit_code)
        except typer.Abort:
            _fail("stopped", 130)
        except SparkError as error:
            _fail(str(error), exit_code_of(error))
        except Exception as error:  # noqa: BLE001 - the top of the program: whatever it is, people get one line
            _fail(f"this should not happen ({type(error).__name__}: {error})", ExitCode.REFUSED)
        sys.exit(code if isinstance(code, int) else ExitCode.DONE)


def exit_code_of(error: SparkError) -> int:
    """The exit code for an error that ends a command."""
    if isinstance(error, CliError):
        return error.exit_code
    return _NAMED_CODES.get(type(error).__name__, ExitCode.REFUSED)


_NAMED_CODES = {
    "SettingsError": ExitCode.USAGE,
    "UnreachableError": ExitCode.NO_DAEMON,
    "NotAcceptedError": ExitCode.NO_DAEMON,
    "OutcomeUnknownError": ExitCode.NO_DAEMON,
    "ViewTimeoutError": ExitCode.NO_DAEMON,
}
"""By name, because importing their modules takes time that most commands can do without."""


def _hint(error: typer.TyperException) -> str:
    """Where to read how it is done, if the command is known that was meant."""
    context = getattr(error, "ctx", None)
    return f" (see `{context.command_path} -h`)" if context is not None else ""


def _fail(text: str, code: int) -> NoReturn:
    print(f"error: {'; '.join(text.split(chr(10)))}", file=sys.stderr)
    sys.exit(code)


app = typer.Typer(
    cls=OneLineErrors,
    context_settings=HELP_NAMES,
    rich_markup_mode="rich",
    add_completion=False,
    pretty_exceptions_enable=False,
    epilog="Start with [bold]spark-actors run[/] in one terminal and [bold]spark-actors demo[/] in another.",
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from spark_actors.version import version

        print(f"spark-actors {version()}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def spark_actors(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Satoshi Spark on actors: crowdfunding over Lightning, with every satoshi accounted for."""
    _help_if_alone(context)


def _help_if_alone(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        print(context.get_help())


def hash_password() -> None:
    """Ask for a password (without echo; or read it from a pipe) and print the hash that sign-up takes."""
    from spark_actors.cli.password import ask_password
    from spark_actors.cli.password import hash_password as hashed

    print(hashed(ask_password()))


def _group(name: str, help_: str, epilog: str = "") -> typer.Typer:
    """A command that is made of commands; it belongs to the app already."""
    group = typer.Typer(
        help=help_,
        context_settings=HELP_NAMES,
        callback=_help_if_alone,
        invoke_without_command=True,
        rich_markup_mode="rich",
        epilog=epilog,
    )
    app.add_typer(group, name=name)
    return group


app.command("run", epilog=run.EXAMPLES)(run.run)
app.command("demo", epilog=demo.EXAMPLES)(demo.demo)
app.command("send", epilog=send.EXAMPLES)(send.send)
app.command("view", epilog=view.EXAMPLES)(view.view)
app.command("status", epilog=status.EXAMPLES)(status.status)

_sagas = _group("sagas", "Look at sagas: sign-ups, deposits, donations, withdrawals and how far each has come.")
_sagas.command("list", epilog=sagas.LIST_EXAMPLES)(sagas.list_sagas)
_sagas.command("show", epilog=sagas.SHOW_EXAMPLES)(sagas.show_saga)

_dead_letters = _group(
    "dead-letters", "Messages that nobody could take: look at them, have them handled again, mend or discard them."
)
_dead_letters.command("list", epilog=dead_letters.LIST_EXAMPLES)(dead_letters.list_letters)
_dead_letters.command("show")(dead_letters.show_letter)
_dead_letters.command("actions")(dead_letters.list_actions)
_dead_letters.command("retry", epilog=dead_letters.ACT_EXAMPLES)(dead_letters.retry_letters)
_dead_letters.command("edit", epilog=dead_letters.EDIT_EXAMPLES)(dead_letters.edit_letter)
_dead_letters.command("discard", epilog=dead_letters.ACT_EXAMPLES)(dead_letters.discard_letters)

_keys = _group(
    "keys", "Keys whose messages wait, because the first of them failed or an operator wants it so.", keys.EXAMPLES
)
_keys.command("list")(keys.list_keys)
_keys.command("pause")(keys.pause_key)
_keys.command("resume")(keys.resume_key)
_keys.command("skip")(keys.skip_key)

app.command("audit", epilog=audit.EXAMPLES)(audit.audit)
app.command("messages", epilog=messages_.EXAMPLES)(messages_.messages)
app.command("migrate", epilog=migrate.EXAMPLES)(migrate.migrate)
app.command("bench", epilog=bench.EXAMPLES)(bench.bench)
app.command("chaos", epilog=chaos.EXAMPLES)(chaos.chaos)
app.command("hash-password")(hash_password)
app.command("login", epilog=login.EXAMPLES)(login.login)

_tokens = _group("token", "Make tokens for services and operators, and the keys that sign them.")
_tokens.command("issue", epilog=token.ISSUE_EXAMPLES)(token.issue)
_tokens.command("new-key", epilog=token.NEW_KEY_EXAMPLES)(token.new_key)


def main() -> None:
    """The entry point of `spark-actors`."""
    app(prog_name="spark-actors")
