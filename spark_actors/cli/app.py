"""The commands put together. Modules that take time to import are imported by the command that needs them."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from spark_actors.cli import (
    audit,
    cluster,
    completion,
    dead_letters,
    identity,
    keys,
    logs,
    migrate,
    run,
    sagas,
    send,
    status,
    tasks,
    token,
    upgrade,
    view,
    web,
)
from spark_actors.cli import messages as messages_
from spark_actors.cli.errors import EXIT_CODES, CliError, ExitCode, exit_code_of, one_line
from spark_actors.cli.options import ConfigOption, DataDirOption, JsonOption, TokenFileOption
from spark_actors.cli.vocabulary import application
from spark_actors.kernel.errors import SparkError

HELP_NAMES = {"help_option_names": ["-h", "--help"]}
SHARED_OPTIONS = {"data_dir": "--data-dir", "config": "--config", "token_file": "--as", "as_json": "--json"}
"""Options that may stand before the command too, by the name of their parameter."""
EPILOG = f"""
Start with [bold]spark-actors run[/] in one terminal; the other commands speak with it from another.

Exit code: {" · ".join(f"{code.value} {text}" for code, text in EXIT_CODES.items())}.

What a command was asked for is on standard output, what went wrong on standard error; with --json both are JSON.
"""


class CommandGroup(TyperGroup):
    """A command that is made of commands. Shared options that stand before the command are handed on to it."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As if those options stood right behind the command: one that does not take them says so itself."""
        super().parse_args(ctx, args)
        ctx.args = [*_as_words(ctx.params), *ctx.args]
        rest: list[str] = ctx.args
        return rest


class OneLineErrors(CommandGroup):
    """Says what went wrong in one line on standard error, and with the exit code: never a traceback."""

    def main(self, *args: Any, **extra: Any) -> Any:
        completion.prepare()
        words: Sequence[str] | None = args[0] if args else extra.get("args")
        as_json = "--json" in (sys.argv[1:] if words is None else words)
        if isinstance(sys.stdout, io.TextIOWrapper):  # a letter that the terminal does not have ends no command
            sys.stdout.reconfigure(errors="backslashreplace")
        try:
            code = super().main(*args, **{**extra, "standalone_mode": False})
        except typer.TyperException as error:
            mistake = " ".join(error.format_message().split())
            _fail(f"{mistake}{_hint(error)}", ExitCode.USAGE, as_json=as_json)
        except typer.Abort:
            _fail("stopped", ExitCode.STOPPED, as_json=as_json)
        except SparkError as error:
            _fail(one_line(str(error)), exit_code_of(error), as_json=as_json, **_fields(error))
        except Exception as error:  # noqa: BLE001 - the top of the program: whatever it is, people get one line
            detail = one_line(f"{type(error).__name__}: {error}")
            _fail(f"this should not happen ({detail})", ExitCode.BUG, as_json=as_json)
        sys.exit(code if isinstance(code, int) else ExitCode.DONE)


def _as_words(params: Mapping[str, Any]) -> list[str]:
    """The shared options among *params*, as they are written."""
    words: list[str] = []
    for name, option in SHARED_OPTIONS.items():
        value = params.get(name)
        if value is True:
            words.append(option)
        elif value:
            words += [option, str(value)]
    return words


def _fields(error: SparkError) -> Mapping[str, Any]:
    """What JSON tells of an error besides its text."""
    if isinstance(error, CliError):
        return error.fields
    reason = getattr(error, "code", "")  # of a view that was refused, e.g. `not_found`
    return {"reason": reason} if reason else {}


def _hint(error: typer.TyperException) -> str:
    """Where to read how it is done, if the command is known that was meant."""
    context = getattr(error, "ctx", None)
    return f" (see `{context.command_path} -h`)" if context is not None else ""


def _fail(text: str, code: ExitCode, *, as_json: bool, **fields: Any) -> NoReturn:
    if as_json:
        told = {"code": code.word, "exit_code": code.value, "detail": text, **fields}
        print(json.dumps({"error": told}, ensure_ascii=False), file=sys.stderr)
    else:
        print(f"error: {text}", file=sys.stderr)
    sys.exit(code)


