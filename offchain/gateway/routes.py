"""The table of HTTP routes: the one place that says what exists, who may call it and what it costs.

`openapi.json`, the router and the tests are made from it.
"""

from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Any, NamedTuple

from offchain.gateway import account_schema, rest, schema, templates
from offchain.gateway.capabilities import capabilities_json
from offchain.gateway.context import Gateway
from offchain.gateway.rest import Call
from offchain.security.limits import Rate


class Auth(StrEnum):
    NONE = "none"
    SIGNATURE = "signature"
    """The body carries an EIP-712 signature; no session."""
    SESSION = "session"
    SESSION_OR_SIGNATURE = "session or signature"
    """A session's headers, or a body with a signature."""
    SIGNATURE_BESIDE_SESSION = "signature; a session for what it does not cover"
    """The body carries an EIP-712 signature, and wishes that a session vouches for, if it has any."""


Handler = Callable[[Any, Call], Awaitable[Any]]
"""Of a `Gateway`, or if it reads of `Reads`."""


class Route(NamedTuple):
    """`query` names the query parameters that it takes; others are refused. `rate`: a budget per address. `is_read`:
    the publisher answers, from the read model. `is_owners`: not for a session of an agent."""

    method: str
    path: str
    handler: Handler
    summary: str
    auth: Auth = Auth.NONE
    request: type[schema.Wire] | None = None
    query: tuple[str, ...] = ()
    weight: int = 1
    rate: Rate | None = None
    is_way_out: bool = False
    is_read: bool = False
    is_owners: bool = False

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def is_cancel(self) -> bool:
        """Draws on the budgets of cancels: the ways out."""
        return self.method == "DELETE" or self.is_way_out


async def eip712(gateway: Gateway, call: Call) -> Any:
    return templates.eip712_json(gateway.settings)


async def capabilities(gateway: Gateway, call: Call) -> Any:
    return capabilities_json(gateway.settings)


async def openapi(gateway: Gateway, call: Call) -> Any:
    from offchain.gateway.openapi import openapi_json  # it reads this table

    return openapi_json()


_RARE = Rate(2, 20)
"""What a program asks once, and what costs a whole epoch."""
_LOGINS = Rate(10, 100)
"""Each costs a recovery; a desk logs in all its bots at once."""
_RELAYED = Rate(1, 100)
"""Each may cost the venue gas: one in five seconds, twenty at once."""
_PAGE = ("symbol", "cursor", "limit")

