"""The second application keeps to what its how-to page says: a pure part, and of the runtime only what is published."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

from tests.architecture.test_imports import KERNEL, PUBLISHED_NAMES, ROOT, name_of, within

SHOP = "tests.shop"
EDGES = tuple(
    f"{SHOP}.{name}" for name in ("orders.adapters", "overview.adapters", "audit", "cli", "demo", "application")
)
PUBLISHED = (*PUBLISHED_NAMES, "spark_actors.cli", "spark_actors.ingress.client")
MODULES = {name_of(path): path for path in sorted((ROOT / "tests" / "shop").rglob("*.py"))}


def imports_of(path: Path) -> list[str]:
    nodes = list(ast.walk(ast.parse(path.read_text("utf-8"))))
    return [
        *(alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names),
        *(node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module),
    ]


def test_its_pure_part_needs_the_kernel_and_the_messages_of_others_alone() -> None:
    assert [
        f"{module} imports {name}"
        for module, path in MODULES.items()
        if not within(module, EDGES)
        for name in imports_of(path)
        if name.partition(".")[0] not in sys.stdlib_module_names
        and not within(name, (KERNEL, module.rpartition(".")[0]))
        and not (within(name, (SHOP,)) and name.endswith(".messages"))
    ] == []


def test_it_uses_what_is_published() -> None:
    assert [
        f"{module} imports {name}"
        for module, path in MODULES.items()
        for name in imports_of(path)
        if within(name, ("spark_actors", "domain", "config", "tests")) and not within(name, (*PUBLISHED, SHOP))
    ] == []
