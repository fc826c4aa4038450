"""A daemon whose invoices wait for some seconds to be paid, so that they can be looked at, and a browser."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from playwright.sync_api import Browser

from spark_actors.embedded.addresses import LOOPBACK
from tests.fixtures.daemon import Daemon
from tests.lab.lightning.needed import CannotBeHadError
from tests.web.browser import Person, chromium
from tests.web.needed import have_chromium

PAID_AFTER_SECONDS = 6
"""Longer than a page without scripts waits until it asks again, so that each state is seen."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """It goes with the module: as long as it is there an event loop runs in this thread, and no other can."""
    try:
        have_chromium()
    except CannotBeHadError as error:
        if os.environ.get("CI"):
            pytest.fail(str(error))
        pytest.skip(str(error))
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def served(browser: Browser) -> Iterator[Daemon]:
    """A daemon at an address of the web that stays when it is started again."""
    with socket.create_server((LOOPBACK, 0)) as probe:
        port = probe.getsockname()[1]
    settings = {
        "SPARK_WEB__PORT": str(port),
        "SPARK_LIGHTNING__SIMULATED__PAYMENT_DELAY_SECONDS": str(PAID_AFTER_SECONDS),
    }
    with TemporaryDirectory(prefix="spark-web-", ignore_cleanup_errors=True) as folder:
        daemon = Daemon(Path(folder) / "spark", settings)
        daemon.start()
        yield daemon
        daemon.kill()
        daemon.left_behind()


Arrives = Callable[..., Person]


@pytest.fixture
def arrives(browser: Browser, served: Daemon) -> Iterator[Arrives]:
    """Makes people; in the end none of them has seen anything on the console, or been sent elsewhere."""
    people: list[Person] = []

    def person(*, has_scripts: bool = True) -> Person:
        context = browser.new_context(java_script_enabled=has_scripts, viewport={"width": 390, "height": 844})
        people.append(Person(context, served.card.web_url))
        return people[-1]

    yield person
    for each in people:
        each.context.close()
    assert [complaint for each in people for complaint in each.complaints] == []
    assert [leak for each in people for leak in each.token_leaks] == []
