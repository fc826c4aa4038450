"""The operators' console in a browser, on a running daemon: find what failed, see to it, be named for it."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from domain.accounting.messages import OpenAccount
from tests.acceptance.test_desk import on_a_wrong_bucket, token
from tests.acceptance.test_poison import send
from tests.acceptance.test_refused_letters import balance, malformed, refusal_of
from tests.fixtures.daemon import Daemon
from tests.web.browser import Eye, Person
from tests.web.conftest import Arrives

T = TypeVar("T")
WHY = "the producer computed buckets wrongly"


def beside(work: Callable[..., T], *arguments: object) -> T:
    """What *work* gives, in a thread: the browser keeps an event loop in this one."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(work, *arguments).result()


def come_in(person: Person, identity: str) -> None:
    """To the overview, by way of the form for tokens."""
    person.go("/console")
    person.fill(token=identity)
    person.press("Log in")
    person.sees("What waits")


def test_an_operator_finds_what_failed_and_sees_to_it_and_is_named_for_it(
    served: Daemon, arrives: Arrives, tmp_path: Path
) -> None:
    eye = Eye(Path(os.environ.get("SPARK_PICTURES") or tmp_path))
    zoe = arrives()
    zoe.go("/console/keys?context=accounting")
    eye.look(zoe.page, "console-log-in")
    zoe.fill(token="e30.e30.c2ln")
    zoe.press("Log in")
    zoe.sees("The daemon does not believe this token.")
    zoe.fill(token=token(served, "operator", "zoe"))
    zoe.press("Log in")
    zoe.sees("No key is like that.")
    assert zoe.page.url.endswith("/console/keys?context=accounting")

    zoe.go("/console/dead-letters")
    zoe.sees("No letter waits.")
    beside(on_a_wrong_bucket, served, "console-a", "console-b")
    assert beside(send, served, OpenAccount(account_id="console-dora")) == ["done"]
    assert beside(refusal_of, served, malformed("console-dora")) == "malformed_data"
    zoe.sees("bucket_mismatch")  # without a reload
    eye.look(zoe.page, "console-groups")

    zoe.page.get_by_role("link", name="bucket_mismatch").click()
    zoe.sees("the 2 above")
    eye.look(zoe.page, "console-letters")
    beside(on_a_wrong_bucket, served, "console-late")
    zoe.fill(why=WHY)
    zoe.press("Retry all that match")
    zoe.sees("2 of 2 done.")
    eye.look(zoe.page, "console-acted")
    assert [balance(served, account) for account in ("console-a", "console-b", "console-late")] == [10, 10, 0]
    zoe.page.reload()  # sends the form once more
    zoe.sees("There was nothing to do")
    assert balance(served, "console-late") == 0

    zoe.go("/console/letters?cause=malformed_data")
    zoe.page.locator("td a").first.click()
    zoe.sees("Correct it")
    eye.look(zoe.page, "console-letter")
    zoe.page.fill("#corrected", (zoe.page.input_value("#corrected")).replace('"ten"', "10"))
    zoe.fill(why_edit="ten is a number")
    zoe.press("Send the corrected message")
    zoe.sees("Sent again, and done.")
    assert balance(served, "console-dora") == 10

    zoe.go("/console/actions")
    for said in ("operator zoe", WHY, "ten is a number"):
        zoe.sees(said)
    eye.look(zoe.page, "console-actions")
    assert eye.faults == []


def test_every_other_screen_is_in_order_on_all_widths(served: Daemon, arrives: Arrives, tmp_path: Path) -> None:
    eye = Eye(Path(os.environ.get("SPARK_PICTURES") or tmp_path))
    arrives().sign_up("ada")  # a saga
    ron = arrives()
    come_in(ron, token(served, "reader", "ron"))
    eye.look(ron.page, "console-overview")
    for name in ("sagas", "tasks", "contexts", "nodes", "search?q=ada", "keys/accounting/commands/ada"):
        ron.go(f"/console/{name}")
        eye.look(ron.page, f"console-{name.partition('?')[0].replace('/', '-')}")
    ron.go("/console/sagas")
    ron.page.locator("tbody th a").first.click()
    ron.sees("Time since the event before")
    eye.look(ron.page, "console-story")
    ron.go("/console/audit")
    ron.press("Audit now")
    ron.sees("The books are right.")  # without a reload
    eye.look(ron.page, "console-audit")
    assert eye.faults == []


def test_a_key_is_paused_and_resumed_without_scripts_and_a_reader_may_only_look(
    served: Daemon, arrives: Arrives
) -> None:
    zoe, ron = arrives(has_scripts=False), arrives(has_scripts=False)
    come_in(zoe, token(served, "operator", "zoe"))
    come_in(ron, token(served, "reader", "ron"))
    zoe.go("/console/keys/accounting/commands/console-key")
    zoe.fill(why="a look at it")
    zoe.press("Pause")
    zoe.sees("Paused: its messages wait")
    ron.go("/console")
    ron.page.fill("#find", "console-key")
    ron.press("Find")
    ron.sees("Keys that wait")
    ron.sees("operator zoe")
    ron.page.get_by_role("link", name="console-key").first.click()
    ron.sees("paused: a look at it")
    assert ron.page.locator("main form[method=post]").count() == 0
    zoe.fill(why="seen")
    zoe.press("Resume")
    zoe.sees("Resumed: what waited is handled now")
    zoe.press("Log out")
    zoe.sees("The operators’ console")
    zoe.go("/console/keys")
    zoe.sees("On the daemon’s machine this prints one")
