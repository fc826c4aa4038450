"""People are told everything in words: a reason without a sentence would be shown as code."""

from __future__ import annotations

import pytest

from domain.application import APPLICATION
from domain.web.sentences import SENTENCES, problem_of, sentence
from spark_actors.kernel.messages import Command
from spark_actors.web.pages import Outcome, Sent

REASONS = sorted(
    {reason for message in APPLICATION.registry if issubclass(message, Command) for reason in message.TYPE.reasons}
)


@pytest.mark.parametrize("reason", REASONS)
def test_each_reason_of_the_domain_has_a_sentence(reason: str) -> None:
    assert sentence(reason) == SENTENCES[reason]
    assert SENTENCES[reason][0].isupper()
    assert SENTENCES[reason].endswith((".", ")."))
    assert "_ " not in SENTENCES[reason].replace(". _ -", "")


def test_what_only_a_node_knows_is_quoted() -> None:
    assert sentence("channel melted") == "It was refused: channel melted."


@pytest.mark.parametrize("sent", Sent)
def test_only_what_is_refused_is_a_problem(sent: Sent) -> None:
    is_problem = sent in (Sent.REJECTED, Sent.REFUSED)
    assert bool(problem_of(Outcome(sent, "own_campaign" if is_problem else ""))) == is_problem
