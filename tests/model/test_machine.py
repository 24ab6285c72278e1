"""Engine, naive twin, chain and ghost side by side, driven by Hypothesis: small histories that shrink to a few steps.

At the end of each the operator is dead or lives, and everybody leaves.
"""

import contextlib
from typing import Any

from chain import Chain, Reverted
from comparison import agree, stories, told
from ghost import Ghost
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from laws import check
from naive import Naive
from scene import (
    ALICE,
    BASE,
    BASE_ATOMS,
    BOB,
    CAROL,
    FEES,
    ITEMIZED_VENUE,
    QUOTE,
    QUOTE_ATOMS,
    START,
    TREASURY,
    address,
)

from offchain.domain.command import (
    AdvanceTime,
    CancelAll,
    CancelOrder,
    Command,
    ObserveBlock,
    ObserveLog,
    ObservePool,
    PlaceOrder,
    RefuseFill,
    RequestApproval,
    SetFees,
)
from offchain.domain.event import ApprovalGranted
from offchain.domain.limits import EXIT_DELAY_SECONDS
from offchain.domain.order import Kind, Order, Side, TimeInForce, make_nonce
from offchain.domain.units import Lots, Ticks
from offchain.engine.engine import Engine

WHO = st.sampled_from((ALICE, BOB, CAROL))
TOKEN = st.sampled_from((QUOTE, BASE))
SLOT = st.integers(1, 3)
QUOTE_START, BASE_START = 2_000_000, 12