ROUTES: tuple[Route, ...] = (
    Route("GET", "/v1/eip712", eip712, "What a wallet signs: types, domains and field docs"),
    Route("GET", "/v1/markets", rest.markets, "Markets with their tick and lot sizes, state and fees"),
    Route("GET", "/v1/book/{symbol}", rest.book, "The order book", query=("depth",), weight=2, is_read=True),
    Route(
        "GET",
        "/v1/trades/{symbol}",
        rest.trades,
        "Recent trades, newest first",
        query=("limit",),
        weight=2,
        is_read=True,
    ),
    Route("GET", "/v1/pools/{symbol}", rest.pool, "Reserves of the market's AMM pair, as last observed", is_read=True),
    Route(
        "GET",
        "/v1/quote/{symbol}",
        rest.quote,
        "What a trade of a size, or of an amount with fees, would cost now in book and AMM pair",
        query=("side", "size", "amount", "limit"),
        weight=5,
        is_read=True,
    ),
    Route("GET", "/v1/venue", rest.venue, "State of the venue, fees, states of the markets"),
    Route("GET", "/v1/capabilities", capabilities, "Features, limits, error codes"),
    Route("GET", "/v1/openapi.json", openapi, "This description", weight=5, rate=_RARE),
    Route("GET", "/v1/epochs/{number}", rest.epoch, "Header of a closed epoch", weight=5),
    Route(
        "GET",
        "/v1/receipts/{sequence}",
        rest.group_receipt,
        "Receipt of the order with this id under the one signature of all orders that became durable with it",
        query=("id",),
        weight=20,
        rate=_RARE,
    ),
    Route("GET", "/v1/proofs/{id}", rest.proof, "Proof file of the order with this id", weight=20, rate=_RARE),
    Route(
        "POST",
        "/v1/orders",
        rest.place,
        "Places one order or an array",
        Auth.SIGNATURE_BESIDE_SESSION,
        schema.OrderRequest,
    ),
    Route(
        "GET",
        "/v1/orders",
        rest.orders,
        "Own orders",
        Auth.SESSION,
        query=("status", *_PAGE),
        weight=5,
        is_read=True,
    ),
    Route(
        "DELETE",
        "/v1/orders",
        rest.cancel_all,
        "Cancels all orders, or those of one market, of one side",
        Auth.SESSION_OR_SIGNATURE,
        schema.CancelAllRequest,
        query=("symbol", "side"),
    ),
    Route(
        "POST",
        "/v1/orders/batch",
        rest.batch,
        "Cancels, amends and places together: all or nothing, the first that may enter, or each for itself",
        Auth.SESSION,
        schema.BatchRequest,
    ),
    Route(
        "POST",
        "/v1/orders/cancel-all-after",
        rest.cancel_all_after,
        "Cancels all orders after a silence; 0 takes it back",
        Auth.SESSION,
        schema.CancelAllAfterRequest,
        is_way_out=True,
    ),
    Route(
        "GET", "/v1/orders/cancel-all-after", rest.switch, "When all orders are cancelled", Auth.SESSION, is_read=True
    ),
    Route("GET", "/v1/orders/by-client-id/{id}", rest.order_by_client_id, "An own order", Auth.SESSION, is_read=True),
    Route(
        "PATCH",
        "/v1/orders/by-client-id/{id}",
        rest.amend_by_client_id,
        "Amends an order",
        Auth.SESSION,
        schema.AmendRequest,
    ),
    Route("DELETE", "/v1/orders/by-client-id/{id}", rest.cancel_by_client_id, "Cancels an order", Auth.SESSION),
    Route("GET", "/v1/orders/{id}", rest.order, "An own order", Auth.SESSION, is_read=True),
    Route(
        "PATCH",
        "/v1/orders/{id}",
        rest.amend,
        "Amends an order: smaller, in its place in the queue; or another one in its slot",
        Auth.SESSION,
        schema.AmendRequest,
    ),
    Route(
        "DELETE",
        "/v1/orders/{id}",
        rest.cancel,
        "Cancels an order",
        Auth.SESSION_OR_SIGNATURE,
        schema.CancelRequest,
    ),
    Route("GET", "/v1/fills", rest.fills, "Own fills, newest first", Auth.SESSION, query=_PAGE, weight=5, is_read=True),
    Route(
        "GET",
        "/v1/balances",
        rest.balances,
        "Own balances, or those of a sub-account",
        Auth.SESSION,
        query=("subaccount",),
        is_read=True,
    ),
    Route(
        "POST",
        "/v1/transfers",
        rest.transfer,
        "Moves what is settled and free between sub-accounts",
        Auth.SESSION,
        account_schema.TransferRequest,
        is_owners=True,
    ),
    Route(
        "GET",
        "/v1/fees",
        rest.fees,
        "Own fees: rates, tier, volume, what comes next",
        Auth.SESSION,
        is_read=True,
    ),
    Route(
        "GET",
        "/v1/protections",
        rest.protections,
        "Own protections of quotes, and which of them tripped",
        Auth.SESSION,
        is_read=True,
    ),
    Route(
        "PUT",
        "/v1/protections/{protection}",
        rest.set_protection,
        "Sets a protection of quotes, in place of the one with this number",
        Auth.SESSION,
        account_schema.ProtectionRequest,
    ),
    Route("DELETE", "/v1/protections/{protection}", rest.remove_protection, "Takes a protection away", Auth.SESSION),
    Route(
        "POST",
        "/v1/protections/{protection}/reset",
        rest.reset_protection,
        "Takes protected orders again after it tripped",
        Auth.SESSION,
    ),
    Route("GET", "/v1/agents", rest.agents, "Keys that may sign orders of the account", Auth.SESSION, is_read=True),
    Route("POST", "/v1/sessions", rest.login, "Login", Auth.SIGNATURE, schema.SessionRequest, weight=5, rate=_LOGINS),
    Route("DELETE", "/v1/sessions", rest.logout_all, "Ends all sessions of the account", Auth.SESSION, is_owners=True),
    Route("DELETE", "/v1/sessions/{key}", rest.logout, "Ends one session of the account", Auth.SESSION),
    Route(
        "POST",
        "/v1/vault/withdraw",
        rest.withdraw,
        "Countersigns and relays a withdrawal",
        Auth.SIGNATURE,
        schema.WithdrawRequest,
        weight=5,
    ),
    Route(
        "POST",
        "/v1/vault/deposit",
        rest.deposit,
        "Has the relay deposit by a permit of the settlement token",
        Auth.SIGNATURE,
        schema.DepositRequest,
        weight=5,
        rate=_RELAYED,
    ),
    Route(
        "GET",
        "/v1/vault/deposits/{id}",
        rest.deposit_status,
        "What came of a relayed deposit",
        Auth.SESSION,
        is_read=True,
    ),
    Route(
        "POST",
        "/v1/agents",
        rest.register_agent,
        "Has the relay register an agent of the account",
        Auth.SIGNATURE,
        schema.AgentRequest,
        weight=5,
        rate=_RELAYED,
    ),
    Route(
        "POST",
        "/v1/vault/approvals",
        rest.approve,
        "Countersigns a debit that the owner sends",
        Auth.SESSION,
        schema.ApprovalRequest,
        weight=5,
        is_owners=True,
    ),
    Route(
        "POST",
        "/v1/admin/markets",
        rest.administer,
        "An operator asks for a market, withdraws that, opens, pauses or delists one",
        Auth.SESSION,
        schema.MarketRequest,
        weight=5,
        is_owners=True,
    ),
    Route(
        "POST",
        "/v1/admin/bands",
        rest.set_band,
        "An operator says how far beyond the mark the limits of a market may be",
        Auth.SESSION,
        schema.BandRequest,
        weight=5,
        is_owners=True,
    ),
    Route(
        "POST",
        "/v1/admin/groups",
        rest.set_group,
        "An operator says which accounts belong to one owner",
        Auth.SESSION,
        schema.GroupRequest,
        weight=5,
        is_owners=True,
    ),
    Route(
        "POST",
        "/v1/admin/fees",
        rest.set_fee_schedule,
        "An operator sets fee tiers and discounts, or takes them away",
        Auth.SESSION,
        account_schema.FeeScheduleRequest,
        weight=5,
        is_owners=True,
    ),
    Route(
        "POST",
        "/v1/admin/cxpt",
        rest.observe_cxpt,
        "An operator says how much CXPT accounts have",
        Auth.SESSION,
        account_schema.CxptRequest,
        weight=5,
        is_owners=True,
    ),
    Route(
        "POST",
        "/v1/admin/fills",
        rest.take_back,
        "An operator takes back a matched fill that sinks its batch",
        Auth.SESSION,
        schema.TakeBackRequest,
        weight=5,
        is_owners=True,
    ),
)
