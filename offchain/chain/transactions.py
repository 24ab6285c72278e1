"""The life of one key's transactions: PLANNED, SIGNED (raw bytes kept), SENT, MINED, FINAL, or FAILED.

Invariants:
- signed bytes are in the ops database before any node sees them, so that a restart sends the very same bytes again;
- a nonce belongs to one row for ever; a row may have several signed versions, of which at most one can be mined, and
  the receipt of any of them counts;
- a row FAILS only when its nonce is used up on chain, finally: reverted, or by somebody else.
One process per key (see keepers/lease.py). Not decided here: what is worth sending, and what a revert means.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import structlog

from offchain.chain import rpc as questions
from offchain.chain.fees import FeePolicy, bumped_fees, first_fees
from offchain.chain.refusals import Refusal, classify
from offchain.chain.replies import Header, Receipt
from offchain.chain.rpc import Rpc, RpcRefused
from offchain.chain.signing import Fees, Signed, SigningKey
from offchain.domain.errors import ChainError
from offchain.domain.limits import BATCHES_IN_FLIGHT_MAX
from offchain.domain.units import Address, from_hex
from offchain.storage.ops import Ops
from offchain.storage.transactions import OPEN_STATES, Attempt, Transaction, TransactionState

FILLER_GAS = 21_000
LOST_NONCE_BLOCKS = 5
"""So many blocks may a receipt lag behind the nonce before another transaction is held to have used it."""
LOST_NONCE_LOOKS = 3
FILLER_JOB = "nonce"
FILLER_RAW_LENGTH_MAX = 400
"""Hex digits; a transaction with calldata worth sending is longer."""

_log = structlog.get_logger()


@dataclass
class Tally:
    """What a key's transactions came to since the process started; `spent_wei` as the receipts say."""

    final: int = 0
    reverted: int = 0
    lost: int = 0
    bumped: int = 0
    spent_wei: int = 0


class Chain(NamedTuple):
    """One look at the chain: the head, and how many transactions of the key are in its blocks."""

    head: Header
    mined: int


