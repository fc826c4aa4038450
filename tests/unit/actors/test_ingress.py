"""The Ingress: nothing is acknowledged before it is durable, and what is not understood is refused, kept and told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any
from urllib.parse import quote

import pytest
from msgspec import structs
from structlog.testing import capture_logs

from domain.application import APPLICATION
from domain.auth.messages import LogIn, Session
from domain.dashboard.views import CampaignList, CampaignSummary, DonationLine, ViewCampaigns, ViewDonation
from spark_actors.actors.admission import Admission
from spark_actors.actors.dispatcher import Dispatcher
from spark_actors.actors.ingress import Ingress
from spark_actors.actors.pace import IngressLimits, Pace, pause_for_relays
from spark_actors.actors.queries import Queries
from spark_actors.actors.refused import RefusedMessages
from spark_actors.actors.tuning import LOGGED_REFUSALS, REFUSED_KEPT_BYTES
from spark_actors.actors.watch import Watch
from spark_actors.ingress.port import Arrival, BrokerLag, BrokerUnavailableError, Responder
from spark_actors.kernel.decisions import Verdict
from spark_actors.kernel.errors import StorageUnavailableError
from spark_actors.kernel.messages import Command, Query
from spark_actors.messaging import cloudevents
from spark_actors.messaging.door import Admitted, Door
from spark_actors.messaging.envelope import Reply, pack, unpack_envelopes
from spark_actors.messaging.identity import Guard, Role
from spark_actors.messaging.ports import KEPT_IN_PART, DeadLetter
from spark_actors.messaging.routing import Placement, Slot
from spark_actors.messaging.scrubbing import Scrubber
from spark_actors.messaging.telemetry import AnswerCut, ClocksCompared, CommandsRefused, TelemetryEvent
from spark_actors.messaging.tuning import QUIET_SECONDS
from spark_actors.operations.messages import WhoAmI
from spark_actors.operations.serving import who_am_i
from spark_actors.persistence.memory_parking import MemoryDeadLetters
from tests.fixtures.application import REGISTRY, answered_by, example
from tests.fixtures.identity import a_guard, bearer, user
from tests.unit.domain.builders import deposit, donate, register

NOW = datetime(2026, 1, 1, tzinfo=UTC)
OPERATOR = bearer(now=NOW)
PATIENCE_SECONDS = 30
DOOR, QUERIES_DOOR = Door(REGISTRY, 40_000), Door(REGISTRY, 10_000)
"""Made once: to derive their schemas takes longer than most of these tests."""


class FakeBroker:
    """A queue in memory that remembers in which order things happened."""

    def __init__(self, arrivals: Sequence[Arrival]) -> None:
        self.waiting = list(arrivals)
        self.history: list[str] = []
        self.replies: dict[str, dict[str, Any]] = {}
        self.released: list[Arrival] = []
        self.is_away = False
        self.room = 1_048_576
        self.clock_ahead = 0.0

    async def open(self) -> None:
        if self.is_away:
            raise BrokerUnavailableError("away")

    async def pull(self, limit: int, timeout: timedelta) -> Sequence[Arrival]:
        batch, self.waiting = self.waiting[:limit], self.waiting[limit:]
        await asyncio.sleep(0)
        return batch

    async def acknowledge(self, arrivals: Sequence[Arrival]) -> None:
        self.history += [f"acknowledged {arrival.receipt}" for arrival in arrivals]

    async def erase(self, arrivals: Sequence[Arrival]) -> None:
        self.history += [f"erased {arrival.receipt}" for arrival in arrivals]

    def release(self, arrivals: Sequence[Arrival]) -> None:
        self.released += arrivals

    def answer_bytes(self) -> int:
        return self.room

    async def reply(self, replies: Sequence[tuple[str, bytes]]) -> None:
        for subject, body in replies:
            self.history.append(f"replied {subject}")
            self.replies[subject] = json.loads(body)

    def answer_queries(self, answer: Responder) -> None:
        self.answer = answer

    async def lag(self) -> BrokerLag:
        return BrokerLag(len(self.waiting), 0, self.clock_ahead)

    async def close(self) -> None:
        self.history.append("closed")


class FakeHosts:
    """Hosts that commit when the gate is open."""

    def __init__(self, broker: FakeBroker) -> None:
        self.gate = asyncio.Event()
        self.taken: list[str] = []
        """The identities of commands."""
        self.bug: Exception | None = None
        self.locked: set[str] = set()
        self._broker = broker

    async def take_turn_alone(self, slot: Slot, context: str, payload: bytes, version: int) -> bytes:
        return await self.take_turn(slot, context, payload, version)

    async def bury(self, slot: Slot, context: str, payload: bytes, version: int) -> bytes:
        raise NotImplementedError("no host dies here")

    async def take_turn(self, slot: Slot, context: str, payload: bytes, version: int) -> bytes:
        await self.gate.wait()
        if self.bug:
            raise self.bug
        commands = unpack_envelopes(payload)
        done = [command for command in commands if command.key not in self.locked]
        self.taken += [command.message_id for command in done]
        self._broker.history += [f"committed {command.message_id.rpartition(' ')[2]}" for command in done]
        return pack([Reply(each.message_id, Verdict.DONE if each in done else Verdict.LOCKED) for each in commands])


class FakeViews:
    """Views that are away when told so."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.campaigns: tuple[CampaignSummary, ...] = ()

    async def answer(self, query: Query) -> object | None:
        if self.error:
            raise self.error
        if isinstance(query, ViewDonation) and query.donation_id == "anns":
            return replace(example(DonationLine), account_id="ann")
        return CampaignList(campaigns=self.campaigns) if isinstance(query, ViewCampaigns) else None


