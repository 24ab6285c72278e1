"""Which logs of Vault and Settlement are final: reads them, proves that none is missing, hands them to the inbox.

Invariants:
- the inbox gets logs in the contracts' own event sequence, without a gap, each once;
- its block cursor moves only to a block at which the Vault itself said how many events there were, and the inbox holds
  them all: a node that omits a log cannot make this program believe that there was none;
- a block is final with `confirmations` blocks on top of it, and its hash is looked up again then;
- a log that is in the inbox and no longer on the chain halts (`ReorgBeyondInbox`);
- however many logs strangers put into a range of blocks, it is asked for in parts until an answer holds them.

How: each look asks for the head and for `Vault.reconcile([], [])`, whose answer (block number, event sequence) becomes
a *sighting*. When a sighting's block is final, its sequence says whether there is anything to fetch since the last one:
an idle venue costs no eth_getLogs at all. `chain_logs` keeps what was fetched and may be rewritten; the inbox never is.
"""

from collections.abc import Sequence
from typing import NamedTuple

import structlog

from offchain.chain import rpc as questions
from offchain.chain.contracts import Vault, decode_reconciliation
from offchain.chain.logs import LogDecoder
from offchain.chain.replies import Header, RawLog
from offchain.chain.rpc import AskedTooMuch, Query, Rpc, RpcRefused
from offchain.domain.chainlog import AnyChainLog
from offchain.domain.errors import BlockTooLarge, ChainError, ChainUnreachable, ReorgBeyondInbox
from offchain.domain.units import Address
from offchain.storage.ops import Ops, SeenLog

RANGE_BLOCKS_MAX = 50
"""HyperEVM's limit of one eth_getLogs."""
WINDOWS_PER_LOOK = 20
"""A long way behind, this many windows are fetched before the next look at the head."""
REORG_BLOCKS_MAX = 128
HALT_LOOKS = 3
"""So many looks in a row must find a final log gone before that is believed: one node alone may be on a fork."""
DEEP_LOOKS = 3
"""After so many vain looks above the cursor, a missing log is looked for below it."""
SIGHTINGS_MAX = 256

_log = structlog.get_logger()


class Inconsistent(ChainError):
    """A node contradicts itself or another one: ask again, preferably another one."""


class Sighting(NamedTuple):
    """The Vault had taken `sequence` event numbers when `block` was the head. `hash` is "" if it is not known."""

    block: int
    hash: str
    sequence: int


class Progress(NamedTuple):
    """What one look achieved. `final_block` and `sequence` are those of the inbox; caught up: nothing final remains."""

    head: int
    final_block: int
    sequence: int
    appended: int
    is_caught_up: bool


