"""The state machine: `Engine.apply(sequence, at, command) -> events`, and read views of its state.

Invariant: nothing but `apply` and `apply_rows` changes state, and nothing but their arguments decides a result: the
same commands give the same events and the byte-identical state hash, by whichever of the two, however grouped. Due
timers fire before the command, in (deadline, id) order. It asserts what the sequencer promises (numbers without gaps,
time that never runs back) and refuses, as values, what users send.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import assert_never

from offchain.domain.batch import BatchRules, SettlementBatch
from offchain.domain.beside import NOTHING_BESIDE
from offchain.domain.command import (
    AdvanceTime,
    AmendOrder,
    CancelAll,
    CancelAllAfter,
    CancelMany,
    CancelOrder,
    CloseEpoch,
    Command,
    ObserveBlock,
    ObserveLog,
    ObservePool,
    OpenVenue,
    PlaceOrder,
    PostMark,
    RefuseFill,
    RequestApproval,
    RequestMarket,
    SetBand,
    SetFees,
    SetMarketState,
    SetOperators,
    SetOrderRules,
    SetTradeGroup,
    SetVenueState,
    Together,
    WithdrawMarket,
)
from offchain.domain.eip712 import domain_separator, order_digest
from offchain.domain.event import (
    AgentChanged,
    AnyEvent,
    ApprovalGranted,
    EpochClosed,
    FeesChanged,
    OrderRulesChanged,
    VenueStateChanged,
)
from offchain.domain.keccak import keccak
from offchain.domain.limits import FEE_PPM_MAX, FILLS_PER_BATCH_MAX, ORDER_RULES_MAX
from offchain.domain.market import MarketState
from offchain.domain.order import OrderRow, to_row
from offchain.domain.reasons import CloseReason, RejectReason
from offchain.domain.relayed import RequestAgent, RequestDeposit
from offchain.domain.terms import ObserveCxpt, ResetProtection, SetFeeSchedule, SetProtection, TransferBetween
from offchain.domain.units import Address, Digest, from_hex
from offchain.engine import description, snapshot
from offchain.engine.accepted import read_closed
from offchain.engine.amending import amend, cancel_many, fire_switch, set_switch
from offchain.engine.book import Book
from offchain.engine.closing import close
from offchain.engine.fills import NEVER, Backlog
from offchain.engine.gate import Gate
from offchain.engine.ledger import Ledger
from offchain.engine.markets import are_operators, request_market, set_market_state, set_operators, withdraw_market
from offchain.engine.memory import Known
from offchain.engine.observing import observe_block, observe_log, observe_pool
from offchain.engine.orders import Account
from offchain.engine.pools import Pool
from offchain.engine.pricing import are_rates, observe_cxpt, set_fee_schedule, set_fees
from offchain.engine.promising import request_approval
from offchain.engine.protecting import reset_protection, set_protection
from offchain.engine.reacting import react
from offchain.engine.relaying import request_relay
from offchain.engine.schedule import DAY_MILLIS
from offchain.engine.settling import refuse_fill
from offchain.engine.state import State, Taken
from offchain.engine.subaccounts import transfer_between
from offchain.engine.together import decide, refuses
from offchain.engine.trading import Outcome, cancel, cancel_all, place_slowly, reject, trade
from offchain.engine.venue import post_mark, set_band, set_order_rules, set_trade_group


class Engine:
    """One venue. Give every journaled command to `apply`, in order."""

    __slots__ = ("_state",)

    def __init__(self) -> None:
        self._state = State()

    # --- the machine ---

    def apply(self, sequence: int, at: int, command: Command, digest: bytes | None = None) -> tuple[AnyEvent, ...]:
        """Applies command `sequence` at `at` (unix millis). Never raises for what a user may send.

        `digest`: of an order, by whoever has computed it already.
        """
        state = self._state
        assert sequence == state.sequence + 1, f"command {sequence} after {state.sequence}"
        assert at >= state.at, f"time runs back from {state.at} to {at}"
        state.sequence = sequence
        if state.deadline <= at:
            self._fire_timers(at)
        state.pass_time(at)
        if state.venue is None:
            self._open_venue(command)
        elif isinstance(command, PlaceOrder):
            self._place(command, digest)
        else:
            if state.together is not None:
                state.guard(None)
            self._dispatch(command)
        if state.is_watched:
            react(state)
        state.watch_backlog()
        return state.take_events()

    def apply_rows(self, first: int, at: int, rows: Iterable[OrderRow]) -> list[Outcome]:
        """Applies orders and cancels, numbered from `first`, each as `apply` would.

        No events are made before `take_events`, which the caller asks for all of them together: levels and balances
        that they changed are told once, as they are in the end.
        """
        state, outcomes, left = self._state, list[Outcome](), iter(rows)
        assert first == state.sequence + 1 and at >= state.at and state.venue is not None
        if state.deadline <= at:
            self._fire_timers(at)
        state.pass_time(at)
        cancels = 0
        # Within one instant a timer can only fall due, and an account be covered again, in such a venue.
        is_unusual = state.uncovered > 0 or state.venue.batch_interval_millis == 0
        if not is_unusual and not state.is_watched:
            cancels = trade(state, left, first, outcomes)
            if state.is_watched:
                react(state)
        for row in left:
            self._catch_up()
            reason = refuses(state, row)
            if reason is None:
                cancels += trade(state, (row,), first + len(outcomes), outcomes)
            else:
                outcomes.append(reject(state, row, "", reason))
            if state.is_watched:
                react(state)
        state.sequence += len(outcomes)
        state.epoch_count += len(outcomes) - cancels
        return outcomes

    def _catch_up(self) -> None:
        """What `apply` does between two commands of the same instant."""
        state = self._state
        state.restrict_accounts()
        if state.deadline <= state.at:
            self._fire_timers(state.at)

    def take_events(self) -> tuple[AnyEvent, ...]:
        """What happened since events were taken last, levels and balances as they are now."""
        return self._state.take_events()

    def take_effects(self) -> Taken:
        """`take_events`, where the machine's own objects will do: see `State.take_effects`."""
        return self._state.take_effects()

    def skip_events(self) -> None:
        """`take_events`, where nobody wants them: none is made."""
        self._state.skip_events()

    def _place(self, command: PlaceOrder, digest: bytes | None) -> None:
        state, order = self._state, command.order
        state.epoch_count += 1
        digest, name = digest or order_digest(state.separator, order), command.client_order_id
        row = to_row(order, command.signature, from_hex(command.signer), digest)
        reason = None if state.together is None else refuses(state, row)
        if reason is not None:
            reject(state, row, name, reason)
        elif name or command.beside is not None:
            place_slowly(state, row, name, state.sequence, command.beside or NOTHING_BESIDE)
        else:
            trade(state, (row,), state.sequence, [])

    def _cancel(self, command: CancelOrder) -> None:
        cancel(self._state, from_hex(command.account), command.nonce, from_hex(command.signer))

    def _dispatch(self, command: Command) -> None:
        state = self._state
        match command:
            case PlaceOrder():
                raise AssertionError("placed already")
            case CancelOrder():
                self._cancel(command)
            case CancelAll():
                cancel_all(state, command)
            case AdvanceTime():
                pass
            case ObserveLog():
                observe_log(state, command.log)
            case ObserveBlock():
                observe_block(state, command)
            case ObservePool():
                observe_pool(state, command)
            case CloseEpoch():
                self._close_epoch()
            case RequestApproval():
                request_approval(state, command)
            case RequestDeposit() | RequestAgent():
                request_relay(state, command)
            case RefuseFill():
                refuse_fill(state, command)
            case SetFees():
                set_fees(state, command)
            case SetMarketState():
                set_market_state(state, command)
            case SetOperators():
                set_operators(state, command.operators)
            case RequestMarket():
                request_market(state, command)
            case WithdrawMarket():
                withdraw_market(state, command)
            case SetOrderRules():
                set_order_rules(state, command)
            case SetTradeGroup():
                set_trade_group(state, command)
            case SetBand():
                set_band(state, command)
            case PostMark():
                post_mark(state, command)
            case AmendOrder():
                amend(state, command)
            case CancelMany():
                cancel_many(state, command)
            case CancelAllAfter():
                set_switch(state, command)
            case Together():
                decide(state, command)
            case SetProtection():
                set_protection(state, command)
            case ResetProtection():
                reset_protection(state, command)
            case SetFeeSchedule():
                set_fee_schedule(state, command)
            case ObserveCxpt():
                observe_cxpt(state, command)
            case TransferBetween():
                transfer_between(state, command)
            case SetVenueState():
                self._set_venue_state(command)
            case OpenVenue():
                state.reject(RejectReason.INVALID_PARAMETER)
            case _:
                assert_never(command)

    def next_deadline(self) -> int | None:
        """Millis of the earliest timer, None if nothing is due ever."""
        deadline = min(self._state.next_deadline(), self._state.waiting.deadline or NEVER)
        return None if deadline == NEVER else deadline

    def _fire_timers(self, now: int) -> None:
        """Orders expire before dead-man switches fire before the batch closes before the gate tightens, if all are due
        at one instant."""
        state = self._state
        while (deadline := state.next_deadline()) <= now:
            earliest, switch = state.expiries.earliest(), state.switches.earliest()
            if earliest is not None and earliest[0] == deadline:
                close(state, state.expiring[earliest[1]], CloseReason.EXPIRED)
            elif switch is not None and switch[0] == deadline:
                fire_switch(state, switch[1])
            elif state.backlog.deadline == deadline:
                state.effects.append(state.backlog.close(state.backlog.last_fill))
            else:
                state.gate.watch(state.gate.oldest_at, deadline, state.backlog.estimate)
                state.refresh_gate()
        state.deadline = deadline

    # --- the operator's commands ---

    def _open_venue(self, command: Command) -> None:
        state = self._state
        if not isinstance(command, OpenVenue) or flaw_of_venue(command):
            state.reject(RejectReason.INVALID_PARAMETER)
            return
        state.venue, state.order_rules = command, command.order_rules
        state.separator = domain_separator(command.chain_id, command.settlement)
        state.tokens[command.quote_token] = None
        for account in (command.fee_account, command.treasury_account, command.insurance_account):
            state.account(account)
        state.set_fees(command.maker_fee_ppm, command.taker_fee_ppm)
        state.backlog = Backlog(command.batch_interval_millis, command.batch_gas_max, command.batch_rules)
        state.effects.append(FeesChanged(maker_fee_ppm=command.maker_fee_ppm, taker_fee_ppm=command.taker_fee_ppm))
        state.effects.append(VenueStateChanged(state=state.gate.state, reason=state.gate.reason))
        if command.order_rules:
            state.effects.append(OrderRulesChanged(order_rules=command.order_rules))
        if command.operators:
            set_operators(state, command.operators)

    def _set_venue_state(self, command: SetVenueState) -> None:
        if command.state is MarketState.DELISTED:
            self._state.reject(RejectReason.INVALID_PARAMETER)
        else:
            self._state.gate.set_operator(command.state, command.reason)

    def _close_epoch(self) -> None:
        state = self._state
        if state.epoch_count == 0:
            state.reject(RejectReason.NOTHING_TO_CLOSE)
            return
        closed = EpochClosed(
            epoch=state.epoch,
            first=state.epoch_first,
            last=state.sequence,
            volume=state.epoch_volume,
            count=state.epoch_count,
        )
        state.epoch, state.epoch_first = state.epoch + 1, state.sequence + 1
        state.epoch_volume = state.epoch_count = 0
        state.effects.append(closed)

    # --- views ---

    @property
    def sequence(self) -> int:
        """Of the last command."""
        return self._state.sequence

    @property
    def at(self) -> int:
        """Of the last command, unix millis."""
        return self._state.at

    @property
    def venue(self) -> OpenVenue | None:
        return self._state.venue

    @property
    def epoch_orders(self) -> int:
        """Orders of the epoch that is not closed yet."""
        return self._state.epoch_count

    @property
    def order_rules(self) -> int:
        """Which orders there are; see `SetOrderRules`."""
        return self._state.order_rules

    @property
    def operators(self) -> tuple[Address, ...]:
        """Who may open and close markets."""
        return self._state.operators

    @property
    def last_event_sequence(self) -> int:
        """Of the last chain log."""
        return self._state.event_sequence

    @property
    def chain_block(self) -> tuple[int, int]:
        """(number, unix seconds) of the last block whose logs are all known."""
        return self._state.block_number, self._state.block_time

    @property
    def separator(self) -> bytes:
        """EIP-712 domain separator of Settlement, with which orders are digested."""
        return self._state.separator

    @property
    def quote(self) -> Address:
        """The settlement token."""
        return self._state.quote_token

    @property
    def ledger(self) -> Ledger:
        return self._state.ledger

    @property
    def accounts(self) -> Mapping[Address, Account]:
        return self._state.accounts

    @property
    def books(self) -> Mapping[int, Book]:
        return self._state.books

    def fees_of(self, account: Address) -> tuple[int, int, int]:
        """Maker's and taker's rate of what this account places now, and the volume that its tier comes from."""
        state = self._state
        moment, schedule = state.moment_for(state.accounts.get(account)), state.schedule
        volume = 0 if schedule is None else schedule.volume(account, state.at // DAY_MILLIS)
        return moment.maker_ppm, moment.taker_ppm, volume

    @property
    def pools(self) -> Mapping[int, Pool]:
        """AMM pairs by market, as last observed."""
        return self._state.pools

    @property
    def batches(self) -> Backlog:
        """What the chain has not decided yet."""
        return self._state.backlog

    @property
    def gate(self) -> Gate:
        return self._state.gate

    @property
    def open_approvals(self) -> list[ApprovalGranted]:
        """Countersignatures that were neither used nor released, in the order of their nonces."""
        return [approval for _, approval in sorted(self._state.approvals.open.items())]

    @property
    def agents(self) -> Mapping[tuple[Address, Address], AgentChanged]:
        """By account and agent, revoked and expired ones among them."""
        return self._state.agents

    @property
    def known(self) -> Known:
        """Digests of orders that are open, or were closed or rejected not long ago."""
        return self._state.memory.known

    @property
    def flows(self) -> dict[Address, int]:
        """Per token: deposits - withdrawals + minted - burned, as the chain reported them."""
        return {token: flow.net for token, flow in self._state.ledger.flows.items()}

    @property
    def locked(self) -> dict[Address, int]:
        """Per account: collateral locked less what was unlocked to it, in units of the settlement token; may be
        below 0 for an account that was paid out of another's position. The sum is the Vault's."""
        return {account.address: account.locked for account in self._state.accounts.values() if account.locked}

    def settlement_batch(self, batch: int) -> SettlementBatch:
        """A closed, undecided batch as the settler sends it; KeyError for any other number."""
        return self._state.backlog.settlement_batch(batch)

    def batch_of(self, fill: int) -> int | None:
        """The closed, undecided batch that holds this fill."""
        for batch in self._state.backlog.batches.values():
            if batch.first <= fill <= batch.last:
                return batch.batch
        return None

    def find_order(self, digest: Digest) -> tuple[AnyEvent, ...] | None:
        """First result of a known order: OrderAccepted with what has filled, then OrderClosed; or OrderRejected."""
        known = self._state.memory.known.get(from_hex(digest))
        if isinstance(known, bytes):
            known = read_closed(self._state, known)
        return None if known is None else description.order_events(known)

    def find_client_order(self, account: Address, client_order_id: str) -> Digest | None:
        """The open or recently closed order with this client order id."""
        owner = self._state.accounts.get(account)
        found = None if owner is None else owner.client_ids.get(client_order_id)
        return None if found is None else Digest("0x" + found.hex())

    def describe(self) -> Iterator[AnyEvent]:
        """Events that rebuild a read model."""
        return description.describe(self._state)

    # --- state as bytes ---

    def state_hash(self) -> bytes:
        """keccak256 of `snapshot()`."""
        return self.hash_of(self.snapshot())

    @staticmethod
    def hash_of(snapshot: bytes) -> bytes:
        """The state hash of whoever gave these bytes."""
        return keccak(snapshot)

    def snapshot(self) -> bytes:
        """The whole state as canonical bytes: equal states give equal bytes, however they were reached."""
        return snapshot.encode(self._state)

    @classmethod
    def restore(cls, raw: bytes) -> Engine:
        """Inverse of `snapshot`. ValueError for bytes that are not a snapshot of this version."""
        engine = cls()
        engine._state = snapshot.decode(raw)
        return engine


def _are_rules(rules: BatchRules) -> bool:
    """Nothing costs less than nothing, and no batch is longer than the packed form takes."""
    gas = [getattr(rules, name) for name in rules.__struct_fields__ if name.startswith("gas_")]
    figures = (*gas, rules.settlement_millis_per_fill)
    return rules.fills_max <= FILLS_PER_BATCH_MAX and all(0 <= figure < 2**63 for figure in figures)


def flaw_of_venue(venue: OpenVenue) -> str:
    """The first field that will not do, "" if all will: fees as in `SetFees`; a single fill fits a batch in any case
    (an immediate order takes no more than fits one); markets can begin in that state."""
    rules = venue.batch_rules
    good = {
        "taker_fee_ppm": 0 <= venue.taker_fee_ppm <= FEE_PPM_MAX,
        "maker_fee_ppm": are_rates(venue.maker_fee_ppm, venue.taker_fee_ppm),
        "batch_interval_millis": venue.batch_interval_millis >= 0,
        "batch_rules": _are_rules(rules),
        "fills_per_immediate_order_max": 1 <= venue.fills_per_immediate_order_max <= rules.fills_max,
        "batch_gas_max": rules.fits_one(venue.batch_gas_max),
        "operators": are_operators(venue.operators),
        "listed_state": venue.listed_state is not MarketState.DELISTED,
        "order_rules": 0 <= venue.order_rules <= ORDER_RULES_MAX,
    }
    return next((name for name, is_good in good.items() if not is_good), "")
