"""The crowdfunding context, ready to be run."""

from __future__ import annotations

from domain.crowdfunding.adapters.tables import CAMPAIGNS
from domain.crowdfunding.context import CONTEXT
from spark_actors.application import InstalledContext

INSTALLED = InstalledContext(context=CONTEXT, table=CAMPAIGNS, migrations=__package__)
