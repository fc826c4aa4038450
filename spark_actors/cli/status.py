"""`spark-actors status`: whether the daemon is well, and what waits."""

from __future__ import annotations

import json
from typing import Any

import typer

from spark_actors.cli.daemon import Daemon, Target
from spark_actors.cli.errors import ExitCode, NoDaemonError
from spark_actors.cli.options import ConfigOption, DataDirOption, JsonOption

HTTP_SECONDS = 5
EXAMPLES = """
Exit code: 0 ready · 1 running, but not able to do all its work · 3 no daemon.
"""


def status(as_json: JsonOption = False, data_dir: DataDirOption = None, config: ConfigOption = None) -> None:
    """Say whether the daemon is ready, what its actors say, and what waits in its outboxes."""
    from spark_actors.cli.output import print_json

    daemon = Target(data_dir, config).find()
    report = status_report(daemon)
    if as_json:
        print_json(report)
    else:
        _show(report)
    if not report["ready"]:
        raise typer.Exit(ExitCode.REFUSED)


def status_report(daemon: Daemon) -> dict[str, Any]:
    """What the daemon says of itself, with what waits in its databases if they are known here. Raises NoDaemonError."""
    base = daemon.metrics_url.removesuffix("/").removesuffix("/metrics")
    if not base:
        raise NoDaemonError("where the daemon's status is to be had is not known: set http.host and http.port")
    report = get_json(f"{base}/readyz")
    return {
        "ready": bool(report.get("ready")),
        "pid": daemon.pid,
        "version": daemon.version,
        "started_at": daemon.started_at,
        "nats_url": daemon.nats_url,
        "metrics_url": daemon.metrics_url,
        "parts": report.get("parts", {}),
        "status": get_json(f"{base}/status"),
        "backlog": _backlog(daemon),
    }


def get_json(url: str) -> dict[str, Any]:
    """The JSON object at *url*, whatever the HTTP status says. Raises NoDaemonError if nobody answers with one."""
    from urllib.error import HTTPError
    from urllib.request import urlopen

    try:
        with urlopen(url, timeout=HTTP_SECONDS) as response:
            body = response.read()
    except HTTPError as refusal:
        body = refusal.read()
    except OSError as error:
        raise NoDaemonError(f"no daemon answers at {url}: {getattr(error, 'reason', error)}") from error
    try:
        answer = json.loads(body)
    except ValueError as error:
        raise NoDaemonError(f"what answers at {url} is no daemon of ours") from error
    return answer if isinstance(answer, dict) else {"answer": answer}


def _backlog(daemon: Daemon) -> list[dict[str, Any]]:
    """What waits, by context; empty if the databases are not known here."""
    if not daemon.dsn:
        return []
    from spark_actors.cli.desk import looked_at
    from spark_actors.persistence.operator_views import OperatorViews

    return [
        {
            "context": backlog.context,
            "outbox_pending": backlog.outbox_pending,
            "outbox_oldest_seconds": round(backlog.outbox_oldest_age.total_seconds(), 1),
            "dead_letters": backlog.dead_letters,
            "missed_events": backlog.missed_events,
            "tasks": backlog.tasks,
            "parked_keys": backlog.parked_keys,
            "parked_messages": backlog.parked_messages,
            "parked_oldest_seconds": round(backlog.parked_oldest_age.total_seconds(), 1),
        }
        for backlog in OperatorViews(looked_at(daemon.dsn)).backlogs()
    ]


def _show(report: dict[str, Any]) -> None:
    from rich.markup import escape

    from spark_actors.cli.output import console
    from spark_actors.cli.render import render_rows, render_view

    out = console()
    out.print("[bold green]ready[/]" if report["ready"] else "[bold red]not ready[/]")
    known = {name: report[name] for name in ("pid", "version", "started_at", "nats_url", "metrics_url")}
    out.print(render_view(known, title="daemon"))
    if not report["ready"]:
        out.print(render_view(report["parts"], title="parts"))
    for warning in report["status"].get("warnings", []):
        out.print(f"[bold yellow]warning[/] {escape(warning)}")
    out.print(render_view(report["status"], title="status"))
    if report["backlog"]:
        out.print(render_rows(report["backlog"], title="what waits"))
