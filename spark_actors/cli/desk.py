"""The tables on which operators act, and who acts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spark_actors.cli.daemon import Target, known_dsns
from spark_actors.cli.errors import UsageMistakeError

if TYPE_CHECKING:
    from spark_actors.persistence.operator_desk import Operator, OperatorDesk


def desk_of(target: Target) -> OperatorDesk:
    """The tables of the daemon, or of the settings. Raises NoDaemonError if neither says where they are."""
    from spark_actors.persistence.operator_desk import INGRESS, OperatorDesk
    from spark_actors.persistence.operator_views import MESSAGING_CONTEXTS

    dsns = known_dsns(target)
    return OperatorDesk({name: dsns[name] for name in (*MESSAGING_CONTEXTS, INGRESS) if name in dsns})


def operator_of(by: str | None, why: str) -> Operator:
    """Who acts: who is logged in, unless another name is given. Raises UsageMistakeError without a reason."""
    from getpass import getuser

    from spark_actors.persistence.operator_desk import Operator

    if not why.strip():
        raise UsageMistakeError("--why must say something: it is what the next one on call will read")
    return Operator((by or getuser()).strip(), why.strip())
