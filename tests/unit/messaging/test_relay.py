"""The relay's decisions: order per aggregate, nothing lost, poison alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from spark_actors.messaging.envelope import Delivery, Envelope, Receipt
from spark_actors.messaging.ports import KeyState, ParkedKey, PendingMessage
from spark_actors.messaging.relay import HOARD_FACTOR, Relay, RetryPolicy

NOW = datetime(2026, 1, 1, tzinfo=UTC)
POLICY = RetryPolicy(max_attempts=3, base=timedelta(seconds=1), ceiling=timedelta(seconds=60))
ROUTES = {"accounting.deposited": ("bitcoin", "dashboard"), "auth.account-registered": ("accounting",)}


def a_row(position: int, key: str = "alice", name: str = "accounting.deposited") -> PendingMessage:
    return PendingMessage(position, Envelope(f"m{position}", name, 1, key, b"{}", "c", "", NOW))


def a_relay(*rows: PendingMessage) -> Relay:
    relay = Relay(lambda envelope: ROUTES.get(envelope.name, ()), POLICY)
    relay.take_in(rows)
    return relay


def answers(rows: list[PendingMessage], receipt: Receipt) -> list[Delivery]:
    return [Delivery(row.envelope.message_id, receipt, "because") for row in rows]


def taken(rows: list[PendingMessage]) -> list[Delivery]:
    return answers(rows, Receipt.TAKEN)


def test_a_row_is_settled_only_after_each_subscriber_has_taken_it() -> None:
    relay = a_relay(a_row(1))
    relay.delivered("bitcoin", taken(relay.next_batch("bitcoin", 10, NOW)), NOW)
    assert relay.to_settle() == []
    relay.delivered("dashboard", taken(relay.next_batch("dashboard", 10, NOW)), NOW)
    assert relay.to_settle() == [1]


def test_a_row_without_subscribers_is_settled_at_once() -> None:
    assert a_relay(a_row(1, name="auth.unheard-of")).to_settle() == [1]


def test_a_subscriber_has_one_batch_in_hand() -> None:
    relay = a_relay(a_row(1), a_row(2))
    assert len(relay.next_batch("bitcoin", 1, NOW)) == 1
    assert relay.next_batch("bitcoin", 1, NOW) == []


def test_a_row_taken_in_twice_is_delivered_once() -> None:
    relay = a_relay(a_row(1), a_row(1))
    relay.take_in([a_row(1)])
    assert [row.position for row in relay.next_batch("bitcoin", 10, NOW)] == [1]


def test_a_row_that_is_not_taken_holds_back_its_key_only() -> None:
    relay = a_relay(a_row(1, "alice"), a_row(2, "alice"), a_row(3, "bob"), a_row(4, "alice"))
    batch = relay.next_batch("bitcoin", 3, NOW)
    relay.delivered("bitcoin", [*answers(batch[:2], Receipt.RETRY), *taken(batch[2:])], NOW)
    assert relay.next_batch("bitcoin", 10, NOW) == []  # row 4 waits behind rows 1 and 2
    due = NOW + timedelta(seconds=1)
    first = relay.next_batch("bitcoin", 10, due)
    assert [row.position for row in first] == [1]
    relay.delivered("bitcoin", taken(first), due)
    assert [row.position for row in relay.next_batch("bitcoin", 10, due)] == [2, 4]


def test_all_other_keys_flow_while_one_is_held_back() -> None:
    relay = a_relay(a_row(1, "alice"), a_row(2, "bob"), a_row(3, "alice"), a_row(4, "bob"), a_row(5, "carol"))
    relay.delivered("bitcoin", answers(relay.next_batch("bitcoin", 1, NOW), Receipt.RETRY), NOW)
    others = relay.next_batch("bitcoin", 10, NOW)
    assert [row.position for row in others] == [2, 4, 5]


def test_a_message_that_keeps_failing_parks_its_key_and_the_rest_of_it_waits_elsewhere() -> None:
    relay = a_relay(a_row(1), a_row(2), a_row(3, "bob"))
    now, burials = NOW, []
    for _ in range(POLICY.max_attempts):
        now += timedelta(minutes=2)
        batch = relay.next_batch("bitcoin", 10, now)
        given = [Delivery(row.envelope.message_id, _unless_alice(row), "because") for row in batch]
        burials = relay.delivered("bitcoin", given, now)
    assert [(burial.message.position, burial.attempts) for burial in burials] == [(1, 3)]
    assert relay.next_parking("bitcoin", 10) == []
    relay.buried(burials[0])
    relay.take_in([a_row(4), a_row(5, "bob")])
    assert positions(relay.next_batch("bitcoin", 10, now)) == [5]
    assert relay.next_parking("bitcoin", 10) == []  # not while a batch is in hand
    relay.delivered("bitcoin", taken([a_row(5, "bob")]), now)
    assert positions(relay.next_parking("bitcoin", 10)) == [2, 4]
    relay.parked("bitcoin")
    relay.delivered("dashboard", taken(relay.next_batch("dashboard", 10, now)), now)
    assert sorted(relay.to_settle()) == [1, 2, 3, 4, 5]


def test_an_event_that_others_hold_up_waits_with_its_key_alone_and_is_never_given_up() -> None:
    relay = a_relay(a_row(1), a_row(2), a_row(3, "bob"))
    now = NOW
    for _ in range(POLICY.max_attempts * 3):
        now += timedelta(minutes=2)
        batch = relay.next_batch("bitcoin", 10, now)
        assert batch[0].position == 1
        given = [
            Delivery(row.envelope.message_id, Receipt.LATER if row.envelope.key == "alice" else Receipt.TAKEN)
            for row in batch
        ]
        assert relay.delivered("bitcoin", given, now) == []
    relay.delivered("bitcoin", taken(relay.next_batch("bitcoin", 10, now + timedelta(minutes=2))), now)
    assert positions(relay.next_batch("bitcoin", 10, now)) == [2]


def _unless_alice(row: PendingMessage) -> Receipt:
    return Receipt.RETRY if row.envelope.key == "alice" else Receipt.TAKEN


def a_key(key: str = "alice", state: KeyState = KeyState.PAUSED) -> ParkedKey:
    return ParkedKey("bitcoin", key, state, "because", NOW, "ann")


def positions(rows: list[PendingMessage]) -> list[int]:
    return [row.position for row in rows]


def test_rows_of_a_key_that_an_operator_pauses_are_parked_for_that_subscriber_alone() -> None:
    relay = a_relay(a_row(1), a_row(2, "bob"))
    assert relay.sync([a_key()], relay.changes, NOW)
    assert positions(relay.next_batch("bitcoin", 10, NOW)) == [2]
    assert positions(relay.next_batch("dashboard", 10, NOW)) == [1, 2]


def test_a_row_in_hand_when_its_key_is_paused_is_parked_before_the_later_ones_if_it_is_not_taken() -> None:
    relay = a_relay(a_row(1))
    batch = relay.next_batch("bitcoin", 10, NOW)
    relay.take_in([a_row(2)])
    relay.sync([a_key()], relay.changes, NOW)
    relay.delivered("bitcoin", answers(batch, Receipt.RETRY), NOW)
    assert relay.next_batch("bitcoin", 10, NOW + timedelta(minutes=1)) == []
    assert positions(relay.next_parking("bitcoin", 10)) == [1, 2]


def test_rows_that_could_not_be_parked_are_given_again_in_order() -> None:
    relay = a_relay(a_row(1), a_row(2))
    relay.sync([a_key()], relay.changes, NOW)
    relay.next_batch("bitcoin", 10, NOW)
    assert positions(relay.next_parking("bitcoin", 1)) == [1]
    relay.not_parked("bitcoin")
    assert positions(relay.next_parking("bitcoin", 10)) == [1, 2]


def test_rows_pass_directly_again_once_their_key_is_freed() -> None:
    relay = a_relay(a_row(1), a_row(2))
    relay.sync([a_key(state=KeyState.RELEASED)], relay.changes, NOW)
    assert relay.next_batch("bitcoin", 10, NOW) == []
    assert relay.next_releases("bitcoin", NOW) == ["alice"]
    relay.freed("bitcoin", "alice")
    assert relay.next_releases("bitcoin", NOW) == []
    assert positions(relay.next_batch("bitcoin", 10, NOW)) == [1, 2]


def test_what_was_read_before_a_key_was_parked_here_does_not_free_it() -> None:
    relay = a_relay(a_row(1), a_row(2))
    before = relay.changes
    [burial] = relay.delivered("bitcoin", answers(relay.next_batch("bitcoin", 1, NOW), Receipt.POISON), NOW)
    relay.buried(burial)
    assert not relay.sync([], before, NOW)
    assert relay.next_batch("bitcoin", 10, NOW) == []


def test_a_released_key_that_fails_again_waits_ever_longer_and_is_then_buried_again() -> None:
    relay = a_relay()
    relay.sync([a_key(state=KeyState.RELEASED)], relay.changes, NOW)
    refused = Delivery("m1", Receipt.RETRY, "because")
    assert relay.not_released("bitcoin", "alice", refused, NOW) == 0
    assert relay.next_releases("bitcoin", NOW) == []
    assert relay.next_due("bitcoin") == NOW + timedelta(seconds=1)
    assert relay.not_released("bitcoin", "alice", refused, NOW) == 0
    assert relay.not_released("bitcoin", "alice", refused, NOW) == POLICY.max_attempts


def test_part_of_a_delay_is_left_to_chance() -> None:
    policy = RetryPolicy(3, timedelta(seconds=10), timedelta(seconds=60), jitter=0.5)
    assert [policy.delay_after(1, draw).total_seconds() for draw in (0.0, 0.5, 1.0)] == [10, 7.5, 5]
    assert policy.delay_after(40).total_seconds() == 60


def test_poison_is_buried_without_further_attempts() -> None:
    relay = a_relay(a_row(1))
    burials = relay.delivered("bitcoin", answers(relay.next_batch("bitcoin", 10, NOW), Receipt.POISON), NOW)
    assert [burial.attempts for burial in burials] == [1]


def test_a_batch_that_reached_nobody_is_offered_again_at_once_in_order() -> None:
    relay = a_relay(a_row(1), a_row(2), a_row(3))
    relay.next_batch("bitcoin", 2, NOW)
    relay.undelivered("bitcoin")
    assert [row.position for row in relay.next_batch("bitcoin", 10, NOW)] == [1, 2, 3]


def test_a_message_without_an_answer_counts_as_not_taken() -> None:
    relay = a_relay(a_row(1))
    relay.next_batch("bitcoin", 10, NOW)
    relay.delivered("bitcoin", [], NOW)
    assert [row.position for row in relay.next_batch("bitcoin", 10, NOW + timedelta(seconds=1))] == [1]


def test_a_row_that_could_not_be_settled_is_settled_later() -> None:
    relay = a_relay(a_row(1, name="auth.unheard-of"))
    relay.not_settled(relay.to_settle())
    assert relay.to_settle() == [1]
    relay.settled([1])
    assert relay.load == 0


@given(
    keys=st.lists(st.sampled_from("abc"), min_size=1, max_size=30),
    receipts=st.lists(st.sampled_from(list(Receipt)), max_size=200),
    pauses=st.lists(st.sampled_from([0, 1, 30]), max_size=200),
    limit=st.integers(1, 7),
)
def test_whatever_subscribers_answer_each_key_stays_in_order_and_every_row_ends(
    keys: list[str], receipts: list[Receipt], pauses: list[int], limit: int
) -> None:
    relay = a_relay(*[a_row(position, key) for position, key in enumerate(keys)])
    script, seconds, now, settled = iter(receipts), iter(pauses), NOW, list[int]()
    ended: dict[tuple[str, str], list[int]] = defaultdict(list)
    waits: dict[tuple[str, str], list[int]] = defaultdict(list)
    while len(settled) < len(keys):
        for subscriber in ("bitcoin", "dashboard"):
            now += timedelta(seconds=next(seconds, 30))  # what failed may not be due again yet
            batch = relay.next_batch(subscriber, limit, now)
            deliveries = _as_a_context_actor_answers(batch, script)
            burials = relay.delivered(subscriber, deliveries, now)
            gone = {d.message_id for d in deliveries if d.receipt is Receipt.TAKEN}
            for row in batch:
                if row.envelope.message_id in gone:
                    ended[subscriber, row.envelope.key].append(row.position)
            for burial in burials:
                relay.buried(burial)
                waits[subscriber, burial.message.envelope.key].append(burial.message.position)
            for row in relay.next_parking(subscriber, limit):
                waits[subscriber, row.envelope.key].append(row.position)
            relay.parked(subscriber)
        done = relay.to_settle()
        relay.settled(done)
        settled += done
    assert sorted(settled) == list(range(len(keys)))
    for name in {*ended, *waits}:
        assert [*ended[name], *waits[name]] == sorted([*ended[name], *waits[name]])


def _as_a_context_actor_answers(batch: list[PendingMessage], script: Iterator[Receipt]) -> list[Delivery]:
    """Once an event of a key was not taken, the later ones of that key in the batch are not taken either."""
    deliveries, stopped = [], set()
    for row in batch:
        receipt = Receipt.RETRY if row.envelope.key in stopped else next(script, Receipt.TAKEN)
        if receipt is not Receipt.TAKEN:
            stopped.add(row.envelope.key)
        deliveries.append(Delivery(row.envelope.message_id, receipt))
    return deliveries


def test_a_key_that_is_held_back_leaves_room_for_all_others() -> None:
    relay = a_relay(*[a_row(position, "poison") for position in range(20)])
    for subscriber in ("bitcoin", "dashboard"):
        relay.delivered(subscriber, answers(relay.next_batch(subscriber, 20, NOW), Receipt.RETRY), NOW)
    assert relay.room(10) == 10


def test_a_subscriber_that_is_away_leaves_room_for_the_others() -> None:
    relay = a_relay(*[a_row(position, f"key-{position}") for position in range(20)])
    relay.delivered("bitcoin", taken(relay.next_batch("bitcoin", 20, NOW)), NOW)
    assert relay.room(10) == 10


def test_what_gathers_for_a_subscriber_that_is_away_is_bounded() -> None:
    relay = a_relay(*[a_row(position, f"key-{position}") for position in range(10 * HOARD_FACTOR)])
    relay.delivered("bitcoin", taken(relay.next_batch("bitcoin", 100, NOW)), NOW)
    assert relay.room(10) == 0
