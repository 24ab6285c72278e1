"""The state machine of the venue: (state, command) -> events.

Invariant: only `apply` changes state, and only from the command, its sequence and its time; replay gives the
byte-identical state hash. It deliberately knows no signature check, clock, disk or network.
"""

import heapq
from collections.abc import Iterator
from typing import assert_never

from offchain.domain import command as cmd
from offchain.domain import event as ev
from offchain.domain.batch import SettlementBatch
from offchain.domain.command import Command
from offchain.domain.eip712 import domain_separator
from offchain.domain.event import AnyEvent, CloseReason, RejectReason, VenueState
from offchain.domain.keccak import keccak
from offchain.domain.limits import (
    APPROVAL_LIFETIME_SECONDS,
    APPROVALS_PER_ACCOUNT_MAX,
    BACKLOG_CANCEL_ONLY_MILLIS,
    BACKLOG_POST_ONLY_MILLIS,
    FEE_PPM_MAX,
)
from offchain.domain.market import MarketState
from offchain.domain.order import Side
from offchain.domain.units import Address, Digest
from offchain.engine import chainlogs, orders, snapshots
from offchain.engine.book import Resting
from offchain.engine.state import Approval, State, Timer, accepted_event

_OPERATOR_STATES = {
    MarketState.ACTIVE: VenueState.ACTIVE,
    MarketState.POST_ONLY: VenueState.POST_ONLY,
    MarketState.CANCEL_ONLY: VenueState.CANCEL_ONLY,
    MarketState.PAUSED: VenueState.CANCEL_ONLY,
}


