"""10,000 random fills through the engine and the real contracts: one ledger, refusals included.

The engine matches, its batches are packed and settled on anvil, and what the chain says comes back to it. Meanwhile
accounts withdraw, cancel on chain, let orders expire and use up an agent's budget behind its back, and the chain's
clock leaps, so that fills are refused for every reason but those of pools (tests/parity/test_amm_settlement.py).
"""

import random
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from local_chain import ADMIN, BASE_PER_LOT, CHAIN_ID, LocalChain, Venue, address_of, deploy, key_of

from offchain.chain import replies
from offchain.chain.abi import Function
from offchain.chain.contracts import Settlement, Vault, decode_reconciliation, settle_calldata
from offchain.chain.logs import LogDecoder
from offchain.domain import chainlog as c
from offchain.domain.batch import PACKED_RULES, BatchRules
from offchain.domain.chainlog import AnyChainLog
from offchain.domain.command import (
    AdvanceTime,
    Command,
    ObserveBlock,
    ObserveLog,
    OpenVenue,
    PlaceOrder,
    RefuseFill,
    SetFees,
)
from offchain.domain.eip712 import domain_separator, order_digest
from offchain.domain.event import (
    AmmFillMatched,
    AnyEvent,
    FillMatched,
    FillRefused,
    FillSettled,
    OrderRejected,
    RejectReason,
)
from offchain.domain.limits import EXIT_DELAY_SECONDS, FILLS_PER_IMMEDIATE_ORDER_MAX, SETTLEMENT_WINDOW_SECONDS
from offchain.domain.order import Kind, Order, Side, TimeInForce, make_nonce
from offchain.domain.reasons import RefusalCause
from offchain.domain.units import Address, Lots, Ticks
from offchain.engine.engine import Engine
from offchain.security.signatures import sign

FILLS = 10_000
FILLS_PER_ROUND = 240
SEED = 20_261_121
TRADERS = [f"trader {number}" for number in range(12)]
AGENT, WITH_AGENT = "an agent", TRADERS[0]
GTC, GTD, IOC, FOK = TimeInForce.GTC, TimeInForce.GTD, TimeInForce.IOC, TimeInForce.FOK
BLOCK_GAS, BATCH_GAS = 60_000_000, 20_000_000
MINT = Function("mintSynth(address,address,uint256)")


@pytest.fixture(scope="module")
def chain() -> Iterator[LocalChain]:
    made = LocalChain().start()
    yield made
    made.stop()


