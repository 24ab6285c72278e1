"""The contracts as a model: what Vault and Settlement do to balances, with running balances in a dictionary.

Written from contracts/interfaces and Settlement's rules, not from the engine: the engine must end with these balances.
Signatures are not modelled; what would revert raises `Reverted`.
"""

from dataclasses import dataclass, field
from typing import Any

from offchain.domain.batch import SettlementBatch
from offchain.domain.chainlog import (
    AgentRegistered,
    AgentRevoked,
    AllOrdersCancelledOnChain,
    AmmLegSettled,
    AnyChainLog,
    BatchSettled,
    CollateralLocked,
    CollateralUnlocked,
    Deposited,
    LossDeclared,
    MarketListed,
    OrderCancelledOnChain,
    SynthBurned,
    SynthMinted,
    SynthRegistered,
    WithdrawalRequestCancelled,
    WithdrawalRequested,
    Withdrawn,
)
from offchain.domain.event import ApprovalGranted
from offchain.domain.limits import EXIT_DELAY_SECONDS, SETTLEMENT_WINDOW_SECONDS
from offchain.domain.order import Order

BALANCE, CANCELLED, EXPIRED, DEAD, OPERATOR, AMM, GROUP, TAKER = 1, 2, 3, 4, 5, 6, 7, 0x80
PAIR = 2**16 - 1
SEQUENCES = 2**48


class Reverted(Exception):
    """The transaction would revert: the operator's fault."""


@dataclass
class Slot:
    sequence: int = 0
    filled: int = 0
    cancels: list[tuple[int, int]] = field(default_factory=list)
    """(effective at, dead below)"""


@dataclass
class Request:
    amount: int
    matures_at: int


