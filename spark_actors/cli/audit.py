"""`spark-actors audit`: whether the books are right and nothing is stuck."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import typer

from spark_actors.cli.daemon import Target, known_dsns
from spark_actors.cli.errors import ExitCode
from spark_actors.cli.options import ConfigOption, DataDirOption, JsonOption

if TYPE_CHECKING:
    from rich.console import RenderableType

    from spark_actors.application import Application
    from spark_actors.persistence.audit import Check

EXAMPLES = """
Looks into the live databases; safe at any time, and it stops nobody.

Exit code: 0 all is well · 1 something is wrong, and what · 3 no daemon, and no databases in the settings.
"""


def audit(as_json: JsonOption = False, data_dir: DataDirOption = None, config: ConfigOption = None) -> None:
    """Check the books of the application, the sagas and what waits; say what is wrong."""
    from spark_actors.cli.output import console, print_json

    checks = run_audit(Target(data_dir, config))
    if as_json:
        print_json(audit_report(checks))
    else:
        console().print(render_audit(checks))
    if not is_passed(checks):
        raise typer.Exit(ExitCode.REFUSED)


def run_audit(target: Target) -> Sequence[Check]:
    """The audit's checks. Raises NoDaemonError if nobody says where the databases are, or StorageError."""
    return checks_of(target.application(), known_dsns(target))


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
