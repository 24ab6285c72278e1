"""`HooatsClient`: every route of the gateway, with logins, retries and typed answers.

A mutation that may have been executed (lost connection, code UNKNOWN) is sent again unchanged until `retry_seconds` are
over: the venue answers a known order or withdrawal with its first result. Not safe to share between processes that use
the same slots.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

import msgspec

from offchain.client.account import AccountCalls
from offchain.client.answers import (
    AgentRequest,
    Approval,
    Deposit,
    Fill,
    MarketAnswer,
    Order,
    Placed,
    Pool,
    Quote,
    QuotePart,
    convert,
)
from offchain.client.failures import ExchangeUnreachable, Refused
from offchain.client.orders import Nonces, SignedOrder, Slots, Ticket, sign_order
from offchain.client.stream import Stream
from offchain.client.wire import BACKOFF_SECONDS, UNKNOWN_CODES, Json, refused_of, separator_of
from offchain.domain import eip712
from offchain.domain.errors import InvalidInput
from offchain.domain.market import Market, parse_atoms
from offchain.domain.units import Address

DEAD_NONCES_MAX = 20
"""Immediate orders share slot 0, whose sequence only rises: how often one may be overtaken by another on the way."""
SLOTS_UNTIL_ASKED = 30_000
"""Half of all slots: after so many the orders that still rest are looked at again, before one is replaced unasked."""


class Routed(NamedTuple):
    """A quote, and what its orders came to: None for a part that the quote does not use."""

    quote: Quote
    book: Placed | Refused | None
    amm: Placed | Refused | None


class Batch(NamedTuple):
    """An answer per item. `replayed`: it had been sent before, and this is what it came to then."""

    cancels: list[Order | Refused]
    amends: list[Order | Refused]
    orders: list[Placed | Refused]
    replayed: bool


class HooatsClient(AccountCalls):
    """Every route of the gateway."""

    def __init__(self, url: str, key: bytes | None = None, **options: Any) -> None:
        """`options` are those of `Wire`."""
        super().__init__(url, key, **options)
        self.nonces = Nonces()
        self._slots = Slots()
        self._slots_left = 0
        self._markets: dict[str, tuple[Market, MarketAnswer]] = {}

    # --- public ---

    async def markets(self) -> dict[str, Market]:
        """By symbol, asked anew. Of two markets with one symbol the first is meant, as by the exchange."""
        answer = await self._get("/v1/markets")
        self._markets.clear()
        for row in convert(answer["markets"], list[MarketAnswer]):
            market = Market(
                market=row.market,
                symbol=row.symbol,
                base_token=Address(row.base_token),
                base_atoms_per_lot=int(row.base_atoms_per_lot),
                quote_atoms_per_tick_lot=int(row.quote_atoms_per_tick_lot),
                base_decimals=row.base_decimals,
                quote_decimals=row.quote_decimals,
            )
            self._markets.setdefault(row.symbol, (market, row))
        return {symbol: market for symbol, (market, _) in self._markets.items()}

    async def listing(self) -> dict[str, tuple[Market, MarketAnswer]]:
        """Markets with their states and fees, asked anew."""
        await self.markets()
        return dict(self._markets)

    async def tokens(self) -> dict[str, tuple[Address, int]]:
        """Address and decimals of the settlement token and of what the markets trade, by symbol; asked anew."""
        await self.markets()
        quote_token = Address((await self.capabilities())["contracts"]["quoteToken"])
        found: dict[str, tuple[Address, int]] = {}
        for market, _ in self._markets.values():
            base, _, quote_symbol = market.symbol.partition("-")
            found.setdefault(quote_symbol, (quote_token, market.quote_decimals))
            found.setdefault(base, (market.base_token, market.base_decimals))
        return found

    async def book(self, symbol: str, depth: int = 100) -> Json:
        return await self._get(f"/v1/book/{quote(symbol)}?depth={depth}")

    async def trades(self, symbol: str, limit: int = 100) -> list[Json]:
        rows: list[Json] = (await self._get(f"/v1/trades/{quote(symbol)}?limit={limit}"))["trades"]
        return rows

    async def pools(self) -> dict[str, Pool]:
        """AMM pairs by the symbol of their market, asked anew; markets without one are left out."""
        await self.markets()
        return {symbol: row.pool for symbol, (_, row) in self._markets.items() if row.pool is not None}

    async def quote(
        self, symbol: str, side: str, size: str | None = None, *, amount: str | None = None, limit: str | None = None
    ) -> Quote:
        """Book, AMM pair or both, for a size of the base token or an amount of the settlement token (with fees)."""
        given = {"side": side, "size": size, "amount": amount, "limit": limit}
        query = urlencode({name: value for name, value in given.items() if value is not None})
        return convert(await self._get(f"/v1/quote/{quote(symbol)}?{query}"), Quote)

    async def market_states(self) -> dict[str, str]:
        """State by symbol, and the symbols that were asked for and are not listed yet."""
        venue = await self.venue()
        states: dict[str, str] = venue["markets"]
        return states | dict.fromkeys(venue["requested"], "REQUESTED")

    async def venue(self) -> Json:
        return await self._get("/v1/venue")

    async def capabilities(self) -> Json:
        return await self._get("/v1/capabilities")

    async def epoch(self, number: int) -> Json:
        return await self._get(f"/v1/epochs/{number}")

    async def group_receipt(self, sequence: int, digest: str) -> Json:
        """Of an order under the signature of its whole group; `Refused` NOT_FOUND if it was not sequenced there."""
        return await self._get(f"/v1/receipts/{sequence}?{urlencode({'id': digest})}")

    async def proof(self, digest: str) -> Json:
        """The proof file of an order; `Refused` ORDER_NOT_FOUND until its epoch is closed."""
        return await self._get(f"/v1/proofs/{digest}")

    # --- trading ---

    async def place(self, symbol: str, side: str, price: str, size: str, **details: Any) -> Placed:
        """Signs and places one order; `details` are the other fields of `Ticket`. `Refused` if it is not accepted.

        With `amm=True` the order is IOC unless `details` say otherwise.
        """
        if details.get("amm"):
            details = {"time_in_force": "IOC"} | details
        ticket = msgspec.convert(
            {"symbol": symbol, "side": side, "price": price, "size": size, **details}, Ticket, strict=True
        )
        return await self.place_ticket(ticket)

    async def place_ticket(self, ticket: Ticket) -> Placed:
        """Signs and places it; an immediate one anew if another one overtook it."""
        for _ in range(DEAD_NONCES_MAX):
            signed = await self.sign(ticket)
            try:
                return await self.place_signed(signed)
            except Refused as refused:
                if not _is_overtaken(ticket, refused):
                    raise
                if not refused.is_first and (known := await self._known(signed)) is not None:
                    return known
        return await self.place_signed(await self.sign(ticket))

    async def _known(self, signed: SignedOrder) -> Placed | None:
        """An order that was sent before without an answer, and whose nonce is dead now, perhaps as it was executed.

        What is neither among the account's last 10,000 orders, which would have been answered with their first result,
        nor in the history was never accepted.
        """
        try:
            order = await self.order(signed.digest)
        except Refused as refused:
            if refused.code != "ORDER_NOT_FOUND":
                raise
            return None
        if order.status == "rejected":
            return None
        fills = [fill for fill in await self.fills(limit=1000) if fill.order == signed.digest]
        return Placed(order=order, fills=fills, receipt=order.receipt, replayed=True)

    async def place_routed(self, symbol: str, side: str, size: str, limit: str | None = None) -> Routed:
        """Asks for a quote and places its orders, both immediate: one in the book, one with the AMM pair.

        `limit` is the worst price. Book and pool may move in between, so a part may fill less, or be refused.
        """
        quoted = await self.quote(symbol, side, size, limit=limit)
        tickets = {
            name: _immediate(symbol, side, part, is_amm=name == "amm")
            for name, part in (("book", quoted.book), ("amm", quoted.amm))
            if part is not None
        }
        results = await self.place_all(list(tickets.values())) if tickets else []
        placed = dict(zip(tickets, results, strict=True))
        return Routed(quoted, placed.get("book"), placed.get("amm"))

    async def sign(self, ticket: Ticket) -> SignedOrder:
        """Chooses slot, nonce and fee cap, and signs."""
        signer = self._require_signer()
        if ticket.symbol not in self._markets:
            await self.markets()
        if ticket.symbol not in self._markets:
            raise InvalidInput(f"no market {ticket.symbol}", field="symbol", remedy=", ".join(self._markets))
        market, _ = self._markets[ticket.symbol]
        slot = 0 if ticket.is_immediate else ticket.slot
        if slot is None:
            slot = await self._free_slot()
        cap = await self.fee_cap() if ticket.max_fee_ppm is None else ticket.max_fee_ppm
        separator = await self._separator("Order")
        return sign_order(ticket, market, self.nonces.next(slot), cap, separator, signer)

    async def place_signed(self, signed: SignedOrder) -> Placed:
        """Placing it again gives the first result."""
        session = signed.needs_session
        answer = await self._send("POST", "/v1/orders", signed.body, digest=signed.digest, session=session)
        return convert(answer, Placed)

    async def place_all(self, tickets: Sequence[Ticket]) -> list[Placed | Refused]:
        """One request; an answer per ticket, in order."""
        signed = [await self.sign(ticket) for ticket in tickets]
        results = await self.place_all_signed(signed)
        for _ in range(DEAD_NONCES_MAX):
            again = []
            for i, result in enumerate(results):
                if isinstance(result, Refused) and _is_overtaken(tickets[i], result):
                    known = None if result.is_first else await self._known(signed[i])
                    if known is None:
                        again.append(i)
                    else:
                        results[i] = known
            if not again:
                break
            for i in again:
                signed[i] = await self.sign(tickets[i])
            for i, result in zip(again, await self.place_all_signed([signed[i] for i in again]), strict=True):
                results[i] = result
        return results

    async def place_all_signed(self, signed: Sequence[SignedOrder]) -> list[Placed | Refused]:
        """Items whose outcome is unknown are sent again."""
        results: dict[int, Placed | Refused] = {}
        open_items = list(range(len(signed)))
        lost: list[str] = []
        deadline, delay = time.monotonic() + self._retry_seconds, BACKOFF_SECONDS[0]
        while open_items:
            bodies = [signed[i].body for i in open_items]
            session = any(signed[i].needs_session for i in open_items)
            answers = await self._send("POST", "/v1/orders", bodies, lost=lost, session=session)
            for i, answer in zip(open_items, answers, strict=True):
                results[i] = result = self._outcome(answer)
                if isinstance(result, Refused):
                    result.is_first = not lost
            open_items = [i for i in open_items if _is_unknown(results[i])]
            lost += [signed[i].digest for i in open_items]
            if open_items and time.monotonic() >= deadline:
                raise ExchangeUnreachable("some outcomes are unknown", digest=signed[open_items[0]].digest)
            if open_items:
                await asyncio.sleep(delay)
                delay = min(delay * 2, BACKOFF_SECONDS[1])
        return [results[i] for i in range(len(signed))]

    async def cancel(self, digest: str) -> Order:
        """The order as the cancel left it, or an earlier one did: a cancel may be repeated."""
        try:
            answer = await self._send("DELETE", f"/v1/orders/{digest}", session=True)
        except Refused as refused:
            answer = refused.data
            if refused.code != "ORDER_NOT_OPEN" or answer.get("order", {}).get("status") != "canceled":
                raise
        return convert(answer["order"], Order)

    async def cancel_by_client_id(self, client_order_id: str) -> Order:
        target = f"/v1/orders/by-client-id/{quote(client_order_id)}"
        return convert((await self._send("DELETE", target, session=True))["order"], Order)

    async def amend(self, digest: str, size: str) -> Order:
        """Smaller, in its place in the queue; `size` is the whole size, with what has filled. May be repeated."""
        answer = await self._send("PATCH", f"/v1/orders/{digest}", {"size": size}, session=True, digest=digest)
        return convert(answer["order"], Order)

    async def replace(self, digest: str, ticket: Ticket) -> Placed:
        """Another order in the slot of this one, if it is still open: `Refused` ORDER_NOT_OPEN otherwise, and then
        there is no new order either. It keeps the place in the queue if only size (downwards) and expiry differ."""
        slot = (await self.order(digest)).slot
        signed = await self.sign(msgspec.structs.replace(ticket, slot=slot))
        body = {"order": signed.body}
        answer = await self._send("PATCH", f"/v1/orders/{digest}", body, session=True, digest=signed.digest)
        return convert(answer, Placed)

    async def batch(
        self,
        tickets: Sequence[Ticket] = (),
        *,
        cancels: Sequence[str] = (),
        amends: Sequence[tuple[str, str]] = (),
        mode: str = "all",
    ) -> Batch:
        """Cancels (ids), amends (id, size) and orders: `all` or nothing, the `first` order that may enter, or `each`.
        `Refused` if nothing happens."""
        return await self.batch_signed([await self.sign(one) for one in tickets], cancels, amends, mode)

    async def batch_signed(
        self, signed: Sequence[SignedOrder], cancels: Sequence[str], amends: Sequence[tuple[str, str]], mode: str
    ) -> Batch:
        """The same again is answered with what it came to."""
        changes = [{"id": digest, "size": size} for digest, size in amends]
        body = {"mode": mode, "cancels": list(cancels), "amends": changes, "orders": [one.body for one in signed]}
        digest = signed[0].digest if signed else ""
        answer = await self._send("POST", "/v1/orders/batch", body, session=True, digest=digest)
        return Batch(
            [_changed(item) for item in answer["cancels"]],
            [_changed(item) for item in answer["amends"]],
            [self._outcome(item) for item in answer["orders"]],
            answer["replayed"],
        )

    async def bracket(self, entry: Ticket, take_profit: Ticket, stop_loss: Ticket) -> list[Placed]:
        """An order with two that wait for it, of which one cancels the other; all three or none."""
        return await self.with_exits(entry, [take_profit, stop_loss])

    async def with_exits(self, entry: Ticket, exits: Sequence[Ticket]) -> list[Placed]:
        """An order, and one or two that wait until it is done: they are as large as what it filled at most."""
        signed = [await self.sign(entry)]
        links = {"parent": signed[0].order.nonce}
        for exit in exits:
            signed.append(await self.sign(msgspec.structs.replace(exit, **links)))
            links["other"] = signed[-1].order.nonce
        placed = (await self.batch_signed(signed, (), (), "all")).orders
        return [one for one in placed if isinstance(one, Placed)]

    async def cancel_all_after(self, millis: int) -> int | None:
        """All orders are cancelled then, unless it is sent again before; 0 takes it back. Answers with the moment."""
        answer = await self._send("POST", "/v1/orders/cancel-all-after", {"timeout": millis}, session=True)
        deadline: int | None = answer["deadline"]
        return deadline

    async def cancels_all_at(self) -> int | None:
        """When all orders are cancelled, in unix milliseconds."""
        deadline: int | None = (await self._get("/v1/orders/cancel-all-after", session=True))["deadline"]
        return deadline

    async def cancel_all(self, symbol: str | None = None, side: str | None = None) -> list[str]:
        """Ids of the orders that it cancelled."""
        query = urlencode({name: value for name, value in (("symbol", symbol), ("side", side)) if value})
        target = "/v1/orders" + (f"?{query}" if query else "")
        cancelled: list[str] = (await self._send("DELETE", target, session=True))["canceled"]
        return cancelled

    async def orders(self, status: str = "open", symbol: str | None = None, limit: int = 100) -> list[Order]:
        """Newest first, all pages of open ones, at most `limit` closed ones."""
        found: list[Order] = []
        cursor = ""
        while True:
            query = f"?status={status}&limit={limit}" + (f"&symbol={quote(symbol)}" if symbol else "") + cursor
            answer = await self._get(f"/v1/orders{query}", session=True)
            found += convert(answer["orders"], list[Order])
            if answer["cursor"] is None or status != "open":
                return found
            cursor = f"&cursor={answer['cursor']}"

    async def order(self, digest: str) -> Order:
        return convert(await self._get(f"/v1/orders/{digest}", session=True), Order)

    async def order_by_client_id(self, client_order_id: str) -> Order:
        return convert(await self._get(f"/v1/orders/by-client-id/{quote(client_order_id)}", session=True), Order)

    async def fills(self, symbol: str | None = None, limit: int = 100, cursor: str = "") -> list[Fill]:
        """Newest first; `cursor` is the id of the last fill of the page before."""
        query = f"?limit={limit}" + (f"&symbol={quote(symbol)}" if symbol else "")
        query += f"&cursor={cursor}" if cursor else ""
        return convert((await self._get(f"/v1/fills{query}", session=True))["fills"], list[Fill])

    # --- operators ---

    async def create_market(self, symbol: str, terms: Json) -> Json:
        """Asks for a market; `terms` are the fields of POST /v1/admin/markets. Answers with what was asked for."""
        body = {"action": "create", "symbol": symbol, **terms}
        requested: Json = (await self._send("POST", "/v1/admin/markets", body, session=True, retry=False))["requested"]
        return requested

    async def set_market_state(self, symbol: str, action: str) -> Json:
        """`action` is resume, pause, post_only, cancel_only or delist (for good). Answers with the market."""
        body = {"action": action, "symbol": symbol}
        market: Json = (await self._send("POST", "/v1/admin/markets", body, session=True))["market"]
        return market

    async def set_band(self, symbol: str, below_ppm: int, above_ppm: int) -> Json:
        """Of an operator: how far beyond the mark limits may be, in millionths; both 0: any. The market then."""
        body = {"symbol": symbol, "belowPpm": below_ppm, "abovePpm": above_ppm}
        market: Json = (await self._send("POST", "/v1/admin/bands", body, session=True))["market"]
        return market

    async def withdraw_market(self, symbol: str) -> None:
        """Of an operator: a market that was asked for and is not listed yet is not wanted any more."""
        await self._send("POST", "/v1/admin/markets", {"action": "withdraw", "symbol": symbol}, session=True)

    async def take_back_fill(self, fill: int, reason: str) -> list[str]:
        """Of an operator: a matched fill that sinks its batch. Answers with all that went with it."""
        body = {"fill": str(fill), "reason": reason}
        taken: list[str] = (await self._send("POST", "/v1/admin/fills", body, session=True, retry=False))["takenBack"]
        return taken

    # --- money ---

    async def withdraw(
        self,
        token: str,
        amount: str,
        *,
        destination: str | None = None,
        as_cxpt: bool = False,
        seconds: int = 3600,
    ) -> Approval:
        """Signs a withdrawal (to the own address by default) and has it countersigned; the venue's relay sends it."""
        signer = self._require_owner()
        template = (await self.eip712())["Withdraw"]
        address, decimals = await self._token(token)
        withdrawal = eip712.Withdrawal(
            account=signer.address,
            token=address,
            amount=parse_atoms(amount, decimals, "amount"),
            destination=Address((destination or signer.address).lower()),
            as_cxpt=as_cxpt,
            nonce=self.nonces.next(0),
            deadline=int(time.time()) + seconds,
        )
        digest = eip712.withdraw_digest(separator_of(template), withdrawal)
        body = {
            "account": withdrawal.account,
            "token": withdrawal.token,
            "amount": amount,
            "destination": withdrawal.destination,
            "asCxpt": as_cxpt,
            "nonce": str(withdrawal.nonce),
            "deadline": withdrawal.deadline,
            "signature": signer.sign(digest),
        }
        answer = await self._send("POST", "/v1/vault/withdraw", body, digest="0x" + digest.hex())
        return convert(answer["approval"], Approval)

    async def deposit(self, amount: str, *, nonce: int, seconds: int = 1800) -> Deposit:
        """Signs a permit of the settlement token, which the venue's relay uses: no gas is needed.

        `nonce`: the token's `nonces(account)`, which only the chain knows. The same again is the same deposit, if it is
        signed with the same deadline; `Refused` (UNSUPPORTED) where the token has no permits.
        """
        signer = self._require_owner()
        template, spender = await self._template("Permit"), (await self._template("Withdraw"))["domain"]
        vault, token = Address(spender["verifyingContract"]), template["domain"]["verifyingContract"]
        _, decimals = await self._token(token)
        deadline, atoms = int(time.time()) + seconds, parse_atoms(amount, decimals, "amount")
        digest = eip712.permit_digest(separator_of(template), signer.address, vault, atoms, nonce, deadline)
        body: Json = {"account": signer.address, "amount": amount, "nonce": str(nonce), "deadline": deadline}
        body["signature"] = signer.sign(digest)
        answer = await self._send("POST", "/v1/vault/deposit", body, digest="0x" + digest.hex())
        return convert(answer["deposit"], Deposit)

    async def deposit_status(self, id: str) -> Deposit:
        """What came of a relayed deposit of the last hour."""
        return convert(await self._send("GET", f"/v1/vault/deposits/{id}", session=True), Deposit)

    async def register_agent(
        self,
        agent: str,
        *,
        notional: int,
        expiry: int,
        markets: Sequence[int] = (),
        nonce: int = 0,
        seconds: int = 1800,
    ) -> AgentRequest:
        """Lets `agent` sign orders of this account, registered by the venue's relay. `nonce`: how often this key was
        registered before; `notional` in atoms of the settlement token, over all fills."""
        signer = self._require_owner()
        terms = eip712.AgentTerms(Address(agent.lower()), expiry, notional, tuple(markets))
        deadline = int(time.time()) + seconds
        separator = separator_of(await self._template("Agent"))
        digest = eip712.agent_digest(separator, signer.address, terms, nonce, deadline)
        body: Json = {"account": signer.address, "agent": terms.agent, "expiry": expiry, "notional": str(notional)}
        body |= {"markets": list(markets), "nonce": str(nonce), "deadline": deadline, "signature": signer.sign(digest)}
        answer = await self._send("POST", "/v1/agents", body, digest="0x" + digest.hex())
        return convert(answer["agent"], AgentRequest)

    async def _template(self, name: str) -> Json:
        templates = await self.eip712()
        if name not in templates:
            raise InvalidInput(f"this venue takes no {name}", field=name, remedy="Send the transaction yourself")
        template: Json = templates[name]
        return template

    async def approval(
        self,
        purpose: str,
        token: str,
        amount: str,
        *,
        destination: str = "",
        as_cxpt: bool = False,
        seconds: int = 3600,
    ) -> Approval:
        """A countersignature (withdraw, lock, burn) for a transaction that the owner sends himself.

        That of a withdrawal is over the nonce and the deadline in the answer, too. Not retried: every call asks for
        another one.
        """
        body: Json = {"purpose": purpose, "token": token, "amount": amount}
        body |= {"destination": destination, "asCxpt": as_cxpt}
        if purpose == "withdraw":
            body |= {"nonce": str(self.nonces.next(0)), "deadline": int(time.time()) + seconds}
        answer = await self._send("POST", "/v1/vault/approvals", body, session=True, retry=False)
        return convert(answer["approval"], Approval)

    # --- stream ---

    def stream(self, channels: Sequence[str], seen: Mapping[str, int] | None = None) -> Stream:
        """Messages of the channels, for ever: reconnects and resumes by itself; after `seen` if that is given."""
        return Stream(self, channels, seen)

    async def _token(self, name: str) -> tuple[Address, int]:
        """Address and decimals of a token by symbol or address."""
        tokens = await self.tokens()
        for symbol, (address, decimals) in tokens.items():
            if name == symbol or name.lower() == address:
                return address, decimals
        for market, _ in self._markets.values():
            if name.lower() == market.base_token:
                return market.base_token, market.base_decimals
        raise InvalidInput(f"no token {name}", field="token", remedy="A symbol like USDC, or an address")

    async def _free_slot(self) -> int:
        """Never one in which an order of this account rests."""
        if not self._slots_left:
            self._slots.mark({order.slot for order in await self.orders(limit=1000)})
            self._slots_left = SLOTS_UNTIL_ASKED
        self._slots_left -= 1
        return self._slots.take()

    def _outcome(self, item: Json) -> Placed | Refused:
        if item["ok"]:
            return convert(item, Placed)
        refused = refused_of(item, 0)
        self.note(refused)
        return refused


def _changed(item: Json) -> Order | Refused:
    return convert(item["order"], Order) if item["ok"] else refused_of(item, 0)


def _immediate(symbol: str, side: str, part: QuotePart, *, is_amm: bool) -> Ticket:
    fields = {"symbol": symbol, "side": side, "price": part.limit, "size": part.size}
    return msgspec.convert({**fields, "time_in_force": "IOC", "amm": is_amm}, Ticket)


def _is_overtaken(ticket: Ticket, refused: Refused) -> bool:
    """An immediate order that a later one overtook on the way: it was not executed, and is signed anew; unless it was
    sent before without an answer, see `_known`."""
    return ticket.is_immediate and refused.code == "DEAD_NONCE"


def _is_unknown(result: Placed | Refused) -> bool:
    return isinstance(result, Refused) and result.code in (*UNKNOWN_CODES, "RATE_LIMITED")