async def no_login(query: LogIn) -> Session:
    raise AssertionError(query)


class NoMaintenance:
    async def run(self, now: datetime) -> None:
        """Nothing to keep in order."""


class Scene:
    """An ingress with all that is around it."""

    def __init__(self, *arrivals: Arrival, in_flight: int = 100) -> None:
        self.broker = FakeBroker(arrivals)
        self.events = 0
        """Waiting in the fullest outbox."""
        self.hosts = FakeHosts(self.broker)
        self.letters = MemoryDeadLetters()
        self.views = FakeViews()
        self.told: list[TelemetryEvent] = []
        limits = IngressLimits(in_flight=in_flight, batch=10, relay_backlog=1_000, leeway_seconds=30)
        self.refused = RefusedMessages(self.letters, APPLICATION.scrubber, lambda: NOW, self.told.append)
        watch = Watch(
            "ingress",
            outbox=None,
            saga_log=None,
            dead_letters=self.letters,
            maintenance=NoMaintenance(),
            clock=lambda: NOW,
            telemetry=lambda event: None,
        )
        self.ingress = Ingress(
            self.broker,
            Admission(DOOR, a_guard(), self.refused, lambda: NOW),
            Dispatcher(Placement(1, 10), self.hosts, max_commands=100, telemetry=lambda event: None),
            self.queries(),
            Pace(limits, self.count_events, self.told.append),
            watch,
        )

    def queries(self) -> Queries:
        return Queries(
            QUERIES_DOOR,
            a_guard(),
            {**answered_by(self.views.answer), LogIn: no_login},
            lambda: NOW,
            self.told.append,
            {WhoAmI: who_am_i},
        )

    async def count_events(self) -> int:
        return self.events

    async def until(self, event: str) -> None:
        while event not in self.broker.history:
            await asyncio.sleep(0)


def an_arrival(command: Command, message_id: str, authorization: str = OPERATOR) -> Arrival:
    body = cloudevents.command_body(
        command, message_id=message_id, source="test", why="a test" if command.TYPE.needs_why else ""
    )
    return arrived(cloudevents.command_subject(command.TYPE), body, message_id, authorization)


def arrived(subject: str, body: bytes, name: str, authorization: str = OPERATOR) -> Arrival:
    """What the broker delivers; *name* is the receipt and is in the subject for the reply."""
    return Arrival(subject, body, f"reply-{name}", name, authorization, NOW.timestamp())


