"""Quick random changes to messages, for volume: what hypothesis draws with care is varied here by the dozen."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from random import Random

from spark_actors.messaging.cloudevents import event_headers
from tests.fuzz.hostile import ODD_TEXT, RAW_VALUES, Hostile

TOKENS = [
    *(text.encode(errors="surrogatepass") for text in [*ODD_TEXT, *RAW_VALUES]),
    *(
        b'"',
        b"\\",
        b"{",
        b"}",
        b"[",
        b"]",
        b":",
        b",",
        b"\xff",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"\xc0\xaf",
        b"null",
    ),
    *(b'"id":', b'"data":', b'"subject":', b'"type":', b'"specversion":', b'"amount_sat":', b"\xef\xbb\xbf", b"\r\n"),
]
MOST_CHANGES = 2
HEADERS_CHANGED = 0.5
"""In so many of the copies of a message that has headers, one of these is changed, too."""


def variants(message: Hostile, count: int) -> Iterator[Hostile]:
    """*count* changed copies; the same ones each time."""
    random = Random(message.body + message.subject.encode(errors="surrogatepass"))
    for _ in range(count):
        body = bytearray(message.body)
        for _ in range(random.randint(1, MOST_CHANGES)):
            random.choice(_CHANGES)(body, random)
        yield Hostile(message.subject, bytes(body), event_headers(_changed_headers(message.headers, random)))


def _changed_headers(headers: Mapping[str, str], random: Random) -> dict[str, str]:
    """Those of an event in binary mode, one of them changed as bodies are; those of others are none."""
    changed = dict(headers)
    if changed and random.random() < HEADERS_CHANGED:
        name = random.choice(sorted(changed))
        value = bytearray(changed[name].encode(errors="surrogatepass"))
        random.choice(_CHANGES)(value, random)
        changed[name] = value.decode(errors="replace")
    return changed


def _cut(body: bytearray, random: Random) -> None:
    del body[random.randint(0, len(body)) :]


def _flip(body: bytearray, random: Random) -> None:
    if body:
        body[random.randrange(len(body))] ^= 1 << random.randrange(8)


def _put_in(body: bytearray, random: Random) -> None:
    place = random.randint(0, len(body))
    body[place : place + random.choice([0, 0, 1, 5])] = random.choice(TOKENS)


def _replace_a_value(body: bytearray, random: Random) -> None:
    """What stands behind some colon, up to the next comma."""
    begin = body.find(b":", random.randint(0, len(body)))
    end = body.find(b",", begin)
    if 0 <= begin < end:
        body[begin + 1 : end] = random.choice(TOKENS)


def _copy_a_part(body: bytearray, random: Random) -> None:
    begin = random.randint(0, len(body))
    part = bytes(body[begin : begin + random.randint(1, 60)])
    place = random.randint(0, len(body))
    body[place:place] = part


_CHANGES: tuple[Callable[[bytearray, Random], None], ...] = (
    _cut,
    _flip,
    _flip,
    _put_in,
    _replace_a_value,
    _copy_a_part,
)
