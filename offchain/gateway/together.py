"""Several orders, cancels and amends in one request: all of them or none, the first order that may enter, or each.

Invariant: of a batch that is refused nothing was executed; a batch that is sent again is answered with what it came to
the first time. All or first is decided by the engine (`Together`), behind which the orders follow in one submission.
"""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from offchain.domain.command import AmendOrder, CancelOrder, Command, Intent, Together
from offchain.domain.event import TogetherDecided
from offchain.domain.reasons import CloseReason, RejectReason
from offchain.domain.units import Address, Lots
from offchain.gateway import present, schema
from offchain.gateway.directory import Directory
from offchain.gateway.failures import ApiError, Code
from offchain.gateway.ingress import Ingress
from offchain.gateway.publications import Publications
from offchain.gateway.records import OrderRecord
from offchain.gateway.refusals import WORDS
from offchain.gateway.resting import Resting
from offchain.gateway.trading import Answer, Checked, Outcome, Trading
from offchain.sequencer.protocol import Ack


class _Change(NamedTuple):
    """A cancel, or (with the new size) an amend, of an open order. `at`: where it stands in the request."""

    order: OrderRecord
    size: Lots | None
    at: Answer


class _Checks(NamedTuple):
    """What the gateway found of each item, in the order of the request."""

    cancels: list[_Change | ApiError]
    amends: list[_Change | ApiError]
    orders: list[Checked | ApiError]


class Batches:
    """Shared by REST and WebSocket."""

    def __init__(
        self, model: Directory, publications: Publications, trading: Trading, resting: Resting, ingress: Ingress
    ) -> None:
        self._model = model
        self._publications = publications
        self._trading = trading
        self._resting = resting
        self._ingress = ingress

    async def execute(self, account: Address, request: schema.BatchRequest) -> Answer:
        """An answer per item, in three lists; of `all` and `first` an ApiError if nothing of it happens."""
        self._trading.require_live()
        is_each = request.mode == "each"
        if is_each and not (request.amends or request.orders):
            return await self._cancel_each(account, request.cancels)
        checks = _Checks(
            [await self._cancel(account, text, index, is_each) for index, text in enumerate(request.cancels)],
            [await self._amend(account, item, index, is_each) for index, item in enumerate(request.amends)],
            [self._order(account, raw, index, is_each) for index, raw in enumerate(request.orders)],
        )
        if is_each:
            return await self._each(account, checks)
        return await self._together(account, checks, is_first=request.mode == "first")

    # --- what the gateway can say of an item ---

    async def _cancel(self, account: Address, text: str, index: int, is_each: bool) -> _Change | ApiError:
        try:
            # Sent again, it is of an order that has left: the venue knows whether that is so.
            order = await self._own(account, text, must_be_open=is_each)
            self._ingress.take_cancel(account)
            return _Change(order, None, {"item": "cancels", "index": index})
        except ApiError as error:
            return error

    async def _amend(self, account: Address, item: schema.AmendItem, index: int, is_each: bool) -> _Change | ApiError:
        try:
            order = await self._own(account, item.id, must_be_open=is_each)
            size = self._resting.parse_size(order, item.size)
            self._ingress.take_account(account)
            return _Change(order, size, {"item": "amends", "index": index})
        except ApiError as error:
            return error

    async def _own(self, account: Address, text: str, *, must_be_open: bool) -> OrderRecord:
        digest = schema.parse_digest(text)
        if must_be_open:
            return await self._trading.own_open(account, digest)
        order = await self._publications.order(digest)
        if order is None or order.account != account:
            raise ApiError(Code.ORDER_NOT_FOUND, "no such order")
        return order

    def _order(self, account: Address, raw: msgspec.Raw, index: int, is_each: bool) -> Checked | ApiError:
        check = self._trading.check_order(raw, account)
        if is_each or isinstance(check, ApiError):
            return check
        order = check.command.order
        if order.account != account or check.command.signer != account:
            words = "orders that happen together are signed by the session's account itself"
            return ApiError(RejectReason.WRONG_SIGNER, words, {"digest": check.digest})
        return check

    # --- each for itself ---

    async def _cancel_each(self, account: Address, texts: Sequence[str]) -> Answer:
        """Nothing but cancels: a way out, which asks nothing of the publisher."""
        found = await asyncio.gather(*(self._cancel_one(account, text) for text in texts))
        sequences = [outcome.pop("seq") for outcome in found if isinstance(outcome, dict)]
        return _answer(max(sequences, default=self._model.sequence), found, (), (), replayed=False)

    async def _cancel_one(self, account: Address, text: str) -> Outcome:
        """Raises where the outcome is not known: so it then is of the request, which may be sent again."""
        try:
            return await self._trading.cancel(account, schema.parse_digest(text))
        except ApiError as error:
            if error.code == Code.UNKNOWN:
                raise
            return error

    async def _each(self, account: Address, checks: _Checks) -> Answer:
        changes = [change for change in (*checks.cancels, *checks.amends) if isinstance(change, _Change)]
        orders = [check for check in checks.orders if isinstance(check, Checked)]
        commands: list[Command] = [_command(account, change) for change in changes]
        commands += [check.command for check in orders]
        acks = await self._trading.submit(commands) if commands else []
        answers = iter(acks)
        cancels, amends = [
            [
                await self._changed(change, next(answers), account) if isinstance(change, _Change) else change
                for change in found
            ]
            for found in (checks.cancels, checks.amends)
        ]
        placed = [
            await self._trading.placed(check, next(answers)) if isinstance(check, Checked) else check
            for check in checks.orders
        ]
        self._trading.count(placed)
        sequence = max((ack.sequence for ack in acks), default=self._model.sequence)
        is_again = bool(acks) and all(ack.replayed for ack in acks)
        return _answer(sequence, cancels, amends, placed, replayed=is_again)

    async def _changed(self, change: _Change, ack: Ack, account: Address) -> Outcome:
        after = await self._trading.known(change.order.digest) or change.order
        answer = {"order": present.order_json(after, self._model.markets[after.market].market)}
        try:
            self._trading.require_done(ack, _command(account, change), answer)
        except ApiError as error:
            return error
        return {"ok": True, **answer}

    # --- all or nothing, or the first ---

    async def _together(self, account: Address, checks: _Checks, *, is_first: bool) -> Answer:
        _raise_first_error(checks)
        changes = [change for change in (*checks.cancels, *checks.amends) if isinstance(change, _Change)]
        orders = [check for check in checks.orders if isinstance(check, Checked)]
        if not orders and all(self._is_done(change) for change in changes):
            return await self._answer_as_is(checks, changes, self._model.sequence, [], replayed=True)
        decision = Together(
            account=account,
            signer=account,
            cancels=tuple(change.order.nonce for change in changes if change.size is None),
            amends=tuple((change.order.nonce, change.size) for change in changes if change.size is not None),
            orders=tuple(_intent(check) for check in orders),
            is_first=is_first,
        )
        unknown = {"digests": [check.digest for check in orders]}
        head, *acks = await self._trading.submit([decision, *(check.command for check in orders)], unknown)
        placed = [await self._trading.placed(check, ack) for check, ack in zip(orders, acks, strict=True)]
        if not head.replayed:
            self._require_happened(head, decision, checks, orders)
        elif not any(isinstance(outcome, dict) for outcome in placed) and orders:
            raise _refused_again(placed)
        self._trading.count(placed)
        return await self._answer_as_is(checks, changes, head.sequence, placed, replayed=head.replayed)

    def _is_done(self, change: _Change) -> bool:
        order = change.order
        if change.size is None:
            return order.reason == CloseReason.CANCELED
        return not order.reason and order.size_lots == change.size

    async def _answer_as_is(
        self,
        checks: _Checks,
        changes: Sequence[_Change],
        sequence: int,
        placed: Sequence[Outcome],
        *,
        replayed: bool,
    ) -> Answer:
        """With the orders that were to change as they are now."""
        changed, count = [await self._as_is(change) for change in changes], len(checks.cancels)
        return _answer(sequence, changed[:count], changed[count:], placed, replayed=replayed)

    async def _as_is(self, change: _Change) -> Outcome:
        after = await self._trading.known(change.order.digest) or change.order
        return {"ok": True, "order": present.order_json(after, self._model.markets[after.market].market)}

    def _require_happened(self, head: Ack, decision: Together, checks: _Checks, orders: Sequence[Checked]) -> None:
        """Else raises why not, and which item it was."""
        self._trading.require_done(head, decision, {})
        (decided,) = (event for event in head.events if isinstance(event, TogetherDecided))
        if decided.reason is None:
            return
        index, data = decided.index, Answer({"seq": head.sequence})
        for item, found in (("cancels", checks.cancels), ("amends", checks.amends), ("orders", checks.orders)):
            if index < len(found):
                data |= {"item": item, "index": index}
                break
            index -= len(found)
        if data.get("item") == "orders":
            check = orders[index]
            raise self._trading.refusal(decided.reason, check.command, head.at, data | {"digest": check.digest})
        raise ApiError(decided.reason, WORDS[decided.reason], data)


