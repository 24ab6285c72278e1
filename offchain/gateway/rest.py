"""The HTTP handlers: each takes a checked call and returns JSON-ready values, or raises `ApiError`.

Invariant: a handler of a private route sees only its session's account; another account's order is a 404.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar

import msgspec

from offchain.domain.reasons import RejectReason
from offchain.domain.relayed import RequestDeposit
from offchain.domain.units import Address, Digest
from offchain.gateway import present, schema
from offchain.gateway.account_schema import ProtectionRequest, TransferRequest
from offchain.gateway.channels import BOOK, POOL, TRADES, Channel
from offchain.gateway.context import Gateway
from offchain.gateway.failures import ApiError, Code
from offchain.gateway.quoting import quote_json
from offchain.gateway.reads import Reads
from offchain.gateway.records import FillRecord, OrderRecord
from offchain.gateway.relaying import relayed_json
from offchain.gateway.sessions import Session

BOOK_DEPTH_DEFAULT = 100
_NEWEST = 2**63 - 1

Answer = Any
Known = TypeVar("Known", Gateway, Reads)


class Call(NamedTuple):
    """A request after its body was read, its budget taken and its session checked."""

    path: Mapping[str, str]
    query: Mapping[str, str]
    body: bytes
    session: Session | None
    now: int
    address: str

    @property
    def account(self) -> Address:
        """Of the session; private routes always have one."""
        assert self.session is not None
        return self.session.account


class Status(NamedTuple):
    """An answer with another status than 200."""

    status: int
    body: Answer


# --- public ---


async def markets(gateway: Gateway, call: Call) -> Answer:
    model = loaded(gateway).model
    return {"markets": [present.market_json(view, model) for view in model.markets.values()], "seq": model.sequence}


async def book(gateway: Reads, call: Call) -> Answer:
    view = loaded(gateway).market(call.path["symbol"])
    depth = schema.parse_limit(call.query.get("depth"), BOOK_DEPTH_DEFAULT)
    sequence = gateway.log.last(Channel(f"{BOOK}:{view.market.symbol}"))
    head = {"seq": sequence, "timestamp": gateway.model.at}
    return present.book_json(view, depth) | head


async def trades(gateway: Reads, call: Call) -> Answer:
    view = loaded(gateway).market(call.path["symbol"])
    limit = schema.parse_limit(call.query.get("limit"))
    recent = view.recent_trades(limit)
    sequence = gateway.log.last(Channel(f"{TRADES}:{view.market.symbol}"))
    if len(recent) < limit:
        before = recent[-1].fill if recent else _NEWEST
        recent += await gateway.past.trades(view.market.market, before, limit - len(recent))
    return {
        "symbol": view.market.symbol,
        "trades": [present.trade_json(trade, view.market) for trade in recent],
        "seq": sequence,
    }


async def venue(gateway: Gateway, call: Call) -> Answer:
    model = loaded(gateway).model
    return present.venue_json(model) | {"seq": model.sequence, "timestamp": model.at}


async def pool(gateway: Reads, call: Call) -> Answer:
    view = loaded(gateway).market(call.path["symbol"])
    sequence = gateway.log.last(Channel(f"{POOL}:{view.market.symbol}"))
    return {
        "symbol": view.market.symbol,
        "pool": present.pool_json(view.market, view.pool),
        "busy": bool(view.undecided),
        "seq": sequence,
    }


async def quote(gateway: Reads, call: Call) -> Answer:
    model = loaded(gateway).model
    view = gateway.market(call.path["symbol"])
    return quote_json(view, model, call.query) | {"seq": model.sequence, "timestamp": model.at}


async def epoch(gateway: Gateway, call: Call) -> Answer:
    number = schema.parse_integer(call.path["number"], 63, "number")
    found = await gateway.past.epoch(number)
    if found is None:
        raise ApiError(Code.NOT_FOUND, "no such epoch, or not closed yet")
    return found


async def proof(gateway: Gateway, call: Call) -> Answer:
    """Of whoever has the order's id: it is shown to nobody but its owner, so who names it was given it."""
    digest = schema.parse_digest(call.path["id"])
    known = await gateway.publications.order(digest) or await gateway.past.order(digest)
    receipt = "" if known is None else await gateway.upstream.receipt(known.sequence)
    group = None if known is None else await gateway.upstream.group_receipt(known.sequence)
    return await gateway.past.proof(digest, receipt, None if group is None else msgspec.to_builtins(group))


