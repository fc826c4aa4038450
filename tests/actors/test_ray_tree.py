"""The actors as Ray processes: they are placed as the settings say, and whichever is killed is replaced."""

from __future__ import annotations

from uuid import uuid4

import psycopg
import pytest
import ray

from domain.accounting.messages import Deposit, OpenAccount
from domain.application import APPLICATION
from domain.auth.messages import RegisterAccount
from domain.bitcoin.messages import RequestDeposit
from domain.crowdfunding.messages import CreateCampaign, DonateToCampaign
from domain.dashboard.views import ViewAccountOverview, ViewCampaign, ViewDonation, ViewInvoice, ViewTimeline
from spark_actors.actors import names
from spark_actors.actors.assembly import Assembly
from spark_actors.actors.references import RayRoot
from spark_actors.bootstrap.sizes import sessions_needed
from spark_actors.embedded.ray_node import EmbeddedRay
from spark_actors.ingress.client import SOURCE
from spark_actors.kernel.ids import derived_id
from spark_actors.messaging.identity import identity_of
from tests.fixtures.application import SCHEMAS
from tests.fixtures.daemon import eventually
from tests.fixtures.tree import Tree
from tests.unit.domain.builders import ARGON2

DONE = ("done", "")


def a_name(noun: str) -> str:
    return f"{noun}-{uuid4().hex[:8]}"


def test_a_sign_up_opens_the_account_in_another_context(tree: Tree) -> None:
    account = a_name("account")
    assert tree.send(RegisterAccount(account_id=account, username=account, password_hash=ARGON2)) == [DONE]
    assert eventually(lambda: tree.view(ViewAccountOverview(account_id=account)).get("is_open") is True)


def test_a_deposit_over_lightning_ends_in_the_account(tree: Tree) -> None:
    account, invoice = a_name("account"), a_name("invoice")
    tree.send(OpenAccount(account_id=account))
    tree.send(RequestDeposit(invoice_id=invoice, account_id=account, amount_sat=700))
    assert eventually(lambda: tree.view(ViewInvoice(invoice_id=invoice)).get("state") == "credited")
    assert eventually(lambda: tree.view(ViewAccountOverview(account_id=account)).get("balance_sat") == 700)


def test_an_instance_that_is_known_to_be_heavy_has_an_actor_of_its_own(tree: Tree) -> None:
    assert tree.send(OpenAccount(account_id="whale")) == [DONE]
    assert {"spark/pool/aggregate/own-0", "spark/pool/aggregate/dedicated-crowdfunding-0"} < tree.pids().keys()
    tree.kill("spark/pool/aggregate/own-0")
    assert tree.send(Deposit(account_id="whale", deposit_id=a_name("d"), amount_sat=5)) == [DONE]


@pytest.mark.parametrize(
    "actor",
    [
        "spark/pool/aggregate/shared-0",
        "spark/accounting/context/0",
        "spark/accounting/supervisor/0",
        "spark/broker/ingress/0",
        "spark/root/supervisor/0",
    ],
)
def test_a_killed_actor_is_replaced_and_its_work_goes_on(tree: Tree, actor: str) -> None:
    donor, owner, campaign = a_name("donor"), a_name("owner"), a_name("campaign")
    tree.send(OpenAccount(account_id=donor), OpenAccount(account_id=owner))
    tree.send(Deposit(account_id=donor, deposit_id=donor, amount_sat=100))
    tree.send(CreateCampaign(campaign_id=campaign, account_id=owner, title="A", description="B", goal_sat=50))
    pid = tree.kill(actor)
    gifts = [
        DonateToCampaign(campaign_id=campaign, donation_id=a_name("gift"), account_id=donor, amount_sat=10)
        for _ in range(5)
    ]
    assert tree.send(*gifts) == [DONE] * 5
    assert eventually(lambda: tree.view(ViewCampaign(campaign_id=campaign)).get("campaign", {}).get("raised_sat") == 50)
    assert eventually(lambda: tree.view(ViewAccountOverview(account_id=owner)).get("balance_sat") == 50)
    assert eventually(lambda: tree.has_replaced(actor, pid))
    tree.wait_until_ready()


