"""The engine's bound of a batch's gas against what the real contracts use: never below, and close.

Random batches of every kind: strangers and ladders, immediate and resting orders, fresh and used slots, balances that
were there, were never there, or are gone, open and matured requests, cancels on chain, several markets and tokens,
pools, agents with budgets, bulk signatures. What accounts do on chain after a match is known to no estimate: a batch is
closed with room for the worst of it, which is done here, too.
"""

import sys
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import msgspec
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from local_chain import ADMIN, BASE_PER_LOT, LocalChain, address_of, deploy, key_of, open_pool
from test_ledger import BATCH_GAS, BLOCK_GAS, FOK, GTC, IOC, MINT, Exchange

from keepers.settings import GAS_MAX
from keepers.settle import gas_of
from offchain.chain.abi import Function
from offchain.chain.contracts import Settlement, SynthFactory, Vault, settle_calldata
from offchain.domain.batch import ITEMIZED_RULES, BatchRules, SettlementBatch, SignedOrder, batch_gas_max, batch_rules
from offchain.domain.command import AdvanceTime, CancelOrder, ObservePool, OpenVenue, PlaceOrder
from offchain.domain.eip712 import bulk_digest, bulk_proof, bulk_root, order_digest
from offchain.domain.event import OrderRejected
from offchain.domain.limits import BATCH_GAS_MAX, BLOCK_GAS_LIMIT, EXIT_DELAY_SECONDS
from offchain.domain.order import Flags, Kind, Order, Side, TimeInForce, make_nonce
from offchain.domain.units import Address, Lots, Ticks
from offchain.engine.fills import Backlog
from offchain.security.signatures import sign

ROUNDS = 60
PEOPLE = [f"person {number}" for number in range(90)]
BUY, SELL = Side.BUY, Side.SELL
PRICE = 100_003
SECOND = 5
"""A second market over the first one's token."""
MARKETS = (1, SECOND, 3, 4)
RICH_UNITS, RICH_LOTS = 10**11, 10**5
TURNS = 280
"""Blocks of a second, nearly the whole settlement window."""