async def group_receipt(gateway: Gateway, call: Call) -> Answer:
    """Sequences can be counted through, so the id must be named: another one is answered as none."""
    sequence = schema.parse_integer(call.path["sequence"], 63, "sequence")
    if "id" not in call.query:
        data = {"field": "id", "remedy": "The order's id: ?id=0x..."}
        raise ApiError(Code.MISSING_FIELD, "id is missing", data)
    digest = schema.parse_digest(call.query["id"])
    gateway.trading.require_live()
    found = await gateway.upstream.group_receipt(sequence)
    if found is None or found.order_hash != digest:
        raise ApiError(Code.NOT_FOUND, "that order was not sequenced there")
    answer: Answer = msgspec.to_builtins(found)
    return answer


# --- orders ---


async def place(gateway: Gateway, call: Call) -> Answer:
    account = None if call.session is None else call.account
    if not call.body.lstrip().startswith(b"["):
        (outcome,) = await gateway.trading.place([call.body], account)
        if isinstance(outcome, ApiError):
            raise outcome
        return Status(200 if outcome["replayed"] else 201, outcome)
    items = schema.decode_items(call.body)
    if len(items) > 1:
        gateway.ingress.take_address(call.address, len(items) - 1)
    outcomes = await gateway.trading.place(items, account) if items else []
    return [outcome if isinstance(outcome, dict) else {"ok": False, "error": outcome.body()} for outcome in outcomes]


async def cancel(gateway: Gateway, call: Call) -> Answer:
    digest = schema.parse_digest(call.path["id"])
    if call.session is None:
        return await gateway.trading.cancel_signed(digest, call.body)
    return await gateway.trading.cancel(call.account, digest)


async def cancel_by_client_id(gateway: Gateway, call: Call) -> Answer:
    return await gateway.trading.cancel_by_client_id(call.account, schema.parse_client_order_id(call.path["id"]))


async def amend(gateway: Gateway, call: Call) -> Answer:
    digest = schema.parse_digest(call.path["id"])
    return await gateway.resting.amend(call.account, digest, schema.decode(schema.AmendRequest, call.body))


async def amend_by_client_id(gateway: Gateway, call: Call) -> Answer:
    request = schema.decode(schema.AmendRequest, call.body)
    return await gateway.resting.amend(call.account, await _named(gateway, call), request)


async def batch(gateway: Gateway, call: Call) -> Answer:
    request = schema.parse_batch(call.body)
    count = len(request.cancels) + len(request.amends) + len(request.orders)
    if count > 1:
        gateway.ingress.take_address(call.address, count - 1)
    return await gateway.batches.execute(call.account, request)


async def cancel_all_after(gateway: Gateway, call: Call) -> Answer:
    request = schema.decode(schema.CancelAllAfterRequest, call.body)
    return await gateway.resting.cancel_all_after(call.account, request.timeout)


async def switch(gateway: Reads, call: Call) -> Answer:
    """When all orders of the account are cancelled; null if they are not."""
    model = loaded(gateway).model
    return {"ok": True, "seq": model.sequence, "deadline": model.deadlines.get(call.account)}


async def cancel_all(gateway: Gateway, call: Call) -> Answer:
    if call.session is None:
        if call.query:
            message, field = "a signed CancelAll is for all orders", next(iter(call.query))
            raise ApiError(Code.INVALID_FIELD, message, {"field": field, "remedy": "Leave it out, or use a session"})
        return await gateway.trading.cancel_all_signed(call.body)
    if "side" in call.query:
        return await gateway.resting.cancel_side(call.account, call.query.get("symbol"), call.query["side"])
    return await gateway.trading.cancel_all(call.account, call.query.get("symbol"))


async def orders(gateway: Reads, call: Call) -> Answer:
    status = call.query.get("status", "open")
    if status not in ("open", "closed"):
        raise ApiError(Code.INVALID_FIELD, "status is open or closed", {"field": "status"})
    market, before, limit = _page(loaded(gateway), call)
    if status == "open":
        rows = _select_orders(gateway.model.open_of(call.account), market, before)
    else:
        past = await gateway.past.closed_orders(call.account, market, before, limit)
        recent = _select_orders(gateway.model.recent_closed(call.account), market, before)
        rows = list(({order.digest: order for order in past} | {order.digest: order for order in recent}).values())
    rows.sort(key=lambda order: -order.sequence)
    rows = rows[:limit]
    return {
        "orders": [_order(gateway, order) for order in rows],
        "cursor": str(rows[-1].sequence) if len(rows) == limit else None,
        "seq": gateway.model.sequence,
    }


async def order(gateway: Reads, call: Call) -> Answer:
    digest = schema.parse_digest(call.path["id"])
    found = loaded(gateway).model.order(digest)
    if found is None or found.cost_atoms is None:  # filled in part before the gateway's snapshot
        past = await gateway.past.order(digest)
        if found is None or (past is not None and past.filled_lots == found.filled_lots):
            found = past
    return await _own_order(gateway, call, found)


