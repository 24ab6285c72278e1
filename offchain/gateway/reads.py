"""What can be asked of the read model, in the publisher, besides the routes that read.

    order      {digest}                    what is known of an order
    named      {account, client_order_id}  the digest of its order of that name
    approvals  {account}                   its outstanding countersignatures
    relayed    {digest}                    what the relay was asked for by this message
    situation  {account, market, token, subaccount}    best prices, and what the sub-account has of a balance
    rates      {account}                   what it pays for what it places now

Invariant: reads only, and only what is asked for: whose session it is was checked by the gateway.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from offchain.domain.event import ApprovalGranted
from offchain.domain.units import Address, Digest
from offchain.gateway.channels import ChannelLog
from offchain.gateway.past import Past
from offchain.gateway.present import Tokens
from offchain.gateway.readmodel import MarketView, ReadModel, best_prices
from offchain.gateway.records import OrderRecord, RelayRecord
from offchain.gateway.refusals import listed
from offchain.gateway.terms import Part, Rates
from offchain.gateway.upstream import Upstream

Best = tuple[int, int] | None
"""(price ticks, size lots)"""


class Reads:
    """The read model and what stands beside it: what the handlers of reading routes are given."""

    def __init__(self, model: ReadModel, log: ChannelLog, tokens: Tokens, past: Past, upstream: Upstream) -> None:
        self.model = model
        self.log = log
        self.tokens = tokens
        self.past = past
        self.upstream = upstream

    def market(self, symbol: str) -> MarketView:
        return listed(self.model, symbol)

    def rates_of(self, account: Address, at: int) -> Rates:
        model = self.model
        return model.terms.rates_of(account, model.maker_fee_ppm, model.taker_fee_ppm, at)


class Whose(msgspec.Struct, frozen=True):
    """What a question is about."""

    account: Address = Address("")
    digest: Digest = Digest("")
    market: int = 0
    token: Address = Address("")
    client_order_id: str = ""
    subaccount: int = 0


class Situation(msgspec.Struct, frozen=True):
    bid: Best
    ask: Best
    balance: Part | None


def order(reads: Reads, whose: Whose) -> OrderRecord | None:
    return reads.model.order(whose.digest)


def named(reads: Reads, whose: Whose) -> Digest | None:
    return reads.model.client_orders.get((whose.account, whose.client_order_id))


def approvals(reads: Reads, whose: Whose) -> list[ApprovalGranted]:
    return reads.model.account_approvals(whose.account)


def relayed(reads: Reads, whose: Whose) -> RelayRecord | None:
    return reads.model.relayed.get(whose.digest)


def situation(reads: Reads, whose: Whose) -> Situation:
    bid, ask = best_prices(reads.model.markets[whose.market])
    whole = reads.model.balances_of(whose.account).get(whose.token)
    return Situation(bid, ask, reads.model.terms.part_of(whole, whose.subaccount))


def rates(reads: Reads, whose: Whose) -> Rates:
    return reads.rates_of(whose.account, reads.model.at)


QUESTIONS: dict[str, Callable[[Reads, Whose], Any]] = {
    "order": order,
    "named": named,
    "approvals": approvals,
    "relayed": relayed,
    "situation": situation,
    "rates": rates,
}
