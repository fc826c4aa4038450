"""Shows what came of a performance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from domain.cli.demo.play import Performance
from domain.cli.demo.story import Campaign, Payout, Person, Story
from spark_actors.cli.demo import BAR_WIDTH, make_table, render_failures
from spark_actors.cli.timeline import render_timeline

WAY_EXPLAINED = (
    "Its command was delivered {} times and took effect once. Each line was decided and committed by the "
    "AggregateActor that hosts the aggregate; between the lines the context's Supervisor relayed the event, and a "
    "ContextActor turned it into the next command."
)
YES, NO = Text("✓", style="bold green"), Text("✗", style="bold red")
PAYOUT_STYLES = {"paid": "green", "refunded": "yellow", "rejected": "red"}


def sats(amount: int) -> str:
    """An amount as people read it."""
    return f"{amount:,} sat"


def render_summary(seen: Performance) -> RenderableType:
    """What came of the story, and what of it is not as expected."""
    parts: list[RenderableType] = [
        _people(seen),
        _campaigns(seen),
        _refusals(seen),
        _payouts(seen),
        _way_of_one_donation(seen),
        _money(seen),
    ]
    if seen.failures:
        parts.append(render_failures(seen.failures))
    spaced = [part for each in parts for part in (Text(), each)]
    return Group(*spaced)


def summary(seen: Performance) -> dict[str, Any]:
    """The same for scripts: plain values."""
    story = seen.story
    return {
        "passed": not seen.failures,
        "seed": story.seed,
        "seconds": round(seen.seconds, 3),
        "commands": seen.commands,
        "people": [{**vars(person), "balance_sat": _balance(seen, person)} for person in story.people],
        "campaigns": [seen.campaigns.get(campaign.campaign_id, {}) for campaign in story.campaigns],
        "donations": len(story.gifts),
        "gifts": len(story.open_gifts),
        "refused": [{"who": each.who, "what": each.what, "reason": each.reason} for each in story.mischief],
        "withdrawals": [seen.payouts.get(payout.invoice_id, {}) for payout in story.payouts],
        "timeline": seen.timeline,
        "checks": len(seen.checks),
        "failures": [vars(check) for check in seen.failures],
    }


def _people(seen: Performance) -> Table:
    story = seen.story
    table = make_table("The people", "who", ">paid in", ">gave", ">received", ">withdrew", ">fees", ">holds now", "")
    for person in story.people:
        balance = _balance(seen, person)
        amounts = (
            person.deposit_sat,
            story.given_by(person),
            story.received_by(person),
            story.withdrawn_by(person),
            seen.fees_of(person),
        )
        is_right = balance == seen.balance_of(person)
        held = Text("?" if balance is None else sats(balance), style="bold")
        table.add_row(person.name, *(_amount(amount) for amount in amounts), held, YES if is_right else NO)
    return table


def _campaigns(seen: Performance) -> Table:
    table = make_table("The campaigns", "what", "by", "", ">raised", ">of", ">donations", "")
    for campaign in seen.story.campaigns:
        view = seen.campaigns.get(campaign.campaign_id, {})
        table.add_row(*_campaign_row(campaign, view))
    return table


def _campaign_row(campaign: Campaign, view: Mapping[str, Any]) -> Iterator[RenderableType]:
    raised = int(view.get("raised_sat", 0))
    yield Text(campaign.title, style="bold")
    yield campaign.owner.name
    yield ProgressBar(
        total=campaign.goal_sat,
        completed=min(raised, campaign.goal_sat),
        width=BAR_WIDTH,
        complete_style="cyan",
        finished_style="green",
    )
    yield _amount(raised)
    yield _amount(campaign.goal_sat)
    yield str(view.get("donations", 0))
    share = f"{100 * raised // campaign.goal_sat} %"
    yield Text(f"{share} reached!", style="bold green") if view.get("goal_reached") else Text(share)


def _refusals(seen: Performance) -> Table:
    failed = {check.what for check in seen.failures}
    table = make_table("What was refused, and why", "who", "what", "why", "")
    for each in seen.story.mischief:
        is_right = f"{each.who} {each.what}" not in failed
        table.add_row(each.who, each.what, Text(each.reason, style="yellow"), YES if is_right else NO)
    return table


def _payouts(seen: Performance) -> Table:
    table = make_table("Withdrawals over Lightning", "who", "what", ">amount", "ended", "why", "")
    for payout in seen.story.payouts:
        view = seen.payouts.get(payout.invoice_id, {})
        table.add_row(*_payout_row(payout, view))
    return table


def _payout_row(payout: Payout, view: Mapping[str, Any]) -> Iterator[RenderableType]:
    state = str(view.get("state", "?"))
    yield payout.person.name
    yield payout.what
    yield _amount(payout.amount_sat)
    yield Text(state, style=PAYOUT_STYLES.get(state, ""))
    yield Text(str(view.get("reason", "")), style="dim")
    yield YES if state == payout.state else NO


def _way_of_one_donation(seen: Performance) -> RenderableType:
    gift = seen.story.gifts[0]
    title = f"The way of one donation: {gift.donor.name} gives {sats(gift.amount_sat)}"
    table = render_timeline(seen.timeline, naming=_naming(seen.story), title=title)
    return Group(table, Text(WAY_EXPLAINED.format(gift.deliveries), style="dim"))


def _money(seen: Performance) -> RenderableType:
    """Where the story's money is: what came in is what went out and what is held."""
    story = seen.story
    came, went = story.came_in, story.went_out
    fees = sum(seen.fees_of(person) for person in story.people)
    held = sum(_balance(seen, person) or 0 for person in story.people)
    line = Text.assemble(
        *((sats(came), "bold"), " came in, ", (sats(went), "bold"), " went out, ", (sats(fees), "bold")),
        *(" did it cost, ", (sats(held), "bold"), " are held: "),
    )
    line.append("every satoshi is accounted for." if came == went + fees + held else "that does not add up!")
    line.append(
        f"\n{seen.commands} commands, {len(story.gifts) + len(story.open_gifts)} donations, {seen.seconds:.1f} s.",
        style="dim",
    )
    return line


def _naming(story: Story) -> Any:
    """Ids of the story as the names that they stand for."""
    names = {person.account_id: person.name for person in story.people}
    names |= {campaign.campaign_id: f"“{campaign.title}”" for campaign in story.campaigns}
    return lambda key: names.get(key, key)


def _balance(seen: Performance, person: Person) -> int | None:
    return seen.accounts.get(person.account_id, {}).get("balance_sat")


def _amount(amount: int) -> Text:
    return Text(f"{amount:,}") if amount else Text("–", style="dim")