def test_a_command_is_committed_then_answered_then_acknowledged() -> None:
    async def play() -> Scene:
        scene = Scene(an_arrival(deposit(), "m1"))
        await scene.ingress.start()
        while scene.broker.waiting:
            await asyncio.sleep(0)
        assert scene.broker.history == []
        scene.hosts.gate.set()
        await scene.until("acknowledged m1")
        await scene.ingress.stop()
        return scene

    scene = asyncio.run(play())
    assert scene.broker.history == ["committed m1", "replied reply-m1", "acknowledged m1", "closed"]
    assert scene.broker.replies["reply-m1"]["outcome"] == "done"


def test_what_is_locked_is_answered_and_acknowledged_once_it_is_done_and_takes_no_room_of_others() -> None:
    """The batch of two in hand leaves room for one more as soon as one of the two is through."""

    async def play() -> Scene:
        locked = an_arrival(deposit(account_id="bob"), "bobs")
        others = [an_arrival(deposit(deposit_id=f"d{number}"), f"anns-{number}") for number in range(2)]
        scene = Scene(others[0], locked, others[1], in_flight=2)
        scene.hosts.gate.set()
        scene.hosts.locked.add("bob")
        await scene.ingress.start()
        await scene.until("acknowledged anns-1")
        assert "replied reply-bobs" not in scene.broker.history
        scene.hosts.locked.clear()
        await scene.until("acknowledged bobs")
        await scene.ingress.stop()
        return scene

    scene = asyncio.run(play())
    assert scene.broker.history[-4:] == ["committed bobs", "replied reply-bobs", "acknowledged bobs", "closed"]
    assert scene.broker.replies["reply-bobs"]["outcome"] == "done"
    assert scene.broker.released == []


@pytest.mark.parametrize(
    "arrival",
    [
        arrived("spark.commands.accounting.deposit", b"\xff\x00 no json", "bad"),
        arrived("spark.commands.accounting.print-money", b"{}", "bad"),
        arrived("spark.commands.accounting.deposit", b"x" * 50_000, "bad"),
    ],
    ids=["no json", "unknown type", "oversized"],
)
def test_what_is_not_understood_is_kept_told_and_acknowledged_and_its_neighbours_pass(arrival: Arrival) -> None:
    async def play() -> Scene:
        scene = Scene(an_arrival(deposit(), "m1"), arrival, an_arrival(deposit(deposit_id="d2"), "m2"))
        scene.hosts.gate.set()
        await scene.ingress.start()
        await scene.until("acknowledged bad")
        await scene.until("acknowledged m2")
        await scene.ingress.stop()
        return scene

    scene = asyncio.run(play())
    answer = scene.broker.replies["reply-bad"]
    assert answer["outcome"] == "failed"
    assert answer["reason"]
    [letter] = asyncio.run(scene.letters.newest(10))
    assert letter.body == arrival.body[:REFUSED_KEPT_BYTES]
    assert letter.subscriber == "ingress"


def the_letter_of(arrival: Arrival) -> DeadLetter:
    """What is kept of a message that is refused."""

    async def play() -> Scene:
        scene = Scene(arrival)
        await scene.ingress.start()
        await scene.until(f"acknowledged {arrival.receipt}")
        await scene.ingress.stop()
        return scene

    [letter] = asyncio.run(asyncio.run(play()).letters.newest(10))
    return letter


def test_of_a_big_refused_body_the_beginning_is_kept_with_its_size_and_hash() -> None:
    body = b'{"x": "' + b"y" * 30_000
    letter = the_letter_of(arrived("spark.commands.accounting.deposit", body, "big"))
    assert letter.body == body[:REFUSED_KEPT_BYTES]
    assert f"{KEPT_IN_PART}{len(body)} bytes" in letter.reason
    assert sha256(body).hexdigest() in letter.reason


def test_a_body_that_was_cut_by_the_broker_is_refused_with_its_whole_size() -> None:
    letter = the_letter_of(
        structs.replace(arrived("spark.commands.accounting.deposit", b"{}", "cut"), oversize="1000000 bytes, x")
    )
    assert letter.reason.startswith("oversized: body of 1000000 bytes, x")
    assert f"{KEPT_IN_PART}1000000 bytes, x" in letter.reason


