"""Many runs on several processes, and one run in all its detail."""

from __future__ import annotations

import logging
import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager

import structlog

from tests.simulation.bugs import introduced
from tests.simulation.subject import USUAL, Subject, subject_of
from tests.simulation.world import Run, play

CHUNK = 10
"""Seeds that a process plays before it reports."""


@contextmanager
def silence() -> Iterator[None]:
    """No log lines of the code under test; what it logs is part of no verdict."""
    before = structlog.get_config()
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL), cache_logger_on_first_use=False
    )
    try:
        yield
    finally:
        structlog.configure(**before)


@contextmanager
def _played(application: str, bug: str) -> Iterator[Subject]:
    """The application of this name, with the bug of that name if it has one, as long as the block lasts."""
    subject = subject_of(application)
    with silence(), introduced(subject.bugs[bug] if bug else None):
        yield subject


def play_one(seed: int, bug: str = "", *, application: str = USUAL, keep_timeline: bool = False) -> Run:
    """One run, perhaps with a bug put back."""
    with _played(application, bug) as subject:
        return play(subject, seed, keep_timeline=keep_timeline)


def play_some(seeds: Sequence[int], bug: str = "", application: str = USUAL) -> list[Run]:
    """Some runs, one after the other."""
    with _played(application, bug) as subject:
        return [play(subject, seed) for seed in seeds]


def play_many(seeds: range, bug: str = "", *, application: str = USUAL, jobs: int) -> Iterator[list[Run]]:
    """All runs, a chunk at a time as each is done; to stop asking stops the search after what is under way."""
    chunks = [seeds[start : start + CHUNK] for start in range(0, len(seeds), CHUNK)]
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        waiting: set[Future[list[Run]]] = set()
        try:
            while chunks or waiting:
                while chunks and len(waiting) < jobs + 1:
                    waiting.add(pool.submit(play_some, chunks.pop(0), bug, application))
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        finally:
            pool.shutdown(cancel_futures=True)


def tries_until_caught(bug: str, limit: int, *, first: int = 0, application: str = USUAL) -> tuple[int, Run | None]:
    """How many seeds it takes until a bug is seen, and the run that shows it; None if *limit* do not show it."""
    for tries, seed in enumerate(range(first, first + limit), 1):
        run = play_one(seed, bug, application=application)
        if run.violations:
            return tries, run
    return limit, None
