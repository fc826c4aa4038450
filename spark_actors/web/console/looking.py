"""Screens to look at: how the deployment is, what there is, what is to be done, who did what, and the books."""

from __future__ import annotations

from spark_actors.operations.messages import (
    ActionPage,
    AuditState,
    ClusterState,
    ContextStates,
    DeploymentOverview,
    ListActions,
    ListContexts,
    ListNodes,
    ListTasks,
    ShowAudit,
    TaskList,
    ViewDeployment,
)
from spark_actors.web.console.asking import CONSOLE, careful, chosen, list_path
from spark_actors.web.pages import Page, Redirect, Visit

TASKS_AT_ONCE = 200


@careful
async def overview(visit: Visit) -> Page:
    """Whether it is ready, and what waits where."""
    found: DeploymentOverview = await visit.daemon.ask(ViewDeployment())
    return Page("console/overview.html", {"whole": found})


@careful
async def contexts(visit: Visit) -> Page:
    """The contexts, and how far behind who takes their events is."""
    found: ContextStates = await visit.daemon.ask(ListContexts())
    return Page("console/contexts.html", {"found": found})


@careful
async def nodes(visit: Visit) -> Page:
    """The machines, and what lives on them."""
    found: ClusterState = await visit.daemon.ask(ListNodes())
    return Page("console/nodes.html", {"found": found})


@careful
async def tasks(visit: Visit) -> Page:
    """What is to be done outside or later."""
    said = chosen(visit.query, "context", "instance", "failing")
    question = ListTasks(
        said.get("context", ""), said.get("instance", ""), is_failing="failing" in said, limit=TASKS_AT_ONCE
    )
    found: TaskList = await visit.daemon.ask(question)
    return Page("console/tasks.html", {"said": said, "tasks": found.tasks, "most": TASKS_AT_ONCE})


@careful
async def actions(visit: Visit) -> Page:
    """Who did what by hand, and why."""
    said = chosen(visit.query, "context")
    found: ActionPage = await visit.daemon.ask(ListActions(**said, after=visit.query.get("after", "")))
    more = list_path(f"{CONSOLE}/actions", **said, after=found.next) if found.next else ""
    return Page("console/actions.html", {"said": said, "actions": found.actions, "more": more})


@careful
async def books(visit: Visit) -> Page:
    """The last audit."""
    found: AuditState = await visit.daemon.ask(ShowAudit())
    return Page("console/audit.html", {"audit": found})


@careful
async def run_audit(visit: Visit) -> Redirect:
    """Have one made now, if none is being made."""
    await visit.daemon.ask(ShowAudit(is_to_run=True))
    return Redirect(f"{CONSOLE}/audit")
