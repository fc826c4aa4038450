"""Every block of the README does what it says, typed as it stands beside a running daemon."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess

from tests.fixtures.daemon import Daemon
from tests.fixtures.pages import README, ROOT, block

PASSWORD = "correct-horse-battery-staple\n"
DEFINITION = block(README, "spark=").opening
"""Of `$spark`, which the later blocks use."""


def words_of(text: str) -> str:
    """A line without what differs from one daemon to the next: ports and folders."""
    return re.sub(r"(?<=data )\S+", "FOLDER", re.sub(r":\d+", ":PORT", text)).strip()


def test_the_scripts_for_a_start_are_there() -> None:
    """`scripts/test` runs this very test; `scripts/run` comes, through set-up, as far as the daemon's own options."""
    scripts = [line.split()[0] for line in block(README, "scripts/run").text.splitlines()]
    assert scripts == ["scripts/run", "scripts/test"]
    assert all(os.access(ROOT / script, os.X_OK) for script in scripts)
    told = subprocess.run([ROOT / "scripts/run", "--help"], capture_output=True, text=True, check=True, timeout=100)
    assert "spark-actors run [OPTIONS]" in told.stdout


def test_the_daemon_says_that_it_is_ready_as_shown(running: Daemon) -> None:
    assert words_of(running.ready_line) == words_of(block(README, "ready").text)


def test_the_commands_of_an_operator_work_as_they_stand(running: Daemon) -> None:
    shown = running.typed(block(README, "spark=").text, stdin=PASSWORD)
    assert "crowdfunding.create-campaign" in shown  # all messages
    assert "bitcoin.request-deposit" in shown
    assert '"$schema"' in shown or '"properties"' in shown
    assert "ada" in shown


def test_the_commands_of_a_user_work_as_they_stand(running: Daemon) -> None:
    shown = running.typed(f"{DEFINITION}\n{block(README, '$spark login').text}", stdin=PASSWORD)
    assert "logged in as ada" in shown


def test_the_client_works_as_it_stands(running: Daemon) -> None:
    """After `ada` has signed up, above."""
    code = block(README, "import asyncio").text
    outcome, view = (ast.literal_eval(line) for line in running.typed(".venv/bin/python -", stdin=code).splitlines())
    [promised] = re.findall(r"next_msg.*  # ({.*})", code)
    assert json.loads(outcome) == json.loads(promised)
    assert json.loads(view)["account_id"] == "ada"