class Sender:
    """Sends the transactions of one key, and looks after them until they are final."""

    def __init__(
        self,
        rpc: Rpc,
        ops: Ops,
        key: SigningKey,
        *,
        keeper: str,
        fees: FeePolicy,
        confirmations: int = 1,
        in_flight_max: int = BATCHES_IN_FLIGHT_MAX,
        check_lease: Callable[[], None] = lambda: None,
        now: Callable[[], float] = time.time,
        tally: Tally | None = None,
    ) -> None:
        """`check_lease` raises if this process may not use the key any more; it is called before every signature."""
        self.address = key.address
        self.keeper = f"{keeper}:{key.address}"
        self._rpc, self._ops, self._key = rpc, ops, key
        self._fees, self._confirmations, self._in_flight_max = fees, confirmations, in_flight_max
        self._check_lease, self._now = check_lease, now
        self.tally = tally or Tally()
        self._broadcast_at: dict[int, float] = {}
        self._bump_now: set[int] = set()
        self._impossible: dict[int, str] = {}
        self._missing: dict[int, tuple[int, int]] = {}
        self._chain: Chain | None = None

    # --- what keepers ask ---

    def open(self) -> list[Transaction]:
        """Rows that are signed and not final, by nonce."""
        return [row for row in self._ops.transactions_of(self.keeper, OPEN_STATES) if row.nonce is not None]

    def room(self) -> int:
        """How many more may be in flight."""
        return max(0, self._in_flight_max - len(self.open()))

    @property
    def chain_time(self) -> int:
        """Time of the latest block that was seen, unix seconds; 0 before the first look."""
        return self._chain.head.time if self._chain is not None else 0

    @property
    def chain_block(self) -> int:
        """Number of the latest block that was seen; 0 before the first look."""
        return self._chain.head.number if self._chain is not None else 0

    async def start(self) -> None:
        """Reconciles the rows with the chain. To be called once the lease is held; may be repeated."""
        for row in self._ops.transactions_of(self.keeper, (TransactionState.PLANNED,)):
            self._ops.failed(row.id, "never signed", self._millis())
        await self.advance()

    async def send(
        self, job: str, target: Address, calldata: bytes, gas: int, revision: int | None = None
    ) -> Transaction | None:
        """Plans, signs, keeps and sends, unless the job has a transaction already, which is then returned.

        None if it cannot be sent now: too many in flight, or the base fee is above the cap.
        """
        known = self._ops.transaction_of(job)
        if known is not None and known.state is TransactionState.PLANNED:
            self._ops.failed(known.id, "never signed", self._millis())
        elif known is not None and known.state is not TransactionState.FAILED:
            return known
        chain = self._chain or await self._look()
        fees = first_fees(self._fees, chain.head.base_fee)
        if fees is None:
            _log.warning("fee_cap", base_fee=chain.head.base_fee, cap=self._fees.cap)
            return None
        if self.room() == 0:
            return None
        row = self._ops.plan(job, self.keeper, target, "0x" + calldata.hex(), gas, self._millis())
        nonce = max(chain.mined, self._ops.next_nonce(self.keeper))
        self._check_lease()
        signed = self._key.sign(nonce, target, calldata, gas, fees)
        row = self._keep(row.id, nonce, signed, fees, revision)
        await self._broadcast(row, signed.raw)
        return self._ops.transaction(row.id)

    def withdraw(self, id: int, reason: str) -> None:
        """The row is not worth sending any more: unless a block takes it first, nothing is sent to ourselves at its
        nonce, so that later ones need not wait, and the row FAILS for this reason. Its bytes are not sent again."""
        self._impossible.setdefault(id, reason)

    async def advance(self) -> list[Transaction]:
        """One look at the chain, and whatever it makes necessary. Returns the rows that became FINAL or FAILED."""
        chain = await self._look()
        rows = self.open()
        due = [row for row in rows if row.state is TransactionState.MINED or _nonce(row) < chain.mined]
        versions = {row.id: self._ops.attempts(row.id) for row in due}
        receipts = await self._receipts([version.hash for row in due for version in versions[row.id]])
        ended = []
        for row in due:
            changed = self._settle(chain, row, versions[row.id], receipts)
            if changed is not None:
                self._forget(row.id)
                ended.append(changed)
        waiting = [row for row in self.open() if _nonce(row) >= chain.mined and row.state is not TransactionState.MINED]
        await self._fill_gap(chain, waiting)
        for row in waiting:
            await self._push(chain, row)
        return ended

    # --- receipts ---

    async def _look(self) -> Chain:
        head, count = await self._rpc.read_both(questions.latest_header(), questions.nonce_of(self.address))
        self._chain = Chain(head, count)
        return self._chain

    async def _receipts(self, hashes: Sequence[str]) -> dict[str, Receipt]:
        if not hashes:
            return {}
        answers = await self._rpc.read_all([questions.receipt_of(item) for item in hashes])
        found = {}
        for wanted, answer in zip(hashes, answers, strict=True):
            if isinstance(answer, RpcRefused):
                raise answer
            if answer is not None and answer.transaction == wanted:
                found[wanted] = answer
        return found

    def _settle(
        self, chain: Chain, row: Transaction, versions: Sequence[Attempt], receipts: dict[str, Receipt]
    ) -> Transaction | None:
        """The row after a look at its receipts; returned only if its life has ended."""
        now = self._millis()
        receipt = next((receipts[version.hash] for version in versions if version.hash in receipts), None)
        if receipt is None:
            return self._without_receipt(chain, row)
        self._missing.pop(row.id, None)
        is_final = chain.head.number >= receipt.block_number + self._confirmations
        if is_final:
            self._count(receipt)
        version = next(version for version in versions if version.hash == receipt.transaction)
        if self._is_filler(row, version):
            return self._ops.failed(row.id, self._impossible.get(row.id, "withdrawn"), now) if is_final else None
        if not receipt.succeeded:
            return self._ops.failed(row.id, f"reverted in block {receipt.block_number}", now) if is_final else None
        if row.state is not TransactionState.MINED or row.block_hash != receipt.block_hash:
            self._ops.mined(row.id, receipt.transaction, receipt.block_number, receipt.block_hash, now)
        return self._ops.final(row.id, now) if is_final else None

    def _count(self, receipt: Receipt) -> None:
        self.tally.spent_wei += receipt.gas_used * receipt.gas_price
        if receipt.succeeded:
            self.tally.final += 1
        else:
            self.tally.reverted += 1

    def _without_receipt(self, chain: Chain, row: Transaction) -> Transaction | None:
        """Its block is gone, a node lags, or the nonce was used by another transaction: only time can tell."""
        if row.state is TransactionState.MINED:
            _log.warning("unmined", job=row.job, nonce=row.nonce, transaction=row.hash)
            self._ops.unmined(row.id, self._millis())
            self._broadcast_at.pop(row.id, None)
            return None
        since, looks = self._missing.get(row.id, (chain.head.number, 0))
        self._missing[row.id] = (min(since, chain.head.number), looks + 1)
        if looks < LOST_NONCE_LOOKS or chain.head.number < since + LOST_NONCE_BLOCKS + self._confirmations:
            return None
        self.tally.lost += 1
        _log.error("nonce_taken", job=row.job, nonce=row.nonce, address=self.address)
        return self._ops.failed(row.id, f"nonce {row.nonce} was used by another transaction", self._millis())

    # --- getting mined ---

    async def _push(self, chain: Chain, row: Transaction) -> None:
        """Sends again, or replaces, what waits for its block."""
        now = self._now()
        versions = self._ops.attempts(row.id)
        newest = versions[-1]
        since_broadcast = now - self._broadcast_at.get(row.id, 0)
        if row.id in self._impossible and not self._is_filler(row, newest):
            await self._replace_by_nothing(chain, row, newest)
            return
        age = now - newest.signed_at / 1000
        is_first = _nonce(row) == chain.mined
        is_late = is_first and age >= self._fees.bump_seconds
        is_cheap = newest.max_fee < chain.head.base_fee and age >= 1
        if (is_late or is_cheap or row.id in self._bump_now) and await self._bump(chain, row, newest):
            return
        if row.state is TransactionState.SIGNED or since_broadcast >= self._fees.resend_seconds:
            await self._broadcast(row, from_hex(newest.raw))

    async def _bump(self, chain: Chain, row: Transaction, newest: Attempt) -> bool:
        """A version at the same nonce that pays more; False if the cap does not allow one."""
        self._bump_now.discard(row.id)
        fees = bumped_fees(self._fees, chain.head.base_fee, Fees(newest.max_fee, newest.priority_fee))
        if fees is None:
            _log.warning("fee_cap_reached", job=row.job, nonce=row.nonce, max_fee=newest.max_fee, cap=self._fees.cap)
            return False
        self._check_lease()
        if self._is_filler(row, newest):
            signed = self._key.sign(_nonce(row), self.address, b"", FILLER_GAS, fees)
        else:
            signed = self._key.sign(_nonce(row), Address(row.target), from_hex(row.calldata), row.gas, fees)
        row = self._keep(row.id, _nonce(row), signed, fees, None)
        self.tally.bumped += 1
        _log.info("bumped", job=row.job, nonce=row.nonce, max_fee=fees.max_fee, transaction=signed.hash)
        await self._broadcast(row, signed.raw)
        return True

    async def _replace_by_nothing(self, chain: Chain, row: Transaction, newest: Attempt) -> None:
        """Later nonces wait behind it: nothing is sent to ourselves instead, for more than a node may have it for."""
        fees = first_fees(self._fees, chain.head.base_fee)
        if row.state is TransactionState.SENT:
            fees = bumped_fees(self._fees, chain.head.base_fee, Fees(newest.max_fee, newest.priority_fee)) or fees
        if fees is not None:
            self._check_lease()
            signed = self._key.sign(_nonce(row), self.address, b"", FILLER_GAS, fees)
            await self._broadcast(self._keep(row.id, _nonce(row), signed, fees, None), signed.raw)

    async def _fill_gap(self, chain: Chain, waiting: Sequence[Transaction]) -> None:
        """Nonces below our first waiting one that the chain does not have (any more): they hold up the rest.

        A final transaction whose block is gone after all is sent again; a foreign one is replaced by nothing.
        """
        if not waiting or _nonce(waiting[0]) <= chain.mined:
            return
        gap = _nonce(waiting[0]) - chain.mined
        if gap > BATCHES_IN_FLIGHT_MAX:
            # We never had so many open: one reply is wrong, and filling the gap would sign without end.
            raise ChainError(f"the node says that {chain.mined} nonces are used, we wait with {_nonce(waiting[0])}")
        lost = {
            row.nonce: row
            for row in self._ops.transactions_of(self.keeper, (TransactionState.FINAL, TransactionState.FAILED))
            if row.nonce is not None and row.nonce >= chain.mined and row.raw
        }
        for nonce in range(chain.mined, _nonce(waiting[0])):
            _log.error("nonce_gap", nonce=nonce, address=self.address, known=nonce in lost)
            if nonce in lost:
                await self._submit(from_hex(lost[nonce].raw), nonce)
                continue
            fees = first_fees(self._fees, chain.head.base_fee)
            if fees is not None:
                job = f"{FILLER_JOB}:{self.address}:{nonce}"
                row = self._ops.plan(job, self.keeper, self.address, "0x", FILLER_GAS, self._millis())
                self._check_lease()
                signed = self._key.sign(nonce, self.address, b"", FILLER_GAS, fees)
                await self._broadcast(self._keep(row.id, nonce, signed, fees, None), signed.raw)

    async def _broadcast(self, row: Transaction, raw: bytes) -> None:
        """Hands the bytes to a node. Whatever happens, the row and its bytes stay."""
        self._check_lease()
        self._broadcast_at[row.id] = self._now()
        refusal, words = await self._submit(raw, row.nonce)
        if refusal in (None, Refusal.KNOWN):
            if row.state in (TransactionState.SIGNED, TransactionState.SENT):
                self._ops.sent(row.id, self._millis())
            return
        if refusal is Refusal.UNDERPRICED:
            self._bump_now.add(row.id)
        elif refusal is Refusal.IMPOSSIBLE:
            self._impossible.setdefault(row.id, f"no node takes it: {words}")

    async def _submit(self, raw: bytes, nonce: int | None) -> tuple[Refusal | None, str]:
        try:
            await self._rpc.send_raw(raw)
        except RpcRefused as refused:
            refusal = classify(refused)
            if refusal is not Refusal.KNOWN:
                _log.warning("refused", nonce=nonce, refusal=str(refusal), reason=refused.reason)
            return refusal, refused.reason
        except ChainError as error:
            _log.warning("outcome_unknown", nonce=nonce, reason=error.message)
            return Refusal.UNKNOWN, error.message
        return None, ""

    # --- the rows ---

    def _keep(self, id: int, nonce: int, signed: Signed, fees: Fees, revision: int | None) -> Transaction:
        return self._ops.sign(
            id, nonce, "0x" + signed.raw.hex(), signed.hash, fees.max_fee, fees.priority_fee, self._millis(), revision
        )

    def _is_filler(self, row: Transaction, version: Attempt) -> bool:
        """True if this version does nothing: signing is deterministic, so nothing about it needs to be kept."""
        fees = Fees(version.max_fee, version.priority_fee)
        if len(version.raw) > FILLER_RAW_LENGTH_MAX:
            return False
        return self._key.sign(_nonce(row), self.address, b"", FILLER_GAS, fees).hash == version.hash

    def _forget(self, id: int) -> None:
        self._broadcast_at.pop(id, None)
        self._missing.pop(id, None)
        self._impossible.pop(id, None)
        self._bump_now.discard(id)

    def _millis(self) -> int:
        return int(self._now() * 1000)


def _nonce(row: Transaction) -> int:
    assert row.nonce is not None
    return row.nonce
