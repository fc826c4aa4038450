"""The accounting context, ready to be run."""

from __future__ import annotations

from domain.accounting.adapters.tables import ACCOUNTS
from domain.accounting.context import CONTEXT
from spark_actors.application import InstalledContext

INSTALLED = InstalledContext(context=CONTEXT, table=ACCOUNTS, migrations=__package__)
