"""The pages at a glance: which path is for whom, and who answers it."""

from __future__ import annotations

from domain.web import campaigns, money, people
from spark_actors.web.pages import Audience, Link, Pages, Route

ANYBODY, USER = Audience.ANYBODY, Audience.USER
CAMPAIGN = "/campaigns/{campaign_id:path}"

PAGES = Pages(
    routes=(
        Route("GET", "/", ANYBODY, campaigns.campaigns, live="campaigns_live.html"),
        Route("GET", CAMPAIGN, ANYBODY, campaigns.campaign, live="campaign_live.html"),
        Route("POST", CAMPAIGN, ANYBODY, campaigns.give),
        Route("GET", "/gifts/{gift_id:path}", ANYBODY, campaigns.gift, live="gift_live.html"),
        Route("GET", "/sign-up", ANYBODY, people.sign_up_form),
        Route("POST", "/sign-up", ANYBODY, people.sign_up),
        Route("GET", "/log-in", ANYBODY, people.log_in_form),
        Route("POST", "/log-in", ANYBODY, people.log_in),
        Route("POST", "/log-out", ANYBODY, people.log_out),
        Route("GET", "/account", USER, money.account, live="account_live.html"),
        Route("GET", "/deposit", USER, money.deposit_form),
        Route("POST", "/deposit", USER, money.request_deposit),
        Route("GET", "/deposits/{invoice_id:path}", USER, money.deposit, live="deposit_live.html"),
        Route("GET", "/withdraw", USER, money.withdraw_form),
        Route("POST", "/withdraw", USER, money.withdraw),
        Route("GET", "/withdrawals/{invoice_id:path}", USER, money.withdrawal, live="withdrawal_live.html"),
        Route("GET", "/donations/{donation_id:path}", USER, money.donation, live="donation_live.html"),
        Route("GET", "/new-campaign", USER, campaigns.new_campaign),
        Route("POST", "/new-campaign", USER, campaigns.open_campaign),
        Route("GET", "/my-campaigns", USER, campaigns.my_campaigns),
    ),
    templates=__package__,
    menu=(
        Link("Campaigns", "/"),
        Link("My account", "/account", USER),
        Link("My campaigns", "/my-campaigns", USER),
        Link("Log in", "/log-in", for_strangers=True),
        Link("Sign up", "/sign-up", for_strangers=True),
    ),
    log_in="/log-in",
)
