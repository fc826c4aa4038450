"""Operators at the desk over the broker: with a token and nothing else they find, act and are named."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest

from domain.accounting.messages import OpenAccount
from spark_actors.ingress.client import SparkClient, ViewRefusedError
from spark_actors.kernel.messages import Query
from spark_actors.operations import messages as of
from tests.acceptance.test_poison import send
from tests.acceptance.test_refused_letters import SUBJECT, a_deposit, balance, bucket, refusal_of
from tests.fixtures.daemon import Daemon, environment, eventually

T = TypeVar("T")


def token(daemon: Daemon, role: str, subject: str) -> str:
    """As who holds the keys makes one."""
    issued = daemon.cli("token", "issue", "--role", role, "--sub", subject, "--ttl", "15m")
    assert issued.returncode == 0, issued.stderr
    return issued.stdout.strip()


def ask(daemon: Daemon, identity: str, question: Query) -> Any:
    """What the daemon answers who shows this token, at its broker."""

    async def talk() -> dict[str, Any]:
        card = daemon.card
        async with await SparkClient.connect(card.nats_url, card.nats_token, identity=identity) as client:
            return await client.view(question, timeout=30)

    return msgspec.convert(asyncio.run(talk()), type=type(question).RESULT)


def elsewhere(daemon: Daemon, folder: Path, identity: str, *words: str) -> Any:
    """What the command line prints for somebody on another machine, who knows a broker and has a token."""
    file = folder / "token"
    file.write_text(identity)
    broker = {"SPARK_NATS__URL": daemon.card.nats_url, "SPARK_NATS__TOKEN": daemon.card.nats_token}
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "spark_actors.cli",
            *words,
            "--json",
            "--as",
            str(file),
            "--data-dir",
            str(folder / "x"),
        ],
        env={**environment(), **broker, "XDG_CONFIG_HOME": str(folder)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.stdout, done.stderr
    return json.loads(done.stdout)


def on_a_wrong_bucket(daemon: Daemon, *accounts: str) -> None:
    """Deposits that the door refuses, and takes once they come without a bucket."""
    for account in accounts:
        assert send(daemon, OpenAccount(account_id=account)) == ["done"]
        wrong = bucket(account) ^ 1
        assert refusal_of(daemon, a_deposit(account, 10), f"{SUBJECT}.{wrong}") == "bucket_mismatch"


def waiting(daemon: Daemon, identity: str) -> list[str]:
    page = ask(daemon, identity, of.ListLetters("ingress", cause="bucket_mismatch"))
    return [letter.message_id for letter in page.letters]


def test_all_that_had_failed_when_somebody_looked_is_sent_again_by_who_is_named_in_the_log(
    running: Daemon, tmp_path: Path
) -> None:
    zoe = token(running, "operator", "zoe")
    on_a_wrong_bucket(running, "desk-a", "desk-b")
    groups = ask(running, zoe, of.GroupLetters("ingress")).groups
    [group] = [each for each in groups if each.cause == "bucket_mismatch"]
    assert (group.name, group.letters) == (SUBJECT, 2)  # though each came on a subject of its own
    on_a_wrong_bucket(running, "desk-late")
    retry = of.RetryMatchingLetters(
        context=group.context,
        up_to=group.up_to,
        died_until=group.last_died_at,
        why="the producer computed buckets wrongly",
        cause=group.cause,
        name=group.name,
        request_id="desk-retry-1",
    )
    acted = ask(running, zoe, retry)
    assert [(each.message_id, each.result) for each in acted.results] == [("desk-a", "done"), ("desk-b", "done")]
    assert ask(running, zoe, retry).results == ()
    assert [balance(running, account) for account in ("desk-a", "desk-b", "desk-late")] == [10, 10, 0]
    assert waiting(running, zoe) == ["desk-late"]

    told = ask(running, zoe, of.ListActions("ingress", limit=2)).actions
    assert [(each.who, each.action, each.why) for each in told] == [("operator zoe", "retry", retry.why)] * 2

    listed = elsewhere(running, tmp_path, zoe, "dead-letters", "list", "--context", "ingress", "--reason", "bucket_")
    assert [letter["message_id"] for letter in listed] == ["desk-late"]
    [done] = elsewhere(running, tmp_path, zoe, "dead-letters", "discard", listed[0]["letter"], "--why", "not needed")
    assert done["result"] == "discarded"
    assert waiting(running, zoe) == []
    newest = elsewhere(running, tmp_path, zoe, "actions", "--context", "ingress", "--limit", "1")[0]
    assert (newest["who"], newest["action"], newest["message_id"]) == ("operator zoe", "discard", "desk-late")


def test_a_reader_sees_all_and_does_nothing_and_others_see_nothing(running: Daemon, tmp_path: Path) -> None:
    ron, ann = token(running, "reader", "ron"), token(running, "user", "ann")
    assert ask(running, ron, of.WhoAmI()).roles == ("reader",)
    assert eventually(lambda: bool(ask(running, ron, of.ViewDeployment()).is_ready))
    assert ask(running, ron, of.ViewDeployment()).problems == ()
    cluster = ask(running, ron, of.ListNodes())
    assert "spark/broker/ingress/0" in {place.place for place in cluster.places}
    told = {actor["actor"]: actor["pid"] for actor in running.status()["status"]["actors"]}
    assert {actor.actor: actor.pid for actor in cluster.actors} == told
    pause = of.PauseKey("accounting", "desk-nobody", "a test")
    for identity, question, code in (
        (ron, pause, "forbidden"),
        (ann, of.ListLetters(), "forbidden"),
        ("", of.ListLetters(), "unauthenticated"),
    ):
        with pytest.raises(ViewRefusedError) as refused:
            ask(running, identity, question)
        assert refused.value.code == code
    assert elsewhere(running, tmp_path, ron, "keys", "list", "--key", "desk-nobody") == []


def test_the_books_are_audited_for_who_asks(running: Daemon, tmp_path: Path) -> None:
    ron = token(running, "reader", "ron")

    def is_made() -> bool:
        state = ask(running, ron, of.ShowAudit(is_to_run=True))
        return not state.is_running and state.ended_at is not None

    assert eventually(is_made, 60)
    state = ask(running, ron, of.ShowAudit())
    assert (state.is_passed, state.problem) == (True, "")
    assert len(state.checks) > 10
    assert elsewhere(running, tmp_path, ron, "audit")["passed"]


def test_a_key_is_paused_and_resumed_by_the_command_line_of_who_has_a_token_alone(
    running: Daemon, tmp_path: Path
) -> None:
    zoe = token(running, "operator", "zoe")
    words = ("accounting", "desk-zoe", "--why", "a test")
    assert elsewhere(running, tmp_path, zoe, "keys", "pause", *words)["state"] == "paused"
    [key] = elsewhere(running, tmp_path, zoe, "keys", "list", "--key", "desk-zoe")
    assert (key["state"], key["by"]) == ("paused", "operator zoe")
    assert elsewhere(running, tmp_path, zoe, "keys", "resume", *words)["state"] == "released"
    assert eventually(lambda: ask(running, zoe, of.ListKeys(instance="desk-zoe")).keys == ())
