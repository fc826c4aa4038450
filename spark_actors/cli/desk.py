"""The tables on which operators act, and who acts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from spark_actors.cli.daemon import Target, known_dsns
from spark_actors.cli.errors import UsageMistakeError
from spark_actors.cli.vocabulary import application

if TYPE_CHECKING:
    from spark_actors.persistence.operator_desk import Operator, OperatorDesk


IF_OLD = "once you have looked whether it has, add --even-if-old"
"""The way out for what is refused because it is old."""


def desk_of(target: Target) -> OperatorDesk:
    """The tables of the daemon, or of the settings. Raises NoDaemonError if neither says where they are."""
    from spark_actors.persistence.operator_desk import OperatorDesk

    return OperatorDesk(looked_at(known_dsns(target)))


def looked_at(dsns: Mapping[str, str]) -> dict[str, str]:
    """Those in which something may wait for an operator: the contexts with aggregates, and the ingress."""
    from spark_actors.messaging.ports import INGRESS

    return {name: dsns[name] for name in (*_writing(), INGRESS) if name in dsns}


def _writing() -> list[str]:
    return [each.name for each in application().writing]


def check_context(context: str | None, *, has_keys: bool = False) -> None:
    """Raises UsageMistakeError for a context without dead letters, or without keys that could wait."""
    from spark_actors.messaging.ports import INGRESS

    known = _writing() if has_keys else [*_writing(), INGRESS]
    if context is not None and context not in known:
        raise UsageMistakeError(f"expected a context of {', '.join(known)}, got {context!r}")


def operator_of(by: str | None, why: str) -> Operator:
    """Who acts: who is logged in, unless another name is given. Raises UsageMistakeError without a reason."""
    from getpass import getuser

    from spark_actors.persistence.operator_desk import Operator

    if not why.strip():
        raise UsageMistakeError("--why must say something: it is what the next one on call will read")
    return Operator((by or getuser()).strip(), why.strip())