class Engine(State):
    """Reading is free for everyone; writing is `apply`."""

    def apply(self, sequence: int, at: int, command: Command) -> tuple[AnyEvent, ...]:
        """The events of one command. `sequence` is the next one, `at` (milliseconds) never runs back."""
        assert sequence == self.sequence + 1, (sequence, self.sequence)
        assert at >= self.at, (at, self.at)
        self.sequence, self.at, self.events = sequence, at, []
        if self.venue is None:
            assert isinstance(command, cmd.OpenVenue), "the first command opens the venue"
        self._fire_timers()
        self._dispatch(command)
        self._finish()
        return tuple(self.events)

    def next_deadline(self) -> int | None:
        """Milliseconds at which the next timer is due; None if there is none."""
        while self.timers and not self._is_live(self.timers[0]):
            heapq.heappop(self.timers)
        deadlines = [self.timers[0][0]] if self.timers else []
        gate = self._gate_deadline()
        return min([*deadlines, gate]) if gate is not None else (deadlines[0] if deadlines else None)

    def state_hash(self) -> bytes:
        """keccak256 over the canonical bytes of the whole state."""
        return keccak(snapshots.canonical(snapshots.dump(self)))

    def snapshot(self) -> bytes:
        """The whole state; `restore` gives an engine with the same hash."""
        return snapshots.encode(self)

    @classmethod
    def restore(cls, raw: bytes) -> "Engine":
        """ValueError for bytes that are not a snapshot of this version."""
        engine = cls()
        snapshots.load(engine, raw)
        return engine

    # --- reading ---

    def find_order(self, digest: Digest) -> tuple[AnyEvent, ...] | None:
        """What is known of an order: accepted, and closed if it is; None if it is unknown or long gone."""
        address = self.owners.get(digest)
        if address is None:
            return None
        account = self.accounts[address]
        resting = account.open.get(digest)
        return (accepted_event(resting, resting.filled),) if resting is not None else account.recent[digest]

    def find_client_order(self, address: Address, client_order_id: str) -> Digest | None:
        """Digest of the account's order of this name, open or among the recent ones."""
        account = self.accounts.get(address)
        return account.client_ids.get(client_order_id) if account is not None else None

    def settlement_batch(self, batch: int) -> SettlementBatch:
        """A closed batch whose fills are not settled. KeyError otherwise."""
        return self.batches.settlement_batch(batch)

    def describe(self) -> Iterator[AnyEvent]:
        """Events that rebuild a read model of the present state."""
        for market in self.markets.values():
            yield chainlogs.opened_event(market)
            yield ev.MarketStateChanged(market=market.market, state=self.market_states[market.market])
        yield ev.FeesChanged(maker_fee_ppm=self.maker_fee_ppm, taker_fee_ppm=self.taker_fee_ppm)
        yield ev.VenueStateChanged(state=self.state, reason="")
        for account in self.accounts.values():
            if account.cancel_only:
                yield ev.AccountRestricted(account=account.address, cancel_only=True)
            for resting in account.open.values():
                yield accepted_event(resting, resting.filled)
        for market_id, book in self.books.items():
            for side in Side:
                for level in book.halves[side]:
                    yield ev.LevelChanged(
                        market=market_id, side=int(side), price_ticks=level.price, size_lots=level.size
                    )
        for (address, token), balance in self.ledger.balances.items():
            yield _balance_event(address, token, balance.as_tuple())

    # --- commands ---

    def _dispatch(self, command: Command) -> None:
        match command:
            case cmd.PlaceOrder():
                orders.place(self, command)
            case cmd.CancelOrder():
                orders.cancel(self, command)
            case cmd.CancelAll():
                orders.cancel_all(self, command)
            case cmd.ObserveLog():
                chainlogs.observe_log(self, command.log)
            case cmd.ObserveBlock():
                chainlogs.observe_block(self, command.block_number, command.block_time)
            case cmd.RequestApproval():
                self._approve(command)
            case cmd.RefuseFill():
                self._take_back(command)
            case cmd.CloseEpoch():
                self._close_epoch()
            case cmd.SetFees():
                self._set_fees(command)
            case cmd.SetMarketState():
                self._set_market_state(command)
            case cmd.SetVenueState():
                self.operator_state = _OPERATOR_STATES[command.state]
            case cmd.AdvanceTime():
                pass
            case cmd.OpenVenue():
                self._open(command)
            case _:
                assert_never(command)

    def _open(self, command: cmd.OpenVenue) -> None:
        if self.venue is not None:
            self._reject(RejectReason.INVALID_PARAMETER)
            return
        self.venue = command
        self.separator = domain_separator(command.chain_id, command.settlement)
        self.maker_fee_ppm, self.taker_fee_ppm = command.maker_fee_ppm, command.taker_fee_ppm
        self.batches.gas_max = command.batch_gas_max
        self.tokens[command.quote_token] = None
        self.emit(ev.FeesChanged(maker_fee_ppm=self.maker_fee_ppm, taker_fee_ppm=self.taker_fee_ppm))

    def _approve(self, command: cmd.RequestApproval) -> None:
        reason = self._approval_reason(command)
        if reason is not None:
            self._reject(reason)
            return
        deadline = self.at // 1000 + APPROVAL_LIFETIME_SECONDS
        if command.signature:
            deadline = min(deadline, command.deadline)
        self.approvals[self.sequence] = Approval(command.account, command.token, command.amount, deadline)
        self.ledger.leave(command.account, command.token, command.amount)
        self.emit(
            ev.ApprovalGranted(
                nonce=self.sequence,
                purpose=command.purpose,
                account=command.account,
                token=command.token,
                amount=command.amount,
                destination=command.destination,
                as_cxpt=command.as_cxpt,
                owner_nonce=command.nonce,
                owner_deadline=command.deadline,
                owner_signature=command.signature,
                deadline=deadline,
            )
        )

    def _approval_reason(self, command: cmd.RequestApproval) -> RejectReason | None:
        is_quote = command.token == self.quote
        fits = {"withdraw": is_quote or not command.as_cxpt, "lock": is_quote, "burn": not is_quote}
        held = [hold for hold in self.approvals.values() if hold.account == command.account]
        if command.signer != command.account:
            return RejectReason.WRONG_SIGNER
        if self.halted:
            return RejectReason.CANCEL_ONLY_VENUE
        if command.token not in self.tokens:
            return RejectReason.UNKNOWN_TOKEN
        if not fits.get(command.purpose, False) or command.amount <= 0:
            return RejectReason.INVALID_PARAMETER
        if command.signature and command.deadline <= self.at // 1000:
            return RejectReason.EXPIRED
        if len(held) >= APPROVALS_PER_ACCOUNT_MAX:
            return RejectReason.TOO_MANY_APPROVALS
        if self.account(command.account).cancel_only:
            return RejectReason.CANCEL_ONLY_ACCOUNT
        if command.amount > self.balance(command.account, command.token).withdrawable:
            return RejectReason.INSUFFICIENT_BALANCE
        return None

    def _take_back(self, command: cmd.RefuseFill) -> None:
        fill = self.batches.unsettled.get(command.fill)
        if fill is None or fill.taken_back:
            self._reject(RejectReason.UNKNOWN_FILL)
            return
        fill.taken_back = True
        self.emit(ev.FillTakenBack(fill=command.fill, reason=command.reason))

    def _close_epoch(self) -> None:
        if self.epoch_count == 0:
            self._reject(RejectReason.NOTHING_TO_CLOSE)
            return
        self.emit(
            ev.EpochClosed(
                epoch=self.epoch,
                first=self.epoch_first,
                last=self.sequence,
                volume=self.epoch_volume,
                count=self.epoch_count,
            )
        )
        self.epoch += 1
        self.epoch_first, self.epoch_count, self.epoch_volume = self.sequence + 1, 0, 0

    def _set_fees(self, command: cmd.SetFees) -> None:
        maker, taker = command.maker_fee_ppm, command.taker_fee_ppm
        if maker + taker < 0 or max(maker, taker) > FEE_PPM_MAX:
            self._reject(RejectReason.INVALID_PARAMETER)
            return
        self.maker_fee_ppm, self.taker_fee_ppm = maker, taker
        self.emit(ev.FeesChanged(maker_fee_ppm=maker, taker_fee_ppm=taker))

    def _set_market_state(self, command: cmd.SetMarketState) -> None:
        if command.market not in self.markets:
            self._reject(RejectReason.UNKNOWN_MARKET)
            return
        self.market_states[command.market] = command.state
        self.emit(ev.MarketStateChanged(market=command.market, state=command.state))

    def _reject(self, reason: RejectReason) -> None:
        self.emit(ev.CommandRejected(reason=reason))

    # --- timers ---

    def _fire_timers(self) -> None:
        """What is due fires before the command, in (deadline, id) order."""
        while self.timers and self.timers[0][0] <= self.at:
            timer = heapq.heappop(self.timers)
            if not self._is_live(timer):
                continue
            _, _, kind, what = timer
            if kind == "batch":
                self.close_batch()
            else:
                self.close_order(self._open_order(what), CloseReason.EXPIRED)

    def _is_live(self, timer: Timer) -> bool:
        _, _, kind, what = timer
        if kind == "batch":
            return self.batches.next_batch == int(what) and self.batches.open_count > 0
        address = what.partition(":")[0]
        account = self.accounts.get(Address(address))
        return account is not None and what.partition(":")[2] in account.open

    def _open_order(self, what: str) -> Resting:
        address, _, digest = what.partition(":")
        return self.accounts[Address(address)].open[Digest(digest)]

    def _gate(self) -> VenueState:
        oldest = self.batches.oldest_at
        age = self.at - oldest if oldest is not None else 0
        if age > BACKLOG_CANCEL_ONLY_MILLIS:
            return VenueState.CANCEL_ONLY
        return VenueState.POST_ONLY if age > BACKLOG_POST_ONLY_MILLIS else VenueState.ACTIVE

    def _gate_deadline(self) -> int | None:
        """When the gate gets stricter if nothing settles."""
        oldest = self.batches.oldest_at
        if oldest is None or self.gate_state is VenueState.CANCEL_ONLY:
            return None
        stricter = self.gate_state is VenueState.POST_ONLY
        return oldest + (BACKLOG_CANCEL_ONLY_MILLIS if stricter else BACKLOG_POST_ONLY_MILLIS) + 1

    # --- the end of every command ---

    def _finish(self) -> None:
        self._cover()
        self.gate_state = self._gate()
        if self.state is not self.announced:
            self.announced = self.state
            self.emit(ev.VenueStateChanged(state=self.state, reason=self._why()))
        levels, self.levels = self.levels, {}
        for market, side, price in levels:
            level = self.books[market].halves[side].levels.get(price)
            size = level.size if level is not None else 0
            self.emit(ev.LevelChanged(market=market, side=side, price_ticks=price, size_lots=size))
        for (address, token), balance in self.ledger.take_touched():
            self.emit(_balance_event(address, token, balance.as_tuple()))

    def _cover(self) -> None:
        """Accounts whose balances fell below what they hold or owe."""
        for address, token in list(self.ledger.touched):
            self.cover(address, token)
        for address in {address: None for address, _ in self.ledger.touched}:
            self.restrict(address)

    def _why(self) -> str:
        if self.halted:
            return "the chain and the ledger differ"
        if self.gate_state is self.state and self.gate_state is not VenueState.ACTIVE:
            return "the backlog of unsettled fills is too old"
        return "" if self.state is VenueState.ACTIVE else "operator"


def _balance_event(address: Address, token: Address, row: tuple[int, int, int, int]) -> ev.BalanceChanged:
    settled, pending, held, leaving = row
    return ev.BalanceChanged(account=address, token=token, settled=settled, pending=pending, held=held, leaving=leaving)