class Measured(Exchange):
    """Every batch with the bound that it was closed with."""

    def __init__(self, chain: LocalChain, gas_max: int, rules: BatchRules) -> None:
        self.gas_max = gas_max
        super().__init__(chain, deploy(chain), rules)
        chain.rpc("evm_setBlockGasLimit", hex(BLOCK_GAS))
        self.others = [self._list(number) for number in (3, 4)]
        second = Settlement.list_market.encode(SECOND, self.venue.synth, BASE_PER_LOT, 1, "BTC2-USDC")
        chain.do(ADMIN, self.venue.settlement, second)
        open_pool(chain, self.venue)
        self.chain.fund(*(address_of(name) for name in PEOPLE), self.venue.vault)
        self.bounds: dict[int, int] = {}
        self.looks: dict[int, int] = {}
        """For cancels: counted as if all of them were needed, which nearly none is."""
        self.used: dict[int, int] = {}
        self.clock = 0
        self.hear()
        chain.send(ADMIN, self.venue.vault, Vault.deposit_for.encode(self.venue.fee_account, 1))
        chain.mine()
        self.hear()

    def do(self, command: object, later: int = 1) -> tuple[object, ...]:  # type: ignore[override]
        if isinstance(command, OpenVenue):
            command = msgspec.structs.replace(command, batch_gas_max=self.gas_max)
        return super().do(command, later)  # type: ignore[arg-type]

    def hear(self) -> None:
        if self.chain.head() >= self.block:
            super().hear()

    def _list(self, number: int) -> Address:
        """A market over a token of its own."""
        factory = self.venue.registry.address("SynthFactory")
        created = self.chain.do(ADMIN, factory, SynthFactory.create_synth.encode(f"Other {number}", f"hO{number}"))
        token = Address("0x" + created["logs"][0]["topics"][1][-40:])
        self.chain.do(ADMIN, factory, SynthFactory.register_synth.encode(token))
        listing = Settlement.list_market.encode(number, token, BASE_PER_LOT, 1, f"O{number}-USDC")
        self.chain.do(ADMIN, self.venue.settlement, listing)
        return token

    # --- what people have ---

    def base(self, market: int) -> Address:
        return self.venue.synth if market in (1, SECOND) else self.others[market - 3]

    def give(self, name: str, token: Address, amount: int) -> None:
        target = address_of(name)
        is_quote = token == self.venue.usdc
        calldata = Vault.deposit_for.encode(target, amount) if is_quote else MINT.encode(token, target, amount)
        self.chain.send(ADMIN, self.venue.vault, calldata)

    def supply(self, name: str, side: Side, market: int, *, both: bool) -> None:
        """Enough for orders on this side; `both`: something of what they bring, too."""
        if side is BUY or both:
            self.give(name, self.venue.usdc, RICH_UNITS)
        if side is SELL or both:
            self.give(name, self.base(market), RICH_LOTS * BASE_PER_LOT * 3)

    # --- orders ---

    def order(
        self,
        name: str,
        side: Side,
        lots: int,
        *,
        market: int = 1,
        slot: int = 1,
        flags: int = 0,
        price: int = PRICE,
        tif: TimeInForce = GTC,
    ) -> None:
        self.clock = max(self.clock + 1, self.at)
        slot = 0 if tif in (IOC, FOK) else slot
        nonce = make_nonce(slot, self.clock)
        terms = (address_of(name), 0, market, side, Kind.LIMIT, tif, flags, Ticks(price), Lots(lots))
        order = Order(*terms, Ticks(0), 10_000, nonce, 0)
        signature = sign(order_digest(self.separator, order), key_of(name))
        events = self.do(PlaceOrder(order, signature, order.account))
        refused = [event.reason for event in events if isinstance(event, OrderRejected)]
        assert not refused, (name, refused)

    # --- settling ---

    def settle_all(self, disguise: int = 0) -> list[tuple[int, int]]:
        """(used, bound) of every closed batch. `disguise`: so many of its orders are signed by agents, half in bulk."""
        self.do(AdvanceTime(), 2_000)
        found = []
        for number in list(self.engine.batches.batches):
            batch, extra = self._disguised(self.engine.settlement_batch(number), disguise)
            calldata = settle_calldata(batch, self.venue.fee_account)
            receipt = self.chain.do(address_of("settler"), self.venue.settlement, calldata, BATCH_GAS)
            found.append((int(receipt["gasUsed"], 16), self.bounds[number] + extra))
        self.hear()
        return found

    def _disguised(self, batch: SettlementBatch, count: int) -> tuple[SettlementBatch, int]:
        """The same orders, some of them signed by an agent with a budget for these markets, and what that costs."""
        orders, extra = list(batch.orders), 0
        for place in range(min(count, len(orders))):
            order, agent = orders[place].order, f"agent {place} of {batch.batch}"
            terms = (address_of(agent), self.time() + 10**7, 10**20, (order.market,))
            self.chain.do(order.account, self.venue.settlement, Settlement.register_agent.encode(terms))
            extra += self.rules.gas_per_agent
            if place % 2:
                signed, proof = bulk_digest(self.separator, bulk_root([order])), bulk_proof([order], 0)
                orders[place] = SignedOrder(order, "0x" + sign(signed, key_of(agent)).hex(), proof)
                extra += self.rules.gas_per_proof
            else:
                raw = sign(order_digest(self.separator, order), key_of(agent))
                orders[place] = SignedOrder(order, "0x" + raw.hex())
        return msgspec.structs.replace(batch, orders=tuple(orders)), extra


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> Iterator[Measured]:
    yield from _made(monkeypatch, 10**9)


@pytest.fixture
def real(monkeypatch: pytest.MonkeyPatch) -> Iterator[Measured]:
    """Whose batches are closed by what is known at the match, as if nobody could do anything after it."""
    yield from _made(monkeypatch, BATCH_GAS_MAX)


