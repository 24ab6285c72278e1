"""The main job, act by act: chain, contracts, money, orders and kills, settlement, checks, exits.

Invariant: every act ends in claims of the report; a process that fails ends the job, never silently.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

from demo import checks
from demo.exits import Exits
from demo.flow import MAKERS, Action
from demo.keys import Key, derive
from demo.markets import PRICES, NewMarket, write_prices
from demo.newcomer import Newcomer
from demo.report import Report, percentiles
from demo.session import write_session
from demo.stage import COMPILED, KEEPERS, Stage, hooats, require
from demo.traders import Traders
from demo.trading import Trading
from offchain.chain.registry import Registry, load_registry
from offchain.client import HooatsClient

TRADERS = 20
SETTLE_SECONDS_MAX = 120.0
KEEPER_AWAY_SECONDS = 3.0
ON_CHAIN_CANCELLER = 0
"""Cancels a resting order on chain in the middle of the flow."""
REQUESTER = 11
"""Requests a withdrawal in the middle of the flow, and is paid by force at the end."""
REQUEST_ATOMS = 10_000 * 10**6
KEEPER_KEYS = {
    "settle": "settler",
    "commit": "committer",
    "relay": "relay",
    "price": "poster",
    "list": "lister",
    "liquidate": "liquidator",
}
"""Every keeper that sends transactions has a key of its own."""


class Options(NamedTuple):
    folder: Path
    seed: int
    stay: bool
    has_fills: bool = True
    """Whether the flow must match and settle something: one from a file need not."""


class Job:
    """Runs once."""

    def __init__(self, options: Options, report: Report) -> None:
        self._options = options
        self._report = report
        self._stage = Stage(options.folder)
        self._keys = {name: self._derive(name) for name in ("deployer", "settler", "committer", "cosigner", "relay")}
        self._keys |= {name: self._derive(name) for name in ("poster", "fees", "treasury", "insurance")}
        self._keys |= {name: self._derive(name) for name in ("operator", "lister", "guardian", "liquidator")}
        self._keys |= {name: self._derive(name) for name in ("newcomer", "agent")}
        self._trader_keys = [self._derive(f"trader-{number}") for number in range(TRADERS)]
        self._operators = self._keys["settler"].address, self._keys["committer"].address
        self._clients: list[HooatsClient] = []
        self._cancelled_on_chain = ""
        self._settled_before = -1

    async def run(self, flow: list[Action]) -> int:
        """0 if every claim held."""
        try:
            registry = await self._set_up()
            traders = Traders(self._stage, registry, self._trader_keys, MAKERS)
            await asyncio.gather(self._fund(traders), self._welcome(registry))
            trading = await self._trade(flow, traders)
            await self._settle()
            await self._list_new_market(traders)
            await self._check(registry, trading)
            exits = Exits(self._stage, self._report, registry, traders, self._clients)
            await exits.instant(TRADERS - 1)
            await exits.as_cxpt(TRADERS - 2)
            await checks.wait_reconciled(self._stage, registry, self._report, 30)
            if self._options.stay:
                self._report.skip("forced", "STAY=1 keeps the operator alive")
            else:
                await self._close_clients()
                await exits.forced(REQUESTER, REQUEST_ATOMS, self._stop_operator)
            good = self._report.finish()
            if self._options.stay:
                await self._stay(registry)
            return 0 if good else 1
        finally:
            await self._close_clients()
            self._stage.stop_all()

    # --- acts ---

    async def _set_up(self) -> Registry:
        say = self._report.say
        say(f"chain: anvil as HyperEVM testnet (id 998, 1 s blocks of 3M gas, Cancun); logs in {self._options.folder}")
        self._stage.start_chain()
        keys = self._keys
        roles = {
            "settler": keys["settler"].address,
            "committer": keys["committer"].address,
            "cosigner": keys["cosigner"].address,
            "poster": keys["poster"].address,
            "lister": keys["lister"].address,
            "guardian": keys["guardian"].address,
            "feeAccount": keys["fees"].address,
            "treasuryAccount": keys["treasury"].address,
            "insuranceAccount": keys["insurance"].address,
            "proposer": keys["deployer"].address,
        }
        compiling = "" if COMPILED.is_file() else "; compiling them first, once, a minute or two"
        say(f"deploying the contracts{compiling}")
        seconds = self._stage.deploy(keys["deployer"], roles)
        registry = load_registry(self._stage.registry, 998)
        say(f"contracts deployed in {seconds:.0f} s: {', '.join(registry.contracts)}")
        checks.check_handover(self._stage.rpc_url, registry, self._report, keys["deployer"].address)
        for name in ("settler", "committer", "relay", "poster", "lister", "liquidator"):
            self._stage.rpc("anvil_setBalance", keys[name].address, hex(10**20))
        write_prices(self._stage.prices, PRICES)
        self._stage.start_node(keys["cosigner"], keys["operator"])
        for keeper in KEEPERS:
            self._start_keeper(keeper)
        self._stage.wait_ready()
        say(f"node and keepers up: {self._stage.describe()}")
        for symbol in registry.markets:
            await self._open_market(symbol)
        say(f"the operator opened {' and '.join(registry.markets)}")
        return registry

    async def _open_market(self, symbol: str) -> None:
        environment = self._stage.environment() | {"HOOATS_KEY": str(self._keys["operator"].path)}
        await self._wait(f"{symbol} listed", lambda: self._is_known(symbol))
        require(await asyncio.to_thread(hooats, "market", "resume", symbol, environment=environment))

    async def _is_known(self, symbol: str) -> bool:
        async with HooatsClient(self._stage.api_url, self._keys["operator"].secret) as client:
            return symbol in await client.markets()

    async def _fund(self, traders: Traders) -> None:
        say = self._report.say
        await asyncio.to_thread(traders.fund)
        await asyncio.to_thread(traders.deposit)
        self._clients = [HooatsClient(self._stage.api_url, key.secret) for key in self._trader_keys]
        await self._wait("deposits", self._has_deposits)
        say(f"{TRADERS} traders deposited")
        positions = await traders.open_debts(self._clients)
        await self._wait("synths", self._has_synths)
        say(f"{positions} synth debts opened by {MAKERS} traders, countersigned")

    async def _welcome(self, registry: Registry) -> None:
        """Beside the others' deposits: it costs the run no time."""
        keys = {"giver": self._keys["deployer"], "owner": self._keys["newcomer"], "agent": self._keys["agent"]}
        await Newcomer(self._stage, self._report, registry, **keys).arrive()
        self._report.say(
            "a newcomer without gas deposited by permit and appointed an agent, both sent by the relay keeper"
        )

    async def _trade(self, flow: list[Action], traders: Traders) -> Trading:
        report = self._report
        trading = Trading(self._clients, report.progress)
        placements = sum(action.op == "place" for action in flow)
        report.say(f"trading: {placements} signed orders, {len(flow) - placements} cancels, over HTTP and WebSocket")
        begun = time.monotonic()
        hooks = [(len(flow) * share // 100, hook) for share, hook in self.interruptions(traders).items()]
        await trading.run(flow, hooks)
        report.end_progress()
        seconds = time.monotonic() - begun
        report.say(f"{len(trading.outcomes)} orders acknowledged in {seconds:.0f} s, {trading.retries} retries")
        report.figure("orders", f"{len(trading.outcomes)} (refused: {trading.refusals()})")
        gone = len(flow) - placements - trading.cancels
        report.figure("cancels", f"{trading.cancels} ({gone} more came too late: filled, replaced or refused before)")
        report.figure("acknowledgement p50 / p99 / max", percentiles(trading.latencies))
        return trading

    async def _settle(self) -> None:
        begun, unsettled = time.monotonic(), 0
        while time.monotonic() - begun < SETTLE_SECONDS_MAX:
            self._stage.check_alive()
            unsettled, uncommitted, committed = await asyncio.to_thread(checks.backlog, self._stage)
            if unsettled == 0 and uncommitted == 0 and committed > 0:
                break
            self._report.progress(f"{unsettled} fills to settle, {uncommitted} epochs to commit")
            await asyncio.sleep(0.5)
        self._report.end_progress()
        last = await asyncio.to_thread(checks.last_fill, self._stage)
        went_on = last > self._settled_before >= 0 or not self._options.has_fills
        detail = f"settled up to {self._settled_before} before, {last} after"
        self._report.check("keeper_killed", unsettled == 0 and went_on, detail)

    async def _list_new_market(self, traders: Traders) -> None:
        market = NewMarket(self._stage, self._report, traders, self._clients, self._keys)
        await market.open()
        await market.mint()
        await market.trade()
        await market.liquidate(self._stage.prices)

    async def _check(self, registry: Registry, trading: Trading) -> None:
        self._report.say("checking")
        await checks.wait_reconciled(self._stage, registry, self._report, 30)
        await asyncio.to_thread(checks.check_journal, self._stage, self._report, trading)
        await asyncio.to_thread(
            checks.check_settlement, self._stage, self._report, *self._operators, self._options.has_fills
        )
        await asyncio.to_thread(checks.check_proofs, self._stage, self._report, trading)
        self._report.check("on_chain_cancel", await self._is_closed(self._cancelled_on_chain), "")

    # --- what happens in the middle of the flow ---

    def interruptions(self, traders: Traders) -> dict[int, Callable[[], Awaitable[None]]]:
        """What happens when this many percent of the flow were sent."""
        return {
            25: lambda: self._cancel_on_chain(traders),
            35: lambda: self._request(traders),
            45: self._kill_keeper,
            65: self._kill_node,
        }

    async def _cancel_on_chain(self, traders: Traders) -> None:
        client = self._clients[ON_CHAIN_CANCELLER]
        resting = await client.orders(status="open")
        if not resting:
            await client.place("BTC-USDC", "buy", "1000", "0.01")
            resting = await client.orders(status="open")
        self._cancelled_on_chain = resting[0].id
        receipt = await asyncio.to_thread(traders.cancel_on_chain, ON_CHAIN_CANCELLER, int(resting[0].nonce))
        self._report.say(f"trader {ON_CHAIN_CANCELLER} cancelled an order on chain, block {receipt.block}")

    async def _request(self, traders: Traders) -> None:
        client = self._clients[REQUESTER]
        destination = self._trader_keys[REQUESTER].address
        receipt = await asyncio.to_thread(traders.request_withdrawal, REQUESTER, REQUEST_ATOMS, destination)
        self._report.say(f"trader {REQUESTER} requested a withdrawal on chain, block {receipt.block}")

        async def is_leaving() -> bool:
            return (await client.balances())["USDC"].leaving == "10000"

        await self._wait("the request", is_leaving)
        self._report.check("request", True)

    async def _kill_keeper(self) -> None:
        self._settled_before = await asyncio.to_thread(checks.last_fill, self._stage)
        self._stage.kill("settle")
        self._report.say("settle keeper killed with SIGKILL")
        await asyncio.sleep(KEEPER_AWAY_SECONDS)
        self._start_keeper("settle")

    async def _kill_node(self) -> None:
        self._stage.kill("node")
        begun = time.monotonic()
        self._report.say("node killed with SIGKILL")
        self._stage.start_node(self._keys["cosigner"], self._keys["operator"])
        await asyncio.to_thread(self._stage.wait_ready)
        seconds = time.monotonic() - begun
        self._report.say(f"node back after {seconds:.1f} s")
        self._report.figure("node recovery after SIGKILL", f"{seconds:.1f} s")

    # --- small things ---

    def _derive(self, name: str) -> Key:
        return derive(self._options.seed, name, self._stage.keys)

    def _start_keeper(self, name: str) -> None:
        self._stage.start_keeper(name, self._keys[KEEPER_KEYS[name]] if name in KEEPER_KEYS else None)

    async def _has_deposits(self) -> bool:
        return all(["USDC" in await client.balances() for client in self._clients])

    async def _has_synths(self) -> bool:
        return all([{"BTC", "ETH"} <= set(await client.balances()) for client in self._clients[:MAKERS]])

    async def _is_closed(self, order: str) -> bool:
        if not order:
            return False
        return (await self._clients[ON_CHAIN_CANCELLER].order(order)).status != "open"

    async def _wait(self, what: str, is_done: Callable[[], Awaitable[bool]], seconds: float = 60) -> None:
        """Polls; `StageFailure` names what did not come."""
        await checks.wait(self._stage, what, is_done, seconds)

    def _stop_operator(self) -> None:
        for name in ("node", *KEEPERS):
            self._stage.kill(name)
        self._report.say("operator stopped: node and keepers killed")

    async def _close_clients(self) -> None:
        for client in self._clients:
            await client.close()
        self._clients = []

    async def _stay(self, registry: Registry) -> None:
        session = write_session(self._stage, self._options.folder)
        print(f"\nIn another terminal, from this folder:\n  source {session}")
        print(f"\nrpc   {self._stage.rpc_url}\napi   {self._stage.api_url}\nregistry {self._stage.registry}")
        for name in registry.contracts:
            print(f"{name.ljust(24)} {registry.address(name)}")
        print(f"keys  {self._stage.keys} (worthless: derived from the seed)")
        print(f"processes {self._stage.describe()}; kill and restart any of them\nCtrl-C ends everything", flush=True)
        while True:
            for name, status, command in self._stage.take_ended():
                self._report.say(f"{name} ended with status {status}; start it again with\n  {command}")
            await asyncio.sleep(1)
