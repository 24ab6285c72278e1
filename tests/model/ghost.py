"""Books in dictionaries: it decides nothing, and enters what the contracts logged and what the engine matched.

Obviously right, one line for each happening. The numbers I1 to I9 are those of docs/audit/invariants.md, said of the
engine's ledger: after every command it must hold what the ghost holds, and nothing that happened may break a law.
"""

from collections.abc import Sequence
from typing import Any

from scene import BASE, BASE_ATOMS, FEES, QUOTE, QUOTE_ATOMS, TREASURY

from offchain.domain import chainlog as c
from offchain.domain import event as ev
from offchain.domain.command import Command, ObserveLog
from offchain.domain.event import AnyEvent
from offchain.engine.engine import Engine

Key = tuple[Any, Any]
"""(account, token)"""


class Ghost:
    def __init__(self) -> None:
        self.settled: dict[Key, int] = {}
        self.requests: dict[Key, int] = {}
        self.outside: dict[Any, int] = {QUOTE: 0, BASE: 0}
        """Per token: deposits - withdrawals + minted - burned."""
        self.locked = 0
        self.index = 10**18
        self.orders: dict[str, ev.OrderAccepted] = {}
        self.filled: dict[str, int] = {}
        self.closed: set[str] = set()
        self.undecided: dict[int, list[tuple[Key, int]]] = {}
        """What each fill moves."""
        self.promised: dict[int, int] = {}
        """What the pair of an AMM fill is to give at least."""
        self.surplus: list[tuple[Key, int]] = []
        self.swapped: list[tuple[Any, int]] = []
        self.logs = self.decided = 0
        self.counts: dict[str, int] = {}

    def hear(self, command: Command, events: Sequence[AnyEvent], engine: Engine) -> None:
        """After each command; `engine` must be where the ghost gets to."""
        before, mine = dict(self.settled), set()
        if isinstance(command, ObserveLog):
            mine = self._log(command.log)
        for event in events:
            self._event(event)
        for key, amount in self.settled.items():
            # I6: who loses something has acted, or signed an order that was filled.
            assert amount >= before.get(key, 0) or key[0] in mine, (command, key)
        self._compare(engine)

    # --- the chain ---

    def _log(self, log: Any) -> set[Any]:
        """Returns the accounts that acted, or whose orders did."""
        assert log.event_sequence == self.logs + 1  # I7
        self.logs += 1
        self._count(type(log).__name__)
        match log:
            case c.Deposited() | c.SynthMinted():
                self._move(log.account, log.token, log.amount)
                self.outside[log.token] += log.amount
            case c.Withdrawn():
                self._move(log.account, log.token, -log.amount)
                if log.as_cxpt:
                    self._move(TREASURY, log.token, log.amount)
                else:
                    self.outside[log.token] -= log.amount
            case c.SynthBurned():
                self._move(log.account, log.token, -log.amount)
                self.outside[log.token] -= log.amount
            case c.CollateralLocked():
                self._move(log.account, QUOTE, -log.amount)
                self.locked += log.amount
            case c.CollateralUnlocked():
                self._move(log.account, QUOTE, log.amount)
                self.locked -= log.amount
            case c.LossDeclared():
                assert log.index == self.index > log.new_index  # I2
                self.index = log.new_index
            case c.AmmLegSettled():
                self._leg(log)
            case c.BatchSettled():
                return self._batch(log)
            case c.WithdrawalRequested():
                self.requests[log.account, log.token] = log.amount
            case c.WithdrawalRequestCancelled():
                del self.requests[log.account, log.token]
        if isinstance(log, c.Withdrawn | c.CollateralLocked | c.SynthBurned):
            token = QUOTE if isinstance(log, c.CollateralLocked) else log.token
            self.requests[log.account, token] = log.request_remaining
        return {getattr(log, "account", None)}

    def _leg(self, log: c.AmmLegSettled) -> None:
        """Booked with the batch, whose log follows."""
        inside, outside = (QUOTE, BASE) if log.is_buy else (BASE, QUOTE)
        taker = self.undecided[log.fill][0][0][0]
        assert log.amount_out >= self.promised[log.fill]  # I5
        self.surplus.append(((taker, outside), log.amount_out - self.promised[log.fill]))
        self.swapped += [(inside, -log.amount_in), (outside, log.amount_out)]

    def _batch(self, log: c.BatchSettled) -> set[Any]:
        assert log.first == self.decided + 1  # I7
        self.decided = log.last
        refused, parties = {log.first + offset for offset, _ in log.refusals}, set()
        before = dict(self.settled)
        for fill in range(log.first, log.last + 1):
            for key, amount in self.undecided.pop(fill):
                if fill not in refused:
                    self._move(*key, amount)
                    parties.add(key[0])
            self._count("refused" if fill in refused else "settled")
        for key, amount in self.surplus:
            self._move(*key, amount)
        for token, amount in self.swapped:
            self.outside[token] += amount
        self.surplus.clear()
        self.swapped.clear()
        changes = {key: amount - before.get(key, 0) for key, amount in self.settled.items()}
        told = {(account, token): delta for token, account, delta in log.changes or ()}
        assert told == {key: delta for key, delta in changes.items() if delta}
        return parties

    def _move(self, account: Any, token: Any, amount: int) -> None:
        self.settled[account, token] = self.settled.get((account, token), 0) + amount

    # --- what is matched ---

    def _event(self, event: AnyEvent) -> None:
        match event:
            case ev.OrderAccepted():
                assert event.digest not in self.orders
                self.orders[event.digest], self.filled[event.digest] = event, 0
            case ev.OrderClosed():
                assert self.filled[event.digest] == event.filled_lots
                self.closed.add(event.digest)
            case ev.FillMatched():
                self._fill(event)
            case ev.AmmFillMatched():
                self._amm_fill(event)

    def _take(self, digest: str, lots: int, price: int) -> ev.OrderAccepted:
        """I4, I5, I8: an order that is open takes part, up to its size, within its limit."""
        order = self.orders[digest]
        assert digest not in self.closed
        self.filled[digest] += lots
        assert lots > 0 and self.filled[digest] <= order.size_lots
        assert price <= order.price_ticks if order.side == 0 else price >= order.price_ticks
        return order

    def _fill(self, event: ev.FillMatched) -> None:
        maker = self._take(event.maker_digest, event.size_lots, event.price_ticks)
        taker = self._take(event.taker_digest, event.size_lots, event.price_ticks)
        assert event.price_ticks == maker.price_ticks and maker.side != taker.side and maker.account != taker.account
        notional, atoms = event.price_ticks * event.size_lots * QUOTE_ATOMS, event.size_lots * BASE_ATOMS
        assert event.maker_fee + event.taker_fee >= 0
        moves = []
        for order, fee, ppm in ((maker, event.maker_fee, maker.maker_fee_ppm), (taker, event.taker_fee, None)):
            ppm = order.taker_fee_ppm if ppm is None else ppm
            assert 0 <= fee * 10**6 - notional * ppm < 10**6, "the ceiling"
            sign = 1 if order.side == 0 else -1
            moves += [((order.account, QUOTE), -sign * notional - fee), ((order.account, BASE), sign * atoms)]
        moves.append(((FEES, QUOTE), event.maker_fee + event.taker_fee))
        for token in (QUOTE, BASE):
            assert sum(amount for key, amount in moves if key[1] == token) == 0  # I3
        self.undecided[event.fill] = moves
        self._count("fill")

    def _amm_fill(self, event: ev.AmmFillMatched) -> None:
        order = self.orders[event.taker_digest]
        limit, atoms = order.price_ticks * event.size_lots * QUOTE_ATOMS, event.size_lots * BASE_ATOMS
        assert event.quote <= limit if order.side == 0 else event.quote >= limit  # I5
        self._take(event.taker_digest, event.size_lots, order.price_ticks)
        sign = 1 if order.side == 0 else -1
        quote, base = -sign * event.quote - event.taker_fee, sign * atoms
        moves = [((order.account, QUOTE), quote), ((order.account, BASE), base), ((FEES, QUOTE), event.taker_fee)]
        self.undecided[event.fill] = moves
        self.promised[event.fill] = atoms if order.side == 0 else event.quote
        self._count("amm")

    # --- laws ---

    def _compare(self, engine: Engine) -> None:
        if engine.venue is None:
            return
        pending: dict[Key, int] = {}
        for fill, moves in self.undecided.items():
            for key, amount in moves:
                # What a pair is to bring counts when it is there.
                if fill not in self.promised or amount < 0:
                    pending[key] = pending.get(key, 0) + amount
        for key, balance in engine.ledger.balances.items():
            found = (balance.settled, balance.pending, balance.requested)
            assert found == (self.settled.get(key, 0), pending.get(key, 0), self.requests.get(key, 0)), key
        for token, outside in self.outside.items():
            total = sum(amount for key, amount in self.settled.items() if key[1] == token)
            assert total + (self.locked if token == QUOTE else 0) == outside  # I1
        assert engine.batches.decided_fill == self.decided  # I7
        assert engine.last_event_sequence == self.logs

    def _count(self, what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1