async def order_by_client_id(gateway: Reads, call: Call) -> Answer:
    name = call.path["id"]
    digest = loaded(gateway).model.client_orders.get((call.account, name))
    found = gateway.model.order(digest) if digest is not None else None
    if found is None:
        found = await gateway.past.client_order(call.account, schema.parse_client_order_id(name))
    return await _own_order(gateway, call, found)


async def fills(gateway: Reads, call: Call) -> Answer:
    market, before, limit = _page(loaded(gateway), call)
    past = await gateway.past.fills(call.account, market, before, limit)
    merged: dict[int, FillRecord] = {fill.fill: fill for fill in past}
    for fill in gateway.model.recent_fills(call.account):
        if fill.fill < before and market in (None, fill.market):
            merged[fill.fill] = fill
    rows = sorted(merged.values(), key=lambda fill: -fill.fill)[:limit]
    markets_by_number = gateway.model.markets
    return {
        "fills": [
            leg for fill in rows for leg in present.fill_json(fill, call.account, markets_by_number[fill.market].market)
        ],
        "cursor": str(rows[-1].fill) if len(rows) == limit else None,
        "seq": gateway.model.sequence,
    }


async def balances(gateway: Reads, call: Call) -> Answer:
    """Of the account as a whole, or of one of its sub-accounts."""
    model, wanted = loaded(gateway).model, call.query.get("subaccount")
    number = None if wanted is None else schema.parse_integer(wanted, 8, "subaccount")
    rows: list[Answer] = []
    parts: list[Answer] = []
    wholes = model.balances_of(call.account)
    for token in gateway.tokens.all():
        whole = wholes.get(token.address)
        part = model.terms.part_of(whole, number or 0)
        if whole is not None and number is None:
            rows.append(present.balance_json(whole, token, part))
            parts += [present.part_json(one, token) for one in model.terms.parts_of(call.account, token.address)]
        elif part is not None:
            rows.append(present.balance_json(part, token, part))
    return {
        "account": call.account,
        "subaccount": number,
        "balances": rows,
        "subaccounts": parts,
        "cancelOnly": call.account in model.restricted,
        "agents": _agents(gateway, call.account),
        "seq": model.sequence,
    }


async def agents(gateway: Reads, call: Call) -> Answer:
    model = loaded(gateway).model
    return {"account": call.account, "agents": _agents(gateway, call.account), "seq": model.sequence}


async def fees(gateway: Reads, call: Call) -> Answer:
    """What the account pays for what it places now."""
    model, at = loaded(gateway).model, max(gateway.model.at, call.now)
    rates, decimals = gateway.rates_of(call.account, at), gateway.tokens.all()[0].decimals
    told = present.fees_json(rates, model.fee_schedule, decimals)
    return {"account": call.account, **told, "seq": model.sequence, "timestamp": at}


async def protections(gateway: Reads, call: Call) -> Answer:
    model, quote, at = loaded(gateway).model, gateway.tokens.all()[0], max(gateway.model.at, call.now)
    records = model.terms.protections_of(call.account)
    rows = [present.protection_json(record, model, quote, at) for record in records]
    return {"account": call.account, "protections": rows, "seq": model.sequence}


async def set_protection(gateway: Gateway, call: Call) -> Answer:
    request = schema.decode(ProtectionRequest, call.body)
    return await gateway.accounts.set_protection(call.account, call.path["protection"], request)


async def remove_protection(gateway: Gateway, call: Call) -> Answer:
    return await gateway.accounts.remove_protection(call.account, call.path["protection"])


async def reset_protection(gateway: Gateway, call: Call) -> Answer:
    return await gateway.accounts.reset_protection(call.account, call.path["protection"])


async def transfer(gateway: Gateway, call: Call) -> Answer:
    return await gateway.accounts.transfer(call.account, schema.decode(TransferRequest, call.body))


def _agents(gateway: Reads, account: Address) -> Answer:
    return [present.agent_json(agent) for _, agent in sorted(gateway.model.agents.get(account, {}).items())]


# --- sessions and money ---


async def login(gateway: Gateway, call: Call) -> Answer:
    request = schema.decode(schema.SessionRequest, call.body)
    account = schema.parse_address(request.account, "account")
    signature = schema.parse_signature(request.signature)
    digest = gateway.sessions.login_digest(account, request.issued_at, request.expiry, call.now)
    agents = gateway.model.agents.get(account, ())
    try:
        signer = gateway.trading.authenticate(account, digest, signature, agents)
    except ApiError as error:
        if error.code == RejectReason.WRONG_SIGNER:
            loaded(gateway)  # before that nobody can say whose agent it is
        raise
    agent = None if signer == account else signer
    credentials = gateway.sessions.issue(account, request.issued_at, request.expiry, call.now, agent)
    body = {
        "account": account,
        "apiKey": credentials.api_key,
        "secret": credentials.secret,
        "expiresAt": credentials.session.expires_at * 1000,
    }
    return Status(201, body)


