"""Streams, played in a loop of events with the clock of the machine: counted, never timed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing

import pytest

from spark_actors.web import tuning
from spark_actors.web.pages import AwayError
from spark_actors.web.streams import Look, Pace, Streams, change

FOR_EVER = float("inf")


class Shown:
    """What is looked at, and how often it was."""

    def __init__(self, *looks: Look | Exception) -> None:
        """The last one stays."""
        self.looks = list(looks)
        self.asked = 0

    async def ask(self) -> Look:
        self.asked += 1
        look = self.looks[min(self.asked, len(self.looks)) - 1]
        if isinstance(look, Exception):
            raise look
        return look


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "QUICK_SECONDS", 0.001)
    monkeypatch.setattr(tuning, "SLOW_SECONDS", 0.002)
    monkeypatch.setattr(tuning, "QUESTIONS_A_SECOND", 10_000)


def play(story: Callable[[Streams], Awaitable[None]], max_streams: int = 1_000) -> None:
    async def all_of_it() -> None:
        await story(Streams(max_streams))

    asyncio.run(asyncio.wait_for(all_of_it(), 20))


async def said(messages: AsyncIterator[str], count: int) -> list[str]:
    """The first messages that are no comments, *count* of them, or all there are."""
    found: list[str] = []
    async with aclosing(messages) as them:  # type: ignore[type-var]
        async for message in them:
            if not message.startswith(":"):
                found.append(message)
            if len(found) == count:
                break
    return found


def test_what_is_to_be_seen_comes_first_and_then_each_change() -> None:
    async def story(streams: Streams) -> None:
        shown = Shown(Look("<p>1</p>"), Look("<p>1</p>"), Look("<p>2</p>\n<p>3</p>", is_final=True))
        assert await said(streams.follow("it", shown.ask, FOR_EVER), 9) == [
            "id: 1\ndata: <p>1</p>\n\n",
            "id: 2\ndata: <p>2</p>\ndata: <p>3</p>\n\n",
            "event: over\ndata: over\n\n",
        ]

    play(story)


def test_all_who_look_at_the_same_share_one_question() -> None:
    async def story(streams: Streams) -> None:
        shown = Shown(Look("1"), Look("2"), Look("3", is_final=True))
        everybody = [said(streams.follow("it", shown.ask, FOR_EVER), 9) for _ in range(200)]
        told = await asyncio.gather(*everybody)
        assert all(each[-2:] == [change("3", 3), "event: over\ndata: over\n\n"] for each in told)
        assert shown.asked == 3

    play(story)


def test_nothing_is_asked_when_nobody_looks() -> None:
    async def story(streams: Streams) -> None:
        shown = Shown(Look("1"))
        await said(streams.follow("it", shown.ask, FOR_EVER), 1)
        assert streams.looks == 0
        asked = shown.asked
        await asyncio.sleep(0.05)
        assert shown.asked == asked

    play(story)


def test_there_is_room_again_when_somebody_has_left() -> None:
    async def story(streams: Streams) -> None:
        shown = Shown(Look("1"))
        first = streams.follow("it", shown.ask, FOR_EVER)
        second = streams.follow("it", shown.ask, FOR_EVER)
        for each in (first, second):
            await anext(each)
        counted = [(streams.is_full, streams.looks)]
        await first.aclose()  # type: ignore[attr-defined]
        counted.append((streams.is_full, streams.looks))
        assert counted == [(True, 1), (False, 1)]
        await second.aclose()  # type: ignore[attr-defined]
        assert streams.looks == 0

    play(story, max_streams=2)


def test_a_daemon_that_goes_and_comes_is_told_of() -> None:
    async def story(streams: Streams) -> None:
        shown = Shown(Look("1"), AwayError("gone"), AwayError("gone"), Look("1"), Look("2", is_final=True))
        assert await said(streams.follow("it", shown.ask, FOR_EVER), 9) == [
            change("1", 1),
            "event: away\ndata: away\n\n",
            "event: back\ndata: back\n\n",
            change("2", 4),
            "event: over\ndata: over\n\n",
        ]

    play(story)


@pytest.mark.parametrize("error", [ZeroDivisionError("a bug"), ValueError("another")])
def test_who_follows_what_fails_does_not_wait_for_ever(error: Exception) -> None:
    async def story(streams: Streams) -> None:
        assert await said(streams.follow("it", Shown(error).ask, FOR_EVER), 9) == ["event: over\ndata: over\n\n"]

    play(story)


def test_a_stream_ends_with_the_token() -> None:
    async def story(streams: Streams) -> None:
        messages = streams.follow("it", Shown(Look("1")).ask, time.time() + 0.2)
        assert (await said(messages, 9))[-1] == "event: over\ndata: over\n\n"

    play(story)


def test_at_the_end_of_the_process_all_are_told_to_come_again() -> None:
    async def story(streams: Streams) -> None:
        shown = Shown(Look("1"))
        everybody = asyncio.gather(*(said(streams.follow("it", shown.ask, FOR_EVER), 9) for _ in range(50)))
        while not shown.asked:
            await asyncio.sleep(0)
        streams.close()
        assert all(each[-1] == "event: bye\ndata: bye\n\n" for each in await everybody)
        assert streams.is_full

    play(story)


def test_who_finds_no_room_when_a_stream_begins_is_told_to_come_again() -> None:
    async def story(streams: Streams) -> None:
        shown = Shown(Look("1"))
        first, late = (streams.follow("it", shown.ask, FOR_EVER) for _ in range(2))
        await anext(first)
        assert await said(late, 9) == ["event: bye\ndata: bye\n\n"]
        await first.aclose()  # type: ignore[attr-defined]
        assert not streams.is_full

    play(story, max_streams=1)


def test_a_silent_stream_says_that_it_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "COMMENT_SECONDS", 0.01)

    async def story(streams: Streams) -> None:
        comments = 0
        async with aclosing(streams.follow("it", Shown(Look("1")).ask, FOR_EVER)) as messages:  # type: ignore[type-var]
            async for message in messages:
                comments += message == ": still looking\n\n"
                if comments == 3:
                    break

    play(story)


def test_looks_take_turns_beyond_so_many_a_second() -> None:
    now = 100.0
    pace = Pace(50, lambda: now)
    assert [round(pace.wait_seconds(), 3) for _ in range(4)] == [0.0, 0.02, 0.04, 0.06]
    now = 200.0
    assert pace.wait_seconds() == 0
