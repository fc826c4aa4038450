"""`scripts/fuzz`: many hostile messages through the door, or payment requests to their reader.

It ends with an error, and what caused it, if one gets by.
"""

from __future__ import annotations

import argparse
import sys
import time

import psutil

from tests.fuzz.checks import Checker, run_many, told
from tests.fuzz.hostile import Hostile, big, messages
from tests.fuzz.mutations import variants
from tests.fuzz.payment_requests import Reader, examples, texts

ROUND = 10_000
VARIANTS = 9
"""Of each message that is drawn with care."""
BIG_SHARE = 0.005


def main() -> int:
    arguments = _arguments()
    return _payment_requests(arguments) if arguments.target == "payment-requests" else _messages(arguments)


def _payment_requests(arguments: argparse.Namespace) -> int:
    reader, began = Reader(), time.monotonic()
    for number, text in enumerate(texts(examples(), arguments.messages, arguments.seed), start=1):
        reader.check(text)
        if number % ROUND == 0:
            _say(f"{number:,} payment requests, {number / (time.monotonic() - began) * 60:,.0f} a minute")
    _say(f"what became of them: {'; '.join(told(reader.fates))}")
    _say(f"slowest {reader.slowest_seconds * 1000:.1f} ms of processor time")
    return 0


def _messages(arguments: argparse.Namespace) -> int:
    checker, process, began = Checker(), psutil.Process(), time.monotonic()

    def check(message: Hostile) -> None:
        for each in (message, *variants(message, VARIANTS)):
            checker.check(each)

    done, memory = 0, []
    while done < arguments.messages:
        count = max(100, min(ROUND, arguments.messages - done))
        large = round(count * BIG_SHARE)
        run_many(messages, check, (count - large) // (VARIANTS + 1), start=arguments.seed + done)
        if large:
            run_many(big(), checker.check, large, start=arguments.seed + done)
        done = sum(checker.fates.values())
        memory.append(process.memory_info().rss / 2**20)
        minutes = (time.monotonic() - began) / 60
        _say(f"{done:,} messages, {done / minutes:,.0f} a minute, {memory[-1]:.0f} MiB")
    _say(f"what became of them: {'; '.join(told(checker.fates))}")
    _say(f"slowest {checker.slowest_seconds * 1000:.1f} ms of processor time; {checker.bytes / 2**20:,.0f} MiB in all")
    _say(f"memory {memory[0]:.0f} MiB after the first {min(ROUND, done):,}, {memory[-1]:.0f} MiB at the end")
    return 0


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/fuzz", description=__doc__)
    parser.add_argument(
        "--target", choices=("door", "payment-requests"), default="door", help="what they are thrown at"
    )
    parser.add_argument("--messages", type=int, default=100_000, help="how many")
    parser.add_argument("--seed", type=int, default=0, help="the same seed makes the same messages")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
