"""Logging is set up for a whole process: tests put back what they found."""

import logging
from collections.abc import Iterator

import pytest
import structlog

from spark_actors.telemetry.logs import CHATTY_LIBRARIES


@pytest.fixture
def restored_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    libraries = [logging.getLogger(name) for name in CHATTY_LIBRARIES]
    found = [(logger, logger.handlers[:], logger.level, logger.propagate) for logger in libraries]
    before = structlog.get_config()
    yield
    for handler in set(root.handlers) - set(handlers):
        handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)
    for logger, own, own_level, propagate in found:
        logger.handlers[:] = own
        logger.setLevel(own_level)
        logger.propagate = propagate
    structlog.configure(**before)
    structlog.contextvars.clear_contextvars()
