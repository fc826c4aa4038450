"""What stands in blocks of code is true: a test runs each, or compares it; commands exist and take what they are given.

A new block of the README, or of a page, needs a test that is named here.
"""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer

from spark_actors.cli.app import whole_app
from tests.fixtures.pages import DOCS, README, ROOT, Block, block, blocks

SHOP = "docs/how-to-write-an-application.md"
LIKE_THE_SHOP = "unit/docs/test_how_to_write_an_application.py"
OPERATIONS = "docs/operations.md"
DEPLOY = "unit/deploy/test_deploy_files.py"
ON_A_CLUSTER = "cluster/test_operations_page.py"
THERE_AND_BACK = "test_what_was_backed_up_is_restored_as_the_page_says"
OPTIONS_ALONE = "unit/docs/test_code_blocks.py::test_commands_take_what_they_are_given"
"""For what needs machines, or servers, that are not here; what it does is tested elsewhere."""
EXPLAINED = (
    "integration/persistence/test_audit.py"
    "::test_what_the_node_says_and_the_books_do_not_is_found_once_and_not_when_it_is_explained"
)
HAND_OVER = "cluster/test_hand_over.py"
RUN_BY = {  # page and opening -> the test that runs the block, or compares it with what is really said
    ("README.md", "scripts/run"): "acceptance/test_readme.py::test_the_scripts_for_a_start_are_there",
    ("README.md", "ready"): "acceptance/test_readme.py::test_the_daemon_says_that_it_is_ready_as_shown",
    ("README.md", ".venv/bin/spark-actors demo"): "acceptance/test_first_minutes.py::played",
    ("README.md", "spark="): "acceptance/test_readme.py::test_the_commands_of_an_operator_work_as_they_stand",
    ("README.md", "$spark login"): "acceptance/test_readme.py::test_the_commands_of_a_user_work_as_they_stand",
    ("README.md", "import asyncio"): "acceptance/test_readme.py::test_the_client_works_as_it_stands",
    ("docs/one-command.md", "from datetime"): "unit/docs/test_one_command.py::test_the_code_prints_what_the_page_says",
    ("docs/one-command.md", "before"): "unit/docs/test_one_command.py::test_the_code_prints_what_the_page_says",
    (SHOP, "export SPARK_APPLICATION"): "acceptance/test_second_application.py::shop",
    (SHOP, "shop/"): f"{LIKE_THE_SHOP}::test_the_files_on_the_page_are_the_shops",
    (SHOP, "orders "): f"{LIKE_THE_SHOP}::test_the_saga_on_the_page_is_the_shops",
    (SHOP, "@task"): f"{LIKE_THE_SHOP}::test_code_on_the_page_is_the_shops_line_by_line",
    (SHOP, "async def "): f"{LIKE_THE_SHOP}::test_code_on_the_page_is_the_shops_line_by_line",
    (SHOP, "@command"): f"{LIKE_THE_SHOP}::test_code_on_the_page_is_the_shops_line_by_line",
    (SHOP, "def "): f"{LIKE_THE_SHOP}::test_code_on_the_page_is_the_shops_line_by_line",
    (SHOP, "CONTEXT"): f"{LIKE_THE_SHOP}::test_code_on_the_page_is_the_shops_line_by_line",
    (SHOP, "APPLICATION"): f"{LIKE_THE_SHOP}::test_code_on_the_page_is_the_shops_line_by_line",
    ("docs/http-api.md", "api="): "acceptance/test_http_api.py::test_the_page_works_as_it_stands",
    (OPERATIONS, "spark-actors status"): OPTIONS_ALONE,
    (OPERATIONS, "INSERT INTO bitcoin.node_explained"): EXPLAINED,
    (OPERATIONS, "sum(max by"): "unit/lightning/test_balance.py::test_the_alert_on_the_page_is_over_what_is_measured",
    (OPERATIONS, "scrape_configs"): f"{DEPLOY}::test_the_page_has_prometheus_ask_where_it_is_told",
    (OPERATIONS, "spark-actors run --listen"): f"{ON_A_CLUSTER}::test_a_node_is_added_as_the_page_says",
    (OPERATIONS, "spark-actors drain"): f"{ON_A_CLUSTER}::test_a_node_is_taken_away_as_the_page_says",
    (OPERATIONS, "spark-actors nodes"): f"{ON_A_CLUSTER}::test_what_has_become_of_a_node_is_seen_as_the_page_says",
    (OPERATIONS, "systemctl start"): f"{ON_A_CLUSTER}::test_a_head_is_started_again_as_the_page_says",
    (OPERATIONS, "systemctl stop spark-head   # back up"): f"{ON_A_CLUSTER}::{THERE_AND_BACK}",
    (OPERATIONS, "systemctl stop spark-head   # restore"): f"{ON_A_CLUSTER}::{THERE_AND_BACK}",
    (OPERATIONS, "spark-actors scale"): "cluster/test_nodes.py::test_the_pool_grows_and_shrinks_while_it_works",
    (OPERATIONS, "spark-actors reload"): f"{HAND_OVER}::test_settings_are_read_anew_and_what_needs_a_start_is_refused",
    (OPERATIONS, "/opt/spark-2"): f"{HAND_OVER}::test_another_release_takes_over_and_gives_back",
    (OPERATIONS, "scp "): OPTIONS_ALONE,
    (OPERATIONS, "spark-actors prepare-node"): OPTIONS_ALONE,
    (OPERATIONS, "SPARK_POSTGRES__DSN"): OPTIONS_ALONE,
}
PAGES = [README, *(ROOT / name for name in ("CONTRIBUTING.md", "FAULTS.md")), *DOCS]
BLOCKS = [each for page in PAGES for each in blocks(page)]
INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
PLACEHOLDERS = re.compile(r"[\[\]…]")
"""As in `[--seed S]`."""


