"""Campaigns: to look at, to give to, to open."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from domain.crowdfunding.messages import CreateCampaign, DonateToCampaign, Reason, RequestGift
from domain.dashboard.views import (
    AccountOverview,
    CampaignDetail,
    CampaignList,
    CampaignSummary,
    GiftView,
    ViewAccountOverview,
    ViewCampaign,
    ViewCampaigns,
    ViewGift,
)
from domain.web.asking import NEW, PRESETS, UNDER_WAY, again_id, amount_of, node, seen
from domain.web.sentences import GIFTS, problem_of, sentence
from spark_actors.web.pages import Answer, Page, Redirect, Visit
from spark_actors.web.rendering import address, segment

A_PAGE = 20
OWN_MOST = 200
"""Campaigns of an account that are looked through for its own; the newest."""
SLUG_CHARACTERS = 40
UNPROCESSABLE = 422


async def campaigns(visit: Visit) -> Page:
    """The newest campaigns, or those behind one."""
    found: CampaignList = await visit.daemon.ask(
        ViewCampaigns(limit=A_PAGE, before=_moment(visit.query.get("before", "")), before_id=visit.query.get("id", ""))
    )
    last = found.campaigns[-1] if len(found.campaigns) == A_PAGE or found.truncated else None
    older = address("/", {"before": last.created_at.isoformat(), "id": last.campaign_id}) if last else ""
    return Page("campaigns.html", {"campaigns": found.campaigns, "older": older, "is_first": not visit.query})


async def campaign(visit: Visit) -> Page:
    """One campaign, with what it takes to give."""
    return await _campaign(visit, {"amount": visit.query.get("amount", "")})


async def give(visit: Visit) -> Answer:
    """Give: from the account, or by an invoice."""
    return await (_donate(visit) if visit.form.get("step") == "donate" else _request_gift(visit))


async def _donate(visit: Visit) -> Answer:
    amount_sat = amount_of(visit.form.get("amount", ""))
    if amount_sat is None:
        return await _campaign(visit, visit.form, donate_problem=sentence(Reason.INVALID_AMOUNT))
    command = DonateToCampaign(
        campaign_id=visit.path["campaign_id"],
        donation_id=visit.message_id,
        account_id=visit.visitor.subject,
        amount_sat=amount_sat,
    )
    if problem := problem_of(await visit.daemon.send(command, visit.message_id)):
        return await _campaign(visit, visit.form, donate_problem=problem)
    return Redirect(address(f"/donations/{command.donation_id}", {NEW: 1}))


async def _request_gift(visit: Visit) -> Answer:
    amount_sat = amount_of(visit.form.get("amount", ""))
    if amount_sat is None:
        return await _campaign(visit, visit.form, give_problem=sentence(Reason.INVALID_AMOUNT))
    command = RequestGift(
        campaign_id=visit.path["campaign_id"],
        gift_id=visit.message_id,
        amount_sat=amount_sat,
        name=visit.form.get("name", "").strip(),
        message=" ".join(visit.form.get("message", "").split()),
    )
    if problem := problem_of(await visit.daemon.send(command, visit.message_id)):
        return await _campaign(visit, visit.form, give_problem=problem)
    return Redirect(address(f"/gifts/{command.gift_id}", {NEW: 1}))


async def gift(visit: Visit) -> Page:
    """The invoice of a gift, and then its receipt."""
    found: GiftView | None = await seen(visit, ViewGift(gift_id=visit.path["gift_id"]), "gift")
    if found is None:
        return UNDER_WAY
    values = {
        "gift": found,
        "state": GIFTS[found.state],
        "why": sentence(found.reason) if found.reason else "",
        "minutes_left": minutes_left(found.expires_at, visit.now),
        "again_id": again_id(found.gift_id),
        "node": await node(visit),
    }
    is_final = found.state in ("registered", "failed")
    return Page("gift.html", values, is_final=is_final, is_awaited=found.state in ("requested", "issued", "paid"))


async def new_campaign(visit: Visit) -> Page:
    """The form for a campaign."""
    return Page("new_campaign.html", {"fields": {}, "problem_text": "", "preview": None})


async def open_campaign(visit: Visit) -> Answer:
    """Show how the campaign would look, or open it."""
    form, goal_sat = visit.form, amount_of(visit.form.get("goal", ""))
    title, story = form.get("title", "").strip(), form.get("story", "").strip()
    if goal_sat is None:
        return _refused_campaign(form, sentence(Reason.INVALID_AMOUNT))
    if form.get("step") == "preview":
        preview = {"title": title, "story": story, "goal_sat": goal_sat}
        return Page("new_campaign.html", {"fields": form, "problem_text": "", "preview": preview})
    command = CreateCampaign(
        campaign_id=f"{_slug(title)}{visit.message_id[:8]}",
        account_id=visit.visitor.subject,
        title=title,
        description=story,
        goal_sat=goal_sat,
    )
    if problem := problem_of(await visit.daemon.send(command, visit.message_id)):
        return _refused_campaign(form, problem)
    return Redirect(address(f"/campaigns/{segment(command.campaign_id)}", {NEW: 1}))


async def my_campaigns(visit: Visit) -> Page:
    """What the visitor has opened."""
    found: AccountOverview | None = await visit.daemon.ask(_own(visit))
    return Page("my_campaigns.html", {"campaigns": found.campaigns if found else (), "url": visit.url})


def minutes_left(expires_at: datetime | None, now: datetime) -> int | None:
    """Whole minutes until then, at least one; None if it is past or not known."""
    seconds = (expires_at - now).total_seconds() if expires_at else 0
    return max(1, int(seconds // 60)) if seconds > 0 else None


async def _campaign(
    visit: Visit, fields: Mapping[str, str], *, donate_problem: str = "", give_problem: str = ""
) -> Page:
    campaign_id = visit.path["campaign_id"]
    found: CampaignDetail | None = await seen(visit, ViewCampaign(campaign_id=campaign_id, limit=A_PAGE), "campaign")
    if found is None:
        return UNDER_WAY
    own: AccountOverview | None = await visit.daemon.ask(_own(visit)) if visit.visitor.is_known else None
    values: dict[str, Any] = {
        "campaign": found.campaign,
        "story": found.description,
        "gifts": found.recent_donations,
        "percent": percent(found.campaign),
        "presets": PRESETS,
        "fields": fields,
        "amount": amount_of(fields.get("amount", "")),
        "donate_problem": donate_problem,
        "give_problem": give_problem,
        "balance_sat": own.balance_sat if own else None,
        "is_own": own is not None and any(each.campaign_id == campaign_id for each in own.campaigns),
        "link": f"{visit.url}/campaigns/{segment(campaign_id)}",
        "node": await node(visit),
    }
    return Page("campaign.html", values, status=UNPROCESSABLE if donate_problem or give_problem else 200)


def percent(campaign: CampaignSummary) -> int:
    """Of the goal: rounded down, so that 100 means reached."""
    return campaign.raised_sat * 100 // campaign.goal_sat


def _own(visit: Visit) -> ViewAccountOverview:
    return ViewAccountOverview(account_id=visit.visitor.subject, limit=OWN_MOST)


def _refused_campaign(form: Mapping[str, str], problem: str) -> Page:
    return Page("new_campaign.html", {"fields": form, "problem_text": problem, "preview": None}, status=UNPROCESSABLE)


def _slug(title: str) -> str:
    """The title as it looks well in an address, with what follows set off; nothing if none of its letters do."""
    words = re.findall(r"[a-z0-9]+", title.lower())
    slug = "-".join(words)[:SLUG_CHARACTERS].rstrip("-")
    return f"{slug}-" if slug else ""


def _moment(text: str) -> datetime | None:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return at if at.tzinfo else None
