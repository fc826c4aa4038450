"""`spark-actors deposit`, `give` and `withdraw`: money over Lightning, by commands and views that anybody may send."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any
from uuid import uuid4

import typer

from spark_actors.cli.errors import CliError, ExitCode, UsageMistakeError
from spark_actors.cli.options import ConfigOption, DataDirOption, JsonOption, TokenFileOption

if TYPE_CHECKING:
    from pathlib import Path

    from spark_actors.cli.acting import Acting
    from spark_actors.cli.daemon import Target
    from spark_actors.ingress.client import SparkClient
    from spark_actors.kernel.messages import Command, Query

GOOD_ENDS = frozenset({"credited", "registered", "paid"})
"""The states in which a deposit, a gift and a withdrawal have ended well."""

DEPOSIT_EXAMPLES = """
[bold]spark-actors deposit 2000[/]  as who is logged in, draws a QR code and waits until it was paid

Exit code: 0 paid, or not paid yet · 1 it has ended otherwise · 3 no daemon · 4 refused.
"""
GIVE_EXAMPLES = """
[bold]spark-actors give CAMPAIGN 2000 --name Zoë --message "Keep dry"[/]  needs no account and no login

Exit code: 0 paid, or not paid yet · 1 it has ended otherwise · 3 no daemon · 4 refused.
"""
WITHDRAW_EXAMPLES = """
[bold]spark-actors withdraw lnbc20u1…[/]  pays what the invoice asks for, and what the route costs beside it

