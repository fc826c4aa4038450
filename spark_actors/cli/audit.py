"""`spark-actors audit`: whether the books are right and nothing is stuck."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from spark_actors.cli.daemon import Target
from spark_actors.cli.errors import CliError, ExitCode
from spark_actors.cli.options import ConfigOption, DataDirOption, JsonOption, TokenFileOption

if TYPE_CHECKING:
    from rich.console import RenderableType

    from spark_actors.application import Application
    from spark_actors.cli.desk import Desk
    from spark_actors.persistence.audit import Check

LOOK_SECONDS = 0.5
"""How often it is looked whether an audit has ended that the daemon makes."""
EXAMPLES = """
Looks into the live databases; safe at any time, and it stops nobody.

Exit code: 0 all is well · 1 something is wrong, and what · 3 no daemon, and no databases in the settings.
"""


def audit(
    as_json: JsonOption = False,
    token_file: TokenFileOption = None,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
) -> None:
    """Check the books of the application, the sagas and what waits; say what is wrong."""
    from spark_actors.cli.output import console, print_json

    checks = run_audit(Target(data_dir, config), token_file)
    if as_json:
        print_json(audit_report(checks))
    else:
        console().print(render_audit(checks))
    if not is_passed(checks):
        raise typer.Exit(ExitCode.REFUSED)


def run_audit(target: Target, token_file: Path | None = None) -> Sequence[Check]:
    """The audit's checks, made here where the databases are known, or else by the daemon.

    Raises NoDaemonError if neither the databases nor a broker is known, StorageError, or CliError.
    """
    from spark_actors.cli.desk import DeskAtTables, desk_of

    desk = desk_of(target, token_file)
    return checks_of(target.application(), desk.dsn) if isinstance(desk, DeskAtTables) else _asked_for(desk)


def _asked_for(desk: Desk) -> Sequence[Check]:
    """Those that the daemon has made, which is waited for."""
    from spark_actors.operations.messages import ShowAudit
    from spark_actors.persistence.audit import Check, Finding

    state = desk.ask(ShowAudit(is_to_run=True))
    while state.is_running:
        time.sleep(LOOK_SECONDS)
        state = desk.ask(ShowAudit())
    if state.problem or state.ended_at is None:
        raise CliError(state.problem or "whoever made the audit was replaced meanwhile: ask again")
    return [
        Check(line.name, tuple(Finding(each.subject, each.detail) for each in line.findings), not line.is_passed)
        for line in state.checks
    ]


def checks_of(application: Application, dsn_by_schema: Mapping[str, str], **options: Any) -> Sequence[Check]:
    """Those of the runtime and of the application; *options* are those of `persistence.audit.audit`, which raises."""
    from spark_actors.persistence.audit import audit as check_databases

    contexts, own = [each.name for each in application.writing], application.audit and application.audit()
    return check_databases(dsn_by_schema, contexts, own, **options)


def is_passed(checks: Sequence[Check]) -> bool:
    """Whether nothing is wrong."""
    return all(check.is_passed for check in checks)


def audit_report(checks: Sequence[Check]) -> dict[str, Any]:
    """The audit for scripts."""
    return {
        "passed": is_passed(checks),
        "checks": [
            {"name": check.name, "passed": check.is_passed, "findings": list(map(asdict, check.findings))}
            for check in checks
        ],
    }


def render_audit(checks: Sequence[Check]) -> RenderableType:
    """The audit for people: each question with its answer, and what is wrong below it."""
    from rich.columns import Columns
    from rich.console import Group
    from rich.text import Text

    quiet = [check for check in checks if not check.findings]
    passed = Columns([Text.assemble(("✓ ", "green"), check.name) for check in quiet], padding=(0, 3), column_first=True)
    told = Text()
    for check in checks:
        if check.findings:
            mark, style = ("✓", "yellow") if check.is_passed else ("✗", "bold red")
            told.append(f"{mark} {check.name}\n", style=style)
        for finding in check.findings:
            told.append(f"    {finding.subject}: {finding.detail}\n", style="" if check.is_passed else "red")
    wrong = sum(not check.is_passed for check in checks)
    verdict = ("passed", "bold green") if not wrong else (f"failed: {wrong} of {len(checks)} checks", "bold red")
    title, end = Text("Audit", style="bold"), Text.assemble("The audit has ", verdict, ".")
    return Group(title, passed, *([told] if told else []), end)
