"""A market from nothing: listed through the factory, opened, minted, traded in the book and with the pool, liquidated.

Everything here is done with the product's own command line, as its users would; the keepers do the rest. Invariant:
each claim is judged by what the chain or the exchange says afterwards, never by a command's exit status alone.
"""

import asyncio
import json
import os
import subprocess
from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path

from demo.checks import wait
from demo.keys import Key
from demo.report import Report
from demo.stage import Stage, hooats, require
from demo.traders import USDC, Traders
from offchain.chain.contracts import Settlement, Token, Vault
from offchain.chain.wallet import Wallet
from offchain.client import HooatsClient

SYMBOL, SYNTH, NAME = "SOL-USDC", "hSOL", "HOOATS Solana"
PRICES = {"hBTC": "61500", "hETH": "2500", SYNTH: "150"}
RISEN = "180"
"""hSOL's price when the debtor, opened at 150 %, has fallen below the maintenance ratio of 130 %."""
TERMS = {
    "--symbol": SYMBOL,
    "--synth": SYNTH,
    "--name": NAME,
    "--lot": "0.01",
    "--tick": "0.01",
    "--ceiling": "1000000",
    "--initial-ratio": "150",
    "--maintenance-ratio": "130",
    "--bonus": "5",
    "--quorum": "1",
    "--max-age": "300",
    "--max-move": "500000",
}
"""`--max-move` is in millionths a minute: fast, so that the demo need not wait."""
DEBTOR, POOL_OWNER, BUYER = 14, 15, 16
MAINTENANCE = int(TERMS["--maintenance-ratio"])
LIQUIDATOR_USDC = 20_000 * USDC


def write_prices(file: Path, prices: dict[str, str]) -> None:
    """The feed of the price keeper, replaced as a whole."""
    staging = file.with_suffix(".new")
    staging.write_text(json.dumps(prices))
    os.replace(staging, file)


