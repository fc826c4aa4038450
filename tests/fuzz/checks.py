"""What must hold for every message, whatever it is."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.strategies import SearchStrategy

from spark_actors.messaging.cloudevents import whole_event
from spark_actors.messaging.door import Door, RefusedError, refusal_body
from spark_actors.messaging.envelope import Envelope, decode_data, encode_data, pack, unpack_envelopes
from tests.fuzz.hostile import CANARY, MAX_BODY_BYTES, REGISTRY, Hostile

NOW = datetime(2026, 1, 3, 18, 15, 5, tzinfo=UTC)
CODES = {
    *("unknown_subject", "unknown_type", "subject_type_mismatch", "oversized", "not_json", "malformed_envelope"),
    *("malformed_data", "key_mismatch", "bucket_mismatch"),
}
DETAIL_CHARACTERS = 2_000
CPU_SECONDS = 1.0
"""For one message at most, on a busy machine; usual are some microseconds, at worst 0.02 s."""


class Checker:
    """Holds the real door to its contract and counts what became of the messages."""

    def __init__(self) -> None:
        self._door = Door(REGISTRY, MAX_BODY_BYTES)
        self.fates: Counter[str] = Counter()
        self.binary = 0
        """Of those accepted, how many were in binary mode."""
        self.slowest_seconds = 0.0
        self.bytes = 0

    def check(self, message: Hostile) -> None:
        """Raises AssertionError, or whatever the door should not have raised, with the message as a note."""
        try:
            self._check(message)
        except BaseException as error:
            error.add_note(f"{message.subject!r} {message.body[:2_000]!r} {message.headers}")
            raise

    def _check(self, message: Hostile) -> None:
        before = time.thread_time()
        try:
            envelope = self._door.command(message.subject, message.body, NOW, message.headers).envelope
        except RefusedError as error:
            fate = error.code
            self._check_refusal(error)
        else:
            fate = "accepted"
            assert unpack_envelopes(pack([envelope])) == [envelope]
            command = decode_data(REGISTRY, envelope)
            assert (encode_data(command), command.key) == (envelope.data, envelope.key)
            self._check_whole(message, envelope)
            self.binary += bool(message.headers)
        taken = time.thread_time() - before
        self.fates[fate] += 1
        self.bytes += len(message.body)
        self.slowest_seconds = max(self.slowest_seconds, taken)
        assert taken < CPU_SECONDS

    def _check_whole(self, message: Hostile, envelope: Envelope) -> None:
        """As one text it says the same, and has the id that is answered."""
        whole = whole_event(message.body, message.headers)
        assert json.loads(whole)["id"] == envelope.message_id
        assert self._door.command(message.subject, whole, NOW).envelope == envelope

    def _check_refusal(self, error: RefusedError) -> None:
        assert error.code in CODES
        assert 0 < len(error.detail) < DETAIL_CHARACTERS
        assert error.detail.isprintable()
        assert CANARY not in error.detail
        assert json.loads(refusal_body(error))["reason"] == error.code


def run_many(strategy: SearchStrategy[Hostile], check: Callable[[Hostile], None], count: int, start: int = 0) -> None:
    """Hand *count* messages to *check*; the same *start* gives the same ones. The first that fails is made small."""

    @seed(start)
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def each(message: Hostile) -> None:
        check(message)

    each()


def told(fates: Counter[str]) -> Sequence[str]:
    """What became of the messages, the most frequent first."""
    return [f"{name} {count:,}" for name, count in fates.most_common()]
