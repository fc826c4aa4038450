"""What people type as `field=value` becomes a message, or one line that says what is wrong."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

import pytest

from domain.crowdfunding.messages import DonateToCampaign
from domain.dashboard.views import ViewCampaigns
from spark_actors.cli.arguments import choose, parse_message, split_fields, usage
from spark_actors.cli.errors import ExitCode, UsageMistakeError
from spark_actors.cli.vocabulary import commands, queries
from spark_actors.kernel.messages import Command, command
from tests.shop.orders.messages import OrderLine, PlaceOrder

DONATION = ["campaign_id=c1", "donation_id=d1", "account_id=7", "amount_sat=500"]


class Colour(StrEnum):
    RED = "red"


@command("tests.paint", key="wall_id")
@dataclass(frozen=True, kw_only=True)
class Paint(Command):
    """Every type that a field may have."""

    wall_id: str
    colour: Colour
    twice: bool
    at: datetime
    litres: int = 1


def test_values_get_the_types_of_their_fields() -> None:
    message = parse_message(Paint, ["wall_id=12", "colour=red", "twice=true", "at=2026-01-02T03:04:05Z", "litres=-3"])
    expected = Paint(
        wall_id="12", colour=Colour.RED, twice=True, at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), litres=-3
    )
    assert message == expected


ORDER = ["order_id=o1", "customer_id=7"]


def test_a_list_is_written_as_json() -> None:
    message = parse_message(PlaceOrder, [*ORDER, 'lines=[{"item_id": "tea", "quantity": 2}]'])
    assert message == PlaceOrder(order_id="o1", customer_id="7", lines=(OrderLine(item_id="tea", quantity=2),))
    assert usage(PlaceOrder).endswith(" lines=<JSON>")


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ("tea", "field lines: expected JSON, got 'tea'"),
        ("[", "field lines: expected JSON, got '['"),
        ('{"item_id": "tea"}', "field lines: expected JSON"),
        ('[{"item_id": "tea"}]', "field lines.0.quantity: "),
        ('[{"item_id": "tea", "quantity": "some"}]', "field lines.0.quantity: input should be a valid integer"),
    ],
)
def test_what_is_no_list_of_the_right_things_is_refused(lines: str, told: str) -> None:
    with pytest.raises(UsageMistakeError) as refused:
        parse_message(PlaceOrder, [*ORDER, f"lines={lines}"])
    assert told in str(refused.value)


def test_a_field_with_a_default_may_be_left_out() -> None:
    assert parse_message(ViewCampaigns, []) == ViewCampaigns()


def test_a_number_in_a_text_field_stays_text() -> None:
    assert parse_message(DonateToCampaign, DONATION).account_id == "7"


def test_everything_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(UsageMistakeError) as refused:
        parse_message(DonateToCampaign, ["campaign_id=c1", "account_id=a", "amount_sat=many", "amount=5"])
    text = str(refused.value)
    assert "field donation_id=<str> is missing" in text
    assert "field amount_sat: expected int, got 'many'" in text
    assert "there is no field 'amount' (there are: campaign_id, donation_id, account_id, amount_sat)" in text
    assert refused.value.exit_code is ExitCode.USAGE


def test_a_value_may_hold_an_equals_sign_and_may_be_empty() -> None:
    assert split_fields(["hash=$argon2id$v=19$m=1", "description="]) == {
        "hash": "$argon2id$v=19$m=1",
        "description": "",
    }


@pytest.mark.parametrize("word", ["amount_sat", "=5", ""])
def test_a_word_that_is_no_field_is_refused(word: str) -> None:
    with pytest.raises(UsageMistakeError, match="expected field=value"):
        split_fields([word])


def test_a_field_given_twice_is_refused() -> None:
    with pytest.raises(UsageMistakeError, match="amount_sat is given twice"):
        split_fields(["amount_sat=1", "amount_sat=2"])


def test_a_misspelt_name_is_answered_with_those_that_come_close() -> None:
    with pytest.raises(UsageMistakeError, match="did you mean crowdfunding.donate-to-campaign"):
        choose(commands(), "crowdfunding.donate-to-campain")


def test_a_view_is_no_command() -> None:
    with pytest.raises(UsageMistakeError):
        choose(commands(), "dashboard.campaigns")


def test_usage_shows_types_and_what_may_be_left_out() -> None:
    assert usage(ViewCampaigns).startswith("dashboard.campaigns [limit=<int>] [before=<datetime>]")
    assert usage(DonateToCampaign).endswith("donation_id=<str> account_id=<str> amount_sat=<int>")


@pytest.mark.parametrize("cls", [*commands(), *queries()], ids=lambda cls: cls.TYPE.name)
def test_every_command_and_view_can_be_written_on_a_command_line(cls: type[Command]) -> None:
    samples = {"str": "x", "int": "1", "datetime": "2026-01-02T03:04:05Z", "bool": "true"}
    words = [word.strip("[]") for word in usage(cls).split()[1:]]
    fields = [f"{word.partition('=')[0]}={samples[word.partition('=')[2].strip('<>')]}" for word in words]
    assert parse_message(cls, fields).TYPE is cls.TYPE