async def logout(gateway: Gateway, call: Call) -> Answer:
    key = call.path["key"]
    assert call.session is not None
    gateway.sessions.end(key, call.session, call.now)
    return {"ok": True, "ended": key}


async def logout_all(gateway: Gateway, call: Call) -> Answer:
    gateway.sessions.end_all(call.account, call.now)
    return {"ok": True, "ended": "all"}


async def withdraw(gateway: Gateway, call: Call) -> Answer:
    return await gateway.trading.withdraw(call.body)


async def deposit(gateway: Gateway, call: Call) -> Answer:
    return await gateway.relaying.deposit(call.body)


async def deposit_status(gateway: Reads, call: Call) -> Answer:
    model = loaded(gateway).model
    found = model.relayed.get(schema.parse_relay_id(call.path["id"]))
    if found is None or found.request.account != call.account or not isinstance(found.request, RequestDeposit):
        message = "no such deposit was asked for within the last hour"
        raise ApiError(Code.NOT_FOUND, message, {"remedy": "GET /v1/balances"})
    return relayed_json(found, gateway.tokens.all()[0].decimals)


async def register_agent(gateway: Gateway, call: Call) -> Answer:
    return await gateway.relaying.register_agent(call.body)


async def approve(gateway: Gateway, call: Call) -> Answer:
    return await gateway.trading.approve(call.account, call.body)


# --- operators ---


async def administer(gateway: Gateway, call: Call) -> Answer:
    return await gateway.administration.change(call.account, call.body)


async def set_band(gateway: Gateway, call: Call) -> Answer:
    return await gateway.administration.set_band(call.account, call.body)


async def set_group(gateway: Gateway, call: Call) -> Answer:
    return await gateway.administration.set_group(call.account, call.body)


async def set_fee_schedule(gateway: Gateway, call: Call) -> Answer:
    return await gateway.administration.set_fee_schedule(call.account, call.body)


async def observe_cxpt(gateway: Gateway, call: Call) -> Answer:
    return await gateway.administration.observe_cxpt(call.account, call.body)


async def take_back(gateway: Gateway, call: Call) -> Answer:
    return await gateway.administration.take_back(call.account, call.body)


# --- shared ---


def loaded(gateway: Known) -> Known:
    """Refuses to answer from an empty model."""
    if not gateway.model.is_loaded:
        message = "the publisher has not heard from the sequencer yet"
        raise ApiError(Code.UNAVAILABLE, message, {"executed": False}, {"Retry-After": "1"})
    return gateway


def _page(gateway: Reads, call: Call) -> tuple[int | None, int, int]:
    """(market, cursor, limit) of a list: rows below the cursor, newest first."""
    symbol = call.query.get("symbol")
    market = None if symbol is None else gateway.market(symbol).market.market
    cursor = call.query.get("cursor")
    before = _NEWEST if cursor is None else schema.parse_integer(cursor, 63, "cursor")
    return market, before, schema.parse_limit(call.query.get("limit"))


def _select_orders(found: Any, market: int | None, before: int) -> list[OrderRecord]:
    return [order for order in found if order.sequence < before and market in (None, order.market)]


def _order(gateway: Reads, record: OrderRecord) -> dict[str, Any]:
    return present.order_json(record, gateway.model.markets[record.market].market)


async def _named(gateway: Gateway, call: Call) -> Digest:
    """The order of the account that has this clientOrderId: an open one, or one that was open a short while ago."""
    name = schema.parse_client_order_id(call.path["id"])
    digest = await gateway.publications.named(call.account, name)
    if digest is None:
        raise ApiError(Code.ORDER_NOT_FOUND, "no such order")
    return digest


async def _own_order(gateway: Reads, call: Call, found: OrderRecord | None) -> Answer:
    if found is None or found.account != call.account:
        raise ApiError(Code.ORDER_NOT_FOUND, "no such order")
    if found.sequence <= gateway.model.origin:
        # A snapshot knows of an order that waited only when it entered the book; the receipt says when it came.
        past = await gateway.past.order(found.digest)
        found = found if past is None else msgspec.structs.replace(found, at=past.at)
    signature = await gateway.upstream.receipt(found.sequence)
    receipt = {"seq": found.sequence, "timestamp": found.at, "orderHash": found.digest, "signature": signature}
    return _order(gateway, found) | {"receipt": receipt if signature else None}
