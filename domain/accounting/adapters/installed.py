"""The accounting context, ready to be run."""

from __future__ import annotations

from typing import Any

from domain.accounting.adapters.tables import ACCOUNTS
from domain.accounting.context import CONTEXT, context
from spark_actors.application import InstalledContext
from spark_actors.kernel.context import BoundedContext


def _configured(settings: Any) -> BoundedContext:
    return context(settings.lightning.withdrawals.day_sat)


INSTALLED = InstalledContext(context=CONTEXT, configured=_configured, table=ACCOUNTS, migrations=__package__)
