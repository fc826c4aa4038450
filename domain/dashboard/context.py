"""The dashboard context at a glance: it takes in every event and answers queries."""

from __future__ import annotations

from domain.dashboard.projection import PROJECTED
from domain.dashboard.views import QUERIES
from spark_actors.kernel.context import BoundedContext

CONTEXT = BoundedContext(name="dashboard", messages=QUERIES, reads=PROJECTED)
