"""What views, sagas and timelines look like to people."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from rich.console import Console, RenderableType

from spark_actors.cli.audit import audit_report, is_passed, render_audit
from spark_actors.cli.output import span
from spark_actors.cli.render import render_answer, render_rows, render_view
from spark_actors.cli.sagas import saga_table
from spark_actors.cli.timeline import render_timeline
from spark_actors.ingress.client import Answer
from spark_actors.kernel.decisions import Verdict
from spark_actors.kernel.sagas import SagaState
from spark_actors.messaging.ports import SagaRow
from spark_actors.persistence.audit import Check, Finding
from tests.unit.cli.fakes import lines

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def text(what: RenderableType, width: int = 160) -> str:
    console = Console(width=width, file=StringIO(), record=True)
    console.print(what)
    return console.export_text()


def saga(state: SagaState, *, deadline: timedelta) -> SagaRow:
    return SagaRow("donation", "d1", "debited", state, "e", "c", NOW - timedelta(minutes=3), NOW + deadline, NOW, None)


def test_a_moment_in_a_table_is_shown_as_people_read_it() -> None:
    shown = text(render_rows([{"task": "orders.ask", "since": NOW, "next try": NOW + timedelta(minutes=1)}]))
    assert "2026-01-01 12:00:00" in shown
    assert "2026-01-01 12:01:00" in shown


def test_an_outcome_is_one_line_with_its_reason_and_data() -> None:
    line = text(render_answer(Answer("m1", Verdict.FAILED, "malformed_data", {"detail": "amount_sat is missing"})))
    assert line.strip() == "failed: malformed_data  detail=amount_sat is missing  (m1)"


def test_a_view_shows_amounts_times_and_what_is_empty() -> None:
    view = {"balance_sat": 1_234_567, "is_open": True, "ended_at": None, "requested_at": "2026-01-02T03:04:05.6+00:00"}
    shown = text(render_view(view, title="account"))
    for part in ("1,234,567 sat", "yes", "–", "2026-01-02 03:04:05"):
        assert part in shown


def test_a_list_in_a_view_is_a_table_without_its_empty_columns() -> None:
    rows = [{"title": "Roof", "raised_sat": 0, "reason": ""}, {"title": "Books", "raised_sat": 7, "reason": ""}]
    shown = text(render_view({"campaigns": rows, "deposits": []}, title="x"))
    assert "Roof" in shown
    assert "7 sat" in shown
    assert "reason" not in shown
    assert "deposits: none" in shown


def test_markup_in_what_people_wrote_is_only_text() -> None:
    assert "[bold]me[/bold]" in text(render_view({"title": "[bold]me[/bold]"}, title="x"))
    marked = replace(saga(SagaState.RUNNING, deadline=timedelta(1)), saga_id="[red]you[/red]")
    assert "[red]you[/red]" in text(saga_table([marked], NOW))


def test_a_long_payment_request_is_shown_whole() -> None:
    request = "lnsim1" + "abcdefgh" * 40
    shown = text(render_view({"payment_request": request}, title="x"), width=80)
    assert request in "".join(line.strip("│ ").removeprefix("payment request").strip() for line in shown.splitlines())


def test_a_timeline_counts_milliseconds_from_its_first_event() -> None:
    events = lines("crowdfunding.donation-requested", "accounting.transfer-debited", data=[{}, {"amount_sat": 500}])
    first, second = text(render_timeline(events["lines"])).splitlines()[2:4]
    assert first.split()[:3] == ["0", "crowdfunding", "Campaign"]
    assert second.split()[:3] == ["1,000", "accounting", "Account"]
    assert "transfer debited" in second
    assert "amount 500 sat" in second


def test_an_empty_timeline_can_be_shown() -> None:
    assert "timeline" in text(render_timeline([]))


def test_a_running_saga_shows_how_long_it_has_run() -> None:
    assert "3 min" in text(saga_table([saga(SagaState.RUNNING, deadline=timedelta(hours=1))], NOW))


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0.25, "0.2 s"), (59, "59.0 s"), (180, "3 min"), (7200, "2 h"), (1e6, "12 d")]
)
def test_durations_have_their_largest_fitting_unit(seconds: float, shown: str) -> None:
    assert span(timedelta(seconds=seconds)) == shown


def test_an_audit_says_what_is_wrong_and_where() -> None:
    checks = [
        Check("the ledger sums to zero", ()),
        Check("every balance equals its entries", (Finding("alice", "balance 5, entries 4"),)),
        Check("every message was understood", (Finding("m1", "not_json"),), is_alarming=False),
    ]
    shown = text(render_audit(checks))
    assert "✗ every balance equals its entries" in shown
    assert "alice: balance 5, entries 4" in shown
    assert "failed: 1 of 3 checks" in shown
    assert not is_passed(checks)
    assert audit_report(checks)["checks"][1]["findings"] == [{"subject": "alice", "detail": "balance 5, entries 4"}]


def test_an_audit_without_alarms_has_passed() -> None:
    checks = [Check("every message was understood", (Finding("m1", "not_json"),), is_alarming=False)]
    assert is_passed(checks)
    assert "passed" in text(render_audit(checks))