def _command(account: Address, change: _Change) -> Command:
    nonce = change.order.nonce
    if change.size is None:
        return CancelOrder(account, nonce, account)
    return AmendOrder(account=account, nonce=nonce, size_lots=change.size, signer=account)


def _intent(check: Checked) -> Intent:
    command = check.command
    beside = b"" if command.beside is None else command.beside.to_frame()
    return Intent(command.order.to_frame(), command.client_order_id, beside)


def _raise_first_error(checks: _Checks) -> None:
    for name, found in checks._asdict().items():
        for index, check in enumerate(found):
            if isinstance(check, ApiError):
                data = check.data | {"item": name, "index": index}
                raise ApiError(check.code, check.message, data, check.headers)


def _refused_again(placed: Sequence[Outcome]) -> ApiError:
    """The batch had been sent before, and had been refused then; why is not remembered, that it was, is. So no item
    is named."""
    (error, *_) = (outcome for outcome in placed if isinstance(outcome, ApiError))
    remedy = "Nothing of it was executed, then or now; to try again, sign its orders with new nonces"
    data = error.data | {"replayed": True, "remedy": remedy}
    return ApiError(error.code, "this batch was sent before, and was refused then", data, error.headers)


def _answer(
    sequence: int, cancels: Sequence[Outcome], amends: Sequence[Outcome], orders: Sequence[Outcome], *, replayed: bool
) -> Answer:
    lists = {"cancels": cancels, "amends": amends, "orders": orders}
    items = {name: [_item(outcome) for outcome in found] for name, found in lists.items()}
    return {"ok": True, "seq": sequence, "replayed": replayed, **items}


def _item(outcome: Outcome) -> Answer:
    return outcome if isinstance(outcome, dict) else {"ok": False, "error": outcome.body()}