class Exchange:
    """Engine and contracts, and traders who do what they like on either."""

    def __init__(self, chain: LocalChain, venue: Venue, rules: BatchRules = PACKED_RULES) -> None:
        self.chain, self.venue, self.random, self.rules = chain, venue, random.Random(SEED), rules
        self.separator = domain_separator(CHAIN_ID, venue.settlement)
        self.decoder = LogDecoder(venue.vault, venue.settlement)
        self.logs: list[AnyChainLog] = []
        self.block = 0
        self.matched = 0
        self.settled: Counter[int] = Counter()
        """Fills by market"""
        self.markets: dict[int, int] = {}
        """By fill"""
        self.rejected: Counter[RejectReason] = Counter()
        self.refused: Counter[int] = Counter()
        self.longest = 0
        self.gas: list[tuple[int, int]] = []
        """Of each batch: used, and the engine's bound"""
        self.sequences = dict.fromkeys(TRADERS, 0)
        self.engine, self.at = Engine(), 1_000 * self.time()
        self._open()

    def _open(self) -> None:
        venue = self.venue
        accounts = {f"{name}_account": address_of(name) for name in ("treasury", "insurance")}
        self.do(
            OpenVenue(
                chain_id=CHAIN_ID,
                vault=venue.vault,
                settlement=venue.settlement,
                commitment=venue.commitment,
                quote_token=venue.usdc,
                quote_decimals=6,
                fee_account=venue.fee_account,
                **accounts,
                maker_fee_ppm=1_000,
                taker_fee_ppm=2_500,
                batch_interval_millis=1_000,
                batch_gas_max=10**9,
                fills_per_immediate_order_max=FILLS_PER_IMMEDIATE_ORDER_MAX,
                batch_rules=self.rules,
            )
        )
        # Other units than market 1's, and finite decimals: the engine opens no book for a row without those.
        listing = Settlement.list_market.encode(2, venue.synth, 4 * BASE_PER_LOT, 7, "BTC4-USDC")
        self.chain.do(ADMIN, venue.settlement, listing)
        self.chain.fund(*(address_of(trader) for trader in TRADERS))
        self.register_agent()

    # --- the engine ---

    def do(self, command: Command, later: int = 1) -> tuple[AnyEvent, ...]:
        self.at += later
        events = self.engine.apply(self.engine.sequence + 1, self.at, command)
        for event in events:
            match event:
                case FillMatched() | AmmFillMatched():
                    self.matched += 1
                    self.markets[event.fill] = event.market
                case FillSettled():
                    self.settled[self.markets[event.fill]] += 1
                case FillRefused():
                    self.refused[event.reason & 0x7F] += 1
                case OrderRejected():
                    self.rejected[event.reason] += 1
                case _:
                    pass
        return events

    def trade(self) -> None:
        """Orders until enough of them have met; now and then other fees, or a fill that is taken back."""
        pick, target = self.random, self.matched + FILLS_PER_ROUND
        taker = pick.choice((2_500, 3_000, 500, 0))
        self.do(SetFees(maker_fee_ppm=pick.choice((1_000, 0, -taker, -taker // 2)), taker_fee_ppm=taker))
        for _ in range(50 * FILLS_PER_ROUND):
            self.place()
            if self.matched >= target:
                break
        self.do(AdvanceTime(), 2_000)
        for fill in pick.sample(list(self.engine.batches.unsettled), 3):
            self.do(RefuseFill(fill=fill, reason="a drill"))

    def place(self) -> None:
        pick = self.random
        trader, tif = pick.choice(TRADERS), pick.choice((GTC, GTC, GTC, GTC, GTD, IOC, FOK))
        is_immediate = tif in (IOC, FOK)
        self.sequences[trader] = max(self.sequences[trader] + 1, self.at)
        order = Order(
            address_of(trader),
            0,
            pick.choice((1, 1, 2)),
            pick.choice((Side.BUY, Side.SELL)),
            pick.choice((Kind.LIMIT, Kind.MARKET)) if is_immediate else Kind.LIMIT,
            tif,
            0,
            Ticks(100_003 + pick.randrange(-6, 7)),
            Lots(pick.choice((1, 2, 3, 5, 8))),
            Ticks(0),
            10_000,
            make_nonce(0 if is_immediate else pick.randrange(1, 20), self.sequences[trader]),
            self.at // 1_000 + pick.randrange(2, 90) if tif is GTD else 0,
        )
        signer = AGENT if trader == WITH_AGENT and pick.random() < 0.5 else trader
        self.do(PlaceOrder(order, sign(order_digest(self.separator, order), key_of(signer)), order.account))

    # --- the chain ---

    def time(self) -> int:
        return int(self.chain.rpc("eth_getBlockByNumber", "latest", False)["timestamp"], 16)

    def leap(self, seconds: int) -> None:
        self.chain.rpc("evm_increaseTime", seconds)
        self.chain.mine()

    def register_agent(self) -> None:
        """With a budget for a part of a round, so that it is used up."""
        terms = (address_of(AGENT), self.time() + 10**7, 10**6 * self.random.randrange(5, 30), ())
        self.chain.do(address_of(WITH_AGENT), self.venue.settlement, Settlement.register_agent.encode(terms))

    def renew_agent(self) -> None:
        revocation = Settlement.revoke_agent.encode(address_of(WITH_AGENT), address_of(AGENT))
        self.chain.do(address_of(WITH_AGENT), self.venue.settlement, revocation)
        self.leap(SETTLEMENT_WINDOW_SECONDS)
        self.register_agent()

    def disturb(self) -> None:
        """While fills wait: somebody takes money away, or orders, and time goes by."""
        pick = self.random
        fills = list(self.engine.batches.unsettled.values())
        if pick.random() < 0.4:
            self._withdraw(pick.choice(fills).taker.order)
        if pick.random() < 0.4:
            self._cancel([pick.choice(pick.choice(fills).tickets).order for _ in range(3)])
            self.leap(SETTLEMENT_WINDOW_SECONDS + 1)
        if pick.random() < 0.3:
            self.leap(SETTLEMENT_WINDOW_SECONDS + 60)

    def _withdraw(self, order: Order) -> None:
        """Everything, before the fills that were matched against it settle."""
        token = self.venue.synth if order.side == Side.SELL else self.venue.usdc
        asked = "0x" + Vault.balance_of.encode(order.account, token).hex()
        balance = int(self.chain.rpc("eth_call", {"to": self.venue.vault, "data": asked}, "latest"), 16)
        if not balance:
            return
        self.chain.do(order.account, self.venue.vault, Vault.request_withdrawal.encode(token, balance, order.account))
        self.leap(EXIT_DELAY_SECONDS)
        self.chain.do(ADMIN, self.venue.vault, Vault.complete_withdrawal.encode(order.account, token))

    def _cancel(self, orders: list[Order]) -> None:
        """One, many, or all that the account ever signed until now."""
        first = orders[0]
        mine = [order.nonce for order in orders if order.account == first.account]
        calls = (
            Settlement.cancel.encode(first.nonce),
            Settlement.cancel_many.encode(mine),
            Settlement.cancel_all.encode(first.sequence + 1),
        )
        self.chain.do(first.account, self.venue.settlement, self.random.choice(calls))

    def settle(self) -> None:
        for number in list(self.engine.batches.batches):
            batch = self.engine.settlement_batch(number)
            self.longest = max(self.longest, len(batch.fills))
            calldata = settle_calldata(batch, self.venue.fee_account)
            receipt = self.chain.do(address_of("settler"), self.venue.settlement, calldata, BATCH_GAS)
            self.gas.append((int(receipt["gasUsed"], 16), self._gas_bound(batch.first, batch.last)))

    def _gas_bound(self, first: int, last: int) -> int:
        """By which the engine closes batches."""
        fills = [self.engine.batches.unsettled[number] for number in range(first, last + 1)]
        fresh = {ticket.sequence: ticket.is_fresh for fill in fills for ticket in fill.tickets}
        return PACKED_RULES.gas(len(fresh), len(fills), fresh_slots=sum(fresh.values()))

    def refill(self) -> None:
        """Whoever has little gets some, and the engine hears of everything."""
        for trader in TRADERS:
            for token, least in ((self.venue.usdc, 10**8), (self.venue.synth, 2 * 10**15)):
                balance = self.engine.ledger.find(address_of(trader), token)
                if balance is not None and balance.cover > least:
                    continue
                amount = least * self.random.randrange(1, 10)
                deposit = Vault.deposit_for.encode(address_of(trader), amount)
                mint = MINT.encode(self.venue.synth, address_of(trader), amount)
                self.chain.send(ADMIN, self.venue.vault, deposit if token == self.venue.usdc else mint)
        self.chain.mine()
        self.hear()

    def hear(self) -> None:
        """All logs since the last time."""
        head = self.chain.head()
        asked = {"address": list(self.decoder.addresses), "fromBlock": hex(self.block), "toBlock": hex(head)}
        time = self.time()
        for raw in replies.logs(self.chain.rpc("eth_getLogs", asked)):
            log = self.decoder.decode(raw, time)
            if log is not None:
                self.logs.append(log)
                events = self.do(ObserveLog(log=log), 0)
                assert not self.engine.gate.is_diverged, (log, events)
        self.block = head + 1
        self.at = max(self.at, 1_000 * time)
        self.do(ObserveBlock(block_number=head, block_time=time))

    # --- what is compared ---

    @property
    def tokens(self) -> list[Address]:
        return [self.venue.usdc, self.venue.synth]

    def vault_balances(self) -> dict[tuple[Address, Address], int]:
        """By account and token, of everybody whom a log named."""
        accounts = sorted({account for account, _ in self.engine.ledger.balances})
        asked = "0x" + Vault.reconcile.encode(accounts, self.tokens).hex()
        raw = self.chain.rpc("eth_call", {"to": self.venue.vault, "data": asked}, "latest")
        seen = decode_reconciliation(bytes.fromhex(raw[2:]))
        for column, token in enumerate(self.tokens):
            assert sum(row[column] for row in seen.balances) == seen.totals[column].internal_total
            assert self.engine.flows[token] == seen.totals[column].internal_total, "nobody was left out"
        return {
            (account, token): row[column]
            for account, row in zip(accounts, seen.balances, strict=True)
            for column, token in enumerate(self.tokens)
            if row[column]
        }


def balances_of(logs: list[AnyChainLog]) -> dict[tuple[Address, Address], int]:
    """From the logs alone: what came in, what went out, and what batches moved."""
    found: Counter[tuple[Address, Address]] = Counter()
    for log in logs:
        match log:
            case c.Deposited() | c.SynthMinted():
                found[log.account, log.token] += log.amount
            case c.Withdrawn():
                found[log.account, log.token] -= log.amount
            case c.BatchSettled():
                assert log.changes is not None
                for token, account, delta in log.changes:
                    found[account, token] += delta
            case _:
                pass
    return {key: amount for key, amount in found.items() if amount}


@pytest.fixture(scope="module")
def exchange(chain: LocalChain) -> Exchange:
    """At the end of its day. After every round engine and Vault have been compared."""
    made = Exchange(chain, deploy(chain))
    chain.rpc("evm_setBlockGasLimit", hex(BLOCK_GAS))
    made.refill()
    rounds = 0
    while made.matched < FILLS:
        rounds += 1
        made.trade()
        made.disturb()
        made.settle()
        if rounds % 5 == 0:
            made.renew_agent()
        made.refill()
        ledger = {key: balance.settled for key, balance in made.engine.ledger.balances.items() if balance.settled}
        assert ledger == made.vault_balances()
    return made


def test_ten_thousand_fills_to_the_atom(exchange: Exchange) -> None:
    assert exchange.settled.total() + exchange.refused.total() == exchange.matched >= FILLS
    assert all(balance.pending == 0 for balance in exchange.engine.ledger.balances.values())
    assert exchange.longest == max_fills(exchange)
    causes = {RefusalCause(cause).name for cause, count in exchange.refused.items() if count > 10}
    assert causes == {"BALANCE", "CANCELLED", "EXPIRED", "OPERATOR", "GROUP", "AGENT"}, exchange.refused
    assert exchange.settled.total() > FILLS // 2


def test_both_markets_trade(exchange: Exchange) -> None:
    """Every third order is for the second one, whose lots and ticks are others."""
    assert min(exchange.settled[market] for market in (1, 2)) > FILLS // 10, exchange.settled
    assert RejectReason.UNKNOWN_MARKET not in exchange.rejected, exchange.rejected


def test_the_logs_alone_tell_every_balance(exchange: Exchange) -> None:
    assert [log.event_sequence for log in exchange.logs] == list(range(1, len(exchange.logs) + 1))
    assert balances_of(exchange.logs) == exchange.vault_balances()


def test_every_batch_needed_less_gas_than_the_engine_thought(exchange: Exchange) -> None:
    used, bound = max(exchange.gas, key=lambda pair: pair[0] / pair[1])
    assert used <= bound


def max_fills(exchange: Exchange) -> int:
    asked = {"to": exchange.venue.settlement, "data": "0x" + Function("MAX_FILLS()", "uint256").encode().hex()}
    return int(exchange.chain.rpc("eth_call", asked, "latest"), 16)