def _made(monkeypatch: pytest.MonkeyPatch, gas_max: int, rules: BatchRules = ITEMIZED_RULES) -> Iterator[Measured]:
    chain, whole = LocalChain().start(), Backlog.close
    found: dict[int, int] = {}
    looks: dict[int, int] = {}

    def close(self: Backlog, last: int) -> object:
        found[self.last_batch + 1], looks[self.last_batch + 1] = self.load.gas, self.load.looks
        return whole(self, last)

    monkeypatch.setattr(Backlog, "close", close)
    try:
        made = Measured(chain, gas_max, rules)
        made.bounds, made.looks = found, looks
        yield made
    finally:
        chain.stop()


def encumber(venue: Measured, names: list[str]) -> None:
    """Requests, matured or not, and cancels of what was never signed."""
    pick = venue.random
    for name in names:
        if pick.random() < 0.25:
            token = pick.choice((venue.venue.usdc, venue.venue.synth))
            balance = venue.engine.ledger.find(address_of(name), token)
            if balance is not None and balance.cover > 0:
                amount = pick.choice((1, balance.cover))
                asked = Vault.request_withdrawal.encode(token, amount, address_of(name))
                venue.chain.send(address_of(name), venue.venue.vault, asked)
        if pick.random() < 0.25:
            for slot in pick.sample(range(6), 2):
                cancel = Settlement.cancel.encode(make_nonce(slot, pick.randrange(1, 1_000)))
                venue.chain.send(address_of(name), venue.venue.settlement, cancel)
        if pick.random() < 0.1:
            venue.chain.send(address_of(name), venue.venue.settlement, Settlement.cancel_all.encode(pick.randrange(99)))
    venue.chain.mine()
    if pick.random() < 0.5:
        venue.leap(EXIT_DELAY_SECONDS)
    venue.hear()


def a_round(venue: Measured) -> None:
    """One random batch, more or less."""
    pick = venue.random
    market = pick.choice(MARKETS)
    names = pick.sample(PEOPLE, pick.choice((2, 4, 12, 40)))
    for place, name in enumerate(names):
        venue.supply(name, Side(place % 2), market, both=pick.random() < 0.5)
    venue.chain.mine()
    venue.hear()
    if pick.random() < 0.4:
        encumber(venue, names)
        for place, name in enumerate(names):
            venue.supply(name, Side(place % 2), market, both=False)
        venue.chain.mine()
        venue.hear()
    kind = pick.choice(("pairs", "sweep", "ladder", "tangle"))
    makers, takers = names[::2], names[1::2]
    if kind == "pairs":
        for maker, taker in zip(makers, takers, strict=True):
            venue.order(maker, BUY, 3, market=market, slot=pick.randrange(1, 4))
            venue.order(taker, SELL, 3, market=market, slot=pick.randrange(1, 4))
    elif kind == "sweep":
        for place, maker in enumerate(makers):
            venue.order(maker, BUY, 2, market=market, slot=pick.randrange(1, 4), price=PRICE + place)
        venue.order(takers[0], SELL, 2 * len(makers), market=market, tif=pick.choice((IOC, FOK, GTC)))
    elif kind == "ladder":
        venue.order(makers[0], BUY, 1_000, market=market, slot=pick.randrange(1, 4))
        for taker in takers:
            venue.order(taker, SELL, pick.randrange(1, 4), market=market, tif=pick.choice((IOC, GTC)), slot=2)
    else:
        for place, name in enumerate(names):
            other = pick.choice((1, SECOND))
            side = Side(place % 2)
            venue.supply(name, side, other, both=False)
            venue.chain.mine()
            venue.hear()
            venue.order(name, side, pick.randrange(1, 6), market=other, slot=pick.randrange(1, 6))


def test_the_bound_is_never_below_what_a_batch_uses(measured: Measured) -> None:
    found: list[tuple[int, int]] = []
    for number in count():
        if len(found) >= ROUNDS:
            break
        # Not every round has a batch: two may meet on two markets.
        assert number < 2 * ROUNDS, len(found)
        a_round(measured)
        found += measured.settle_all(disguise=measured.random.choice((0, 0, 3, 50)))
        for market in MARKETS:
            clear(measured, market)
        used, bound = max(found, key=lambda pair: pair[0] / pair[1])
        assert used <= bound, (number, used, bound)
    looks = measured.rules.gas_per_look * sum(measured.looks.values())
    assert sum(used for used, _ in found) > 0.75 * (sum(bound for _, bound in found) - looks), (
        "close, but for the looks"
    )


