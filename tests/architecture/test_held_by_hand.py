"""What of a library is not promised stands in `docs/what-we-hold-by-hand.md`, with a test that tells when it slips."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import sys
from collections.abc import Iterator
from functools import cache

import pytest

from tests.architecture.test_imports import MODULES, OURS
from tests.fixtures.pages import ROOT, items, linked, unproven

PAGE = ROOT / "docs" / "what-we-hold-by-hand.md"
DOCUMENTED = ("_replace", "_fields", "_asdict", "_make", "_exit")
"""Of Python's named tuples and of `os`: not private, whatever they look like."""
ENTRIES = items(PAGE.read_text("utf-8"))


def is_private(name: str) -> bool:
    return bool(re.match(r"_(?!_)|__pydantic_", name)) and name not in DOCUMENTED


def is_foreign(path: str) -> bool:
    top = path.partition(".")[0]
    return top not in (*OURS, "tests") and top not in sys.stdlib_module_names


def imported(tree: ast.AST) -> dict[str, str]:
    """The names that a module gets from elsewhere, and what each stands for."""
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.asname or alias.name.partition(".")[0]: alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return found


def our_names(tree: ast.AST) -> Iterator[str]:
    """What the source itself defines: functions, classes, attributes, fields."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


def private_names(source: str, ours: frozenset[str]) -> set[str]:
    """What is private to a library and used in *source*; *ours* are the names that our own sources define."""
    tree = ast.parse(source)
    names = {alias: path for alias, path in imported(tree).items() if is_foreign(path)}
    found = {path for path in names.values() if any(map(is_private, path.split(".")))}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and is_private(node.attr) and node.attr not in ours:
            found.add(node.attr)
        elif isinstance(node, ast.ClassDef):
            bases = [path for base in node.bases if (path := _path_of(base, names))]
            found |= {name for base in bases for name in _private_to_base(node, base)}
    return found


def _path_of(base: ast.expr, names: dict[str, str]) -> str:
    """Where the class of a library comes from that is extended; empty for other classes."""
    written = ast.unparse(base).partition("[")[0]
    top, _, rest = written.partition(".")
    if top not in names:
        return ""
    is_whole = names[top].partition(".")[0] == top  # `import a.b` gives `a`
    return written if is_whole and rest else ".".join(filter(None, (names[top], rest)))


def _private_to_base(cls: ast.ClassDef, base: str) -> set[str]:
    """The private names that a class has in common with the class of a library that it extends."""
    module, _, name = base.rpartition(".")
    theirs = "\n".join(_source_of(each) for each in getattr(importlib.import_module(module), name).__mro__)
    used = {node.name for node in cls.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    used |= {node.attr for node in ast.walk(cls) if isinstance(node, ast.Attribute)}
    return {name for name in used if is_private(name) and re.search(rf"\b{name}\b", theirs)}


@cache
def _source_of(cls: type) -> str:
    try:
        return inspect.getsource(cls)
    except (OSError, TypeError):  # made of C
        return " ".join(vars(cls))


def variables_of_ray(source: str) -> set[str]:
    texts = (node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant))
    return {text for text in texts if isinstance(text, str) and re.fullmatch(r"RAY_\w+", text)}


def is_named(name: str) -> bool:
    """Whether the page names it in code, alone or in what belongs to it or what it belongs to."""
    return bool(re.search(rf"`(\w+\.)*{re.escape(name)}(\.\w+)*`", PAGE.read_text("utf-8")))


SOURCES = {module: path.read_text("utf-8") for module, path in MODULES.items()}
OUR_NAMES = frozenset(name for source in SOURCES.values() for name in our_names(ast.parse(source)))


def test_every_private_name_of_a_library_is_on_the_page() -> None:
    assert [
        f"{module} uses {name}"
        for module, source in SOURCES.items()
        for name in sorted(private_names(source, OUR_NAMES) | variables_of_ray(source))
        if not is_named(name)
    ] == []


def test_the_page_names_no_variable_of_ray_that_is_not_used() -> None:
    used = {name for source in SOURCES.values() for name in variables_of_ray(source)}
    assert set(re.findall(r"`(RAY_\w+)`", PAGE.read_text("utf-8"))) == used


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: re.findall(r"\*\*(.+?)\*\*", entry)[0])
def test_every_entry_has_a_test_that_tells(entry: str) -> None:
    plain = re.sub(r"\*\*.+?\*\*", "", entry)
    assert [path for path in linked(PAGE, entry) if "tests" in path.relative_to(ROOT).parts]
    assert re.search(r"(?<!\*)\*[^*]+\*(?!\*)", plain)
    assert unproven(PAGE, plain) == []


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("from ray._private import worker", "ray._private.worker"),
        ("import psycopg._queries", "psycopg._queries"),
        ("def reach(client):\n    client._pending_data()", "_pending_data"),
        ("def check(schema):\n    schema.__pydantic_core_schema__", "__pydantic_core_schema__"),
        ("from nats.aio.client import Client\nclass Own(Client):\n    def _process_msg(self): ...", "_process_msg"),
        ("from nats.aio.client import Client\nclass Own(Client):\n    def f(self): self._pending", "_pending"),
        ("import nats.aio.client\nclass Own(nats.aio.client.Client):\n    def _process_msg(self): ...", "_process_msg"),
    ],
)
def test_what_is_private_is_found(source: str, name: str) -> None:
    assert name in private_names(source, frozenset())
    assert not is_named(name)


def test_what_a_class_adds_of_its_own_is_not_private_to_its_base() -> None:
    source = "from nats.aio.client import Client\nclass Own(Client):\n    def f(self): self._own = 1"
    assert private_names(source, frozenset({"_own"})) == set()