Exit code: 0 paid, or under way · 1 it has ended otherwise · 3 no daemon · 4 refused.
"""

AccountOption = Annotated[
    str | None,
    typer.Option("--account", help="Of whom (default: who is logged in).", show_default=False, metavar="ID"),
]
WaitOption = Annotated[float, typer.Option("--wait", help="For how many seconds to wait for its end.", min=0)]
AmountArgument = Annotated[int, typer.Argument(help="Satoshis.", metavar="AMOUNT")]


class NotDoneError(CliError):
    """The business says no to the command."""

    exit_code = ExitCode.REJECTED


@dataclass(frozen=True)
class _Errand:
    """A command, and the view in which its end is seen."""

    command: Command
    query: Query
    shows_invoice: bool
    """Whether somebody has to pay an invoice for it."""
    wait_seconds: float


def deposit(
    amount_sat: AmountArgument,
    account: AccountOption = None,
    wait: WaitOption = 600.0,
    as_json: JsonOption = False,
    token_file: TokenFileOption = None,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
) -> None:
    """Pay in over Lightning: draw the invoice as a QR code and wait until it was paid."""
    from domain.bitcoin.messages import RequestDeposit
    from domain.dashboard.views import ViewInvoice

    target, acting = _who(token_file, data_dir, config)
    invoice_id = f"deposit-{uuid4()}"
    command = RequestDeposit(invoice_id=invoice_id, account_id=_account(account, acting), amount_sat=amount_sat)
    _run(target, acting, _Errand(command, ViewInvoice(invoice_id=invoice_id), True, wait), as_json=as_json)


def give(
    campaign_id: Annotated[str, typer.Argument(help="Its id.", metavar="CAMPAIGN")],
    amount_sat: AmountArgument,
    name: Annotated[str, typer.Option("--name", help="How to be called in public.", show_default=False)] = "",
    message: Annotated[str, typer.Option("--message", help="What to say in public.", show_default=False)] = "",
    wait: WaitOption = 600.0,
    as_json: JsonOption = False,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
) -> None:
    """Give to a campaign without an account: draw the invoice as a QR code and wait until it was paid."""
    from domain.crowdfunding.messages import RequestGift
    from domain.dashboard.views import ViewGift

    target, _ = _who(None, data_dir, config)
    gift_id = str(uuid4())
    command = RequestGift(campaign_id=campaign_id, gift_id=gift_id, amount_sat=amount_sat, name=name, message=message)
    _run(target, None, _Errand(command, ViewGift(gift_id=gift_id), True, wait), as_json=as_json)


def withdraw(
    payment_request: Annotated[str, typer.Argument(help="The invoice to be paid (BOLT11).", metavar="INVOICE")],
    account: AccountOption = None,
    max_fee_sat: Annotated[
        int | None, typer.Option("--max-fee", help="The most that the route may cost.", metavar="SATOSHIS")
    ] = None,
    wait: WaitOption = 60.0,
    as_json: JsonOption = False,
    token_file: TokenFileOption = None,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
) -> None:
    """Pay out over Lightning, to an invoice, and wait until it was paid."""
    from domain.bitcoin.messages import RequestWithdrawal
    from domain.dashboard.views import ViewInvoice

    target, acting = _who(token_file, data_dir, config)
    invoice_id = f"withdrawal-{uuid4()}"
    command = RequestWithdrawal(
        invoice_id=invoice_id,
        account_id=_account(account, acting),
        payment_request=payment_request,
        max_fee_sat=max_fee_sat,
    )
    _run(target, acting, _Errand(command, ViewInvoice(invoice_id=invoice_id), False, wait), as_json=as_json)


def _who(token_file: Path | None, data_dir: Path | None, config: Path | None) -> tuple[Target, Acting]:
    from spark_actors.cli.acting import who_acts
    from spark_actors.cli.daemon import Target

    target = Target(data_dir, config)
    return target, who_acts(target.place, token_file)


def _account(account: str | None, acting: Acting) -> str:
    if account is None and not acting.is_chosen:
        raise UsageMistakeError("whose account? Log in (`spark-actors login NAME`), or say so with --account ID")
    return account or acting.name


def _run(target: Target, acting: Acting | None, errand: _Errand, *, as_json: bool) -> None:
    """*acting*: None for a stranger."""
    from spark_actors.cli.output import print_json

    async def conversation(client: SparkClient) -> Mapping[str, Any]:
        return await _carry_out(client if acting else client.acting_as(""), errand, quiet=as_json)

    view = target.talk(conversation, acting)
    if as_json:
        print_json(view)
    else:
        print(_end_in_words(view, errand))
    if view.get("ended_at") and view["state"] not in GOOD_ENDS:
        raise typer.Exit(ExitCode.REFUSED)


async def _carry_out(client: SparkClient, errand: _Errand, *, quiet: bool) -> Mapping[str, Any]:
    """What is seen in the end. Raises NotDoneError, ClientError."""
    from spark_actors.cli.demo import told, watch

    answer = await client.send(errand.command)
    if not answer.is_done:
        raise NotDoneError(told(answer))
    if errand.shows_invoice:
        view = await watch(client, errand.query, lambda view: bool(view["payment_request"] or view["ended_at"]))
        if not quiet and view.get("uri"):
            _draw(view["uri"])
    return await watch(
        client, errand.query, lambda view: view["ended_at"] is not None, patience_seconds=errand.wait_seconds
    )


def _draw(uri: str) -> None:
    """A QR code; in upper case it is a smaller one (BOLT 11), and wallets read it all the same."""
    import segno

    segno.make(uri.upper(), error="l").terminal(out=sys.stdout, compact=True)
    print(f"Scan it with a Lightning wallet, or copy:\n\n{uri}\n", flush=True)


def _end_in_words(view: Mapping[str, Any], errand: _Errand) -> str:
    """How it stands, for people."""
    if not view:
        return f"nothing is seen of it yet; look later: {_look(errand)}"
    if view["ended_at"] is None:
        return f"{view['state']}, {view['amount_sat']:,} sat; look later: {_look(errand)}"
    why = f" ({view['reason']})" if view["reason"] else ""
    proof = f"\nproof of payment (preimage): {view['preimage']}" if view.get("preimage") else ""
    return f"{view['state']}{why}: {view['amount_sat']:,} sat{proof}"


def _look(errand: _Errand) -> str:
    """The command that looks again."""
    fields = " ".join(f"{name}={value}" for name, value in vars(errand.query).items())
    return f"spark-actors view {errand.query.TYPE.name} {fields}"