class Venue(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.engine, self.twin = Engine(), Naive()
        self.chain = Chain(QUOTE, FEES, TREASURY, START // 1000, is_packed=True)
        self.at, self.seen, self.number = START, 0, 0
        self.approvals: list[ApprovalGranted] = []
        self.ghost = Ghost()
        self.is_dead = False

    def do(self, command: Command) -> None:
        sequence = self.engine.sequence + 1
        events = self.engine.apply(sequence, self.at, command)
        expected = self.twin.apply(sequence, self.at, command)
        happened = [words for event in events if (words := told(event)) is not None]
        if sequence > 1:
            assert stories(happened) == stories(expected)
        self.approvals += [event for event in events if isinstance(event, ApprovalGranted)]
        self.ghost.hear(command, events, self.engine)

    @initialize(is_dead=st.booleans())
    def open(self, is_dead: bool) -> None:
        self.is_dead = is_dead
        self.do(ITEMIZED_VENUE)
        self.chain.register(BASE)
        self.chain.list_market(1, BASE, BASE_ATOMS, QUOTE_ATOMS, "BASE-USDC")
        self.chain.pairs[BASE] = [1_000 * BASE_ATOMS, 1_000 * 1_000 * QUOTE_ATOMS]
        for trader in (ALICE, BOB):
            self.chain.deposit(trader, QUOTE, QUOTE_START)
            self.chain.deposit(trader, BASE, BASE_START * BASE_ATOMS)
        self.hear(100)
        self.see_pool(0)

    @rule(
        who=WHO,
        side=st.sampled_from(Side),
        price=st.integers(998, 1_002),
        size=st.integers(1, 6),
        slot=SLOT,
        tif=st.sampled_from((TimeInForce.GTC, TimeInForce.GTC, *TimeInForce)),
        post_only=st.booleans(),
        life=st.integers(0, 4),
    )
    def place(
        self, who: Any, side: Side, price: int, size: int, slot: int, tif: TimeInForce, post_only: bool, life: int
    ) -> None:
        self.number += 1
        is_immediate = tif in (TimeInForce.IOC, TimeInForce.FOK)
        expiry = self.at // 1000 + life if tif is TimeInForce.GTD else 0
        nonce = make_nonce(0 if is_immediate else slot, START + self.number)
        flags = int(post_only and not is_immediate)
        terms = (who, 0, 1, side, Kind.LIMIT, tif, flags, Ticks(price), Lots(size), Ticks(0), 10_000)
        self.do(PlaceOrder(Order(*terms, nonce, expiry), bytes(65), who))

    @rule(who=WHO, side=st.sampled_from(Side), far=st.integers(-3, 20), size=st.integers(1, 6))
    def swap(self, who: Any, side: Side, far: int, size: int) -> None:
        """An order for the pair, whose limit is `far` from 1000 ticks."""
        self.number += 1
        price = 1_000 + far if side is Side.BUY else 1_000 - far
        terms = (who, 0, 1, side, Kind.LIMIT, TimeInForce.IOC, 4, Ticks(price), Lots(size), Ticks(0), 10_000)
        self.do(PlaceOrder(Order(*terms, make_nonce(0, START + self.number), 0), bytes(65), who))

    @rule(percent=st.integers(-2, 2))
    def see_pool(self, percent: int) -> None:
        """The pair is observed, and then somebody trades with it."""
        base, quote = self.chain.pairs[BASE]
        place = {"block_number": self.chain.block, "block_time": self.chain.time}
        self.do(ObservePool(market=1, base_reserve=base, quote_reserve=quote, **place))
        if percent:
            self.chain.trade(BASE, abs(percent) * (base if percent > 0 else quote) // 100, percent > 0)

    @rule(who=WHO, slot=SLOT, back=st.integers(0, 3))
    def cancel(self, who: Any, slot: int, back: int) -> None:
        self.do(CancelOrder(who, make_nonce(slot, START + max(self.number - back, 0)), who))

    @rule(who=WHO, market=st.integers(0, 1), back=st.integers(0, 5))
    def cancel_all(self, who: Any, market: int, back: int) -> None:
        self.do(CancelAll(who, market, max(0, START + self.number - back), who))

    @rule(millis=st.sampled_from((1, 500, 2_000, 61_000, 95_000)))
    def wait(self, millis: int) -> None:
        self.at += millis
        self.do(AdvanceTime())

    @rule(maker=st.sampled_from((-500, 0, 1_000)), taker=st.sampled_from((0, 300, 2_500)))
    def set_fees(self, maker: int, taker: int) -> None:
        self.do(SetFees(maker_fee_ppm=maker, taker_fee_ppm=taker))

    @precondition(lambda self: self.engine.batches.unsettled)
    @rule(pick=st.integers(0, 100))
    def take_back(self, pick: int) -> None:
        fills = list(self.engine.batches.unsettled)
        self.do(RefuseFill(fill=fills[pick % len(fills)], reason=""))

    @rule(who=WHO, token=TOKEN, percent=st.integers(1, 100), purpose=st.sampled_from(("withdraw", "lock", "burn")))
    def approve(self, who: Any, token: Any, percent: int, purpose: str) -> None:
        balance = self.engine.ledger.find(who, token)
        amount = balance.withdrawable * percent // 100 if balance is not None else 1
        fields: dict[str, Any] = {"destination": who, "as_cxpt": False, "nonce": 0, "deadline": 0, "signature": ""}
        self.do(RequestApproval(purpose=purpose, account=who, token=token, amount=amount, signer=who, **fields))

    # --- the chain ---

    @rule(
        who=WHO, token=TOKEN, what=st.sampled_from(("deposit", "request", "cancel", "complete")), lots=st.integers(1, 9)
    )
    def move(self, who: Any, token: Any, what: str, lots: int) -> None:
        amount = lots * (200_000 if token == QUOTE else BASE_ATOMS)
        try:
            match what:
                case "deposit":
                    self.chain.deposit(who, token, amount)
                case "request":
                    self.chain.request(who, token, amount)
                case "cancel":
                    self.chain.cancel_request(who, token)
                case _:
                    self.chain.complete(who, token)
        except Reverted:
            pass

    @rule(who=WHO, amount=st.integers(1, 500_000), as_cxpt=st.booleans())
    def withdraw(self, who: Any, amount: int, as_cxpt: bool) -> None:
        with contextlib.suppress(Reverted):
            self.chain.withdraw(who, amount, as_cxpt)

    @rule(who=WHO, lots=st.integers(1, 9))
    def mint(self, who: Any, lots: int) -> None:
        self.chain.mint(who, BASE, lots * BASE_ATOMS)

    @rule(who=WHO, owner=WHO, amount=st.integers(1, 500_000))
    def unlock(self, who: Any, owner: Any, amount: int) -> None:
        """Out of a position: its owner's, or of one that was liquidated."""
        with contextlib.suppress(Reverted):
            self.chain.unlock(owner, who, amount)

    @rule(percent=st.integers(1, 50))
    def lose(self, percent: int) -> None:
        """Units stay; what they are worth falls."""
        self.chain.declare_loss(percent)

    @rule(who=WHO, is_revoked=st.booleans(), seconds=st.integers(1, 2_000))
    def change_agent(self, who: Any, is_revoked: bool, seconds: int) -> None:
        with contextlib.suppress(Reverted):
            if is_revoked:
                self.chain.revoke_agent(who, address(0xE0))
            else:
                self.chain.register_agent(who, address(0xE0), seconds, 10**9, ())

    @precondition(lambda self: self.approvals)
    @rule(pick=st.integers(0, 100))
    def use(self, pick: int) -> None:
        with contextlib.suppress(Reverted):
            self.chain.use_approval(self.approvals[pick % len(self.approvals)])

    @rule(who=WHO, slot=SLOT, everything=st.booleans())
    def cancel_on_chain(self, who: Any, slot: int, everything: bool) -> None:
        if everything:
            self.chain.cancel_all(who, START + self.number)
        else:
            self.chain.cancel(who, make_nonce(slot, START + self.number))

    @rule(seconds=st.sampled_from((1, 200, 400, 1_000)))
    def time_goes_by_on_the_chain(self, seconds: int) -> None:
        self.chain.advance(seconds)

    @precondition(lambda self: self.engine.batches.next_batch is not None)
    @rule()
    def settle(self) -> None:
        """The settler's transaction, unless that batch is on chain already."""
        for batch in self.engine.batches.batches.values():
            if batch.first == self.chain.last_fill + 1:
                self.chain.settle(self.engine.settlement_batch(batch.batch))
                return

    @rule(count=st.integers(1, 4))
    def hear(self, count: int) -> None:
        """The next final logs, and the block after the last of them."""
        for log in self.chain.logs[self.seen : self.seen + count]:
            self.do(ObserveLog(log=log))
            self.seen += 1
        if self.seen == len(self.chain.logs):
            self.do(ObserveBlock(block_number=self.chain.block, block_time=self.chain.time))

    @invariant()
    def laws(self) -> None:
        if self.engine.venue is None:
            return
        check(self.engine)
        agree(self.engine, self.twin)
        assert not self.engine.gate.is_diverged

    def leave(self) -> None:
        """I9: everybody asks for everything, and E later it has left the Vault, whatever else is going on."""
        held = [key for key, amount in self.chain.balances.items() if amount]
        for who, token in held:
            if (who, token) in self.chain.requests:
                self.chain.cancel_request(who, token)
            self.chain.request(who, token, self.chain.balance(who, token))
        self.chain.advance(EXIT_DELAY_SECONDS)
        for who, token in held:
            self.chain.complete(who, token)
        assert not any(self.chain.balances.values())
        self.hear(10_000)

    def settle_all(self) -> None:
        self.wait(2_000)
        while self.chain.last_fill < self.engine.batches.last_fill:
            self.settle()
        self.hear(10_000)

    def teardown(self) -> None:
        """Everything settles and everybody leaves, or the other way round when the operator is dead, and comes back;
        everything is heard, and ledger and chain agree to the atom; so does a replica."""
        if self.engine.venue is None:
            return
        for step in (self.leave, self.settle_all) if self.is_dead else (self.settle_all, self.leave):
            step()
        for (account, token), balance in self.engine.ledger.balances.items():
            assert (balance.settled, balance.pending) == (self.chain.balance(account, token), 0)
        assert self.engine.locked == {account: net for account, net in self.chain.net_locked.items() if net}
        assert Engine.restore(self.engine.snapshot()).state_hash() == self.engine.state_hash()


TestVenue = Venue.TestCase
TestVenue.settings = settings(
    # More than of other properties: two hundred histories, ten thousand in `make fuzz`.
    max_examples=2 * settings.default.max_examples,
    stateful_step_count=60,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    deadline=None,
)
