"""All bounded contexts of Satoshi Spark."""

from __future__ import annotations

from domain.accounting.context import CONTEXT as ACCOUNTING
from domain.auth.context import CONTEXT as AUTH
from domain.bitcoin.context import CONTEXT as BITCOIN
from domain.crowdfunding.context import CONTEXT as CROWDFUNDING
from domain.dashboard.context import CONTEXT as DASHBOARD
from domain.shared.context import BoundedContext

CONTEXTS: tuple[BoundedContext, ...] = (AUTH, ACCOUNTING, CROWDFUNDING, BITCOIN, DASHBOARD)
