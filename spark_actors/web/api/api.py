"""All that the API is made of, once it is asked for."""

from __future__ import annotations

from functools import cached_property

import msgspec

from spark_actors.application import Application
from spark_actors.messaging import catalogue
from spark_actors.version import version
from spark_actors.web.api.calls import Broker, Calls
from spark_actors.web.api.docs import Docs
from spark_actors.web.api.openapi import openapi
from spark_actors.web.api.routes import app_of
from spark_actors.web.streams import Streams


class Api:
    """Answers programs, and describes itself."""

    def __init__(self, application: Application, broker: Broker, streams: Streams) -> None:
        self._application = application
        self._entries = catalogue.entries(application.registry, application.examples)
        calls = Calls(application.registry, broker, streams.is_lively)
        self.app = app_of(calls, streams, {entry.name: entry.schema for entry in self._entries})
        """What is below the path of the API."""
        self.docs = Docs(calls, application.registry, self._entries)

    @cached_property
    def openapi(self) -> bytes:
        """The OpenAPI document."""
        of = self._application
        return msgspec.json.encode(openapi(of.registry, self._entries, title=of.name, version=version()))

    @cached_property
    def asyncapi(self) -> bytes:
        """The AsyncAPI document, as `spark-actors messages --asyncapi` prints it."""
        of = self._application
        return msgspec.json.encode(catalogue.asyncapi(of.registry, of.examples, title=of.name, version=version()))
