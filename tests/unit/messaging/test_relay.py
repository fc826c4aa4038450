"""The relay's decisions: order per aggregate, nothing lost, poison alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from spark_actors.kernel.back_off import BackOff
from spark_actors.messaging.envelope import Delivery, Envelope, Receipt
from spark_actors.messaging.missed import MissedRead
from spark_actors.messaging.ports import KeyState, ParkedKey, PendingMessage
from spark_actors.messaging.relay import Relay
from spark_actors.messaging.retry import RetryPolicy
from spark_actors.messaging.tuning import HOARD_FACTOR

NOW = datetime(2026, 1, 1, tzinfo=UTC)
POLICY = RetryPolicy(max_attempts=3, back_off=BackOff(1, 60))
ROUTES = {
    "accounting.deposited": ("bitcoin", "dashboard"),
    "accounting.reported": ("dashboard",),
    "auth.account-registered": ("accounting",),
}


def a_row(position: int, key: str = "alice", name: str = "accounting.deposited") -> PendingMessage:
    return PendingMessage(position, Envelope(f"m{position}", name, 1, key, b"{}", "c", "", NOW))


def a_relay(*rows: PendingMessage, in_flight: int = 10) -> Relay:
    relay = a_relay_that_begins(in_flight)
    relay.take_in(rows, is_all=True)
    return relay


def a_relay_that_begins(in_flight: int = 10) -> Relay:
    """One that has read nothing yet."""
    subscribers = {name for names in ROUTES.values() for name in names}
    return Relay(lambda envelope: ROUTES.get(envelope.name, ()), POLICY, subscribers=subscribers, in_flight=in_flight)


def answers(rows: list[PendingMessage], receipt: Receipt) -> list[Delivery]:
    return [Delivery(row.envelope.message_id, receipt, "because") for row in rows]


def taken(rows: list[PendingMessage]) -> list[Delivery]:
    return answers(rows, Receipt.TAKEN)


def test_a_row_is_settled_only_after_each_subscriber_has_taken_it() -> None:
    relay = a_relay(a_row(1))
    bitcoin = relay.lanes["bitcoin"]
    dashboard = relay.lanes["dashboard"]
    bitcoin.delivered(taken(bitcoin.next_batch(10, NOW)), NOW)
    assert relay.to_settle() == []
    dashboard.delivered(taken(dashboard.next_batch(10, NOW)), NOW)
    assert relay.to_settle() == [1]


def test_a_row_without_subscribers_is_settled_at_once() -> None:
    assert a_relay(a_row(1, name="auth.unheard-of")).to_settle() == [1]


def test_a_subscriber_has_one_batch_in_hand() -> None:
    relay = a_relay(a_row(1), a_row(2))
    bitcoin = relay.lanes["bitcoin"]
    assert len(bitcoin.next_batch(1, NOW)) == 1
    assert bitcoin.next_batch(1, NOW) == []


def test_a_row_taken_in_twice_is_delivered_once() -> None:
    relay = a_relay(a_row(1), a_row(1))
    relay.take_in([a_row(1)])
    assert [row.position for row in relay.lanes["bitcoin"].next_batch(10, NOW)] == [1]


def test_a_row_that_is_not_taken_holds_back_its_key_only() -> None:
    relay = a_relay(a_row(1, "alice"), a_row(2, "alice"), a_row(3, "bob"), a_row(4, "alice"))
    bitcoin = relay.lanes["bitcoin"]
    batch = bitcoin.next_batch(3, NOW)
    bitcoin.delivered([*answers(batch[:2], Receipt.RETRY), *taken(batch[2:])], NOW)
    assert bitcoin.next_batch(10, NOW) == []  # row 4 waits behind rows 1 and 2
    due = NOW + timedelta(seconds=1)
    first = bitcoin.next_batch(10, due)
    assert [row.position for row in first] == [1]
    bitcoin.delivered(taken(first), due)
    assert [row.position for row in bitcoin.next_batch(10, due)] == [2, 4]


def test_all_other_keys_flow_while_one_is_held_back() -> None:
    relay = a_relay(a_row(1, "alice"), a_row(2, "bob"), a_row(3, "alice"), a_row(4, "bob"), a_row(5, "carol"))
    bitcoin = relay.lanes["bitcoin"]
    bitcoin.delivered(answers(bitcoin.next_batch(1, NOW), Receipt.RETRY), NOW)
    others = bitcoin.next_batch(10, NOW)
    assert [row.position for row in others] == [2, 4, 5]


def test_a_message_that_keeps_failing_parks_its_key_and_the_rest_of_it_waits_elsewhere() -> None:
    relay = a_relay(a_row(1), a_row(2), a_row(3, "bob"))
    bitcoin = relay.lanes["bitcoin"]
    dashboard = relay.lanes["dashboard"]
    now, burials = NOW, []
    for _ in range(POLICY.max_attempts):
        now += timedelta(minutes=2)
        batch = bitcoin.next_batch(10, now)
        given = [Delivery(row.envelope.message_id, _unless_alice(row), "because") for row in batch]
        burials = bitcoin.delivered(given, now)
    assert [(burial.message.position, burial.attempts) for burial in burials] == [(1, 3)]
    assert bitcoin.next_parking(10) == []
    bitcoin.buried(burials[0])
    relay.take_in([a_row(4), a_row(5, "bob")])
    assert positions(bitcoin.next_batch(10, now)) == [5]
    assert bitcoin.next_parking(10) == []  # not while a batch is in hand
    bitcoin.delivered(taken([a_row(5, "bob")]), now)
    assert positions(bitcoin.next_parking(10)) == [2, 4]
    bitcoin.parked()
    dashboard.delivered(taken(dashboard.next_batch(10, now)), now)
    assert sorted(relay.to_settle()) == [1, 2, 3, 4, 5]


def test_an_event_that_others_hold_up_waits_with_its_key_alone_and_is_never_given_up() -> None:
    relay = a_relay(a_row(1), a_row(2), a_row(3, "bob"))
    bitcoin = relay.lanes["bitcoin"]
    now = NOW
    for _ in range(POLICY.max_attempts * 3):
        now += timedelta(minutes=2)
        batch = bitcoin.next_batch(10, now)
        assert batch[0].position == 1
        given = [
            Delivery(row.envelope.message_id, Receipt.LATER if row.envelope.key == "alice" else Receipt.TAKEN)
            for row in batch
        ]
        assert bitcoin.delivered(given, now) == []
    bitcoin.delivered(taken(bitcoin.next_batch(10, now + timedelta(minutes=2))), now)
    assert positions(bitcoin.next_batch(10, now)) == [2]


def _unless_alice(row: PendingMessage) -> Receipt:
    return Receipt.RETRY if row.envelope.key == "alice" else Receipt.TAKEN


def a_key(key: str = "alice", state: KeyState = KeyState.PAUSED) -> ParkedKey:
    return ParkedKey("bitcoin", key, state)


def positions(rows: list[PendingMessage]) -> list[int]:
    return [row.position for row in rows]


def test_rows_of_a_key_that_an_operator_pauses_are_parked_for_that_subscriber_alone() -> None:
    relay = a_relay(a_row(1), a_row(2, "bob"))
    assert relay.sync([a_key()], relay.changes, NOW)
    assert positions(relay.lanes["bitcoin"].next_batch(10, NOW)) == [2]
    assert positions(relay.lanes["dashboard"].next_batch(10, NOW)) == [1, 2]


def test_a_row_in_hand_when_its_key_is_paused_is_parked_before_the_later_ones_if_it_is_not_taken() -> None:
    relay = a_relay(a_row(1))
    bitcoin = relay.lanes["bitcoin"]
    batch = bitcoin.next_batch(10, NOW)
    relay.take_in([a_row(2)])
    relay.sync([a_key()], relay.changes, NOW)
    bitcoin.delivered(answers(batch, Receipt.RETRY), NOW)
    assert bitcoin.next_batch(10, NOW + timedelta(minutes=1)) == []
    assert positions(bitcoin.next_parking(10)) == [1, 2]


def test_rows_that_could_not_be_parked_are_given_again_in_order() -> None:
    relay = a_relay(a_row(1), a_row(2))
    bitcoin = relay.lanes["bitcoin"]
    relay.sync([a_key()], relay.changes, NOW)
    bitcoin.next_batch(10, NOW)
    assert positions(bitcoin.next_parking(1)) == [1]
    bitcoin.not_parked()
    assert positions(bitcoin.next_parking(10)) == [1, 2]


def test_rows_pass_directly_again_once_their_key_is_freed() -> None:
    relay = a_relay(a_row(1), a_row(2))
    bitcoin = relay.lanes["bitcoin"]
    relay.sync([a_key(state=KeyState.RELEASED)], relay.changes, NOW)
    assert bitcoin.next_batch(10, NOW) == []
    assert [release.key for release in bitcoin.next_releases(NOW)] == ["alice"]
    bitcoin.freed("alice")
    assert bitcoin.next_releases(NOW) == []
    assert positions(bitcoin.next_batch(10, NOW)) == [1, 2]


def test_what_was_read_before_a_key_was_parked_here_does_not_free_it() -> None:
    relay = a_relay(a_row(1), a_row(2))
    bitcoin = relay.lanes["bitcoin"]
    before = relay.changes
    [burial] = bitcoin.delivered(answers(bitcoin.next_batch(1, NOW), Receipt.POISON), NOW)
    bitcoin.buried(burial)
    assert not relay.sync([], before, NOW)
    assert bitcoin.next_batch(10, NOW) == []


def test_a_released_key_that_fails_again_waits_ever_longer_and_is_then_buried_again() -> None:
    relay = a_relay()
    bitcoin = relay.lanes["bitcoin"]
    relay.sync([a_key(state=KeyState.RELEASED)], relay.changes, NOW)
    [release] = bitcoin.next_releases(NOW)
    assert not bitcoin.not_released(release, Receipt.RETRY, NOW)
    assert bitcoin.next_releases(NOW) == []
    assert bitcoin.next_due() == NOW + timedelta(seconds=1)
    assert not bitcoin.not_released(release, Receipt.RETRY, NOW)
    assert bitcoin.next_due() == NOW + timedelta(seconds=2)
    assert bitcoin.not_released(release, Receipt.RETRY, NOW)
    assert release.attempts == POLICY.max_attempts


def test_poison_is_buried_without_further_attempts() -> None:
    relay = a_relay(a_row(1))
    bitcoin = relay.lanes["bitcoin"]
    burials = bitcoin.delivered(answers(bitcoin.next_batch(10, NOW), Receipt.POISON), NOW)
    assert [burial.attempts for burial in burials] == [1]


def test_a_batch_that_reached_nobody_is_offered_again_at_once_in_order() -> None:
    relay = a_relay(a_row(1), a_row(2), a_row(3))
    bitcoin = relay.lanes["bitcoin"]
    bitcoin.next_batch(2, NOW)
    bitcoin.undelivered()
    assert [row.position for row in bitcoin.next_batch(10, NOW)] == [1, 2, 3]


def test_a_message_without_an_answer_counts_as_not_taken() -> None:
    relay = a_relay(a_row(1))
    bitcoin = relay.lanes["bitcoin"]
    bitcoin.next_batch(10, NOW)
    bitcoin.delivered([], NOW)
    assert [row.position for row in bitcoin.next_batch(10, NOW + timedelta(seconds=1))] == [1]


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
            lane = relay.lanes[subscriber]
            batch = lane.next_batch(limit, now)
            deliveries = _as_a_context_actor_answers(batch, script)
            burials = lane.delivered(deliveries, now)
            gone = {d.message_id for d in deliveries if d.receipt is Receipt.TAKEN}
            for row in batch:
                if row.envelope.message_id in gone:
                    ended[subscriber, row.envelope.key].append(row.position)
            for burial in burials:
                lane.buried(burial)
                waits[subscriber, burial.message.envelope.key].append(burial.message.position)
            for row in lane.next_parking(limit):
                waits[subscriber, row.envelope.key].append(row.position)
            lane.parked()
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
    relay = a_relay(*[a_row(position, "poison") for position in range(9)])
    for subscriber in ("bitcoin", "dashboard"):
        relay.lanes[subscriber].delivered(answers(relay.lanes[subscriber].next_batch(20, NOW), Receipt.RETRY), NOW)
    assert relay.room == 10


def test_a_key_for_which_more_waits_than_may_be_in_hand_is_tried_once_more_and_then_parked() -> None:
    relay = a_relay(a_row(1))
    bitcoin = relay.lanes["bitcoin"]
    bitcoin.delivered(answers(bitcoin.next_batch(1, NOW), Receipt.RETRY), NOW)
    relay.take_in([a_row(position) for position in range(2, 11)])
    bitcoin.next_batch(20, NOW)  # takes those behind it aside
    batch = bitcoin.next_batch(20, NOW)  # long before the first is due again
    assert positions(batch) == [1]
    assert [burial.attempts for burial in bitcoin.delivered(answers(batch, Receipt.RETRY), NOW)] == [2]


def test_a_subscriber_that_is_away_leaves_room_for_the_others() -> None:
    relay = a_relay(*[a_row(position, f"key-{position}") for position in range(20)])
    bitcoin = relay.lanes["bitcoin"]
    bitcoin.delivered(taken(bitcoin.next_batch(20, NOW)), NOW)
    assert relay.room == 10


def test_a_subscriber_that_is_away_leaves_room_for_those_that_have_had_nothing_yet() -> None:
    relay = a_relay(*[a_row(position, f"key-{position}", "accounting.reported") for position in range(20)])
    assert relay.room == 10


def test_rows_that_have_the_same_message_id_are_each_settled() -> None:
    twin = PendingMessage(2, a_row(1).envelope)
    relay = a_relay(a_row(1), twin)
    for subscriber in ("bitcoin", "dashboard"):
        relay.lanes[subscriber].delivered(taken(relay.lanes[subscriber].next_batch(10, NOW)), NOW)
    assert relay.to_settle() == [1, 2]


def test_answers_that_are_not_those_of_the_batch_take_nothing() -> None:
    relay = a_relay(a_row(1), a_row(2, "bob"))
    bitcoin = relay.lanes["bitcoin"]
    batch = bitcoin.next_batch(10, NOW)
    bitcoin.delivered(taken(batch[::-1]), NOW)
    assert positions(bitcoin.next_batch(10, NOW + timedelta(seconds=1))) == [1, 2]


# --- a subscriber that is far behind ---


class Scene:
    """A relay with at most ten rows in hand, an outbox without end, and what is kept for the dashboard."""

    def __init__(self, *, size: int = 0) -> None:
        self.relay = a_relay()
        self.taken: defaultdict[str, list[int]] = defaultdict(list)
        self.kept: dict[int, PendingMessage] = {}
        self.data = b"x" * size
        self.rows: list[PendingMessage] = []
        self.most = 0

    def set_aside(self) -> None:
        """An earlier relay has kept something for the dashboard."""
        self.relay.set_aside(["dashboard"])
        self.relay.take_in([], is_all=True)

    def add(self, count: int) -> None:
        """Take in as much as there is room for, at most *count* rows."""
        for position in range(len(self.rows), len(self.rows) + min(count, max(0, self.relay.room))):
            row = a_row(position, f"key-{position % 3}")
            envelope = structs.replace(row.envelope, data=self.data)
            self.rows.append(PendingMessage(position, envelope))
            self.relay.take_in(self.rows[-1:], is_all=True)
        self.most = max(self.most, self.relay.load)

    def take(self, subscriber: str, limit: int = 4) -> None:
        lane = self.relay.lanes[subscriber]
        if read := lane.next_read(limit):
            lane.found(self.waiting(read), read)
        batch = lane.next_batch(limit, NOW)
        self.taken[subscriber] += positions(batch)
        lane.delivered(taken(batch), NOW)
        done = lane.to_forget()
        for position in done:
            del self.kept[position]
        lane.forgotten(done)

    def waiting(self, read: MissedRead) -> list[PendingMessage]:
        found = [self.kept[it] for it in sorted(self.kept) if it >= read.floor and it not in read.skip]
        return found[: read.limit]

    def keep(self) -> None:
        while kept := self.relay.lanes["dashboard"].next_keeping(4):
            self.kept |= {position: self.rows[position]._replace(is_missed=True) for position in kept}
            self.relay.lanes["dashboard"].kept()

    def settle(self) -> None:
        self.relay.settled(self.relay.to_settle())


def test_a_subscriber_that_is_away_is_set_aside_and_the_others_get_everything() -> None:
    scene = Scene()
    while len(scene.taken["bitcoin"]) < 500:
        scene.add(4)
        scene.take("bitcoin")
        if scene.relay.behind:
            scene.keep()
        scene.settle()
    assert scene.relay.behind == ["dashboard"]
    assert scene.taken["bitcoin"] == list(range(len(scene.rows)))
    assert scene.most <= 10 * HOARD_FACTOR
    assert sorted(scene.kept) == list(range(len(scene.rows)))  # and so nothing is left in the outbox
    assert scene.relay.load == 0


def test_all_that_are_away_are_set_aside_though_there_is_room_for_no_more_events() -> None:
    relay = a_relay_that_begins()
    rows = [a_row(position, f"key-{position}") for position in range(10 * HOARD_FACTOR)]
    relay.take_in(rows)
    assert relay.room <= 0
    assert sorted(relay.behind) == ["bitcoin", "dashboard"]


def test_large_rows_set_a_subscriber_aside_sooner() -> None:
    scene = Scene(size=10 * 1_024)
    while not scene.relay.behind:
        scene.add(1)
        scene.take("bitcoin")
        scene.settle()
        assert len(scene.rows) < 20


def test_a_subscriber_that_is_back_gets_what_it_missed_in_order_and_then_everything_directly() -> None:
    scene = Scene()
    for _ in range(60):
        scene.add(4)
        scene.take("bitcoin")
        if scene.relay.behind:
            scene.keep()
        scene.settle()
    while scene.relay.behind:
        scene.take("dashboard")
        if len(scene.rows) < 300:  # more comes meanwhile, half as fast
            scene.add(2)
            scene.take("bitcoin")
            scene.keep()
            scene.settle()
    scene.add(2)
    scene.take("bitcoin")
    scene.take("dashboard")
    scene.settle()
    assert scene.taken["dashboard"] == list(range(len(scene.rows)))
    assert scene.kept == {}
    assert scene.relay.load == 0


def test_what_is_written_while_a_read_finds_the_end_is_not_passed_over() -> None:
    scene = Scene()
    dashboard = scene.relay.lanes["dashboard"]
    scene.set_aside()
    read = dashboard.next_read(4)
    assert read is not None
    scene.add(1)
    scene.keep()
    dashboard.found([], read)
    assert scene.relay.behind == ["dashboard"]
    scene.take("dashboard")
    assert scene.taken["dashboard"] == [0]


def test_what_an_earlier_relay_has_kept_comes_before_what_is_in_the_outbox() -> None:
    scene = Scene()
    scene.add(2)
    scene.kept = {0: scene.rows[0]._replace(is_missed=True)}  # kept, but not settled any more
    scene.set_aside()
    scene.keep()
    scene.take("dashboard")
    scene.take("bitcoin")
    assert scene.taken["dashboard"] == [0, 1]
    scene.settle()
    assert scene.relay.load == 0


def test_what_an_earlier_relay_had_in_hand_comes_before_what_it_has_kept() -> None:
    before, scene = Scene(), Scene()
    while not before.relay.behind:
        before.add(4)
        before.relay.lanes["dashboard"].next_batch(4, NOW)  # it never answers
        before.take("bitcoin")
    before.keep()
    settled = before.relay.to_settle()
    left = [row for row in before.rows if row.position not in settled]
    assert positions(left) == [0, 1, 2, 3]

    scene.relay, scene.rows, scene.kept = a_relay_that_begins(), before.rows, before.kept
    scene.relay.set_aside(["dashboard"])
    scene.relay.take_in(left[:2])
    scene.keep()
    assert scene.relay.lanes["dashboard"].next_read(4) is None  # there may be more
    scene.relay.take_in(left[2:], is_all=True)
    assert scene.relay.lanes["dashboard"].next_read(4) is None  # they are not kept yet
    scene.keep()
    while scene.relay.behind:
        scene.take("dashboard")
    assert scene.taken["dashboard"] == positions(scene.rows)


def test_the_outbox_holds_an_event_until_it_is_kept_for_who_is_set_aside() -> None:
    scene = Scene()
    scene.set_aside()
    scene.add(3)
    scene.take("bitcoin")
    assert scene.relay.to_settle() == []
    scene.keep()
    assert scene.relay.to_settle() == [0, 1, 2]


def test_what_could_not_be_kept_is_kept_later_in_order() -> None:
    scene = Scene()
    dashboard = scene.relay.lanes["dashboard"]
    scene.set_aside()
    scene.add(3)
    assert dashboard.next_keeping(2) == [0, 1]
    dashboard.not_kept()
    assert dashboard.next_keeping(9) == [0, 1, 2]


def test_a_missed_event_that_is_refused_holds_back_its_key_only() -> None:
    scene = Scene()
    dashboard = scene.relay.lanes["dashboard"]
    scene.set_aside()
    scene.add(6)
    scene.keep()
    read = dashboard.next_read(6)
    assert read is not None
    dashboard.found(scene.waiting(read), read)
    batch = dashboard.next_batch(6, NOW)
    first, *others = batch
    assert first.envelope.key == others[2].envelope.key
    refused = {first.position, others[2].position}
    given = [taken([row])[0] if row.position not in refused else answers([row], Receipt.RETRY)[0] for row in batch]
    dashboard.delivered(given, NOW)
    assert sorted(dashboard.to_forget()) == [1, 2, 4, 5]
    dashboard.forgotten(dashboard.to_forget())
    at_the_end = dashboard.next_read(6)
    assert at_the_end is not None
    dashboard.found([], at_the_end)
    assert scene.relay.behind == ["dashboard"]  # two of its events are in hand
    later = NOW + timedelta(seconds=1)
    for expected in ([0], [3]):
        batch = dashboard.next_batch(6, later)
        assert positions(batch) == expected
        dashboard.delivered(taken(batch), later)
    assert dashboard.to_forget() == [0, 3]


# --- a message that ends the process of its taker ---


def test_a_message_that_kills_its_taker_is_found_and_parked_and_all_others_are_taken() -> None:
    relay = a_relay(*[a_row(position, f"key-{position}") for position in range(10)])
    bitcoin = relay.lanes["bitcoin"]
    got, deaths = list[int](), 0
    while len(got) < 9:
        batch = bitcoin.next_batch(10, NOW)
        if 6 in positions(batch):
            deaths += 1
            for burial in bitcoin.killed(NOW):
                assert (burial.message.position, burial.reason) == (6, "killed_its_process")
                bitcoin.buried(burial)
        else:
            got += positions(batch)
            bitcoin.delivered(taken(batch), NOW)
    assert got == [0, 1, 2, 3, 4, 5, 7, 8, 9]
    assert deaths < 12


def test_deaths_under_different_messages_make_none_suspicious() -> None:
    relay = a_relay(*[a_row(position) for position in range(100)], in_flight=100)
    bitcoin = relay.lanes["bitcoin"]
    for _ in range(20):
        bitcoin.next_batch(5, NOW)
        assert bitcoin.killed(NOW) == []
        batch = bitcoin.next_batch(5, NOW)
        assert len(batch) == 5
        bitcoin.delivered(taken(batch), NOW)


def test_a_message_that_is_in_hand_when_its_taker_dies_of_another_is_not_given_up() -> None:
    """The other one comes from another relay; both are in hand at once until this one asks to be alone."""
    relay = a_relay(a_row(1))
    bitcoin = relay.lanes["bitcoin"]
    while not bitcoin.is_alone:
        bitcoin.next_batch(10, NOW)
        assert bitcoin.killed(NOW) == []
    batch = bitcoin.next_batch(10, NOW)
    assert bitcoin.delivered(taken(batch), NOW) == []
    assert not bitcoin.is_alone