def fee_up(notional: int, ppm: int) -> int:
    """As in Solidity: two branches."""
    if ppm >= 0:
        return (notional * ppm + 999_999) // 1_000_000
    return -((notional * -ppm) // 1_000_000)


class Chain:
    """Vault, Settlement and a clock. `logs` are all events so far, in the global sequence."""

    def __init__(self, quote: Any, fees: Any, treasury: Any, time: int, is_packed: bool = False) -> None:
        """`is_packed`: fill-or-kill orders are settled whole, and a batch's log says what it changed."""
        self.quote, self.fees, self.treasury = quote, fees, treasury
        self.is_packed = is_packed
        self.time = time
        self.block = 1
        self.balances: dict[tuple[Any, Any], int] = {}
        self.requests: dict[tuple[Any, Any], Request] = {}
        self.locked: dict[Any, int] = {}
        """Positions; liquidation pays out of one account's into another's balance."""
        self.net_locked: dict[Any, int] = {}
        """Per account: locked from it less unlocked to it."""
        self.slots: dict[tuple[Any, int], Slot] = {}
        self.floors: dict[Any, list[tuple[int, int]]] = {}
        self.immediate: dict[Any, int] = {}
        self.used: set[int] = set()
        self.agents: dict[tuple[Any, Any], int] = {}
        """(account, agent): until when it binds"""
        self.unrevoked: set[tuple[Any, Any]] = set()
        self.index = 10**18
        self.markets: dict[int, tuple[Any, int, int]] = {}
        self.pairs: dict[Any, list[int]] = {}
        """Base token: reserves of base and quote, outside the Vault."""
        self.last_fill = 0
        self.outside: dict[Any, int] = {}
        """Per token: deposits - withdrawals + minted - burned."""
        self.logs: list[AnyChainLog] = []

    def _log(self, kind: Any, **fields: Any) -> None:
        number = len(self.logs) + 1
        place = {"event_sequence": number, "block_number": self.block, "block_time": self.time}
        self.logs.append(kind(**place, transaction=f"0x{number:064x}", **fields))

    def advance(self, seconds: int) -> None:
        self.time += seconds
        self.block += 1

    def balance(self, account: Any, token: Any) -> int:
        return self.balances.get((account, token), 0)

    def debitable(self, account: Any, token: Any) -> int:
        request, balance = self.requests.get((account, token)), self.balance(account, token)
        if request is None or self.time < request.matures_at:
            return balance
        return balance - min(balance, request.amount)

    def _move(self, account: Any, token: Any, amount: int) -> None:
        self.balances[account, token] = self.balance(account, token) + amount
        if self.balances[account, token] < 0:
            raise AssertionError("the model lost count")

    def _outside(self, token: Any, amount: int) -> None:
        self.outside[token] = self.outside.get(token, 0) + amount

    def _remaining(self, account: Any, token: Any) -> int:
        request = self.requests.get((account, token))
        return request.amount if request is not None else 0

    # --- Vault ---

    def deposit(self, account: Any, token: Any, amount: int) -> None:
        self._move(account, token, amount)
        self._outside(token, amount)
        self._log(Deposited, account=account, token=token, amount=amount, balance=self.balance(account, token))

    def request(self, account: Any, token: Any, amount: int) -> None:
        if (account, token) in self.requests or amount <= 0:
            raise Reverted("RequestPending")
        matures_at = self.time + EXIT_DELAY_SECONDS
        self.requests[account, token] = Request(amount, matures_at)
        fields = {"destination": account, "matures_at": matures_at}
        self._log(WithdrawalRequested, account=account, token=token, amount=amount, **fields)

    def cancel_request(self, account: Any, token: Any) -> None:
        if self.requests.pop((account, token), None) is None:
            raise Reverted("NoRequest")
        self._log(WithdrawalRequestCancelled, account=account, token=token)

    def withdraw(self, account: Any, amount: int, as_cxpt: bool) -> None:
        """Draws on a matured request of the settlement token."""
        request = self.requests.get((account, self.quote))
        if request is None or self.time < request.matures_at or not 0 < amount <= request.amount:
            raise Reverted("RequestNotMatured")
        if amount > self.balance(account, self.quote):
            raise Reverted("InsufficientBalance")
        request.amount -= amount
        if request.amount == 0:
            del self.requests[account, self.quote]
        self._pay(account, self.quote, amount, as_cxpt, 0)

    def complete(self, account: Any, token: Any) -> None:
        request = self.requests.get((account, token))
        if request is None or self.time < request.matures_at:
            raise Reverted("RequestNotMatured")
        amount = min(request.amount, self.balance(account, token))
        if amount == 0:
            raise Reverted("ZeroAmount")
        del self.requests[account, token]
        self._pay(account, token, amount, False, 0)

    def use_approval(self, granted: ApprovalGranted) -> None:
        """The countersigned debit: withdrawal, lock or burn."""
        if granted.nonce in self.used or self.time > granted.deadline:
            raise Reverted("DeadlinePassed")
        account, token, amount = granted.account, granted.token, granted.amount
        if amount > self.debitable(account, token):
            raise Reverted("InsufficientBalance")
        self.used.add(granted.nonce)
        remaining = self._remaining(account, token)
        if granted.purpose == "withdraw":
            self._pay(account, token, amount, granted.as_cxpt, granted.nonce)
            return
        self._move(account, token, -amount)
        fields = {"approval": granted.nonce, "request_remaining": remaining, "balance": self.balance(account, token)}
        if granted.purpose == "lock":
            self.locked[account] = self.locked.get(account, 0) + amount
            self.net_locked[account] = self.net_locked.get(account, 0) + amount
            self._log(CollateralLocked, account=account, amount=amount, **fields)
        else:
            self._outside(token, -amount)
            self._log(SynthBurned, token=token, account=account, amount=amount, **fields)

    def unlock(self, position: Any, account: Any, amount: int) -> None:
        """Out of a position into an account: its owner's, or a liquidator's."""
        if not 0 < amount <= self.locked.get(position, 0):
            raise Reverted("ExceedsPosition")
        self.locked[position] -= amount
        self.net_locked[account] = self.net_locked.get(account, 0) - amount
        self._move(account, self.quote, amount)
        self._log(CollateralUnlocked, account=account, amount=amount, balance=self.balance(account, self.quote))

    def mint(self, account: Any, token: Any, amount: int) -> None:
        self._move(account, token, amount)
        self._outside(token, amount)
        self._log(SynthMinted, token=token, account=account, amount=amount, balance=self.balance(account, token))

    def register(self, token: Any) -> None:
        self._log(SynthRegistered, token=token)

    def _pay(self, account: Any, token: Any, amount: int, as_cxpt: bool, approval: int) -> None:
        self._move(account, token, -amount)
        if as_cxpt:
            self._move(self.treasury, token, amount)
        else:
            self._outside(token, -amount)
        fields = {"as_cxpt": as_cxpt, "approval": approval, "destination": account}
        remaining, balance = self._remaining(account, token), self.balance(account, token)
        self._log(
            Withdrawn,
            account=account,
            token=token,
            amount=amount,
            balance=balance,
            request_remaining=remaining,
            **fields,
        )

    # --- Settlement ---

    def list_market(self, market: int, base: Any, base_atoms: int, quote_atoms: int, symbol: str) -> None:
        self.markets[market] = (base, base_atoms, quote_atoms)
        units = {"base_atoms_per_lot": base_atoms, "quote_atoms_per_tick_lot": quote_atoms}
        fields = {"base_decimals": 18, "quote_decimals": 6, "symbol": symbol}
        self._log(MarketListed, market=market, base_token=base, **units, **fields)

    def cancel(self, account: Any, nonce: int) -> None:
        effective_at = self.time + SETTLEMENT_WINDOW_SECONDS
        self._slot(account, nonce).cancels.append((effective_at, nonce % SEQUENCES + 1))
        self._log(OrderCancelledOnChain, account=account, nonce=nonce, effective_at=effective_at)

    def cancel_all(self, account: Any, floor: int) -> None:
        effective_at = self.time + SETTLEMENT_WINDOW_SECONDS
        self.floors.setdefault(account, []).append((effective_at, floor))
        self._log(AllOrdersCancelledOnChain, account=account, floor=floor, effective_at=effective_at)

    def register_agent(self, account: Any, agent: Any, seconds: int, notional: int, markets: tuple[int, ...]) -> None:
        if self.agents.get((account, agent), 0) > self.time:
            raise Reverted("AgentStillBinds")
        expiry = self.time + seconds
        self.agents[account, agent] = expiry + SETTLEMENT_WINDOW_SECONDS
        fields = {"expiry": expiry, "notional": notional, "markets": markets}
        self._log(AgentRegistered, account=account, agent=agent, **fields)
        self.unrevoked.add((account, agent))

    def revoke_agent(self, account: Any, agent: Any) -> None:
        if (account, agent) not in self.unrevoked:
            raise Reverted("NoAgent")
        effective_at = self.time + SETTLEMENT_WINDOW_SECONDS
        self.unrevoked.discard((account, agent))
        self.agents[account, agent] = min(self.agents[account, agent], effective_at)
        self._log(AgentRevoked, account=account, agent=agent, effective_at=effective_at)

    def declare_loss(self, percent: int) -> None:
        """Units stay, whatever they stand for."""
        fallen = self.index * (100 - percent) // 100
        self._log(LossDeclared, index=self.index, new_index=fallen, shortfall=percent)
        self.index = fallen

    def _slot(self, account: Any, nonce: int) -> Slot:
        return self.slots.setdefault((account, nonce // SEQUENCES), Slot())

    def settle(self, batch: SettlementBatch) -> None:
        """One transaction; the log names the refused fills."""
        if batch.first != self.last_fill + 1 or not batch.fills or len(batch.fills) > (100 if self.is_packed else 40):
            raise Reverted("NotConsecutive")
        orders = [signed.order for signed in batch.orders]
        used: dict[Any, int] = {}
        for order in orders:
            self._check_order(order, used)
        running = {
            (order.account, token): self.debitable(order.account, token)
            for order in orders
            for token in (self.quote, self.markets[order.market][0])
        }
        running.setdefault((self.fees, self.quote), self.debitable(self.fees, self.quote))
        before = dict(running)
        filled = [0] * len(orders)
        refusals = []
        quotes, legs = list(batch.amm_quotes), []
        grouped: dict[int, int] = {}
        for offset, fill in enumerate(batch.fills):
            reason = OPERATOR
            if offset in grouped:
                reason = grouped[offset]
            elif self._is_group(orders, fill):
                grouped = self._group(running, filled, orders, batch.fills, offset)
                reason = grouped[offset]
            elif fill.size_lots and fill.maker == PAIR:
                order, quote = orders[fill.taker], quotes.pop(0)
                if self.markets[order.market][0] in [self.markets[one.market][0] for _, one, _ in legs]:
                    raise Reverted("MalformedBatch")
                reason = self._amm_fill(running, filled, fill, order, quote)
                if not reason:
                    legs.append((batch.first + offset, order, quote))
            elif fill.size_lots:
                reason = self._fill(running, filled, orders, fill)
            if reason:
                refusals.append((offset, reason))
        if quotes:
            raise Reverted("MalformedBatch")
        start = dict(self.balances)
        for key, amount in running.items():
            self._move(*key, amount - before[key])
        for leg in sorted(legs, key=lambda leg: leg[1].side == 0):
            self._exchange(*leg)
        self.immediate.update(used)
        self.last_fill += len(batch.fills)
        moved = ((key, self.balance(*key) - start.get(key, 0)) for key in running)
        changes = tuple((token, account, delta) for (account, token), delta in moved if delta)
        fields = {"changes": changes} if self.is_packed else {}
        self._log(BatchSettled, first=batch.first, last=self.last_fill, refusals=tuple(refusals), **fields)

    def _is_group(self, orders: list[Order], fill: Any) -> bool:
        return bool(self.is_packed and fill.size_lots and fill.maker != PAIR and orders[fill.taker].time_in_force == 2)

    def _group(
        self, running: dict[Any, int], filled: list[int], orders: list[Order], fills: Any, start: int
    ) -> dict[int, int]:
        """The fills of a fill-or-kill order: all of them or none. Reasons by offset."""
        taker = fills[start].taker
        offsets = []
        for offset in range(start, len(fills)):
            if not fills[offset].size_lots or fills[offset].taker != taker:
                break
            offsets.append(offset)
        if sum(fills[offset].size_lots for offset in offsets) != orders[taker].size_lots:
            raise Reverted("Mismatched")
        kept = dict(running), list(filled), {key: (slot.sequence, slot.filled) for key, slot in self.slots.items()}
        for offset in offsets:
            reason = self._fill(running, filled, orders, fills[offset])
            if reason:
                running.update(kept[0])
                filled[:] = kept[1]
                for key, slot in self.slots.items():
                    slot.sequence, slot.filled = kept[2].get(key, (0, 0))
                return dict.fromkeys(offsets, GROUP) | {offset: reason}
        return dict.fromkeys(offsets, 0)

    def _check_order(self, order: Order, used: dict[Any, int]) -> None:
        is_immediate = order.time_in_force in (1, 2)
        slot, sequence = divmod(order.nonce, SEQUENCES)
        if order.market not in self.markets:
            raise Reverted("UnknownMarket")
        if (order.kind == 1 and not is_immediate) or is_immediate != (slot == 0):
            raise Reverted("MalformedOrder")
        if order.price_ticks <= 0 or order.size_lots <= 0:
            raise Reverted("MalformedOrder")
        if is_immediate:
            if sequence <= max(self.immediate.get(order.account, 0), used.get(order.account, 0)):
                raise Reverted("MalformedOrder: immediate sequence")
            used[order.account] = sequence

    def _fill(self, running: dict[Any, int], filled: list[int], orders: list[Order], fill: Any) -> int:
        maker, taker = orders[fill.maker], orders[fill.taker]
        base, base_atoms, quote_atoms = self.markets[maker.market]
        if maker.market != taker.market or maker.side == taker.side or maker.account == taker.account:
            raise Reverted("Mismatched")
        if maker.nonce < SEQUENCES or taker.flags & 5 or maker.flags & 4:
            raise Reverted("Mismatched")
        price = maker.price_ticks
        if price > taker.price_ticks if taker.side == 0 else price < taker.price_ticks:
            raise Reverted("LimitCrossed")
        rates = {id(maker): fill.maker_fee_ppm, id(taker): fill.taker_fee_ppm}
        if any(rates[id(order)] > min(order.max_fee_ppm, 10_000) for order in (maker, taker)):
            raise Reverted("FeeAboveCap")
        if fill.maker_fee_ppm + fill.taker_fee_ppm < 0:
            raise Reverted("FeeAboveCap")
        notional, atoms = price * fill.size_lots * quote_atoms, fill.size_lots * base_atoms
        for order, place, fault in ((maker, fill.maker, 0), (taker, fill.taker, TAKER)):
            need = (self.quote, notional + fee_up(notional, rates[id(order)])) if order.side == 0 else (base, atoms)
            reason = self._refusal(running, order, filled[place] + fill.size_lots, need)
            if reason:
                return reason | fault
        for order, place in ((maker, fill.maker), (taker, fill.taker)):
            fee, sign = fee_up(notional, rates[id(order)]), 1 if order.side == 0 else -1
            running[order.account, self.quote] -= sign * notional + fee
            running[order.account, base] += sign * atoms
            running[self.fees, self.quote] += fee
            if order.nonce >= SEQUENCES:
                slot, sequence = self._slot(order.account, order.nonce), order.nonce % SEQUENCES
                slot.filled = fill.size_lots + (slot.filled if slot.sequence == sequence else 0)
                slot.sequence = sequence
            else:
                filled[place] += fill.size_lots
        return 0

    # --- AMM ---

    def give(self, base: Any, amount: int, is_base_in: bool) -> int:
        """What the pair gives for so much, at most."""
        inside, out = self.pairs[base] if is_base_in else reversed(self.pairs[base])
        return amount * 997 * out // (inside * 1000 + amount * 997)

    def trade(self, base: Any, amount: int, is_base_in: bool) -> int:
        """Somebody trades with the pair, or the Vault does."""
        out = self.give(base, amount, is_base_in)
        into, outof = (0, 1) if is_base_in else (1, 0)
        self.pairs[base][into] += amount
        self.pairs[base][outof] -= out
        return out

    def _amm_fill(self, running: dict[Any, int], filled: list[int], fill: Any, order: Order, quote: int) -> int:
        base, base_atoms, quote_atoms = self.markets[order.market]
        if order.nonce >= SEQUENCES or not order.flags & 4 or fill.size_lots != order.size_lots or fill.maker_fee_ppm:
            raise Reverted("Mismatched")
        if not 0 <= fill.taker_fee_ppm <= min(order.max_fee_ppm, 10_000):
            raise Reverted("FeeAboveCap")
        limit, atoms = order.price_ticks * order.size_lots * quote_atoms, order.size_lots * base_atoms
        if quote > limit if order.side == 0 else quote < limit:
            raise Reverted("LimitCrossed")
        fee, is_buy = fee_up(quote, fill.taker_fee_ppm), order.side == 0
        reason = self._refusal(running, order, fill.size_lots, (self.quote, quote + fee) if is_buy else (base, atoms))
        if reason:
            return reason | TAKER
        given = self.give(base, quote if is_buy else atoms, not is_buy) if base in self.pairs else 0
        if given < (atoms if is_buy else quote):
            return AMM
        sign = 1 if is_buy else -1
        running[order.account, self.quote] -= sign * quote + fee
        running[order.account, base] += sign * atoms
        running[self.fees, self.quote] += fee
        filled[fill.taker] += fill.size_lots
        return 0

    def _exchange(self, number: int, order: Order, quote: int) -> None:
        """The promised amounts are in the balances already; the surplus follows."""
        base, base_atoms, _ = self.markets[order.market]
        is_buy, atoms = order.side == 0, order.size_lots * base_atoms
        inside, promised, token = (quote, atoms, base) if is_buy else (atoms, quote, self.quote)
        out = self.trade(base, inside, not is_buy)
        self._move(order.account, token, out - promised)
        self._outside(self.quote if is_buy else base, -inside)
        self._outside(token, out)
        fields = {"market": order.market, "fill": number, "is_buy": is_buy, "amount_in": inside, "amount_out": out}
        self._log(AmmLegSettled, **fields)

    def _refusal(self, running: dict[Any, int], order: Order, ticket_filled: int, need: tuple[Any, int]) -> int:
        slot, sequence = self._slot(order.account, order.nonce), order.nonce % SEQUENCES
        dead = [below for at, below in (*slot.cancels, *self.floors.get(order.account, [])) if at <= self.time]
        if any(sequence < below for below in dead):
            return CANCELLED
        if order.expiry and self.time >= order.expiry + SETTLEMENT_WINDOW_SECONDS:
            return EXPIRED
        if sequence < slot.sequence:
            return DEAD
        if ticket_filled + (slot.filled if slot.sequence == sequence else 0) > order.size_lots:
            raise Reverted("Overfilled")
        token, atoms = need
        return 0 if running[order.account, token] >= atoms else BALANCE