class NewMarket:
    """Its acts, in order."""

    def __init__(
        self,
        stage: Stage,
        report: Report,
        traders: Traders,
        clients: list[HooatsClient],
        keys: dict[str, Key],
    ) -> None:
        self._stage, self._report, self._traders, self._clients, self._keys = stage, report, traders, clients, keys
        self._market = 0

    async def open(self) -> None:
        """An operator asks, the list keeper brings it on chain, the operator opens it."""
        flags = [part for pair in TERMS.items() for part in pair]
        self._report.say(f"the operator asks for {SYMBOL}; the list keeper creates, registers, prices and lists it")
        await self._run("market", "create", *flags, key=self._keys["operator"])
        await self._wait(f"{SYMBOL} on chain", self._is_listed)
        row = await self._row()
        assert row is not None
        begun = row["state"]
        self._market = (await self._clients[BUYER].markets())[SYMBOL].market
        await self._run("market", "resume", SYMBOL, key=self._keys["operator"])
        await self._wait(f"{SYMBOL} open", self._is_active)
        self._report.check("market_opened", begun == "PAUSED", f"{SYMBOL}, market {self._market}, over {SYNTH}")
        await self._wait(f"a price of {SYNTH}", self._has_price)
        self._report.say(f"{SYMBOL}: synth created, registered, priced and listed; opened by the operator")

    async def mint(self) -> None:
        """The debtor at the edge of the initial ratio, the pool's owner and the liquidator far from it."""
        self._report.say(f"three accounts mint {SYNTH} against USDC")
        await self._debt(DEBTOR, "9000", "40")
        await self._debt(POOL_OWNER, "20000", "60")
        self._fund_liquidator()
        liquidator = self._keys["liquidator"]
        await self._wait("the liquidator's deposit", lambda: self._holds(liquidator, "USDC"))
        await self._run("debt", "open", SYNTH, "--collateral", "10000", "--mint", "30", key=liquidator)
        await self._wait("the liquidator's synth", lambda: self._holds(liquidator, "SOL"))

    async def trade(self) -> None:
        """One fill in the book, one swap from the wallet, one order through the pool by a batch of the exchange."""
        await self._wait("the debtor's synth", lambda: self._holds(self._trader(DEBTOR), "SOL"))
        before = await self._filled(BUYER)
        self._report.say(f"{SYMBOL} trades in the order book")
        await self._run("order", "place", SYMBOL, "sell", "5", "151", key=self._trader(DEBTOR))
        await self._run("order", "place", SYMBOL, "buy", "2", "155", "--type", "market", key=self._trader(BUYER))
        await self._wait("the book's fill", lambda: self._has_settled(before, 1))
        self._report.check("market_book", True, f"2 SOL at 151 in {SYMBOL}, settled")

        owner = self._trader(POOL_OWNER)
        self._report.say(f"{SYNTH} is withdrawn for the AMM pool")
        await self._run("withdraw", "40", "--token", SYNTH, key=owner)
        synth = self._synth()
        await self._wait("the pool owner's tokens", lambda: self._has_tokens(synth, owner, 40 * 10**18))
        await self._run("amm", "add", SYNTH, "--base", "40", "--quote", "6000", key=owner)
        self._report.say("the pool has liquidity; a wallet swaps with it")
        buyer = self._trader(BUYER)
        had = self._traders.token_balance(synth, buyer.address)
        await self._run("amm", "swap", "USDC", SYNTH, "--in", "100", "--slippage", "1", key=buyer)
        got = self._traders.token_balance(synth, buyer.address) - had
        self._report.check("market_pool", got > 6 * 10**17, f"100 USDC for {got / 10**18:.4f} {SYNTH} from the pool")

        self._report.say("an order is filled by the pool, in a batch of the exchange")
        await self._wait("the exchange's view of the pool", lambda: self._knows_pool("6100"))
        before = await self._filled(BUYER)
        await self._run("order", "place", SYMBOL, "buy", "1", "170", "--type", "market", "--amm", key=buyer)
        await self._wait("the fill with the pool", lambda: self._has_settled(before, 1))
        self._report.check("amm_leg", True, "1 SOL bought from the pool by a batch")

    async def liquidate(self, prices: Path) -> None:
        """The price rises, the debtor falls below the maintenance ratio, the keeper closes what is too much."""
        debtor = self._trader(DEBTOR)
        before = await self._position(debtor)
        write_prices(prices, PRICES | {SYNTH: RISEN})
        self._report.say(f"{SYNTH} rises from {PRICES[SYNTH]} to {RISEN}")

        async def is_liquidated() -> bool:
            return float((await self._position(debtor))["debt"]) < float(before["debt"])

        await self._wait("the liquidation", is_liquidated)
        after = await self._position(debtor)
        detail = f"debt {before['debt']} -> {after['debt']} {SYNTH}, ratio now {after['ratioPercent']} %"
        self._report.check("liquidated", int(after["ratioPercent"]) >= MAINTENANCE, detail)

    # --- what the venue says ---

    async def _row(self) -> dict[str, str] | None:
        rows = json.loads(await self._run("market", "list", "--json"))
        return next((row for row in rows if row["symbol"] == SYMBOL), None)

    async def _is_listed(self) -> bool:
        row = await self._row()
        return row is not None and row["state"] != "REQUESTED"

    async def _is_active(self) -> bool:
        row = await self._row()
        return row is not None and row["state"] == "ACTIVE"

    async def _has_price(self) -> bool:
        shown = json.loads(await self._run("debt", "show", SYNTH, "--json", key=self._trader(DEBTOR)))
        return not shown["priceIsStale"]

    async def _position(self, owner: Key) -> dict[str, str]:
        shown: dict[str, str] = json.loads(await self._run("debt", "show", SYNTH, "--json", key=owner))
        return shown

    async def _holds(self, owner: Key, token: str) -> bool:
        async with HooatsClient(self._stage.api_url, owner.secret) as client:
            balances = await client.balances()
            return token in balances and balances[token].settled != "0"

    async def _filled(self, number: int) -> int:
        return len(await self._clients[number].fills(symbol=SYMBOL))

    async def _has_settled(self, before: int, more: int) -> bool:
        fills = await self._clients[BUYER].fills(symbol=SYMBOL)
        return len(fills) >= before + more and all(fill.state == "SETTLED" for fill in fills)

    async def _has_tokens(self, token: str, owner: Key, atoms: int) -> bool:
        return self._traders.token_balance(token, owner.address) >= atoms

    async def _knows_pool(self, quote: str) -> bool:
        """With what the swap brought: an order at an older price is one that the pair refuses."""
        pool = (await self._clients[BUYER].pools()).get(SYMBOL)
        return pool is not None and Decimal(pool.quote) == Decimal(quote)

    # --- small things ---

    def _trader(self, number: int) -> Key:
        return self._traders.keys[number]

    def _synth(self) -> str:
        market = Wallet(self._stage.rpc_url, self._keys["operator"].secret)
        settlement = self._traders.registry.address("Settlement")
        ((base, _, _),) = market.call(settlement, Settlement.market_of, self._market)
        return str(base).lower()

    async def _debt(self, number: int, collateral: str, minted: str) -> None:
        await self._run("debt", "open", SYNTH, "--collateral", collateral, "--mint", minted, key=self._trader(number))

    def _fund_liquidator(self) -> None:
        key, registry = self._keys["liquidator"], self._traders.registry
        wallet, vault = Wallet(self._stage.rpc_url, key.secret), registry.address("Vault")
        wallet.transact(registry.quote_token, Token.mint, key.address, LIQUIDATOR_USDC)
        wallet.transact(registry.quote_token, Token.approve, vault, LIQUIDATOR_USDC)
        wallet.transact(vault, Vault.deposit, LIQUIDATOR_USDC)

    async def _run(self, *arguments: str, key: Key | None = None) -> str:
        return require(await self._try(*arguments, key=key))

    async def _try(self, *arguments: str, key: Key | None = None) -> subprocess.CompletedProcess[str]:
        environment = self._stage.environment()
        if key is not None:
            environment["HOOATS_KEY"] = str(key.path)
        return await asyncio.to_thread(hooats, *arguments, environment=environment)

    async def _wait(self, what: str, is_done: Callable[[], Awaitable[bool]], seconds: float = 60) -> None:
        await wait(self._stage, what, is_done, seconds)
