"""What a request does, whichever way it came: place, cancel, withdraw, approve.

    wire -> exact domain values -> who signed -> budget of the account -> sequencer -> the answer, from its events

Invariant: a stranger cannot put anything into the journal in another account's name, and an answer is given only for
durable commands. Outcomes that are not known say so (UNKNOWN) and name the digest to ask for.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Iterable, Sequence
from typing import Any, NamedTuple, TypeVar

import msgspec

from offchain.domain import eip712
from offchain.domain.beside import NOTHING_BESIDE
from offchain.domain.command import CancelAll, Command, PlaceOrder, RequestApproval
from offchain.domain.errors import InvalidInput, SequencerUnavailable
from offchain.domain.event import CommandRejected, OrderClosed, OrderRejected
from offchain.domain.market import Market, format_atoms
from offchain.domain.order import Order, OrderStatus, Side
from offchain.domain.reasons import CloseReason, RejectReason
from offchain.domain.units import ZERO_ADDRESS, Address, Digest, Ticks, to_address
from offchain.domain.wire import REASONS, RESULT, STATUSES, UNKNOWN, refused
from offchain.gateway import present, schema
from offchain.gateway.approvals import Approvals
from offchain.gateway.directory import Directory, MarketView
from offchain.gateway.entry import ITEMS_PER_SLICE
from offchain.gateway.failures import ApiError, Code, invalid
from offchain.gateway.faults import fault_of
from offchain.gateway.ingress import Ingress
from offchain.gateway.metrics import Metrics
from offchain.gateway.outcome import answered_digest, fold_order, left_by
from offchain.gateway.present import Token, Tokens
from offchain.gateway.publications import Publications
from offchain.gateway.reads import Situation
from offchain.gateway.records import OrderRecord
from offchain.gateway.refusals import WORDS, listed
from offchain.gateway.settings import GatewaySettings
from offchain.gateway.upstream import NotSubmitted, Upstream
from offchain.security.signatures import Signers
from offchain.sequencer.protocol import Ack, NamedCancel

READ_YOUR_WRITES_SECONDS = 1.0
"""How long an answer waits for the read model to include it."""

T = TypeVar("T")
Answer = dict[str, Any]
Outcome = Answer | ApiError
Body = bytes | msgspec.Raw | schema.OrderRequest


class Checked(NamedTuple):
    """An order whose signer is known."""

    command: PlaceOrder
    digest: Digest
    market: Market


class Trading:
    """Shared by REST and WebSocket."""

    def __init__(
        self,
        settings: GatewaySettings,
        model: Directory,
        publications: Publications,
        upstream: Upstream,
        signers: Signers,
        ingress: Ingress,
        metrics: Metrics,
    ) -> None:
        self._settlement_separator = settings.settlement_separator
        self._vault_separator = settings.vault_separator
        self._model = model
        self._publications = publications
        self._upstream = upstream
        self._signers = signers
        self._ingress = ingress
        self._metrics = metrics
        self._tokens = Tokens(settings.quote_token, settings.quote_decimals, model)
        self._approvals = Approvals(publications)

    # --- place ---

    async def place(self, bodies: Sequence[Body], account: Address | None = None) -> list[Outcome]:
        """One outcome per body, in order. `account`: whose session vouches for what is not signed."""
        self.require_live()
        checks: list[Checked | ApiError] = []
        for start in range(0, len(bodies), ITEMS_PER_SLICE):
            if start:
                await asyncio.sleep(0)  # others have their turn
            checks += [self.check_order(body, account) for body in bodies[start : start + ITEMS_PER_SLICE]]
        checked = [check for check in checks if isinstance(check, Checked)]
        answers = iter(await self.submit_orders(checked) if checked else [])
        outcomes: list[Outcome] = [next(answers) if isinstance(check, Checked) else check for check in checks]
        self.count(outcomes)
        return outcomes

    def count(self, outcomes: Iterable[Outcome]) -> None:
        """Orders by what they came to, for the metrics."""
        for outcome in outcomes:
            code = outcome.code if isinstance(outcome, ApiError) else "OK"
            self._metrics.orders.labels(code).inc()

    def check_order(self, body: Body, account: Address | None, *, is_amend: bool = False) -> "Checked | ApiError":
        """An order of a known signer; wishes beside it only if `account`, that of a session, is the order's.
        `is_amend`: only in place of an open order."""
        try:
            request = body if isinstance(body, schema.OrderRequest) else schema.decode(schema.OrderRequest, body)
            market = self.market(request.symbol).market
            submission = schema.parse_order(request, market)
            order = submission.order
            digest = eip712.order_digest(self._settlement_separator, order)
            name = Digest("0x" + digest.hex())
            if order.account not in self._model.accounts:
                message = "the account has no balance here"
                raise ApiError(RejectReason.INSUFFICIENT_BALANCE, message, {"digest": name})
            signer = self._signer_of(order, digest, submission.signature)
            beside = submission.beside
            if is_amend:
                beside = msgspec.structs.replace(beside or NOTHING_BESIDE, is_amend=True)
            if beside is not None and account != order.account:
                message = "what is not signed needs a session of the order's account"
                raise ApiError(Code.UNAUTHENTICATED, message, {"digest": name, "remedy": "POST /v1/sessions"})
            self._ingress.take_account(order.account)
            command = PlaceOrder(order, submission.signature, signer, submission.client_order_id, beside)
            return Checked(command, name, market)
        except ApiError as error:
            return error

    def _signer_of(self, order: Order, digest: bytes, kept: bytes) -> Address:
        """The account or an agent of it; in bulk, where the proof leads to a root that was signed, an agent."""
        agents = self._model.agents.get(order.account, ())
        signature, proof = eip712.split_signature(kept)
        if proof is None:
            return self.authenticate(order.account, digest, signature, agents)
        try:
            root = eip712.bulk_root_of(order, proof)
        except InvalidInput as error:
            raise invalid(error, Code.INVALID_SIGNATURE) from None
        signed = eip712.bulk_digest(self._settlement_separator, root)
        signer = self.authenticate(order.account, signed, signature, agents)
        if signer == order.account:
            raise ApiError(RejectReason.WRONG_SIGNER, "only agents sign in bulk", {"digest": "0x" + digest.hex()})
        return signer

    async def submit_orders(self, checked: list[Checked]) -> list[Outcome]:
        """What each came to."""
        try:
            acks = await self.submit([check.command for check in checked])
        except ApiError as error:
            return [
                ApiError(error.code, error.message, error.data | {"digest": check.digest}, error.headers)
                for check in checked
            ]
        return [await self.placed(check, ack) for check, ack in zip(checked, acks, strict=True)]

    async def placed(self, check: Checked, ack: Ack) -> Outcome:
        """What its order came to, as its answer has it."""
        digest = answered_digest(ack, check.digest)
        receipt = {"seq": ack.sequence, "timestamp": ack.at, "orderHash": digest, "signature": ack.receipt}
        for event in ack.events:
            if isinstance(event, OrderRejected) and event.digest == digest:
                return await self._rejected(check, event.reason, receipt, ack.replayed)
        order, fills = fold_order(digest, ack, check.market)
        assert order is not None, ack
        if ack.replayed:
            order = await self.known(digest) or order
        return {
            "ok": True,
            "order": present.order_json(order, check.market),
            "fills": [
                leg
                for fill in fills
                for leg in present.fill_json(fill, order.account, check.market)
                if leg["order"] == order.digest
            ],
            "receipt": receipt if ack.receipt else None,
            "replayed": ack.replayed,
        }

    async def _rejected(self, check: Checked, reason: RejectReason, receipt: Answer, replayed: bool) -> ApiError:
        order = check.command.order
        data: Answer = {"digest": check.digest, "receipt": receipt, "replayed": replayed}
        if reason is RejectReason.POST_ONLY_WOULD_CROSS:
            found = await self._situation(order.account, check.market, ZERO_ADDRESS)
            best = () if found is None else (found.bid, found.ask)
            data["bbo"] = [check.market.format_price(Ticks(level[0])) if level else None for level in best]
        elif reason is RejectReason.INSUFFICIENT_BALANCE:
            data |= await self._tradable(order, check.market)
        elif reason in (RejectReason.DEAD_NONCE, RejectReason.NONCE_TOO_FAR_AHEAD, RejectReason.INVALID_SLOT):
            data |= present.nonce_words(order.nonce)
        elif reason is RejectReason.FEE_CAP_TOO_LOW:
            data |= await self._rates(order.account)
        elif reason in (RejectReason.POST_ONLY_VENUE, RejectReason.CANCEL_ONLY_VENUE):
            data |= {"state": str(self._model.venue_state), "reason": self._model.venue_reason}
        elif reason is RejectReason.PRICE_OUT_OF_BAND:
            view = self._model.markets[order.market]
            data |= {"band": present.band_json(view), "mark": present.mark_price(view)}
        return self.refusal(reason, check.command, receipt["timestamp"], data)

    async def _rates(self, account: Address) -> Answer:
        """The account's own; nobody's tier while nobody can say."""
        maker, taker = self._model.maker_fee_ppm, self._model.taker_fee_ppm
        with contextlib.suppress(ApiError):
            maker, taker, *_ = await self._publications.rates(account)
        return {"makerFeePpm": maker, "takerFeePpm": taker}

    async def _tradable(self, order: Order, market: Market) -> Answer:
        tokens = {token.address: token for token in self._tokens.all()}
        token = self._tokens.all()[0] if order.side is Side.BUY else tokens[market.base_token]
        found = await self._situation(order.account, market, token.address, order.subaccount)
        if found is None:
            return {}
        row = found.balance
        free = 0 if row is None else max(0, row.settled + row.pending - row.held - row.leaving)
        return {"token": token.symbol, "free": format_atoms(free, token.decimals)}

    async def known(self, digest: Digest) -> OrderRecord | None:
        """None, too, while nobody can say: what an answer does not depend on."""
        with contextlib.suppress(ApiError):
            return await self._publications.order(digest)
        return None

    async def _situation(
        self, account: Address, market: Market, token: Address, subaccount: int = 0
    ) -> Situation | None:
        with contextlib.suppress(ApiError):
            return await self._publications.situation(market.market, account, token, subaccount)
        return None

    # --- cancel ---

    async def cancel(self, account: Address, digest: Digest) -> Answer:
        """By session: only orders of `account` exist for it."""
        return await self._cancel(NamedCancel(account, digest))

    async def cancel_by_client_id(self, account: Address, client_order_id: str) -> Answer:
        """The same; open or not, an order keeps its name for a while."""
        return await self._cancel(NamedCancel(account, client_order_id=client_order_id))

    async def cancel_signed(self, digest: Digest, body: bytes) -> Answer:
        """By EIP-712 Cancel."""
        self.require_live()
        request = schema.decode(schema.CancelRequest, body)
        account = schema.parse_address(request.account, "account")
        nonce = schema.parse_integer(request.nonce, 64, "nonce")
        signature = schema.parse_signature(request.signature)
        hashed = eip712.cancel_digest(self._settlement_separator, account, nonce)
        self.authenticate(account, hashed, signature)
        return await self._cancel(NamedCancel(account, digest, nonce=nonce, signature=signature))

    async def cancel_all(self, account: Address, symbol: str | None) -> Answer:
        """By session, in one market or in all."""
        self.require_live()
        market = self.market(symbol).market.market if symbol is not None else 0
        if account not in self._model.accounts:
            return {"ok": True, "seq": self._model.sequence, "canceled": []}
        self._ingress.take_cancel(account)
        return await self._cancel_all(CancelAll(account, market, 0, account))

    async def cancel_all_signed(self, body: bytes) -> Answer:
        """By EIP-712 CancelAll."""
        self.require_live()
        request = schema.decode(schema.CancelAllRequest, body)
        account = schema.parse_address(request.account, "account")
        signature = schema.parse_signature(request.signature)
        hashed = eip712.cancel_all_digest(self._settlement_separator, account, request.floor)
        signer = self.authenticate(account, hashed, signature)
        if account not in self._model.accounts:
            raise ApiError(Code.ORDER_NOT_FOUND, "the account has no orders")
        self._ingress.take_cancel(account)
        return await self._cancel_all(CancelAll(account, 0, request.floor, signer, signature))

    def start_cancel_all(self, command: CancelAll) -> "asyncio.Future[bytes]":
        """By session, answered with a packed result: `fills` says how many orders left."""
        return asyncio.ensure_future(self._cancel_all_packed(command))

    async def _cancel_all_packed(self, command: CancelAll) -> bytes:
        try:
            (ack,) = await self.submit([command])
            self.require_done(ack, command, {})
        except ApiError as error:
            return UNKNOWN if error.code == Code.UNKNOWN else refused(error.code)
        closed = len(closed_of(ack, command.account))
        status, reason = STATUSES[OrderStatus.CANCELED], REASONS[CloseReason.CANCELED]
        return RESULT.pack(ack.sequence, ack.at, status, reason, 0, 0, closed)

    async def own_open(self, account: Address, digest: Digest) -> OrderRecord:
        """ORDER_NOT_FOUND for that of another account, ORDER_NOT_OPEN with the order for one that ended."""
        order = await self._publications.order(digest)
        if order is None or order.account != account:
            raise ApiError(Code.ORDER_NOT_FOUND, "no such order")
        if order.reason:
            raise self._not_open(order)
        return order

    async def _cancel(self, named: NamedCancel) -> Answer:
        """The sequencer finds the order: a way out asks nothing of the publisher, which may be late or away, and waits
        for it only as long as that takes nobody's time."""
        self.require_live()
        self._ingress.take_cancel(named.account)
        patience = self._publications.patience(READ_YOUR_WRITES_SECONDS)
        unknown = {"digest": named.digest} if named.digest else {"clientOrderId": named.client_order_id}
        found = await self._sent(self._upstream.cancel(named), unknown)
        order = left_by(found)
        if order is None:
            raise ApiError(Code.ORDER_NOT_FOUND, "no such order")
        if found.ack is None and named.nonce not in (None, order.nonce):
            data = {"field": "nonce", "expected": str(order.nonce)}
            raise ApiError(Code.INVALID_FIELD, "the order has another nonce", data)
        sequence = order.sequence if found.ack is None else found.ack.sequence
        if patience:
            is_told = found.ack is not None and order.cost_atoms is not None
            order = await self._seen(order, sequence, patience, is_told=is_told)
        if found.ack is None or _is_refused(found.ack):
            raise self._not_open(order)
        return {"ok": True, "seq": sequence, "order": self._order_json(order)}

    async def _seen(self, order: OrderRecord, sequence: int, seconds: float, *, is_told: bool) -> OrderRecord:
        """Once the publisher has the command, for so long; as it knows the order, where the acknowledgement did not
        tell all: what was paid, or when it left."""
        if await self._publications.reached(sequence, seconds) and not is_told:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    return await self.known(order.digest) or order
        return order

    def _not_open(self, order: OrderRecord) -> ApiError:
        data = {"order": self._order_json(order)}
        return ApiError(RejectReason.ORDER_NOT_OPEN, WORDS[RejectReason.ORDER_NOT_OPEN], data)

    def _order_json(self, order: OrderRecord) -> Answer:
        return present.order_json(order, self._model.markets[order.market].market)

    def require_funded(self, account: Address) -> None:
        """A stranger without any balance writes nothing into the journal."""
        if account not in self._model.accounts:
            raise ApiError(RejectReason.INSUFFICIENT_BALANCE, "the account has no balance", {"account": account})

    async def _cancel_all(self, command: CancelAll) -> Answer:
        (ack,) = await self.submit([command])
        self.require_done(ack, command, {})
        return {"ok": True, "seq": ack.sequence, "canceled": closed_of(ack, command.account)}

    # --- money ---

    async def withdraw(self, body: bytes) -> Answer:
        """Countersigns a withdrawal that the owner signed; the relay keeper sends it."""
        self.require_live()
        request = schema.decode(schema.WithdrawRequest, body)
        token = self.token(request.token)
        wanted = schema.parse_withdrawal(request, token.address, token.decimals)
        signature = schema.parse_signature(request.signature)
        hashed = eip712.withdraw_digest(self._vault_separator, wanted)
        signer = self.authenticate(wanted.account, hashed, signature)
        known = await self._approvals.find(wanted)
        if known is not None:
            return self._approvals.answer(known, token, replayed=True)
        self.require_funded(wanted.account)
        self._ingress.take_account(wanted.account)
        command = RequestApproval(
            purpose="withdraw",
            account=wanted.account,
            token=wanted.token,
            amount=wanted.amount,
            destination=wanted.destination,
            as_cxpt=wanted.as_cxpt,
            nonce=wanted.nonce,
            deadline=wanted.deadline,
            signature="0x" + signature.hex(),
            signer=signer,
        )
        return await self._approve(command, token, {"digest": "0x" + hashed.hex()})

    async def approve(self, account: Address, body: bytes) -> Answer:
        """The countersignature for a debit that the owner sends himself; `account` is the session's."""
        self.require_live()
        request = schema.decode(schema.ApprovalRequest, body)
        token = self.token(request.token)
        destination = ZERO_ADDRESS
        if request.purpose == "withdraw":
            destination = schema.parse_address(request.destination, "destination")
            if not request.deadline:
                message = "a withdrawal has a deadline of its own, which is countersigned"
                raise ApiError(Code.INVALID_FIELD, message, {"field": "deadline"})
        elif request.destination or request.as_cxpt or request.nonce or request.deadline:
            message = f"{request.purpose} has no destination, nonce or deadline of its own"
            raise ApiError(Code.INVALID_FIELD, message, {"field": "destination"})
        self.require_funded(account)
        self._ingress.take_account(account)
        command = RequestApproval(
            purpose=request.purpose,
            account=account,
            token=token.address,
            amount=schema.parse_amount(request.amount, token.decimals),
            destination=destination,
            as_cxpt=request.as_cxpt,
            nonce=schema.parse_integer(request.nonce, 256, "nonce"),
            deadline=request.deadline,
            signature="",
            signer=account,
        )
        return await self._approve(command, token, {})

    async def _approve(self, command: RequestApproval, token: Token, unknown: Answer) -> Answer:
        (ack,) = await self.submit([command], unknown)
        self.require_done(ack, command, {})
        return self._approvals.answer(self._approvals.keep(ack), token, replayed=False)

    # --- shared ---

    async def submit_one(self, command: Command) -> Ack:
        """A durable ack of a command that was not rejected."""
        (ack,) = await self.submit([command])
        self.require_done(ack, command, {})
        return ack

    def market(self, symbol: str) -> MarketView:
        return listed(self._model, symbol)

    @property
    def quote_token(self) -> Token:
        """The settlement token."""
        return self._tokens.all()[0]

    def token(self, name: str) -> Token:
        token = self._tokens.find(name)
        if token is None:
            data = {"tokens": [found.symbol for found in self._tokens.all()][:20]}
            raise ApiError(RejectReason.UNKNOWN_TOKEN, WORDS[RejectReason.UNKNOWN_TOKEN], data)
        return token

    def authenticate(self, account: Address, digest: bytes, signature: bytes, also: Iterable[Address] = ()) -> Address:
        """`account` (or one of those who may `also` sign), if it signed; else the error says which digest was computed
        and who signed that. `signature` has 65 bytes, the form that is kept."""
        found = self._signers.recover_root(digest, signature)
        name = "0x" + digest.hex()
        if found is None:
            message = "the signature is malformed: v is 27 or 28, s is low"
            raise ApiError(Code.INVALID_SIGNATURE, message, {"digest": name})
        signer = to_address(found)
        if signer not in (account, *also):
            data = {"digest": name, "recovered": signer, "account": account}
            message = "the signature recovers another address: compare the digest with yours"
            raise ApiError(RejectReason.WRONG_SIGNER, message, data)
        return signer

    def is_live(self) -> bool:
        """Whether orders can be taken: who has an account is known, and there is a sequencer."""
        return self._upstream.is_live and self._model.is_loaded

    def require_live(self) -> None:
        if not self.is_live():
            raise _unavailable()

    async def submit(self, commands: Sequence[Command], unknown: Answer | None = None) -> list[Ack]:
        """Durable acks, also known to whoever asks any gateway (unless the feed lags a lot)."""
        acks = await self._sent(self._upstream.submit(commands), unknown)
        await self._publications.reached(max(ack.sequence for ack in acks), READ_YOUR_WRITES_SECONDS)
        return acks

    async def _sent(self, answer: Awaitable[T], unknown: Answer | None) -> T:
        """What the sequencer says, or why there is no answer."""
        try:
            return await answer
        except NotSubmitted:
            raise _unavailable() from None
        except InvalidInput as error:
            raise invalid(error) from None
        except SequencerUnavailable:
            message = "the outcome is unknown: ask for the digest, or send the same request again"
            raise ApiError(Code.UNKNOWN, message, unknown, {"Retry-After": "1"}) from None

    def require_done(self, ack: Ack, command: Command, data: Answer) -> None:
        """Raises why the command was refused, with `data`."""
        for event in ack.events:
            if isinstance(event, CommandRejected):
                raise self.refusal(event.reason, command, ack.at, {"seq": ack.sequence, **data})

    def refusal(self, reason: RejectReason, command: Command, at: int, data: Answer) -> ApiError:
        """In words; of a parameter that will not do, with its name."""
        quote = self._tokens.all()[0]
        fault: Answer = {}
        if reason is RejectReason.INVALID_PARAMETER:
            fault = fault_of(command, at, quote.address, quote.decimals, quote.symbol)
        words = f"{fault['field']} is not acceptable" if fault else WORDS[reason]
        return ApiError(reason, words, data | fault)


def _unavailable() -> ApiError:
    message = "the sequencer is away; nothing was executed"
    return ApiError(Code.UNAVAILABLE, message, {"executed": False}, {"Retry-After": "1"})


def _is_refused(ack: Ack) -> bool:
    """Of a cancel: its order was open when it was looked for, and expired at the very instant of the command."""
    return any(isinstance(event, CommandRejected) for event in ack.events)


def closed_of(ack: Ack, account: Address) -> list[Digest]:
    """A cancel may close orders of others, too: those whose timers were due, or that follow from it."""
    return [event.digest for event in ack.events if isinstance(event, OrderClosed) and event.account == account]
