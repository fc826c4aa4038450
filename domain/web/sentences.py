"""What people are told: for each reason of the domain a sentence, for each state a word. A test holds them complete."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from domain.accounting.messages import Reason as Accounting
from domain.auth.messages import Reason as Auth
from domain.bitcoin.messages import Reason as Bitcoin
from domain.crowdfunding.messages import Reason as Crowdfunding
from spark_actors.web.pages import Outcome, Sent

SENTENCES: Mapping[str, str] = {
    # what was typed
    Auth.INVALID_ACCOUNT_ID: "This name cannot be used. Choose another one.",
    Auth.INVALID_USERNAME: "A name has 3 to 32 characters: letters a to z, digits, and . _ - (not at the beginning).",
    Auth.INVALID_PASSWORD_HASH: "This password could not be taken. Choose another one.",
    Auth.USERNAME_TAKEN: "Somebody else has this name. Choose another one.",
    Auth.DUPLICATE_ACCOUNT: "Somebody else has this name. Choose another one.",
    Crowdfunding.INVALID_ID: "This form is not one of ours. Send the new one below.",
    Crowdfunding.INVALID_TITLE: "Give it a title of 1 to 200 characters, in one line.",
    Crowdfunding.INVALID_DESCRIPTION: "The story may have 10,000 characters at most.",
    Crowdfunding.INVALID_AMOUNT: "Write an amount in whole satoshis, such as 2,000.",
    Crowdfunding.INVALID_NAME: "The name may have 60 characters at most, in one line.",
    Crowdfunding.INVALID_MESSAGE: "The message may have 280 characters at most, in one line.",
    # giving
    Crowdfunding.DUPLICATE_CAMPAIGN: "There is a campaign under this id already. Send the new form below.",
    Crowdfunding.UNKNOWN_CAMPAIGN: "There is no such campaign.",
    Crowdfunding.OWN_CAMPAIGN: "This is your own campaign: you cannot give to it from the account that it fills.",
    Crowdfunding.ALREADY_REQUESTED: "This form was sent before. To give once more, send the new one below.",
    Crowdfunding.UNKNOWN_DONATION: "The campaign knows nothing of this gift.",
    Crowdfunding.UNKNOWN_GIFT: "The campaign knows nothing of this gift.",
    Crowdfunding.ALREADY_REGISTERED: "This gift is counted already.",
    # the account
    Accounting.ALREADY_OPEN: "This account is open already.",
    Accounting.UNKNOWN_ACCOUNT: "This account is not open yet. Try again in a moment.",
    Accounting.INSUFFICIENT_FUNDS: "There is not enough in the account.",
    Accounting.DAY_LIMIT: "This is more than an account may withdraw in a day. Try again tomorrow, or with less.",
    Accounting.BALANCE_LIMIT: "The account that is to be paid cannot hold so much.",
    Accounting.OWN_ACCOUNT: "An account cannot pay itself.",
    Accounting.DUPLICATE_DEPOSIT: "This deposit is in the books already.",
    Accounting.DUPLICATE_WITHDRAWAL: "This withdrawal is in the books already.",
    Accounting.DUPLICATE_TRANSFER: "This payment is in the books already.",
    Accounting.UNKNOWN_WITHDRAWAL: "The books know nothing of this withdrawal.",
    Accounting.UNKNOWN_TRANSFER: "The books know nothing of this payment.",
    Accounting.NOT_THIS_TRANSFER: "The books know this payment with other details.",
    Accounting.ALREADY_REFUNDED: "This money was given back already.",
    Accounting.TRANSFER_ENDED: "This payment has ended already.",
    Accounting.ALREADY_RETURNED: "What was left of the fee was given back already.",
    # Lightning
    Bitcoin.INVALID_PAYMENT_REQUEST: "This is no Lightning invoice, or a part of it is missing. Copy all of it.",
    Bitcoin.UNSUPPORTED_FEATURES: "This invoice demands something that is not known here. Ask for another one.",
    Bitcoin.WRONG_NETWORK: "This invoice is of another network than the one that is paid on here.",
    Bitcoin.NO_AMOUNT: "This invoice names no amount. Ask for one that does.",
    Bitcoin.AMOUNT_NOT_WHOLE: "This invoice asks for parts of a satoshi. Ask for one with a whole amount.",
    Bitcoin.AMOUNT_MISMATCH: "This invoice asks for another amount than was shown. Look at it again.",
    Bitcoin.AMOUNT_TOO_SMALL: "This is less than may be withdrawn.",
    Bitcoin.AMOUNT_TOO_LARGE: "This is more than may be withdrawn at once.",
    Bitcoin.EXPIRES_TOO_LATE: "This invoice can be paid for too long. Ask for one that expires within days.",
    Bitcoin.OWN_INVOICE: "This is the invoice of a deposit or a gift here: it cannot be paid from an account here.",
    Bitcoin.INVALID_PREIMAGE: "What the node gave as a proof of the payment proves nothing.",
    Bitcoin.TOO_MANY_OPEN_DEPOSITS: "Too many invoices wait to be paid just now. Try again in a while.",
    Bitcoin.DUPLICATE_INVOICE: "This form was sent before, with something else in it. Send the new one below.",
    Bitcoin.DUPLICATE_PAYMENT_HASH: "This invoice is being paid, or was paid, already. Ask for a new one.",
    Bitcoin.UNKNOWN_INVOICE: "There is no such invoice.",
    Bitcoin.NOT_THIS_WITHDRAWAL: "The books know this withdrawal with other details.",
    Bitcoin.INVOICE_EXPIRED: "This invoice has expired, or is about to. Ask for a new one.",
    Bitcoin.INVOICE_REJECTED: "This withdrawal was refused before. Begin a new one.",
    Bitcoin.INVOICE_PAID: "This invoice is paid already.",
    Bitcoin.INVOICE_FAILED: "This has failed before. Begin anew.",
    Bitcoin.NOT_ISSUED: "This invoice is not made yet.",
    Bitcoin.ALREADY_ISSUED: "This invoice is made already.",
    Bitcoin.NOT_AUTHORIZED: "This withdrawal is not paid for by the account yet.",
    Bitcoin.ALREADY_AUTHORIZED: "This withdrawal is under way already.",
    # of the runtime
    "id_reused": "This form was sent before, with something else in it. Send the new one below.",
    "unauthenticated": "Your session is over, or was not believed. Log in again.",
    "forbidden": "Your login does not allow you to do this.",
    "malformed_data": "Something in this form is too long, or has characters that cannot be taken.",
    "oversized": "This form is too long.",
    # of Lightning nodes
    "no_route": "No way through the Lightning network leads to the receiver with so much.",
    "payment_failed": "The Lightning network could not carry this payment.",
}


def sentence(reason: str) -> str:
    """Why something was refused or has failed. What only a Lightning node knows is quoted."""
    return SENTENCES.get(reason) or (f"It was refused: {reason}." if reason else "It was refused.")


def problem_of(outcome: Outcome) -> str:
    """Why what was sent is not done and never will be; empty if it is, or is under way."""
    return sentence(outcome.reason) if outcome.sent in (Sent.REJECTED, Sent.REFUSED) else ""


class State(NamedTuple):
    """Where something stands, in words."""

    words: str
    tone: str = ""
    """good or bad; empty while it is under way."""


DONATIONS: Mapping[str, State] = {
    "requested": State("under way"),
    "registered": State("arrived", "good"),
    "rejected": State("not given", "bad"),
}
DEPOSITS: Mapping[str, State] = {
    "requested": State("invoice being made"),
    "issued": State("waiting to be paid"),
    "paid": State("paid, being credited"),
    "credited": State("credited", "good"),
    "expired": State("expired", "bad"),
    "failed": State("failed", "bad"),
}
WITHDRAWALS: Mapping[str, State] = {
    "requested": State("asked for"),
    "authorized": State("being paid"),
    "paid": State("paid", "good"),
    "rejected": State("refused", "bad"),
    "failed": State("failed, being given back", "bad"),
    "refunded": State("given back", "bad"),
}
GIFTS: Mapping[str, State] = {
    "requested": State("invoice being made"),
    "issued": State("waiting to be paid"),
    "paid": State("paid, being counted"),
    "registered": State("arrived", "good"),
    "expired": State("expired", "bad"),
    "failed": State("failed", "bad"),
}