def commands_on(page: Path) -> Iterator[list[str]]:
    """Lines for a shell, in blocks and in the text, that start a script of ours or the command line."""
    text = page.read_text("utf-8")
    typed = [line for each in blocks(page) if each.language in ("", "sh") for line in each.text.splitlines()]
    for line in [*typed, *INLINE.findall(text)]:
        for part in re.split(r" [;|] ", line.replace("\\", "")):
            words = shlex.split(PLACEHOLDERS.sub("", part), comments=True) if "`" not in part else []
            while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
                words = words[1:]
            if words and re.fullmatch(r"scripts/\w+|(\.venv/bin/)?spark-actors|\$spark", words[0]):
                yield words


@cache
def command_line() -> Any:
    return typer.main.get_command(whole_app())


def mistake(words: list[str]) -> str:
    """What is wrong with the words of a command, as far as its options tell; empty if nothing is."""
    if words[0].startswith("scripts/"):
        return _mistake_of_script(words)
    command, rest = command_line(), words[1:]
    while rest and hasattr(command, "commands"):
        if (found := command.commands.get(rest[0])) is None:
            return f"no command {rest[0]}"
        command, rest = found, rest[1:]
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    return ", ".join(f"no option {word}" for word in rest if word.startswith("--") and word not in known)


def _mistake_of_script(words: list[str]) -> str:
    script = ROOT / words[0]
    if not script.is_file():
        return "no such script"
    given = [word for word in words[1:] if word.startswith("--")]
    return ", ".join(f"no option {word}" for word in given if word not in _help_of(script))


@cache
def _help_of(script: Path) -> frozenset[str]:
    """The options that a script takes: its own, and those of what it starts in its last line."""
    text = script.read_text("utf-8")
    known = set(re.findall(r"(?<!\w)--[a-z][a-z-]+", text))
    if started := re.search(r'exec "\$root/(scripts/\w+)"', text):
        return frozenset(known | _help_of(ROOT / started[1]))
    if module := re.search(r'python" -m (tests\S+(?: \w+)?) "\$@"', text):
        words = [sys.executable, "-m", *module[1].split(), "--help"]
        told = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60).stdout
        known |= set(re.findall(r"--[a-z][a-z-]+", told))
    return frozenset(known)


def names_in(file: Path) -> set[str]:
    tree = ast.parse(file.read_text("utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_every_block_has_a_test() -> None:
    assert [
        f"{each.page}: {each.opening}"
        for each in BLOCKS
        if not any(each.page == page and each.opening.startswith(opening) for page, opening in RUN_BY)
    ] == []


@pytest.mark.parametrize(("place", "test"), RUN_BY.items(), ids=[opening for _, opening in RUN_BY])
def test_the_block_and_its_test_are_there(place: tuple[str, str], test: str) -> None:
    page, opening = place
    assert block(ROOT / page, opening)
    file, _, name = test.partition("::")
    assert name in names_in(ROOT / "tests" / file)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_take_what_they_are_given(page: Path) -> None:
    assert [f"{' '.join(words)}: {wrong}" for words in commands_on(page) if (wrong := mistake(words))] == []


@pytest.mark.parametrize(
    "words",
    [
        *("spark-actors sned", "spark-actors send x --sender", "spark-actors keys stop", "scripts/chaos --minutes 3"),
        *("scripts/nothing", "scripts/overload --hours 2", "spark-actors dead-letters retry --reasons x"),
    ],
)
def test_what_does_not_exist_is_noticed(words: str) -> None:
    assert mistake(words.split())


def test_commands_are_found_in_blocks_and_in_the_text() -> None:
    found = [" ".join(words) for words in commands_on(README)]
    assert {"scripts/run", ".venv/bin/spark-actors demo", ".venv/bin/spark-actors audit", "$spark whoami"} <= set(found)


@pytest.mark.parametrize("code", [each for each in BLOCKS if each.language == "python"], ids=lambda code: code.page)
def test_python_compiles(code: Block) -> None:
    compile(code.text, code.page, "exec")
