"""No function asks for more than a reader can keep apart: what belongs together is handed over together."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.architecture.test_imports import MODULES

MOST = 10
"""Parameters of a function or constructor, without `self`. The fields of a dataclass are no parameters."""
COMMAND_LINE = ("spark_actors.cli", "domain.cli")
"""There each parameter is an option that people type."""


def functions(tree: ast.AST, place: str) -> Iterator[tuple[str, int]]:
    """Each function under its dotted name, and how many parameters it has."""
    for node in ast.iter_child_nodes(tree):
        inner = place
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            inner = f"{place}.{node.name}"
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            arguments = node.args
            named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
            yield inner, sum(each.arg not in ("self", "cls") for each in named)
        yield from functions(node, inner)


def test_no_function_has_more_than_ten_parameters() -> None:
    wide = {
        name
        for module, path in MODULES.items()
        if not module.startswith(COMMAND_LINE)
        for name, count in functions(ast.parse(path.read_text(encoding="utf-8")), module)
        if count > MOST
    }
    assert not wide