class Watcher:
    """One deployment on one chain. One process per ops database (see keepers/lease.py)."""

    def __init__(
        self,
        rpc: Rpc,
        ops: Ops,
        vault: Address,
        settlement: Address,
        *,
        first_block: int = 0,
        confirmations: int = 1,
        range_blocks: int = RANGE_BLOCKS_MAX,
    ) -> None:
        assert confirmations >= 1 and range_blocks >= 1
        self._rpc, self._ops = rpc, ops
        self._vault = vault
        self._decoder = LogDecoder(vault, settlement)
        self._confirmations = confirmations
        self._first_block = first_block
        self._range = self._range_max = range_blocks
        self._sightings: list[Sighting] = []
        self._scanned = 0
        self._misses = 0
        self._gone_looks = 0
        self._cursor_header = ops.head(ops.inbox_block()[0])
        self.reorgs = 0
        self.range_halvings = 0

    async def look(self) -> Progress:
        """One step. `Inconsistent` and other ChainErrors: nothing was lost, look again; `ReorgBeyondInbox` and
        `BlockTooLarge`: halt."""
        head = await self._look_at_head()
        cursor, _ = self._ops.inbox_block()
        before = self._ops.last_event()
        target = self._next_sighting(head, cursor)
        if target is None:
            return Progress(head.number, cursor, before, 0, True)
        header = await self._confirm(target, cursor)
        is_done = header is not None and (target.sequence <= before or await self._fetch_to(target, header))
        if is_done and header is not None:
            self._finish(target, header)
        block, sequence = self._ops.inbox_block()[0], self._ops.last_event()
        return Progress(head.number, block, sequence, sequence - before, is_done)

    # --- the head ---

    async def _look_at_head(self) -> Header:
        glance = questions.call(self._vault, Vault.reconcile.encode([], []))
        query = Query(glance.method, glance.params, lambda value: decode_reconciliation(glance.parse(value)))
        head, seen = await self._rpc.read_both(questions.latest_header(), query)
        known = self._ops.head()
        if known is not None and head.number < known.number - REORG_BLOCKS_MAX:
            self._rpc.distrust("far behind")
            raise Inconsistent(f"the head is {head.number}, and was {known.number}")
        if known is None or (known.number, known.hash) != (head.number, head.hash):
            self._ops.record_head(head.number, head.hash, head.parent, head.time)
        block = min(seen.block_number, head.number)
        block_hash = head.hash if block == head.number else ""
        last = self._sightings[-1] if self._sightings else None
        if last is not None and last.block == block and last.hash != block_hash:
            self._sightings.pop()
            last = None
        if last is None or block > last.block:
            self._sightings.append(Sighting(block, block_hash, seen.sequence))
            del self._sightings[:-SIGHTINGS_MAX]
        return head

    def _next_sighting(self, head: Header, cursor: int) -> Sighting | None:
        """The newest sighting that is final and above the cursor; older ones are not needed any more."""
        final = [
            sighting for sighting in self._sightings if cursor < sighting.block <= head.number - self._confirmations
        ]
        if not final:
            return None
        self._sightings = [sighting for sighting in self._sightings if sighting.block >= final[-1].block]
        return final[-1]

    async def _confirm(self, target: Sighting, cursor: int) -> Header | None:
        """The target's header, if it is still the block that was seen and the cursor's block its ancestor."""
        known = self._cursor_header
        if known is None:
            await self._check_last_log()
        if known is None or target.block == cursor + 1:
            header, below = await self._rpc.read(questions.header_at(target.block)), None
        else:
            header, below = await self._rpc.read_both(
                questions.header_at(target.block), questions.header_at(known.number)
            )
        if header is None or header.number != target.block:
            self._rpc.distrust("lags")
            raise Inconsistent(f"a node does not have block {target.block} that was seen")
        ancestor = header.parent if target.block == cursor + 1 else below and below.hash
        if known is not None and ancestor != known.hash:
            await self._rewind(known.number)
            return None
        self._gone_looks = 0
        if target.hash not in ("", header.hash):
            _log.warning("reorg", block=target.block, was=target.hash, now=header.hash)
            self._start_again(cursor)
            return None
        return header

    async def _rewind(self, cursor: int) -> None:
        """The cursor's own block is another one now. Unless a log of the inbox went with it, that changes nothing."""
        header = await self._rpc.read(questions.header_at(cursor))
        if header is None:
            raise Inconsistent(f"a node does not have block {cursor} that was final")
        await self._check_last_log()
        restart = self._restart_block()
        _log.warning("reorg_below_cursor", block=cursor, now=header.hash, last_log_block=restart)
        self._start_again(restart)
        self._ops.record_head(header.number, header.hash, header.parent, header.time)
        self._cursor_header = self._ops.head(cursor)
        self._misses = DEEP_LOOKS

    async def _check_last_log(self) -> None:
        """The block of the inbox's last log must still be there: then all before it are, too."""
        block = self._restart_block()
        stored = self._ops.logs_between(block, block)
        if not stored:
            return
        header = await self._rpc.read(questions.header_at(block))
        if header is not None and header.hash == stored[0].block_hash:
            return
        self._gone_looks += 1
        self._rpc.distrust("has other final blocks")
        if self._gone_looks < HALT_LOOKS:
            raise Inconsistent(f"a node has another block {block} than the one whose logs are in the ledger")
        raise ReorgBeyondInbox(
            f"block {block}, whose logs are in the ledger, is no longer on the chain",
            remedy="Halt. Compare nodes: if the chain itself went back, the ledger must be rebuilt",
        )

    def _start_again(self, block: int) -> None:
        """Forgets what was seen above a block."""
        self.reorgs += 1
        self._sightings.clear()
        self._ops.forget_above(block)
        self._scanned = min(self._scanned, block)

    # --- logs ---

    async def _fetch_to(self, target: Sighting, header: Header) -> bool:
        """Fetches until the target's block; False if it is still some windows away."""
        first = self._first_to_fetch()
        for _ in range(WINDOWS_PER_LOOK):
            if first > target.block:
                break
            last = min(target.block, first + self._range - 1)
            raw = await self._logs_of(first, last)
            if raw is None:
                return False  # a look is short, so that the lease is looked at meanwhile
            seen = await self._decode(raw, header)
            self._ops.replace_logs(first, last, seen)
            self._scanned, first = last, last + 1
            self._append()
        if self._ops.last_event() >= target.sequence:
            self._misses = 0
            return True
        if first <= target.block:
            return False
        # The range is scanned and logs are missing: a node omitted them, now or (worse) below the cursor.
        self._misses += 1
        self._scanned = 0 if self._misses < DEEP_LOOKS else self._restart_block() - 1
        self._rpc.distrust("omitted a log")
        raise Inconsistent(
            f"logs {self._ops.last_event() + 1} to {target.sequence} are missing up to block {target.block}"
        )

    def _first_to_fetch(self) -> int:
        if self._misses >= DEEP_LOOKS:
            return max(self._first_block, self._scanned + 1)
        return max(self._first_block, self._restart_block(), self._ops.inbox_block()[0] + 1, self._scanned + 1)

    def _restart_block(self) -> int:
        """Where to look again for a missing log: it cannot be below the last one that is in the inbox."""
        last = self._ops.last_event()
        rows = self._ops.inbox_after(last - 1) if last else []
        return rows[-1].block_number if rows else self._first_block

    async def _logs_of(self, first: int, last: int) -> list[RawLog] | None:
        """None if the range was refused, or its logs are too many for one answer, and it is shorter now."""
        try:
            found = await self._rpc.read(questions.logs_of(self._decoder.addresses, first, last))
        except (RpcRefused, AskedTooMuch) as error:
            if first == last:
                raise error if isinstance(error, RpcRefused) else _block_failure(first, error) from None
            self._range = (last - first + 1) // 2
            self.range_halvings += 1
            return None
        self._range = min(self._range_max, self._range + 1)
        if any(not first <= raw.block_number <= last or raw.address not in self._decoder.addresses for raw in found):
            self._rpc.distrust("logs that were not asked for")
            raise Inconsistent("a node answered with logs that were not asked for")
        return found

    async def _decode(self, raw: Sequence[RawLog], target: Header) -> list[SeenLog]:
        """Decoded logs in the order of the chain, each checked against the header of its block."""
        headers = {target.number: target}
        wanted = sorted({log.block_number for log in raw} - {target.number})
        for start in range(0, len(wanted), RANGE_BLOCKS_MAX):
            part = wanted[start : start + RANGE_BLOCKS_MAX]
            answers = await self._rpc.read_all([questions.header_at(number) for number in part])
            for number, answer in zip(part, answers, strict=True):
                if answer is None or isinstance(answer, RpcRefused) or answer.number != number:
                    raise Inconsistent(f"a node does not have block {number}, of which it gave logs")
                headers[number] = answer
        seen: dict[tuple[int, int], SeenLog] = {}
        for log in raw:
            if headers[log.block_number].hash != log.block_hash:
                raise Inconsistent(f"logs of another block {log.block_number} than the chain has")
            decoded = self._decoder.decode(log, headers[log.block_number].time)
            if decoded is not None:
                place = log.block_number, log.log_index
                seen[place] = SeenLog(log.block_number, log.log_index, log.block_hash, decoded)
        return [seen[place] for place in sorted(seen)]

    def _append(self) -> None:
        """Moves what continues the inbox's sequence from chain_logs to the inbox, block by block."""
        last = self._ops.last_event()
        cursor, cursor_time = self._ops.inbox_block()
        pending = [seen.log for seen in self._ops.logs_between(self._restart_block(), self._scanned)]
        sequences = [log.event_sequence for log in pending]
        if sequences != sorted(set(sequences)):
            self._start_again(self._restart_block())
            raise Inconsistent("logs whose event sequence does not ascend with their place in the chain")
        following: list[AnyChainLog] = []
        for log in pending:
            if log.event_sequence == last + 1 + len(following):
                following.append(log)
        if following:
            self._ops.append_inbox(following, cursor, cursor_time)

    def _finish(self, target: Sighting, header: Header) -> None:
        """Every log up to the target's block is in the inbox: the cursor may say so."""
        self._ops.record_head(header.number, header.hash, header.parent, header.time)
        self._ops.append_inbox([], header.number, header.time)
        self._cursor_header = self._ops.head(header.number)
        self._scanned = max(self._scanned, header.number)
        self._sightings = [sighting for sighting in self._sightings if sighting.block > header.number]


def _block_failure(block: int, error: AskedTooMuch) -> ChainError:
    """The logs of one block alone cannot be had, and there is no less to ask for. Waiting helps if it took too long."""
    if error.is_too_large:
        remedy = "Halt. No block can log so much: name another node with --rpc, and start again"
        return BlockTooLarge(f"the logs of block {block} alone are too large ({error.message})", remedy=remedy)
    return ChainUnreachable(f"the logs of block {block} alone: {error.message}", remedy=error.remedy)