def clear(venue: Measured, market: int) -> None:
    """What was left over must not fill the next round."""
    for account in list(venue.engine.accounts.values()):
        for ticket in list(account.open.values()):
            if ticket.order.market == market:
                venue.do(CancelOrder(account.address, ticket.order.nonce, account.address))


def test_an_immediate_order_meets_forty_known_makers_in_one_batch(real: Measured) -> None:
    makers, taker = PEOPLE[:41], PEOPLE[41]
    for name in (*makers, taker):
        real.supply(name, BUY, 1, both=True)
    real.chain.mine()
    real.hear()
    for _ in range(5):  # whoever was met before has used its slot
        before = real.matched
        for place, maker in enumerate(makers):
            real.order(maker, SELL, 1, price=PRICE + place)
        real.order(taker, BUY, 41, price=PRICE + 50, tif=IOC)
        matched = real.matched - before
        (used, bound), *others = real.settle_all()
        assert not others and used <= bound <= BATCH_GAS_MAX
        clear(real, 1)
    assert matched == 40
    assert used > 0.85 * bound


def test_twenty_four_pairs_of_known_strangers_in_one_batch(real: Measured) -> None:
    for name in PEOPLE[:60]:
        real.supply(name, BUY, 1, both=True)
    real.chain.mine()
    real.hear()
    for _ in range(2):
        for maker, taker in zip(PEOPLE[:60:2], PEOPLE[1:60:2], strict=True):
            real.order(maker, SELL, 1)
            real.order(taker, BUY, 1)
        longest = max(batch.last - batch.first + 1 for batch in real.engine.batches.batches.values())
        for used, bound in real.settle_all():
            assert used <= bound <= BATCH_GAS_MAX
    assert longest >= 24


APPLY = Function("applySettlement(address,address[],uint256[])")


def turn_against(venue: Measured, names: dict[str, Address]) -> None:
    """The worst that accounts can do between match and settlement to make their orders dearer, given what each gets.

    They cancel in every block, in their slot and everything: what does not bind yet is looked through at settlement all
    the same. They ask for what they bring. Of the token that they get they keep nothing and ask for none, so that its
    word is 0; in the settlement token's the floor of their cancels would stay: there they ask, too.
    """
    chain, settlement, usdc = venue.chain, venue.venue.settlement, venue.venue.usdc
    for name, gets in names.items():
        account = address_of(name)
        balance = venue.engine.ledger.find(account, gets)
        assert balance is not None
        if gets != usdc:
            moved = [-balance.settled << 48 & 2**256 - 1, balance.settled << 48]
            chain.send(settlement, venue.venue.vault, APPLY.encode(gets, [account, address_of("accomplice")], moved))
        for token in (usdc, venue.venue.synth) if gets == usdc else (usdc,):
            chain.send(account, venue.venue.vault, Vault.request_withdrawal.encode(token, 1, account))
    chain.mine()
    chain.rpc("anvil_setBlockTimestampInterval", 1)  # every cancel binds at a time of its own
    for number in range(1, TURNS + 1):
        calls = (
            Settlement.cancel.encode(make_nonce(1, venue.clock + number)),
            Settlement.cancel_all.encode(venue.clock + number),
        )
        chain.send_many([(address_of(name), settlement, call) for name in names for call in calls])
        chain.mine()


def crowd(venue: Measured) -> None:
    """Sixty accounts that have both tokens, with slots that were used."""
    for name in PEOPLE[:60]:
        venue.supply(name, BUY, 1, both=True)
    venue.chain.fund(venue.venue.settlement)
    venue.chain.mine()
    venue.hear()
    for maker, taker in zip(PEOPLE[:60:2], PEOPLE[1:60:2], strict=True):
        venue.order(maker, SELL, 1)
        venue.order(taker, BUY, 1)
    venue.settle_all()


