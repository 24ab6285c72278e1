"""What a session does with the orders of its account that are open: smaller, away, or away after a silence.

Invariant: only orders of that account exist for it, and what is asked for again once it is so already is answered as
the first time, without a command.
"""

from offchain.domain.command import AmendOrder, CancelAllAfter, CancelMany
from offchain.domain.event import CancelAllAfterSet
from offchain.domain.limits import CANCEL_ALL_AFTER_MILLIS_MAX, CANCEL_ALL_AFTER_MILLIS_MIN
from offchain.domain.reasons import RejectReason
from offchain.domain.units import Address, Digest, Lots
from offchain.gateway import present, schema
from offchain.gateway.directory import Directory
from offchain.gateway.failures import ApiError, Code
from offchain.gateway.ingress import Ingress
from offchain.gateway.publications import Publications
from offchain.gateway.records import OrderRecord
from offchain.gateway.trading import Answer, Trading, closed_of

REMEDY_SIZE = "Above what has filled, below what it is now; for anything else sign a new order, as `order`"


class Resting:
    """Shared by REST and WebSocket."""

    def __init__(self, model: Directory, publications: Publications, trading: Trading, ingress: Ingress) -> None:
        self._model = model
        self._publications = publications
        self._trading = trading
        self._ingress = ingress

    # --- one order ---

    async def amend(self, account: Address, digest: Digest, request: schema.AmendRequest) -> Answer:
        """Smaller, in its place; or another order in its slot, under the same conditions as any new order."""
        self._trading.require_live()
        if (request.order is None) == (request.size is None):
            message = "either a size, or an order that was signed anew"
            raise ApiError(Code.MISSING_FIELD, message, {"field": "size"})
        if request.order is None:
            return await self._shrink(account, digest, request.size)
        known = await self._publications.order(digest)
        if known is None or known.account != account:
            raise ApiError(Code.ORDER_NOT_FOUND, "no such order")
        nonce = schema.parse_integer(request.order.nonce, 64, "nonce")
        if nonce >> 48 != known.nonce >> 48:
            data = {"field": "nonce", "slot": known.nonce >> 48, "remedy": "Sign it in the slot of the order"}
            raise ApiError(RejectReason.INVALID_SLOT, "the new order is in another slot", data)
        check = self._trading.check_order(request.order, account, is_amend=True)
        if isinstance(check, ApiError):
            raise check
        if known.reason and await self._publications.order(check.digest) is None:
            # Its slot may have an order again, which is not meant; one that was placed before gets its first result.
            await self._trading.own_open(account, digest)
        (outcome,) = await self._trading.submit_orders([check])
        self._trading.count([outcome])
        if isinstance(outcome, ApiError):
            raise outcome
        return outcome | {"seq": outcome["order"]["seq"]}

    async def _shrink(self, account: Address, digest: Digest, wanted: object) -> Answer:
        order = await self._trading.own_open(account, digest)
        size = self.parse_size(order, wanted)
        if size == order.size_lots:
            return self._amended(order, self._model.sequence, replayed=True)
        self._ingress.take_account(account)
        command = AmendOrder(account=account, nonce=order.nonce, size_lots=size, signer=account)
        (ack,) = await self._trading.submit([command], {"digest": digest})
        after = await self._trading.known(digest) or order
        data = {"field": "size", "remedy": REMEDY_SIZE, "order": self._json(after)}
        self._trading.require_done(ack, command, data)
        return self._amended(after, ack.sequence, replayed=False)

    def parse_size(self, order: OrderRecord, wanted: object) -> Lots:
        """Of an order that is to become smaller."""
        market = self._model.markets[order.market].market
        return schema.parse_grid(market.parse_size, wanted, "size", RejectReason.INVALID_SIZE)

    def _amended(self, order: OrderRecord, sequence: int, *, replayed: bool) -> Answer:
        body: Answer = {"order": self._json(order), "fills": [], "receipt": None}
        return {"ok": True, "seq": sequence, **body, "replayed": replayed}

    def _json(self, order: OrderRecord) -> Answer:
        return present.order_json(order, self._model.markets[order.market].market)

    # --- many ---

    async def cancel_side(self, account: Address, symbol: str | None, side: str) -> Answer:
        """The purchases or the sales, of one market or of all."""
        self._trading.require_live()
        if side not in schema.SIDES:
            raise ApiError(Code.INVALID_FIELD, "side is buy or sell", {"field": "side"})
        market = self._trading.market(symbol).market.market if symbol is not None else 0
        if account not in self._model.accounts:
            return {"ok": True, "seq": self._model.sequence, "canceled": []}
        self._ingress.take_cancel(account)
        command = CancelMany(account=account, signer=account, market=market, side=schema.SIDES[side])
        (ack,) = await self._trading.submit([command])
        self._trading.require_done(ack, command, {})
        return {"ok": True, "seq": ack.sequence, "canceled": closed_of(ack, account)}

    async def disconnected(self, account: Address) -> None:
        """A connection that had asked for it is gone."""
        command = CancelMany(account=account, signer=account, is_disconnect=True)
        (ack,) = await self._trading.submit([command])
        self._trading.require_done(ack, command, {})

    # --- the dead-man switch ---

    async def cancel_all_after(self, account: Address, millis: int) -> Answer:
        """Sets it anew, or (0) takes it back."""
        self._trading.require_live()
        shortest, longest = CANCEL_ALL_AFTER_MILLIS_MIN, CANCEL_ALL_AFTER_MILLIS_MAX
        if millis and not shortest <= millis <= longest:
            data = {"field": "timeout", "remedy": f"0, or {shortest} to {longest} milliseconds"}
            raise ApiError(Code.INVALID_FIELD, "timeout is out of range", data)
        self._trading.require_funded(account)
        self._ingress.take_cancel(account)
        command = CancelAllAfter(account=account, signer=account, timeout_millis=millis)
        (ack,) = await self._trading.submit([command])
        self._trading.require_done(ack, command, {})
        # The one before may have fired at this very instant.
        *_, after = (event for event in ack.events if isinstance(event, CancelAllAfterSet) and event.account == account)
        return {"ok": True, "seq": ack.sequence, "deadline": after.deadline or None}
