"""The words of a command line: where options may stand, what is refused before a daemon is looked for, and how."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from domain.crowdfunding.messages import DonateToCampaign
from spark_actors.cli.errors import ExitCode
from tests.unit.cli.conftest import Cli, error_of
from tests.unit.cli.fakes import FakeClient

DONATE = "crowdfunding.donate-to-campaign"
DONATION = DonateToCampaign(campaign_id="c1", donation_id="d1", account_id="a1", amount_sat=500)
AS_JSON = json.dumps({"campaign_id": "c1", "donation_id": "d1", "account_id": "a1", "amount_sat": 500})
OPEN = ("send", "accounting.open-account", "account_id=a")


@pytest.mark.parametrize(
    "words",
    [
        ("--data-dir", "{folder}", "--json", *OPEN),
        ("--json", *OPEN, "--data-dir", "{folder}"),
        (*OPEN, "--json", "--data-dir", "{folder}"),
    ],
)
def test_shared_options_may_stand_before_or_behind_the_command(
    cli: Cli, client: FakeClient, data_dir: Path, words: tuple[str, ...]
) -> None:
    result = cli(*(word.format(folder=data_dir) for word in words))
    assert (result.exit_code, json.loads(result.stdout)["outcome"]) == (ExitCode.DONE, "done"), result.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("--json", "--data-dir", "{folder}", "sagas", "list"),
        ("--json", "sagas", "--data-dir", "{folder}", "list"),
        ("sagas", "list", "--json", "--data-dir", "{folder}"),
    ],
)
def test_shared_options_may_stand_anywhere_around_a_command_of_two_words(
    cli: Cli, tmp_path: Path, words: tuple[str, ...]
) -> None:
    told = error_of(cli(*(word.format(folder=tmp_path / "empty") for word in words)))
    assert told["code"] == "no_daemon"
    assert str(tmp_path / "empty") in told["detail"]


def test_of_an_option_before_and_behind_the_nearer_counts(cli: Cli, client: FakeClient, data_dir: Path) -> None:
    assert cli("--data-dir", "/nowhere", *OPEN, "--data-dir", str(data_dir)).exit_code == ExitCode.DONE


def test_an_option_before_a_command_that_does_not_take_it_is_refused(cli: Cli) -> None:
    result = cli("--as", "x.token", "hash-password", stdin="secret word\n")
    assert (result.exit_code, "--as" in result.stderr, result.stdout) == (ExitCode.USAGE, True, "")


@pytest.mark.parametrize(
    "words",
    [
        ("dead-letters", "list", "--since", "yesterday"),
        ("dead-letters", "list", "--state", "wating"),
        ("dead-letters", "list", "--context", "acounting"),
        ("dead-letters", "show", "accounting"),
        ("dead-letters", "show", "acounting/1"),
        ("dead-letters", "retry", "--why", "all of it"),
        ("dead-letters", "retry", "accounting/1", "--why", " "),
        ("dead-letters", "retry", "accounting/x", "--why", "x"),
        ("dead-letters", "discard", "--key", "a", "--why", ""),
        ("dead-letters", "edit", "accounting/x", "a=1", "--why", "x"),
        ("actions", "--context", "acounting"),
        ("sagas", "list", "--kind", "dontion"),
        ("sagas", "show", "dontion", "d1"),
        ("keys", "list", "--context", "ingress"),
        ("keys", "list", "--key", ""),
        ("keys", "pause", "accounting", "a", "--why", " "),
        ("keys", "pause", "accounting", "a", "--for", "dashbord", "--why", "x"),
        *(("keys", action, "accounting", "", "--why", "x") for action in ("pause", "resume", "skip")),
        *(("keys", action, "dashboard", "a", "--why", "x") for action in ("pause", "resume", "skip")),
        ("send", DONATE, "amount_sat=x"),
        ("send", DONATE, "campaign_id=c", "--data", "x.json"),
        ("send", DONATE, "--data", "/nowhere.json"),
        (*OPEN, "--id", ""),
        (*OPEN, "--as", "/nowhere.token"),
        ("view", "dashboard.bogus"),
    ],
    ids=" ".join,
)
def test_what_cannot_be_meant_is_refused_before_anybody_looks_for_a_daemon(
    cli: Cli, tmp_path: Path, words: tuple[str, ...]
) -> None:
    result = cli(*words, "--data-dir", str(tmp_path / "empty"))
    assert (result.exit_code, result.stderr.count("\n")) == (ExitCode.USAGE, 1), result.stderr


def test_an_unknown_kind_is_answered_with_those_that_there_are(cli: Cli, tmp_path: Path) -> None:
    result = cli("sagas", "list", "--kind", "dontion", "--data-dir", str(tmp_path))
    assert "expected deposit or donation or gift or sign-up or withdrawal, got 'dontion'" in result.stderr


def test_a_choice_reads_as_a_sentence(cli: Cli) -> None:
    assert "expected one of user, reader, operator, lightning" in cli("token", "issue", "--role", "king").stderr


def test_a_mistake_is_json_for_who_asked_for_json(cli: Cli) -> None:
    told = error_of(cli("send", "--json", "crowdfunding.bogus"))
    assert (told["code"], told["exit_code"]) == ("usage", ExitCode.USAGE)
    assert "crowdfunding.bogus" in told["detail"]
    assert error_of(cli("--json", "bogus"))["code"] == "usage"


def test_databases_that_cannot_be_reached_exit_like_a_daemon_that_cannot(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPARK_POSTGRES__DSN", "host=/nowhere dbname=spark connect_timeout=1")
    for words in (("audit",), ("sagas", "list"), ("dead-letters", "list"), ("keys", "list"), ("actions",)):
        told = error_of(cli(*words, "--json", "--data-dir", str(tmp_path)))
        assert told["code"] == "no_daemon", words


def test_a_view_that_is_refused_says_why_in_json(cli: Cli, client: FakeClient, data_dir: Path) -> None:
    words = ("view", "dashboard.invoice", "invoice_id=i1", "--json", "--data-dir", str(data_dir))
    told = error_of(cli(*words))
    assert (told["code"], told["reason"]) == ("refused", "not_found")


def test_the_fields_come_from_a_file_or_a_pipe_as_json(
    cli: Cli, client: FakeClient, data_dir: Path, tmp_path: Path
) -> None:
    file = tmp_path / "donation.json"
    file.write_text(AS_JSON)
    here = ("--data-dir", str(data_dir))
    assert cli("send", DONATE, "--data", str(file), *here).exit_code == ExitCode.DONE
    assert cli("send", DONATE, "--data", "-", *here, stdin=AS_JSON).exit_code == ExitCode.DONE
    assert [command for command, *_ in client.sent] == [DONATION, DONATION]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "expected a JSON object"),
        ("[1]", "expected a JSON object, got [1]"),
        (AS_JSON.replace("500", '"500"'), "field amount_sat: expected int, got"),
        (AS_JSON.replace("amount_sat", "amount"), "there is no field 'amount'"),
    ],
)
def test_json_that_is_no_such_command_is_refused(
    cli: Cli, client: FakeClient, data_dir: Path, text: str, told: str
) -> None:
    result = cli("send", DONATE, "--data", "-", "--data-dir", str(data_dir), stdin=text)
    assert (result.exit_code, client.sent, told in result.stderr) == (ExitCode.USAGE, [], True), result.stderr


def test_a_keys_file_that_is_not_there_is_told_in_words(cli: Cli, tmp_path: Path) -> None:
    config = tmp_path / "own.toml"
    config.write_text(f'[identity]\nkeys_file = "{tmp_path / "keys"}"\n')
    result = cli("token", "issue", "--role", "operator", "--config", str(config))
    expected = f"error: the keys of tokens in {tmp_path / 'keys'} cannot be read: no such file or directory\n"
    assert (result.exit_code, result.stderr) == (ExitCode.REFUSED, expected)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_there_is_a_script_that_completes_for_each_shell(cli: Cli, shell: str) -> None:
    script = cli("completion", shell).stdout
    assert f"_SPARK_ACTORS_COMPLETE=complete_{shell}" in script


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("spark-actors dead", "dead-letters"),
        ("spark-actors dead-letters ret", "retry"),
        ("spark-actors send crowdfunding.do", DONATE),
        ("spark-actors view dashboard.camp", "dashboard.campaigns"),
        ("spark-actors sagas list --kind don", "donation"),
        ("spark-actors send --time", "--timeout"),
    ],
)
def test_the_script_is_answered_with_what_can_follow(words: str, expected: str) -> None:
    """As a shell asks: in a process of its own, by variables."""
    asked = {"COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1)}
    done = subprocess.run(
        [sys.executable, "-m", "spark_actors.cli"],
        env={"_SPARK_ACTORS_COMPLETE": "complete_bash", **asked},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert expected in done.stdout.split()
