"""Orders and cancels in fixed frames (`domain.wire`): from a connection's bytes to rows for the sequencer, and back.

    message -> waits for a slice of the loop's time -> cheap looks -> who signed -> one submission -> packed results

No future, task or object is made for an order. Invariant: every message that is understood is answered once, with as
many results as it has items, in their order; what is refused here was not sequenced; nobody but the account, or a key
that the chain registered for it, puts anything into the journal in its name. What waits is bounded.
"""

import asyncio
import struct
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, NamedTuple, Protocol

from offchain.domain.command import CancelAll
from offchain.domain.eip712 import FRAME_FIELDS, bulk_digest, bulk_levels, fields_struct_hash, join_levels
from offchain.domain.errors import HooatsError
from offchain.domain.keccak import keccak
from offchain.domain.limits import BULK_DEPTH, ORDERS_PER_REQUEST_MAX
from offchain.domain.order import CANCEL_TERMS, ORDER_FRAME_BYTES, SIGNATURE_BYTES, SIGNED_FRAME, unpack_terms
from offchain.domain.reasons import RejectReason
from offchain.domain.units import Address, from_hex, to_address
from offchain.domain.wire import (
    CANCEL,
    CANCEL_ALL,
    HEAD,
    REASONS,
    RESULT_BYTES,
    SIGNED_ORDER_BYTES,
    STATUSES,
    UNKNOWN,
    VERSION,
    MessageKind,
    refused,
)
from offchain.gateway.directory import Directory
from offchain.gateway.failures import ApiError, Code
from offchain.gateway.ingress import Ingress
from offchain.gateway.metrics import Metrics
from offchain.gateway.upstream import NotSubmitted, Upstream
from offchain.security.limits import Gcra
from offchain.security.signatures import Signers
from offchain.sequencer.rows import TERMS, cancel_row

ITEMS_PER_SLICE: Final = 16
"""Less than 1 ms of recoveries: so long the loop does nothing else. A cancel waits for a few slices, and on a machine
where everybody is busy each is several times that."""
ITEMS_PER_SUBMISSION: Final = 32
"""Of a few slices: so soon the sequencer can begin, and a submission costs as much as a few orders."""
WAITING_MAX: Final = 4_096
"""Orders and cancels that wait for their signatures to be looked at, half a second's; more are refused."""
SUBMITTED_MAX: Final = 256
"""Rows that the sequencer has not answered yet, beyond which orders wait here: enough to keep it busy while the next
are looked at, and no more than it reads at once, so that a cancel behind them is among those that it can take first."""
UNANSWERED_MAX: Final = 16_384
"""The same, cancels included; more are refused."""
FIRST_RESULTS_MAX: Final = 32_768
"""Orders whose result is kept here, so that sending one again costs no recovery; the sequencer knows more."""

TERMS_MAX: Final = 10_000
"""Kinds of orders that are known to make sense."""
ITEM_BYTES: Final[dict[int, int]] = {
    MessageKind.ORDERS: SIGNED_ORDER_BYTES,
    MessageKind.BULK: ORDER_FRAME_BYTES,
    MessageKind.CANCELS: CANCEL.size,
    MessageKind.CANCEL_ALL: CANCEL_ALL.size,
}
_STATUS_AT, _REASON_AT, _REPLAYED_AT = 16, 17, 18
"""In a packed result."""
_SIGNED = struct.Struct(FRAME_FIELDS.format + f"{SIGNATURE_BYTES}s")
"""The fields of an order's frame as bytes, and its signature."""
_NEVER = _NOTHING = bytes(8)
_REASON_WORDS = {number: str(word) for word, number in REASONS.items()}


class Peer(Protocol):
    """A connection, as far as order entry knows it."""

    limit: Gcra
    address: str

    def reply(self, messages: Sequence[bytes]) -> None:
        """All at once."""
        ...

    def require_account(self) -> Address:
        """Of the session; `ApiError` if nobody is logged in."""
        ...


class Request:
    """One message under way. `local` are the results of items that go no further, by position."""

    __slots__ = ("content", "count", "fresh", "kind", "local", "number", "peer")

    def __init__(self, peer: Peer, kind: int, count: int, number: int, content: bytes) -> None:
        self.peer = peer
        self.kind = kind
        self.count = count
        self.number = number
        self.content = content
        self.local: dict[int, bytes] = {}
        self.fresh = 0
        """How many rows it gave."""