def test_refusals_do_not_flood_the_log() -> None:
    async def play() -> None:
        scene = Scene(*[arrived("spark.commands.accounting.deposit", b"%d" % n, f"bad-{n}") for n in range(10)])
        await scene.ingress.start()
        await scene.until("acknowledged bad-9")
        await scene.ingress.stop()

    with capture_logs() as lines:
        asyncio.run(play())
    told = [line["event"] for line in lines]
    assert told.count("command_buried") == LOGGED_REFUSALS
    assert [line["count"] for line in lines if line["event"] == "more_commands_refused"] == [10 - LOGGED_REFUSALS]


def test_a_batch_that_failed_is_not_acknowledged_but_comes_again() -> None:
    async def play() -> Scene:
        scene = Scene(an_arrival(deposit(), "m1"))
        scene.hosts.bug = KeyError("a bug at the host")
        scene.hosts.gate.set()
        await scene.ingress.start()
        while not scene.broker.released:
            await asyncio.sleep(0)
        await scene.ingress.stop()
        return scene

    scene = asyncio.run(play())
    assert [arrival.receipt for arrival in scene.broker.released] == ["m1"]
    assert scene.broker.history == ["closed"]


def test_no_more_is_taken_in_hand_than_allowed() -> None:
    async def play() -> int:
        scene = Scene(*[an_arrival(deposit(deposit_id=f"d{n}"), f"m{n}") for n in range(10)], in_flight=3)
        await scene.ingress.start()
        for _ in range(50):
            await asyncio.sleep(0)
        waiting = len(scene.broker.waiting)
        scene.hosts.gate.set()
        await scene.until("acknowledged m9")
        await scene.ingress.stop()
        return waiting

    assert asyncio.run(play()) == 7


def test_while_the_relays_are_behind_commands_come_in_slowly_and_do_not_stop() -> None:
    async def play(events: int) -> int:
        scene = Scene(*[an_arrival(deposit(deposit_id=f"d{n}"), f"m{n}") for n in range(30)])
        scene.events = events
        await scene.ingress.measure()
        scene.hosts.gate.set()
        await scene.ingress.pull()
        pulling = asyncio.create_task(scene.ingress.pull())
        for _ in range(50):
            await asyncio.sleep(0)
        waiting = len(scene.broker.waiting)
        await pulling
        assert len(scene.broker.waiting) == 10
        scene.events = 0
        await scene.ingress.measure()
        await scene.ingress.pull()
        await scene.until("acknowledged m29")
        await scene.ingress.stop()
        return waiting

    assert asyncio.run(play(1_000)) == 10
    assert asyncio.run(play(2_000)) == 20


def test_the_further_the_relays_are_behind_the_longer_the_ingress_pauses() -> None:
    pauses = [pause_for_relays(events, 1_000) for events in (0, 1_000, 1_200, 1_500, 2_000, 9_000)]
    assert pauses == pytest.approx([0, 0, 0.02, 0.125, 0.5, 0.5])


def test_being_behind_is_said_once_and_caught_up_when_half_is_done() -> None:
    async def play() -> None:
        scene = Scene()
        for events in (1_000, 1_001, 900, 1_100, 501, 500, 800):
            scene.events = events
            await scene.ingress.measure()

    with capture_logs() as logs:
        asyncio.run(play())
    said = [(entry["event"], entry["events"]) for entry in logs]
    assert said == [("relays_behind", 1_001), ("relays_caught_up", 500)]


def test_a_broker_that_is_away_is_a_problem_that_is_told() -> None:
    async def play() -> list[str]:
        scene = Scene()
        scene.broker.is_away = True
        await scene.ingress.start()
        while not any("away" in problem for problem in scene.ingress.problems()):
            await asyncio.sleep(0)
        problems = scene.ingress.problems()
        await scene.ingress.stop()
        return problems

    assert "away" in asyncio.run(play())[0]


def ask(scene: Scene, subject: str, body: bytes = b"", authorization: str = OPERATOR) -> dict[str, Any]:
    queries = scene.queries()
    answer: dict[str, Any] = json.loads(asyncio.run(queries.answer(subject, body, authorization, scene.broker.room)))
    return answer


