"""What an application's demo is made of: acts of steps that are taken at once, a patient look at views, what must be
so, and an end with the audit. The story is the application's own, and so is the command that tells it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import typer
from rich.console import Console, RenderableType
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from spark_actors.cli.errors import ExitCode
from spark_actors.ingress.client import Answer, SparkClient, ViewRefusedError
from spark_actors.kernel.back_off import BackOff
from spark_actors.kernel.messages import Query

if TYPE_CHECKING:
    from spark_actors.cli.daemon import Target

LOOK_BACK_OFF = BackOff(first_seconds=0.02, longest_seconds=0.25, factor=1.5)
PATIENCE_SECONDS = 30.0
BAR_WIDTH = 20
NOT_THERE = "nothing"
"""What is seen of something that is not there."""

View = dict[str, Any]


@dataclass(frozen=True)
class Expectation:
    """Something that must be so, and what was seen."""

    what: str
    expected: object
    seen: object

    @property
    def is_met(self) -> bool:
        return self.expected == self.seen


class Stage(Protocol):
    """Shows how far the play is."""

    def begin(self, act: str, steps: int) -> None:
        """An act of so many steps begins."""

    def advance(self) -> None:
        """One step of the act is done."""


class Bars:
    """A Stage that shows one bar for each act."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._act = TaskID(0)

    def begin(self, act: str, steps: int) -> None:
        self._act = self._progress.add_task(act, total=steps)

    def advance(self) -> None:
        self._progress.advance(self._act)


class Silence:
    """A Stage that shows nothing."""

    def begin(self, act: str, steps: int) -> None:
        """Nothing to show."""

    def advance(self) -> None:
        """Nothing to show."""


@contextmanager
def bars() -> Iterator[Bars]:
    """Bars on standard error while the block runs."""
    columns = (
        SpinnerColumn(finished_text="[green]✓[/]"),
        TextColumn("{task.description}", justify="left"),
        BarColumn(BAR_WIDTH, complete_style="cyan", finished_style="green"),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        yield Bars(progress)


async def act(stage: Stage, title: str, steps: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Take all steps at once. Raises the first error of one."""
    steps = list(steps)
    stage.begin(title, len(steps))

    async def counted(step: Awaitable[None]) -> None:
        await step
        stage.advance()

    await asyncio.gather(*map(counted, steps))  # no TaskGroup: people want one error, not a group of them


async def watch(
    client: SparkClient, query: Query, happened: Callable[[View], bool], *, patience_seconds: float = PATIENCE_SECONDS
) -> View:
    """The view once *happened* is true of it, or as it was when patience ran out (empty: there was nothing).

    Views follow what happened a moment later. Raises ClientError, but for a view of what is not there.
    """
    give_up_at, looks = time.monotonic() + patience_seconds, 0
    while True:
        view = await _view(client, query)
        if (view and happened(view)) or time.monotonic() > give_up_at:
            return view
        looks += 1
        await asyncio.sleep(LOOK_BACK_OFF.seconds_after(looks))


async def _view(client: SparkClient, query: Query) -> View:
    try:
        return await client.view(query)
    except ViewRefusedError as refusal:
        if refusal.code in ("not_found", "unauthenticated"):  # who could not log in sees nothing
            return {}
        raise


def told(answer: Answer) -> str:
    """How a command ended, e.g. `done` or `rejected: out_of_stock`."""
    return f"{answer.outcome}: {answer.reason}" if answer.reason else str(answer.outcome)


def make_table(title: str, *headings: str) -> Table:
    """A table; a heading that begins with `>` is of numbers."""
    made = Table(title=title or None, title_justify="left", title_style="bold", header_style="dim", box=None)
    for heading in headings:
        made.add_column(heading.removeprefix(">"), justify="right" if heading.startswith(">") else "left")
    return made


def render_failures(failures: Sequence[Expectation]) -> RenderableType:
    """What is not as expected."""
    rows = make_table("", "what", "expected", "seen")
    for check in failures:
        rows.add_row(check.what, str(check.expected), Text(str(check.seen), style="red"))
    return Panel(rows, title=f"not as expected: {len(failures)}", border_style="red")


def finish(target: Target, summary: Mapping[str, Any], shown: RenderableType, *, as_json: bool) -> None:
    """Print what came of it, and the audit: *shown* for people, *summary* (with `passed`) for scripts.

    Raises typer.Exit if either is not as it should be.
    """
    from spark_actors.cli.audit import audit_report, is_passed, render_audit, run_audit
    from spark_actors.cli.output import console, print_json

    if not as_json:
        console().print(shown)
    checks = run_audit(target)
    passed = bool(summary["passed"]) and is_passed(checks)
    if as_json:
        print_json({**summary, "passed": passed, "audit": audit_report(checks)})
    else:
        console().print()
        console().print(render_audit(checks))
    if not passed:
        raise typer.Exit(ExitCode.REFUSED)
