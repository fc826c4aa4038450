"""Payment requests that are changed at random: as texts, and behind a checksum and a signature that are right again."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

from domain.bitcoin import bech32, bolt11
from domain.bitcoin.ports import InvalidPaymentRequestError

EXAMPLES: dict[str, list[dict[str, Any]]] = json.loads(
    Path(__file__).with_name("bolt11_examples.json").read_text(encoding="utf-8")
)
"""Those of BOLT #11, and what it says of them."""
CPU_SECONDS = 1.0
"""For one text at most, on a busy machine; usual are three milliseconds."""
_LETTERS = "qpzry9x8gf2tvdw0s3jn54khce6mua7lQPZRY9X81bio_ \n\0ıſ\u212aé\ud800🙂"
_PREFIXES = (
    "lnbc",
    "lntb",
    "lntbs",
    "lnbcrt",
    "lnbc1p",
    "lnbc10p",
    "lnbc0m",
    "lnbc99999999999999999999",
    "ln",
    "",
    "x" * 80,
)
_SIGNED = 0.1
"""Signing is slow: so many have a signature that is right again; of the others it gives some other payee, or none."""
_OTHER_PREFIX = 0.1
_TIME_WORDS, _SIGNATURE_WORDS = 7, 104
_LOW_FIVE_BITS = bytes(byte & 31 for byte in range(256))


def examples() -> list[str]:
    """The valid ones."""
    return [example["text"] for example in EXAMPLES["valid"]]


def texts(valid: Sequence[str], count: int, seed: int = 0) -> Iterator[str]:
    """*count* texts, made of valid ones; the same ones for the same seed."""
    random = Random(seed)
    for _ in range(count):
        example = random.choice(valid)
        yield random.choice((_changed_text, _changed_words, _changed_fields))(example, random)


class Reader:
    """Holds `bolt11.read` to its contract and counts what became of the texts."""

    def __init__(self) -> None:
        self.fates: Counter[str] = Counter()
        self.slowest_seconds = 0.0

    def check(self, text: str) -> None:
        """Raises AssertionError, or whatever the reader should not have raised, with the text as a note."""
        before = time.thread_time()
        try:
            request = bolt11.read(text)
        except InvalidPaymentRequestError as error:
            fate = error.detail[:30]
        except BaseException as error:
            error.add_note(repr(text[:2_000]))
            raise
        else:
            fate = "read"
            assert bolt11.read(request.text) == request
            assert len(bytes.fromhex(request.payment_hash)) == len(bytes.fromhex(request.payment_secret)) == 32
            assert (request.description is None) != (request.description_hash is None)
        taken = time.thread_time() - before
        assert fate
        self.fates[fate] += 1
        self.slowest_seconds = max(self.slowest_seconds, taken)
        assert taken < CPU_SECONDS, text[:2_000]


def _changed_text(text: str, random: Random) -> str:
    place = random.randrange(len(text))
    part = text[place : place + random.choice((0, 1, 5, 60))]
    put = random.choice(("", random.choice(_LETTERS), "".join(random.choices(_LETTERS, k=9)), part * 2, part * 100))
    return text[:place] + put + text[place + random.choice((0, 1, 5)) :]


def _changed_words(text: str, random: Random) -> str:
    prefix, words = bech32.split(text.lower()) or ("", b"")
    changed = bytearray(words)
    for _ in range(random.randint(1, 3)):
        place = random.randrange(len(changed) + 1)
        change = random.randrange(4)
        if change == 0:
            changed[place : place + 1] = bytes([random.randrange(32)])
        elif change == 1:
            del changed[place : place + random.choice((1, 2, 30, 200))]
        elif change == 2:
            changed[place:place] = changed[random.randrange(len(changed) + 1) :][: random.randint(1, 80)]
        else:
            changed[place:place] = random.randbytes(random.randint(1, 60)).translate(_LOW_FIVE_BITS)
    return _closed(prefix, bytes(changed), random)


def _changed_fields(text: str, random: Random) -> str:
    """Fields left out, doubled, put elsewhere, with other content, of another type or length."""
    prefix, words = bech32.split(text.lower()) or ("", b"")
    place, end, fields = _TIME_WORDS, len(words) - _SIGNATURE_WORDS, list[bytes]()
    while place < end:
        length = 3 + bech32.number(words[place + 1 : place + 3])
        fields.append(words[place : place + length])
        place += length
    for _ in range(random.randint(1, 3)):
        number = random.randrange(len(fields))
        field = fields.pop(number) if len(fields) > 1 else fields[0]
        content = bytearray(field[3:] or b"\0")
        change = random.randrange(5)
        if change == 1:
            fields.extend((field, field))
        elif change == 2:
            fields.insert(random.randrange(len(fields) + 1), field)
        elif change == 3:
            content[random.randrange(len(content))] = random.randrange(32)
            fields.insert(number, field[:3] + content)
        elif change == 4:
            content = bytearray(random.randbytes(random.choice((0, 1, 8, 52, 53, 1_023))).translate(_LOW_FIVE_BITS))
            kind = random.choice((field[0], random.randrange(32)))
            fields.insert(number, bytes([kind, *divmod(len(content), 32)]) + content)
    return _closed(prefix, words[:_TIME_WORDS] + b"".join(fields) + words[-_SIGNATURE_WORDS:], random)


def _closed(prefix: str, words: bytes, random: Random) -> str:
    """With a checksum that is right, and sometimes with a signature that is."""
    if random.random() < _OTHER_PREFIX:
        prefix = random.choice(_PREFIXES)
    if random.random() < _SIGNED:
        return bolt11.signed(prefix, words[:-_SIGNATURE_WORDS], random.randint(1, 2**255))
    return bech32.joined(prefix, words)