def test_a_query_is_answered_with_the_view() -> None:
    assert ask(Scene(), "spark.queries.dashboard.campaigns") == {"campaigns": [], "truncated": False}


@pytest.mark.parametrize(
    ("subject", "body", "code"),
    [
        ("spark.queries.dashboard.secrets", b"", "unknown_subject"),
        ("spark.queries.dashboard.campaigns", b"[", "not_json"),
        ("spark.queries.dashboard.donation", b'{"donation_id": "nobody"}', "not_found"),
    ],
)
def test_a_query_that_cannot_be_answered_says_why(subject: str, body: bytes, code: str) -> None:
    assert ask(Scene(), subject, body)["error"]["code"] == code


@pytest.mark.parametrize(
    ("error", "code"), [(StorageUnavailableError("away"), "unavailable"), (KeyError("x"), "failed")]
)
def test_a_view_that_fails_leaves_nobody_waiting(error: Exception, code: str) -> None:
    scene = Scene()
    scene.views.error = error
    assert ask(scene, "spark.queries.dashboard.campaigns")["error"]["code"] == code


def settled(*arrivals: Arrival) -> Scene:
    """Plays until all are acknowledged."""

    async def play() -> Scene:
        scene = Scene(*arrivals)
        scene.hosts.gate.set()
        await scene.ingress.start()
        async with asyncio.timeout(PATIENCE_SECONDS):
            for arrival in arrivals:
                await scene.until(f"acknowledged {arrival.receipt}")
        await scene.ingress.stop()
        return scene

    return asyncio.run(play())


def committed(scene: Scene) -> list[str]:
    return [event.removeprefix("committed ") for event in scene.broker.history if event.startswith("committed ")]


def letters_of(scene: Scene) -> list[DeadLetter]:
    return asyncio.run(scene.letters.newest(10))


NOT_ALLOWED = [
    (an_arrival(deposit(), "bad", ""), "unauthenticated"),
    (an_arrival(deposit(), "bad", "Bearer forged"), "unauthenticated"),
    (an_arrival(deposit(), "bad", bearer(now=NOW - timedelta(days=1))), "unauthenticated"),
    (an_arrival(deposit(), "bad", user("ann", now=NOW)), "forbidden"),
    (an_arrival(donate(account_id="ann"), "bad", user("bob", now=NOW)), "forbidden"),
    (arrived("spark.commands.accounting.deposit", b"\xff no json", "bad", ""), "unauthenticated"),
    (arrived("spark.commands.nobody.knows", b"{}", "bad", ""), "unauthenticated"),
    (arrived("spark.commands.auth.register-account", b"{}", "bad", ""), "malformed_envelope"),
    (arrived("spark.commands.bitcoin.request-deposit", b"\xff", "bad", user("ann", now=NOW)), "not_json"),
]


@pytest.mark.parametrize(("arrival", "reason"), NOT_ALLOWED)
def test_what_nobody_or_only_a_user_sends_in_vain_reaches_no_aggregate_and_is_told_and_counted_but_not_kept(
    arrival: Arrival, reason: str
) -> None:
    scene = settled(an_arrival(deposit(), "m1"), arrival, an_arrival(deposit(deposit_id="d2"), "m2"))
    assert committed(scene) == ["m1", "m2"]
    answer = scene.broker.replies["reply-bad"]
    assert (answer["outcome"], answer["reason"]) == ("failed", reason)
    assert CommandsRefused(reason) in scene.told
    assert letters_of(scene) == []


def test_a_flood_of_refused_senders_is_logged_in_a_few_lines() -> None:
    with capture_logs() as lines:
        settled(*[an_arrival(deposit(), f"m{n}", "") for n in range(50)])
    assert [line["reason"] for line in lines if line["event"] == "senders_refused"] == ["unauthenticated"]


