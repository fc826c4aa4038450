"""Imports point inward: each package may know only what lies further in, and each outside thing has one home."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
CONTEXTS = ("auth", "accounting", "crowdfunding", "bitcoin", "dashboard")
OURS = ("domain", "spark_actors", "config")
KERNEL, APPLICATION = "spark_actors.kernel", "spark_actors.application"
WEB = "spark_actors.web"
EDGES = r"domain\.(\w+\.adapters|cli|web|audit|application|settings)(\.|$)"
"""Where the application touches the outside. The rest of it is pure."""
FORMER_FILES = "domain.bitcoin.adapters.node_books"
"""Reads what former releases kept in a file, before there is an actor."""
EXCLUSIVE = {  # library -> the only places that may import it
    "ray": (
        *("spark_actors.actors.ray_actors", "spark_actors.actors.references"),
        *("spark_actors.embedded.ray_node", "spark_actors.embedded.fork_server"),
    ),
    "psycopg": ("spark_actors.persistence", *(f"domain.{name}.adapters" for name in CONTEXTS)),
    "psycopg_pool": ("spark_actors.persistence", *(f"domain.{name}.adapters" for name in CONTEXTS)),
    "nats": ("spark_actors.ingress",),
    "httpx": ("domain.bitcoin.adapters.node_http",),
    "prometheus_client": ("spark_actors.telemetry",),
    "typer": ("spark_actors.cli", "domain.cli", APPLICATION, "domain.application"),
    "rich": ("spark_actors.cli", "spark_actors.telemetry", "domain.cli"),
    "pydantic_settings": ("config",),
    "jwt": ("spark_actors.identity.tokens",),
    "argon2": ("domain.auth.adapters.passwords",),
    "sqlite3": (FORMER_FILES,),
    "tempfile": ("spark_actors.embedded",),
    "shutil": ("spark_actors.embedded",),
    "starlette": (WEB,),
    "uvicorn": (f"{WEB}.server",),
    "jinja2": (f"{WEB}.rendering",),
    "markupsafe": (f"{WEB}.rendering",),
    "segno": (f"{WEB}.rendering", "domain.cli.lightning"),
}
PUBLISHED_NAMES = (  # what an adapter may use of the runtime
    APPLICATION,
    "spark_actors.actors.context",
    "spark_actors.actors.loop",
    "spark_actors.actors.watch",
    "spark_actors.identity.tokens",
    "spark_actors.kernel",
    "spark_actors.messaging",
    "spark_actors.persistence",
)
CLUSTER = "spark_actors.cluster"
INWARD = {  # package -> which of ours it may import
    KERNEL: (KERNEL,),
    "spark_actors.messaging": (KERNEL, "spark_actors.messaging"),
    CLUSTER: (KERNEL, CLUSTER),
    "spark_actors.persistence": (KERNEL, APPLICATION, CLUSTER, "spark_actors.messaging", "spark_actors.persistence"),
    "spark_actors.ingress": (KERNEL, "spark_actors.messaging", "spark_actors.ingress"),
    "spark_actors.identity": (KERNEL, "spark_actors.messaging", "spark_actors.identity"),
    "spark_actors.telemetry": (KERNEL, "spark_actors.messaging", "spark_actors.telemetry"),
    "spark_actors.actors": (
        KERNEL,
        CLUSTER,
        "spark_actors.messaging",
        "spark_actors.actors",
        "spark_actors.ingress.port",
        "spark_actors.version",
    ),
    "spark_actors.embedded": (KERNEL, "spark_actors.embedded", "spark_actors.version"),
    WEB: (  # no settings, no databases, no keys
        KERNEL,
        APPLICATION,
        WEB,
        "spark_actors.messaging",
        "spark_actors.ingress.client",
        "spark_actors.operations.messages",
        "spark_actors.telemetry.logs",
        "spark_actors.embedded.web_process",
        "spark_actors.version",
    ),
    "spark_actors": ("spark_actors", "config"),
    "config": ("config", APPLICATION, "spark_actors.kernel.errors"),
    "domain": ("domain", "config", "spark_actors"),
}
ENVIRONMENT_READERS = (
    *("config", "spark_actors.embedded.ray_node"),
    *("spark_actors.embedded.worker_launcher", "spark_actors.embedded.fork_server"),
)
"""Config reads our settings; the embedded node sets what Ray reads at its import, and hands on what a raylet sets."""
BUSINESS = re.compile(
    r"campaign|donat|satoshi|crowdfund|bitcoin|invoice|lightning|argon2|deposit|withdraw|ledger|accounting|_sat\b",
    re.IGNORECASE,
)
"""Words of Satoshi Spark. What an applied migration once did to older rows stays as it was."""
PUBLISHED = ("messages", "views")
"""The modules of a bounded context that other contexts may import."""


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for package in OURS for path in sorted((ROOT / package).rglob("*.py"))}


def nodes_of(module: str) -> list[ast.AST]:
    return list(ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))))


@cache
def imports_of(module: str) -> list[str]:
    names = []
    for node in nodes_of(module):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


def within(name: str, packages: tuple[str, ...]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def calls_of(module: str) -> Iterator[str]:
    return (ast.unparse(node.func) for node in nodes_of(module) if isinstance(node, ast.Call))


def is_impure(call: str) -> bool:
    return call.endswith((".now", ".utcnow", ".today")) or call in ("open", "print", "input", "uuid1", "uuid4")


def is_private_to_another(module: str, name: str) -> bool:
    parts = name.split(".")
    return (
        parts[0] == "domain"
        and len(parts) > 2
        and parts[1] not in (module.split(".")[1], "shared")
        and parts[2] not in PUBLISHED
    )


DOMAIN = [module for module in MODULES if within(module, ("domain",)) and not re.match(EDGES, module)]
PURE = [*DOMAIN, *(module for module in MODULES if within(module, (KERNEL, CLUSTER)))]
ADAPTERS = [module for module in MODULES if re.match(r"domain\.\w+\.adapters(\.|$)", module)]


def test_a_module_imports_only_what_lies_further_in() -> None:
    assert [
        f"{module} imports {name}"
        for module in MODULES
        for package, allowed in INWARD.items()
        if within(module, (package,))
        for name in imports_of(module)
        if within(name, OURS) and not within(name, allowed)
    ] == []


def test_each_outside_thing_has_one_home() -> None:
    assert [
        f"{module} imports {name}"
        for module in MODULES
        for name in imports_of(module)
        if (homes := EXCLUSIVE.get(name.partition(".")[0])) and not within(module, homes)
    ] == []


def test_what_runs_in_an_actor_keeps_nothing_in_a_file() -> None:
    """It may be on another machine the next time."""
    packages = ("actors", "bootstrap", "identity", "ingress", "messaging", "persistence")
    in_actors = [*ADAPTERS, *(it for it in MODULES if within(it, tuple(f"spark_actors.{each}" for each in packages)))]
    assert [
        f"{module} calls {call}"
        for module in in_actors
        if module != FORMER_FILES
        for call in calls_of(module)
        if call in ("open", "os.open") or re.search(r"\.write_(text|bytes)$|\.(touch|mkdir|rename|unlink)$", call)
    ] == []
    assert [
        f"{module} knows the data dir" for module in ADAPTERS if ".data_dir" in MODULES[module].read_text("utf-8")
    ] == []


def test_the_runtime_knows_nothing_of_any_application() -> None:
    assert [
        f"{module} imports {name}"
        for module in MODULES
        if within(module, ("spark_actors", "config"))
        for name in imports_of(module)
        if within(name, ("domain", "tests"))
    ] == []


def test_the_runtime_has_no_word_of_the_business() -> None:
    assert [
        f"{path.relative_to(ROOT)}: {word.group()}"
        for package in ("spark_actors", "config")
        for path in sorted((ROOT / package).rglob("*"))
        if path.suffix in (".py", ".sql", ".toml", ".html", ".css", ".js")
        and "vendor" not in path.parts
        and "migrations" not in path.parts
        for word in BUSINESS.finditer(path.read_text(encoding="utf-8"))
    ] == []


def test_adapters_use_of_the_runtime_what_it_publishes_and_nobody_uses_them_but_the_application() -> None:
    assert [
        f"{module} imports {name}"
        for module in ADAPTERS
        for name in imports_of(module)
        if within(name, ("spark_actors",)) and not within(name, PUBLISHED_NAMES)
    ] == []
    assert [
        f"{module} imports {name}"
        for module in MODULES
        for name in imports_of(module)
        if re.match(r"domain\.\w+\.adapters\.", name)
        and not within(
            module, ("domain.application", "domain.cli", "domain.web", name.rpartition(".adapters.")[0] + ".adapters")
        )
    ] == []


def test_kernel_and_domain_need_nothing_but_the_standard_library() -> None:
    assert [
        f"{module} imports {name}"
        for module in PURE
        for name in imports_of(module)
        if not within(name, ("domain", KERNEL, CLUSTER)) and name.partition(".")[0] not in sys.stdlib_module_names
    ] == []


def test_kernel_and_domain_know_no_clock_no_randomness_and_no_io() -> None:
    assert [
        f"{module} imports {name}"
        for module in PURE
        for name in imports_of(module)
        if within(name, ("time", "random", "os", "socket", "logging", "pathlib"))
    ] == []
    assert [f"{module} calls {call}" for module in PURE for call in calls_of(module) if is_impure(call)] == []


def test_a_context_imports_only_the_published_messages_of_another() -> None:
    assert [
        f"{module} imports {name}"
        for module in DOMAIN
        if module.count(".") >= 2
        for name in imports_of(module)
        if is_private_to_another(module, name)
    ] == []


def test_only_config_reads_the_environment() -> None:
    assert [
        module
        for module, path in MODULES.items()
        if not within(module, ENVIRONMENT_READERS) and "os.environ" in path.read_text(encoding="utf-8")
    ] == []


def test_no_event_loop_waits_for_ray() -> None:
    """Ray's own functions block while the GCS is away: coroutines may only hand them to a thread."""
    assert [
        f"{module}, line {call.lineno}: {ast.unparse(call.func)}"
        for module in MODULES
        if any(within(name, ("ray",)) for name in imports_of(module))
        for coroutine in nodes_of(module)
        if isinstance(coroutine, ast.AsyncFunctionDef)
        for call in ast.walk(coroutine)
        if isinstance(call, ast.Call) and may_block(ast.unparse(call.func))
    ] == []


def may_block(call: str) -> bool:
    """Whether this is a call of Ray's own API, or makes an actor (calls of actors name them `actor`)."""
    return call.startswith("ray.") or (call.endswith(".remote") and not call.startswith("actor."))


def test_there_are_no_import_cycles() -> None:
    graph = {
        module: {target for name in imports_of(module) if (target := _module(name)) and target != module}
        for module in MODULES
    }
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join([*path, module])
        if module not in done:
            for target in graph[module]:
                visit(target, (*path, module))
            done.add(module)

    for module in graph:
        visit(module, ())


def _module(name: str) -> str | None:
    return name if name in MODULES else (parent if (parent := name.rpartition(".")[0]) in MODULES else None)