@pytest.mark.parametrize(
    ("subject", "body", "reason"),
    [
        ("spark.commands.accounting.deposit", b"\xff no json", "not_json"),
        ("spark.commands.accounting.print-money", b"{}", "unknown_subject"),
        ("spark.commands.nowhere.at-all", b"{}", "unknown_subject"),
        ("spark.commands.accounting.deposit", b"[" * 70_000, "oversized"),
    ],
)
def test_what_cannot_be_understood_is_refused_with_a_reason_and_the_actors_go_on(
    tree: Tree, subject: str, body: bytes, reason: str
) -> None:
    before = tree.dead_letters()
    outcome, told = tree.send_raw(subject, body)
    assert outcome == "failed"
    assert told.startswith(reason)
    assert tree.dead_letters() == before + 1
    assert tree.send(OpenAccount(account_id=a_name("account"))) == [DONE]


def test_nobody_can_use_up_the_id_of_a_command_or_of_a_sagas_next_step_before_its_time(tree: Tree) -> None:
    """All these ids can be computed by whoever knows, or guesses, the first."""
    donor, owner, mallory, campaign, gift = (a_name(noun) for noun in ("donor", "owner", "mallory", "campaign", "gift"))
    tree.send(OpenAccount(account_id=donor), OpenAccount(account_id=owner))
    tree.send(Deposit(account_id=donor, deposit_id=donor, amount_sat=100))
    tree.send(CreateCampaign(campaign_id=campaign, account_id=owner, title="A", description="B", goal_sat=50))
    story = identity_of(f"user {donor}", SOURCE, gift)
    requested = derived_id(story, "crowdfunding", 0)
    debited = derived_id(derived_id(requested, "accounting", 0), "accounting", 0)
    credited = derived_id(derived_id(debited, "accounting", 0), "accounting", 0)
    registering = derived_id(credited, "crowdfunding", 0)
    for message_id, answer in ((gift, DONE), (story, ("failed", "malformed_envelope")), (registering, DONE)):
        squat = CreateCampaign(campaign_id=a_name("c"), account_id=mallory, title="A", description="B", goal_sat=5)
        assert tree.send_as(mallory, squat, message_id) == answer
    donation = DonateToCampaign(campaign_id=campaign, donation_id=gift, account_id=donor, amount_sat=10)
    assert tree.send_as(mallory, donation, gift) == ("failed", "forbidden")
    assert tree.send_as(donor, donation, gift) == DONE
    assert eventually(lambda: tree.view(ViewDonation(donation_id=gift)).get("state") == "registered")
    lines = tree.view(ViewTimeline(correlation_id=story))["lines"]
    registered = [line["causation_id"] for line in lines if line["event"] == "crowdfunding.donation-registered"]
    assert registered == [registering]  # else this would try other ids than those that matter


def test_the_metrics_of_all_actors_come_together(tree: Tree) -> None:
    tree.send(OpenAccount(account_id=a_name("account")))
    assert eventually(lambda: 'name="accounting.open-account",outcome="done"' in tree.metrics())


def test_a_replaced_actor_is_counted(tree: Tree) -> None:
    tree.kill("spark/pool/aggregate/shared-1")
    assert eventually(lambda: 'spark_actor_restarts_total{kind="AggregateActor"}' in tree.metrics())
    tree.wait_until_ready()


def test_no_more_sessions_of_postgres_are_open_than_were_counted_beforehand(tree: Tree, module_database: str) -> None:
    places = dict.fromkeys(SCHEMAS, module_database)
    counted = sessions_needed(APPLICATION, tree.settings, places, places)[module_database]
    tree.send(*(OpenAccount(account_id=a_name("account")) for _ in range(200)))
    with psycopg.connect(module_database) as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'spark %'"
        ).fetchone()
    assert row is not None
    assert counted / 3 < row[0] <= counted


def test_a_daemon_ends_what_its_predecessors_left_and_nobody_elses_actors(ray_node: EmbeddedRay) -> None:
    def root(deployment: str, daemon: str) -> RayRoot:
        return RayRoot(f"{names.deployment('shared', deployment)}/{daemon}")

    def there() -> set[str]:
        actors = ray.util.list_named_actors(all_namespaces=True)
        return {actor["namespace"].removeprefix("shared/") for actor in actors if "shared/" in actor["namespace"]}

    first, stranger, successor = root("mine", "1"), root("theirs", "1"), root("mine", "2")
    first.start(no_unit)
    stranger.start(no_unit)
    assert there() == {"mine/1", "theirs/1"}
    successor.start(no_unit)
    assert eventually(lambda: there() == {"mine/2", "theirs/1"})
    first.stop(1)
    assert there() == {"mine/2", "theirs/1"}
    successor.stop(1)
    assert eventually(lambda: there() == {"theirs/1"})
    stranger.stop(1)
    assert eventually(lambda: there() == set())


async def no_unit() -> Assembly:
    raise RuntimeError("nothing is built here")