def test_a_burst_of_refused_senders_ends_in_its_sum_though_nobody_comes_after_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def play() -> None:
        scene = Scene(*[an_arrival(deposit(), f"m{n}", "") for n in range(100)])
        moment = 0.0
        monkeypatch.setattr(scene.refused.logs[0], "now", lambda: moment)
        await scene.ingress.pull()
        while scene.broker.waiting:
            await scene.ingress.pull()
        await scene.until("acknowledged m99")
        await scene.ingress.measure()
        assert [line["count"] for line in lines if line["event"] == "senders_refused"] == [1]
        assert not [line for line in lines if line["event"] == "senders_refused_in_all"]
        moment = QUIET_SECONDS
        await scene.ingress.measure()

    with capture_logs() as lines:
        asyncio.run(play())
    sums = [(line["reason"], line["count"]) for line in lines if line["event"] == "senders_refused_in_all"]
    assert sums == [("unauthenticated", 100)]


@pytest.mark.parametrize("error", [StorageUnavailableError("away"), KeyError("x")])
def test_views_that_fail_again_and_again_fill_no_log(error: Exception) -> None:
    scene = Scene()
    scene.views.error = error
    queries = scene.queries()

    async def play() -> None:
        for _ in range(50):
            await queries.answer("spark.queries.dashboard.campaigns", b"", "", 1_000)

    with capture_logs() as lines:
        asyncio.run(play())
        for bursts in queries.logs:
            bursts.close()
    assert [line["count"] for line in lines] == [1, 50]


def test_an_ingress_that_stops_leaves_no_burst_untold() -> None:
    with capture_logs() as lines:
        settled(*[an_arrival(deposit(), f"m{n}", "") for n in range(7)])
    assert [line["count"] for line in lines if line["event"] == "senders_refused_in_all"] == [7]


def test_a_user_acts_under_ids_of_his_own_and_is_answered_under_the_one_that_he_chose() -> None:
    donation = donate(account_id="ann")
    scene = settled(an_arrival(donation, "m1", user("ann", now=NOW)), an_arrival(donation, "m2"))
    assert scene.hosts.taken == ["user ann test m1", "operator operator test m2"]
    assert [scene.broker.replies[f"reply-{name}"]["id"] for name in ("m1", "m2")] == ["m1", "m2"]


def test_a_token_that_expired_while_its_command_waited_in_the_queue_is_good() -> None:
    long_ago = NOW - timedelta(days=1)
    late = structs.replace(an_arrival(deposit(), "m1", bearer(now=long_ago)), stored_at=long_ago.timestamp())
    assert committed(settled(late)) == ["m1"]


def test_a_mistyped_sign_up_is_kept_without_the_password_that_was_in_it() -> None:
    registration = {"account_id": "ann", "username": "ann", "password": "hunter2-in-clear"}
    event = {"specversion": "1.0", "id": "m1", "source": "s", "type": "spark.auth.register-account.v1"}
    body = json.dumps({**event, "subject": "ann", "data": registration}).encode()
    with capture_logs() as lines:
        scene = settled(arrived("spark.commands.auth.register-account", body, "bad"))
    [letter] = letters_of(scene)
    assert "data.password is not a known field" in letter.reason
    assert json.loads(letter.body)["data"]["username"] == "ann"
    assert "hunter2" not in f"{letter} {lines} {scene.broker.replies}"
    assert scene.broker.history[-3:] == ["erased bad", "acknowledged bad", "closed"]


def test_a_password_in_the_place_of_its_hash_is_erased_from_the_broker_and_a_hash_is_not() -> None:
    mistyped = register(password_hash="hunter2-in-clear")
    scene = settled(an_arrival(mistyped, "m1"), an_arrival(register(), "m2"), an_arrival(deposit(), "m3"))
    assert [event for event in scene.broker.history if event.startswith("erased")] == ["erased m1"]