def pairs_meet(venue: Measured) -> dict[str, Address]:
    for maker, taker in zip(PEOPLE[:60:2], PEOPLE[1:60:2], strict=True):
        venue.order(maker, SELL, 1)
        venue.order(taker, BUY, 1)
    return {name: venue.venue.synth if place % 2 else venue.venue.usdc for place, name in enumerate(PEOPLE[:60])}


def makers_are_swept(venue: Measured) -> dict[str, Address]:
    """By an immediate order: the makers buy, so that each of them can cancel in both ways."""
    for name in PEOPLE[:59]:
        venue.order(name, BUY, 1)
    venue.order(PEOPLE[59], SELL, 60, tif=IOC)
    return dict.fromkeys(PEOPLE[:59], venue.venue.synth) | {PEOPLE[59]: venue.venue.usdc}


@pytest.mark.parametrize("block_gas", [2_000_000, BLOCK_GAS_LIMIT])
@pytest.mark.parametrize("meet", [pairs_meet, makers_are_swept])
def test_whatever_traders_do_after_the_match_a_block_takes_the_batch(
    monkeypatch: pytest.MonkeyPatch, meet: Callable[[Measured], dict[str, Address]], block_gas: int
) -> None:
    """The whole settlement window long: later than that cancels bind, and nothing of the orders settles."""
    for real in _made(monkeypatch, batch_gas_max(block_gas), batch_rules(block_gas)):
        crowd(real)
        names = meet(real)
        real.do(AdvanceTime(), 2_000)
        number = real.engine.batches.decided_batch + 1
        batch = real.engine.settlement_batch(number)
        ours = {signed.order.account for signed in batch.orders}
        calldata = settle_calldata(batch, real.venue.fee_account)
        kept = real.chain.rpc("evm_snapshot")
        unturned = real.chain.do(address_of("settler"), real.venue.settlement, calldata, BATCH_GAS)
        real.chain.rpc("evm_revert", kept)
        turn_against(real, {name: gets for name, gets in names.items() if address_of(name) in ours})
        receipt = real.chain.do(address_of("settler"), real.venue.settlement, calldata, BATCH_GAS)
        used, more = int(receipt["gasUsed"], 16), int(receipt["gasUsed"], 16) - int(unturned["gasUsed"], 16)
        rules = real.rules
        rows = 2 * len(batch.orders) + 1
        turned = rules.gas_per_order_turned * len(batch.orders) + rules.gas_per_row_turned * rows
        assert 0.8 * turned < more <= turned, "no less, or the worst is not looked for"
        assert used <= real.bounds[number] + turned <= rules.gas_turned_max < block_gas
        assert used <= gas_of(batch, None, GAS_MAX, is_wary=True), "the settle keeper gives it that much"
        real.hear()
        assert real.engine.batches.decided_fill == batch.last and not real.refused, "they were not refused"


def test_exchanges_with_a_pool(measured: Measured) -> None:
    found = []
    for name, side, both in (("person 1", BUY, False), ("person 1", SELL, True), ("person 2", SELL, False)):
        measured.supply(name, side, 1, both=both)
        measured.supply(PEOPLE[5], BUY, 1, both=True)
        measured.supply(PEOPLE[6], BUY, 1, both=False)
        measured.chain.mine()
        measured.hear()
        time = measured.time()
        measured.do(
            ObservePool(
                market=1,
                base_reserve=10**8 * BASE_PER_LOT,
                quote_reserve=10**12,
                block_number=measured.chain.head(),
                block_time=time,
            )
        )
        measured.order(PEOPLE[5], SELL, 2)
        measured.order(PEOPLE[6], BUY, 2)
        limit = 11_000 if side is BUY else 9_000
        measured.order(name, side, 100, price=limit, tif=IOC, flags=int(Flags.AMM))
        found += measured.settle_all()
    for used, bound in found:
        assert 0.6 * bound < used <= bound, found