app = typer.Typer(
    cls=OneLineErrors,
    context_settings=HELP_NAMES,
    rich_markup_mode="rich",
    add_completion=False,
    pretty_exceptions_enable=False,
    epilog=EPILOG,
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
    as_json: JsonOption = False,
    token_file: TokenFileOption = None,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
) -> None:
    """A daemon that processes messages with actors, exactly once in effect, and what operators need for it."""
    _help_if_alone(context)


def _help_if_alone(
    context: typer.Context,
    as_json: JsonOption = False,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
) -> None:
    if context.invoked_subcommand is None:
        print(context.get_help())


def _group(name: str, help_: str, epilog: str = "") -> typer.Typer:
    """A command that is made of commands; it belongs to the app already."""
    group = typer.Typer(
        cls=CommandGroup,
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
app.command("send", epilog=send.EXAMPLES)(send.send)
app.command("view", epilog=view.EXAMPLES)(view.view)
app.command("status", epilog=status.EXAMPLES)(status.status)
app.command("web", epilog=web.EXAMPLES)(web.web)

app.command("node", epilog=cluster.NODE_EXAMPLES)(cluster.node)
app.command("prepare-node", epilog=cluster.PREPARE_EXAMPLES)(cluster.prepare_node)
app.command("nodes")(cluster.nodes)
app.command("drain", epilog=cluster.DRAIN_EXAMPLES)(cluster.drain)
app.command("move", epilog=cluster.MOVE_EXAMPLES)(cluster.move)
app.command("logs", epilog=logs.EXAMPLES)(logs.logs)
app.command("scale", epilog=cluster.SCALE_EXAMPLES)(cluster.scale)
app.command("upgrade", epilog=upgrade.UPGRADE_EXAMPLES)(upgrade.upgrade)
app.command("reload", epilog=upgrade.RELOAD_EXAMPLES)(upgrade.reload)

_sagas = _group("sagas", "Look at sagas: the stories under way, and how far each has come.")
_sagas.command("list", epilog=sagas.LIST_EXAMPLES)(sagas.list_sagas)
_sagas.command("show", epilog=sagas.SHOW_EXAMPLES)(sagas.show_saga)

app.command("tasks", epilog=tasks.EXAMPLES)(tasks.tasks)

_dead_letters = _group(
    "dead-letters", "Messages that nobody could take: look at them, have them handled again, mend or discard them."
)
_dead_letters.command("list", epilog=dead_letters.LIST_EXAMPLES)(dead_letters.list_letters)
_dead_letters.command("show")(dead_letters.show_letter)
_dead_letters.command("actions", hidden=True)(dead_letters.list_actions)  # its name of old
_dead_letters.command("retry", epilog=dead_letters.ACT_EXAMPLES)(dead_letters.retry_letters)
_dead_letters.command("edit", epilog=dead_letters.EDIT_EXAMPLES)(dead_letters.edit_letter)
_dead_letters.command("discard", epilog=dead_letters.ACT_EXAMPLES)(dead_letters.discard_letters)

app.command("actions")(dead_letters.list_actions)

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
app.command("logout")(identity.logout)
app.command("whoami")(identity.whoami)
app.command("completion", epilog=completion.EXAMPLES)(completion.completion)

_tokens = _group("token", "Make tokens for services and operators, and the keys that sign them.")
_tokens.command("issue", epilog=token.ISSUE_EXAMPLES)(token.issue)
_tokens.command("new-key", epilog=token.NEW_KEY_EXAMPLES)(token.new_key)


def main() -> None:
    """The entry point of `spark-actors`, with what the application adds."""
    try:
        app = whole_app()
    except SparkError as error:
        _fail(one_line(str(error)), exit_code_of(error), as_json="--json" in sys.argv)
    app(prog_name="spark-actors")


@cache
def whole_app() -> typer.Typer:
    """The commands of the runtime, and those of the application that the environment names, or of the usual one."""
    application().add_commands(app)
    return app