@pytest.mark.parametrize("broken", ["door", "guard", "scrubbing"])
def test_an_arrival_that_meets_a_bug_is_told_and_kept_alone_and_its_neighbours_pass(
    broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one whose sender nobody keeps letters of: it may have been good."""
    ann = user("ann", now=NOW)
    bad = an_arrival(donate(account_id="ann"), "bad", ann)
    good, letter = [an_arrival(donate(account_id="ann"), name, ann) for name in ("m1", "m2")], b""

    def bug(*words: Any, **names: Any) -> Any:
        if bad.body in words or any(isinstance(word, Admitted) and word.envelope.message_id == "bad" for word in words):
            raise KeyError("a bug")
        return original(*words, **names)

    if broken == "door":
        original: Any = Door.command
        monkeypatch.setattr(Door, "command", lambda self, *words, **names: bug(self, *words, **names))
        letter = bad.body
    elif broken == "guard":
        original = Guard.command
        monkeypatch.setattr(Guard, "command", lambda self, *words, **names: bug(self, *words, **names))
        letter = bad.body
    else:
        original = Scrubber.storable
        bad = structs.replace(bad, body=b"[]", authorization=OPERATOR)
        monkeypatch.setattr(Scrubber, "storable", lambda self, *words: bug(self, *words))
    with capture_logs() as lines:
        scene = settled(good[0], bad, good[1])
    assert committed(scene) == ["m1", "m2"]
    answer = scene.broker.replies["reply-bad"]
    assert answer["outcome"] == "failed"
    assert answer["reason"] == ("malformed_envelope" if broken == "scrubbing" else "internal")
    assert [kept.body for kept in letters_of(scene)] == [letter]
    assert scene.broker.released == []
    [told] = [line for line in lines if line["event"] == "arrivals_failed"]
    assert isinstance(told["exc_info"], KeyError)
    assert CommandsRefused(answer["reason"]) in scene.told


def test_of_many_arrivals_that_meet_a_bug_the_log_tells_one_and_their_number(monkeypatch: pytest.MonkeyPatch) -> None:
    def bug(*words: Any, **names: Any) -> Any:
        raise KeyError("a bug")

    monkeypatch.setattr(Door, "command", bug)
    with capture_logs() as lines:
        scene = settled(*[an_arrival(deposit(), f"m{n}") for n in range(30)])
    assert {answer["reason"] for answer in scene.broker.replies.values()} == {"internal"}
    assert len([line for line in lines if line["event"] == "arrivals_failed"]) == 1
    assert [line["count"] for line in lines if line["event"] == "arrivals_failed_in_all"] == [30]


def test_a_command_in_binary_mode_is_one_like_any_other_and_kept_whole_if_it_is_refused() -> None:
    sent = an_arrival(deposit(), "m1")
    event = json.loads(sent.body)
    headers = {f"ce-{name}": value for name, value in event.items() if name != "data"}
    binary = structs.replace(sent, body=json.dumps(event["data"]).encode(), headers=headers)
    refused = structs.replace(binary, headers={**headers, "ce-id": "bad", "ce-subject": "another"}, receipt="bad")
    scene = settled(binary, refused)
    assert committed(scene) == ["m1"]
    [letter] = letters_of(scene)
    assert letter.message_id == "bad"
    assert json.loads(letter.body) == {**event, "id": "bad", "subject": "another"}


def test_a_password_in_a_header_is_erased_too() -> None:
    sent = an_arrival(register(), "m1")
    event = json.loads(sent.body)
    headers = {f"ce-{name}": quote(value) for name, value in event.items() if name != "data"} | {"ce-password": "x"}
    good = structs.replace(sent, body=json.dumps(event["data"]).encode(), headers=headers)
    scene = settled(good, structs.replace(good, body=b"no json", receipt="bad"))
    assert {"erased m1", "erased bad"} <= set(scene.broker.history)


def test_an_outcome_that_the_broker_would_not_take_is_told_without_its_details() -> None:
    async def play() -> Scene:
        scene = Scene(arrived("spark.commands.accounting.deposit", b"x" * 300, "bad"), an_arrival(deposit(), "m1"))
        scene.broker.room = 100
        scene.hosts.gate.set()
        await scene.ingress.start()
        await scene.until("acknowledged m1")
        await scene.ingress.stop()
        return scene

    with capture_logs() as lines:
        scene = asyncio.run(play())
    assert scene.broker.replies["reply-bad"] == {
        "id": "",
        "outcome": "failed",
        "reason": "not_json",
        "data": {"truncated": True},
    }
    assert scene.broker.replies["reply-m1"]["data"] == {}
    assert scene.told.count(AnswerCut("truncated")) == 1
    assert [line["event"] for line in lines if line["event"].startswith("answers")] == ["answers_cut"]


def test_a_view_that_the_broker_would_not_take_is_cut_and_says_so() -> None:
    scene = Scene()
    campaign = example(CampaignSummary)
    scene.views.campaigns = tuple(replace(campaign, campaign_id=f"c-{n}") for n in range(100))
    whole = ask(scene, "spark.queries.dashboard.campaigns")
    assert (len(whole["campaigns"]), whole["truncated"]) == (100, False)
    scene.broker.room = 5_000
    with capture_logs() as lines:
        cut = ask(scene, "spark.queries.dashboard.campaigns")
    assert cut["truncated"]
    assert cut["campaigns"] == whole["campaigns"][: len(cut["campaigns"])]
    assert 0 < len(cut["campaigns"]) < 100
    assert scene.told == [AnswerCut("truncated")]
    assert [line["reason"] for line in lines] == ["truncated"]
    scene.broker.room = 100
    assert ask(scene, "spark.queries.dashboard.campaigns")["error"]["code"] == "too_large"


def test_clocks_that_drift_apart_are_told_once_and_when_they_agree_again() -> None:
    async def play() -> Scene:
        scene = Scene()
        await scene.ingress._connect()
        for ahead in (0.0, -14.9, -15.1, -40.0, -8.0, -7.0, 0.0):
            scene.broker.clock_ahead = ahead
            await scene.ingress.measure()
        return scene

    with capture_logs() as lines:
        scene = asyncio.run(play())
    said = [(line["event"], line["broker_ahead_seconds"]) for line in lines if line["event"].startswith("clocks")]
    assert said == [("clocks_differ", -15.1), ("clocks_agree", -7.0)]
    assert ClocksCompared(40.0) in scene.told


LOGIN = b'{"username":"ann","password":"hunter2-in-clear"}'


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (LOGIN, "failed"),
        (LOGIN.replace(b"hunter2", b"hunter2\x01"), "not_json"),
        (LOGIN.replace(b"hunter2", b"hunter2\\u0001"), "malformed_data"),
        (LOGIN.replace(b"}", b',"otp":"hunter2"}'), "malformed_data"),
        (b'"hunter2"', "malformed_envelope"),
        (LOGIN[:-1], "not_json"),
    ],
)
def test_a_login_that_goes_wrong_leaves_no_password_anywhere(body: bytes, code: str) -> None:
    with capture_logs() as lines:
        answer = ask(Scene(), "spark.queries.auth.login", body, "")
    assert answer["error"]["code"] == code
    assert "hunter2" not in f"{lines} {answer}"


@pytest.mark.parametrize(
    ("subject", "body", "authorization", "code"),
    [
        ("spark.queries.dashboard.campaigns", b"", "", ""),
        ("spark.queries.dashboard.campaigns", b"", "Bearer forged", "unauthenticated"),
        ("spark.queries.dashboard.activity", b"", "", "unauthenticated"),
        ("spark.queries.dashboard.activity", b"", user("ann", now=NOW), "forbidden"),
        ("spark.queries.dashboard.account-overview", b'{"account_id":"bob"}', user("ann", now=NOW), "forbidden"),
        ("spark.queries.dashboard.account-overview", b'{"account_id":"ann"}', user("ann", now=NOW), "not_found"),
        ("spark.queries.dashboard.donation", b'{"donation_id":"anns"}', user("ann", now=NOW), ""),
        ("spark.queries.dashboard.donation", b'{"donation_id":"anns"}', user("bob", now=NOW), "not_found"),
        ("spark.queries.operations.whoami", b"", "", "unauthenticated"),
    ],
)
def test_a_query_is_answered_to_who_may_ask_it(subject: str, body: bytes, authorization: str, code: str) -> None:
    assert ask(Scene(), subject, body, authorization).get("error", {"code": ""})["code"] == code


def test_whoever_has_a_token_is_told_who_they_are_by_it_and_until_when() -> None:
    told = ask(Scene(), "spark.queries.operations.whoami", b"", bearer("ada", Role.READER, now=NOW))
    assert told == {
        "name": "reader ada",
        "subject": "ada",
        "roles": ["reader"],
        "expires_at": (NOW + timedelta(hours=1)).isoformat().replace("+00:00", "Z"),
    }