class Submission(NamedTuple):
    """What is sent to the sequencer at once: messages, and the rows that they gave, in the same order."""

    requests: list[Request]
    rows: list[bytes]


class Answered(NamedTuple):
    """Orders that were sent to the sequencer at once: their digests, rows and results, in the same order."""

    digests: list[bytes]
    rows: list[bytes]
    results: bytes


class Queue:
    """Messages that wait for a slice. Cancels have one of their own, which is looked at first: whoever wants out waits
    for nobody's signatures, and not for room either."""

    def __init__(self, unanswered_max: int) -> None:
        self.items = 0
        self.unanswered_max = unanswered_max
        self._requests: deque[Request] = deque()

    def add(self, request: Request) -> None:
        self._requests.append(request)
        self.items += request.count

    def drop(self, peer: Peer) -> None:
        """All that came from it."""
        self._requests = deque(request for request in self._requests if request.peer is not peer)
        self.items = sum(request.count for request in self._requests)

    def next(self) -> Request:
        """The oldest of those that wait; there must be one."""
        request = self._requests.popleft()
        self.items -= request.count
        return request


class Entry:
    """Shared by all connections of one gateway."""

    def __init__(
        self,
        separator: bytes,
        model: Directory,
        upstream: Upstream,
        ingress: Ingress,
        metrics: Metrics,
        signers: Signers,
        cancel_all: Callable[[CancelAll], "asyncio.Future[bytes]"],
    ) -> None:
        self._separator = separator
        self._prefix = b"\x19\x01" + separator
        """Of every digest."""
        self._model = model
        self._upstream = upstream
        self._ingress = ingress
        self._metrics = metrics
        self._signers = signers
        self._cancel_all = cancel_all
        self._orders, self._cancels = Queue(UNANSWERED_MAX), Queue(2 * UNANSWERED_MAX)
        self._plain, self._bulk = Submission([], []), Submission([], [])
        """What slices gave that was not sent yet."""
        self._gathered = 0
        """Items of both, with those that gave no row."""
        self._unanswered = 0
        self._is_flush_due = False
        self._accounts: dict[bytes, Address] = {}
        self._terms: set[bytes] = set()
        self._now = 0
        """Of the slice, monotonic nanoseconds."""
        self._rooms: dict[bytes, int] = {}
        """How many orders accounts may still place in this slice; -1 if they have no money here."""
        self._opened: dict[bytes, int] = {}
        """And how many when it began: what is gone is charged at its end."""
        self._results: dict[bytes, Answered] = {}
        """By digest."""
        self._oldest: deque[Answered] = deque()
        self._remembered = 0
        """How many orders they have."""
        self._accepted = metrics.orders.labels("OK")

    # --- messages in ---

    def receive(self, peer: Peer, content: bytes) -> None:
        """Never raises for any bytes."""
        number = 0
        try:
            version, kind, count, number = _head(content)
            size = ITEM_BYTES.get(kind, 0)
            body = len(content) - HEAD.size - (SIGNATURE_BYTES if kind == MessageKind.BULK else 0)
            if version != VERSION or not size or count < 1 or body != count * size:
                raise ApiError("MALFORMED", f"version {version}, kind {kind}: {len(content)} bytes for {count} items")
            if count > (1 << BULK_DEPTH if kind == MessageKind.BULK else ORDERS_PER_REQUEST_MAX):
                raise ApiError(Code.TOO_MANY_ORDERS, f"{count} items in one message")
            self._ingress.take_message(peer.limit)
            is_cancel = kind in (MessageKind.CANCELS, MessageKind.CANCEL_ALL)
            self._ingress.take_address(peer.address, count, is_cancel=is_cancel)
            self._require_live()
            request = Request(peer, kind, count, number, content)
            if kind == MessageKind.CANCEL_ALL:
                self._start_cancel_all(request)
                return
            waiting = self._cancels if kind == MessageKind.CANCELS else self._orders
            if waiting.items + count > WAITING_MAX or self._unanswered + count > waiting.unanswered_max:
                self._metrics.limited.labels("entry").inc()
                raise ApiError(Code.RATE_LIMITED, "the venue is busy; nothing was executed")
            waiting.add(request)
            self._schedule()
        except ApiError as error:
            peer.reply((fault(number, error),))

    def forget(self, peer: Peer) -> None:
        """Its connection ended, and its account's orders with it: what still waits here goes no further, and what was
        looked at goes before the cancel that follows."""
        self._orders.drop(peer)
        self._submit_gathered()

    def _require_live(self) -> None:
        if not (self._upstream.is_live and self._model.is_loaded):
            raise ApiError(Code.UNAVAILABLE, "the sequencer is away; nothing was executed")

    def _schedule(self) -> None:
        if not self._is_flush_due:
            self._is_flush_due = True
            asyncio.get_running_loop().call_soon(self._flush)

    # --- a slice of the loop's time ---

    def _flush(self) -> None:
        """A slice of what came in; the rest after a look at the sockets."""
        self._is_flush_due = False
        self._flush_cancels()
        now, self._now = time.time_ns() // 1_000_000, time.monotonic_ns()
        looked_at = 0
        while looked_at < ITEMS_PER_SLICE and self._may_look:
            request = self._orders.next()
            looked_at += request.count
            is_bulk = request.kind == MessageKind.BULK
            into = self._bulk if is_bulk else self._plain
            before = len(into.rows)
            look = self._look_at_bulk if is_bulk else self._look_at_orders
            look(request, now, into.rows)
            request.fresh = len(into.rows) - before
            into.requests.append(request)
        self._charge_accounts()
        self._gathered += looked_at
        if self._gathered >= ITEMS_PER_SUBMISSION or not self._may_look:
            self._submit_gathered()
        self._schedule_rest()

    @property
    def _may_look(self) -> bool:
        """Whether orders wait, and the sequencer has room for them."""
        return self._orders.items > 0 and self._unanswered < SUBMITTED_MAX

    def _submit_gathered(self) -> None:
        plain, bulk = self._plain, self._bulk
        self._plain, self._bulk, self._gathered = Submission([], []), Submission([], []), 0
        self._submit(plain, is_bulk=False)
        self._submit(bulk, is_bulk=True)

    def _charge_accounts(self) -> None:
        """For the orders of this slice that they, or their agents, signed."""
        for owner, room in self._rooms.items():
            count = self._opened[owner] - room
            if count:
                self._ingress.charge_account(self._accounts[owner], count, self._now)
        self._rooms.clear()
        self._opened.clear()

    def _flush_cancels(self) -> None:
        """Sent on their own, before any signature is looked at: at the sequencer they go first as well."""
        sent = Submission([], [])
        while len(sent.rows) < ITEMS_PER_SUBMISSION and self._cancels.items:
            request = self._cancels.next()
            before = len(sent.rows)
            self._look_at_cancels(request, sent.rows)
            request.fresh = len(sent.rows) - before
            sent.requests.append(request)
        self._submit(sent, is_bulk=False)

    def _schedule_rest(self) -> None:
        """What waits and may go on."""
        if self._cancels.items or self._may_look:
            self._schedule()

    def _look_at_orders(self, request: Request, now: int, rows: list[bytes]) -> None:
        """Adds a row for every order that its account, or an agent of it, signed. What nearly every order passes is
        looked at here, without a call; the rest says why not."""
        content, stop, seconds = request.content, HEAD.size, (now // 1000).to_bytes(8, "big")
        prefix, results, recover = self._prefix, self._results, self._signers.recover
        rooms, sound, refuse = self._rooms, self._terms, self._cheap_refusal
        fields = _SIGNED.iter_unpack(memoryview(content)[HEAD.size :])
        for position, (owner, terms, price, size, trigger, fee, nonce, expiry, signature) in enumerate(fields):
            start, stop = stop, stop + SIGNED_ORDER_BYTES
            is_plain = expiry == _NEVER and price != _NOTHING and size != _NOTHING and terms in sound
            if not (is_plain and rooms.get(owner, 0) > 0):
                reason = refuse(owner, terms, price, size, expiry, seconds)
                if reason:
                    request.local[position] = refused(reason)
                    continue
            hashed = keccak(prefix + fields_struct_hash(owner, terms, price, size, trigger, fee, nonce, expiry))
            if hashed in results and (result := self._first_result(hashed, signature)):
                request.local[position] = result
                continue
            signer = recover(hashed, signature)
            if signer is None or (signer != owner and (reason := self._signer_refusal(owner, signer))):
                request.local[position] = refused(reason if signer else Code.INVALID_SIGNATURE)
                continue
            rooms[owner] -= 1
            rows.append(content[start:stop] + signer + hashed)

    def _look_at_bulk(self, request: Request, now: int, rows: list[bytes]) -> None:
        """One signature for all; a root that was seen with it costs no recovery."""
        content, start, seconds = request.content, HEAD.size + SIGNATURE_BYTES, (now // 1000).to_bytes(8, "big")
        signature, prefix = content[HEAD.size : start], self._prefix
        orders = list(FRAME_FIELDS.iter_unpack(memoryview(content)[start:]))
        hashes = [fields_struct_hash(*fields) for fields in orders]
        levels = bulk_levels(hashes)
        signer = self._signers.recover_root(bulk_digest(self._separator, levels[-1][0]), signature)
        for position, (owner, terms, price, size, _, _, _, expiry) in enumerate(orders):
            reason = self._cheap_refusal(owner, terms, price, size, expiry, seconds)
            reason = reason or self._signer_refusal(owner, signer)
            if reason or signer is None or signer == owner:
                request.local[position] = refused(reason or RejectReason.WRONG_SIGNER)
                continue
            self._rooms[owner] -= 1
            at, kept = start + position * ORDER_FRAME_BYTES, join_levels(signature, levels, position)
            hashed = keccak(prefix + hashes[position])
            rows.append(b"".join((content[at : at + ORDER_FRAME_BYTES], kept, signer, hashed)))

    def _look_at_cancels(self, request: Request, rows: list[bytes]) -> None:
        """By session: of its own account only."""
        before = len(rows)
        try:
            account = request.peer.require_account()
            owner = from_hex(account)
            for (nonce,) in CANCEL.iter_unpack(request.content[HEAD.size :]):
                self._ingress.take_cancel(account)
                rows.append(cancel_row(owner, nonce))
        except ApiError as error:
            del rows[before:]
            request.local = dict.fromkeys(range(request.count), refused(error.code))

    def _cheap_refusal(
        self, owner: bytes, terms: bytes, price: bytes, size: bytes, expiry: bytes, seconds: bytes
    ) -> str:
        """What needs no cryptography; "" if there is nothing against the order. Numbers of 8 bytes compare like their
        bytes; `seconds` is the time."""
        room = self._rooms.get(owner)
        if room is None:
            room = self._rooms[owner] = self._opened[owner] = self._room(owner)
        if room < 0:
            return RejectReason.INSUFFICIENT_BALANCE
        if terms not in self._terms and (reason := self._judge(terms)):
            return reason
        if _NEVER != expiry <= seconds:
            return RejectReason.EXPIRED
        if price == _NOTHING:
            return RejectReason.INVALID_PRICE
        if size == _NOTHING:
            return RejectReason.INVALID_SIZE
        if room:
            return ""
        self._ingress.note_no_room(self._accounts[owner], self._now)
        return Code.RATE_LIMITED

    def _room(self, owner: bytes) -> int:
        account = self._accounts.get(owner) or self._find_account(owner)
        return self._ingress.account_room(account, self._now) if account else -1

    def _signer_refusal(self, owner: bytes, signer: bytes | None) -> str:
        if signer is None:
            return Code.INVALID_SIGNATURE
        if signer != owner and to_address(signer) not in self._model.agents.get(self._accounts[owner], ()):
            return RejectReason.WRONG_SIGNER
        return ""

    def _find_account(self, owner: bytes) -> Address | None:
        """Only accounts that have money here are kept, so that strangers cost nothing."""
        account = to_address(owner)
        if account not in self._model.accounts:
            return None
        self._accounts[owner] = account
        return account

    def _judge(self, terms: bytes) -> str:
        """Whether there is such a market, and such a kind of order. Kept while the market stays; the engine decides."""
        try:
            _, market, *_ = unpack_terms(terms)
        except ValueError:
            return RejectReason.INVALID_PARAMETER
        if market not in self._model.markets:
            return RejectReason.UNKNOWN_MARKET
        if len(self._terms) < TERMS_MAX:
            self._terms.add(terms)
        return ""

    # --- to the sequencer, and back ---

    def _submit(self, submission: Submission, *, is_bulk: bool) -> None:
        requests, rows = submission
        if not requests:
            return
        if not rows:
            self._answer(requests, b"", b"")
            return
        self._unanswered += len(rows)
        try:
            self._upstream.submit_rows(b"".join(rows), partial(self._deliver, requests, rows), is_bulk=is_bulk)
        except NotSubmitted:
            self._unanswered -= len(rows)
            self._answer(requests, refused(Code.UNAVAILABLE) * len(rows), b"")

    def _deliver(
        self, requests: list[Request], rows: list[bytes], results: bytes, attestation: bytes, error: HooatsError | None
    ) -> None:
        self._unanswered -= len(rows)
        self._schedule_rest()
        if error is not None:
            results = UNKNOWN * len(rows)
        else:
            self._remember(rows, results)
        self._answer(requests, results, attestation)

    def _answer(self, requests: list[Request], results: bytes, attestation: bytes) -> None:
        """All that goes to one connection goes at once."""
        self._count(results)
        start, replies = 0, dict[Peer, list[bytes]]()
        for request in requests:
            stop = start + request.fresh * RESULT_BYTES
            own = results[start:stop]
            start = stop
            is_attested = request.kind != MessageKind.CANCELS and 0 in own[_REPLAYED_AT::RESULT_BYTES]
            if request.local:
                for local in request.local.values():
                    self._count(local)
                own = _woven(own, request.local, request.count)
            head = HEAD.pack(VERSION, MessageKind.RESULTS, request.count, request.number)
            message = b"".join((head, own, attestation if is_attested else b""))
            replies.setdefault(request.peer, []).append(message)
        for peer, messages in replies.items():
            peer.reply(messages)

    def _remember(self, rows: list[bytes], results: bytes) -> None:
        """First results of orders that were signed one by one."""
        if len(rows[0]) != SIGNED_FRAME.size or rows[0][TERMS] == CANCEL_TERMS:
            return
        answered = Answered([row[-32:] for row in rows], rows, results)
        self._results.update(dict.fromkeys(answered.digests, answered))
        self._oldest.append(answered)
        self._remembered += len(rows)
        while self._remembered > FIRST_RESULTS_MAX:
            oldest = self._oldest.popleft()
            self._remembered -= len(oldest.rows)
            for hashed in oldest.digests:
                if self._results.get(hashed) is oldest:
                    del self._results[hashed]

    def _first_result(self, hashed: bytes, signature: bytes) -> bytes:
        """Of the very same request, marked as such; empty if another signature came with it."""
        digests, rows, results = self._results[hashed]
        at = digests.index(hashed)
        if rows[at][ORDER_FRAME_BYTES : ORDER_FRAME_BYTES + SIGNATURE_BYTES] != signature:
            return b""
        result = results[at * RESULT_BYTES : (at + 1) * RESULT_BYTES]
        return b"".join((result[:_REPLAYED_AT], b"\x01", result[_REPLAYED_AT + 1 :]))

    def _count(self, results: bytes) -> None:
        statuses, orders = results[_STATUS_AT::RESULT_BYTES], self._metrics.orders
        rejected = statuses.count(STATUSES["rejected"])
        if rejected:
            reasons = results[_REASON_AT::RESULT_BYTES]
            for status, reason in zip(statuses, reasons, strict=True):
                if status == STATUSES["rejected"]:
                    orders.labels(_REASON_WORDS[reason]).inc()
        if len(statuses) > rejected:
            self._accepted.inc(len(statuses) - rejected)

    def _start_cancel_all(self, request: Request) -> None:
        account = request.peer.require_account()
        if request.count != 1:
            raise ApiError(Code.TOO_MANY_ORDERS, "one market, or 0 for all, in one message")
        self._ingress.take_cancel(account)
        (market,) = CANCEL_ALL.unpack_from(request.content, HEAD.size)
        answer = self._cancel_all(CancelAll(account, market, 0, account))
        request.fresh = 1

        def deliver(done: "asyncio.Future[bytes]") -> None:
            if not done.cancelled():
                self._answer([request], done.result(), b"")

        answer.add_done_callback(deliver)


def _head(content: bytes) -> tuple[int, int, int, int]:
    if len(content) < HEAD.size:
        raise ApiError("MALFORMED", f"a message of {len(content)} bytes has no head")
    version, kind, count, number = HEAD.unpack_from(content)
    return version, kind, count, number


def _woven(results: bytes, local: dict[int, bytes], count: int) -> bytes:
    """The results of all items, those that went no further in their places."""
    fresh = (results[start : start + RESULT_BYTES] for start in range(0, len(results), RESULT_BYTES))
    return b"".join(local[position] if position in local else next(fresh) for position in range(count))


def fault(number: int, error: ApiError) -> bytes:
    """The message with this id was not understood, or not taken."""
    words = error.message.encode()[:200]
    head = HEAD.pack(VERSION, MessageKind.FAULT, 1, number)
    return head + bytes((REASONS.get(error.code, REASONS["MALFORMED"]),)) + words
