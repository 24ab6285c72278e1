"""`hooats debt`: positions that mint a synth against locked USDC, their liquidation, and the end of a synth.

Whatever lowers a Vault balance here (locking collateral, burning a synth) is countersigned by the exchange, or, with
`--forced`, draws on the account's own matured withdrawal request, with no operator alive.
"""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from offchain.chain.contracts import PriceOracle, SynthIssuer
from offchain.chain.registry import Registry, load_registry
from offchain.chain.synths import find_synth
from offchain.chain.wallet import Endpoint, Receipt, Wallet
from offchain.cli import options
from offchain.cli.exchange import connect
from offchain.cli.failures import Negative
from offchain.cli.money import first_url, parse_address
from offchain.cli.secrets import open_key
from offchain.cli.tables import echo_table
from offchain.client import Refused
from offchain.domain.errors import InvalidInput
from offchain.domain.market import format_atoms, parse_atoms
from offchain.domain.units import QUOTE_DECIMALS, SYNTH_DECIMALS, Address, from_hex

NO_AUTHORIZATION = (0, 0, b"")
"""Draw on the account's own matured request."""
POSITIONS_PER_CALL = 100

forced = click.option(
    "--forced", is_flag=True, help="Without the operator: draw on your own matured withdrawal request in that token."
)


def common(command: Callable[..., Any], key: Callable[..., Any] = options.key) -> Callable[..., Any]:
    """The flags of every command of this group."""
    for decorate in (
        options.as_json,
        options.chain_id,
        options.registry,
        options.api,
        options.rpc,
        options.password_file,
        key,
    ):
        command = decorate(command)
    return command


def by_anyone(command: Callable[..., Any]) -> Callable[..., Any]:
    """The flags of a command that needs no key."""
    return common(command, options.optional_key)


class Debtor:
    """One key, the issuer, and the exchange for countersignatures."""

    def __init__(
        self, synth: str, key: Path, password_file: Path | None, rpc: str, api: str, registry: Path, chain_id: int
    ) -> None:
        self.registry: Registry = load_registry(registry, chain_id)
        self._secret, self._api = open_key(key, password_file).secret, api
        self.wallet = Wallet(first_url(rpc), self._secret)
        self.symbol = synth
        self.synth: Address = find_synth(self.wallet.endpoint, self.registry, synth)
        self.issuer = self.registry.address("SynthIssuer")

    def authorization(self, purpose: str, atoms: int, is_forced: bool) -> tuple[int, int, bytes]:
        """The exchange's countersignature for `lock` (USDC) or `burn` (the synth)."""
        if is_forced or atoms == 0:
            return NO_AUTHORIZATION
        decimals = QUOTE_DECIMALS if purpose == "lock" else SYNTH_DECIMALS
        return asyncio.run(self._countersigned(purpose, format_atoms(atoms, decimals)))

    async def _countersigned(self, purpose: str, amount: str) -> tuple[int, int, bytes]:
        async with connect(self._api, self._secret) as client:
            token = "USDC" if purpose == "lock" else self.synth
            try:
                granted = await client.approval(purpose, token, amount)
            except Refused as refused:
                raise Negative(refused.message, remedy=refused.remedy) from None
        return int(granted.nonce), granted.deadline, from_hex(granted.signature or "0x")

    def position(self, account: Address) -> tuple[int, int]:
        """(collateral, debt) in atoms."""
        return position_of(self.wallet.endpoint, self.registry, self.synth, account)

    def describe(self, account: Address) -> dict[str, object]:
        return describe(self.wallet.endpoint, self.registry, self.symbol, self.synth, account)


def position_of(endpoint: Endpoint, registry: Registry, synth: Address, account: Address) -> tuple[int, int]:
    """(collateral, debt) in atoms; positions are public."""
    ((collateral, debt),) = endpoint.call(registry.address("SynthIssuer"), SynthIssuer.position_of, account, synth)
    return int(collateral), int(debt)


def describe(
    endpoint: Endpoint, registry: Registry, symbol: str, synth: Address, account: Address
) -> dict[str, object]:
    """What `hooats debt show` prints, by name."""
    collateral, debt = position_of(endpoint, registry, synth, account)
    price, at, _, max_age = endpoint.call(registry.address("PriceOracle"), PriceOracle.price_of, synth)
    now = int(endpoint.ask("eth_getBlockByNumber", "latest", False)["timestamp"], 16)
    value = -(-debt * price // 10**SYNTH_DECIMALS)
    return {
        "account": account,
        "synth": symbol,
        "collateral": format_atoms(collateral, QUOTE_DECIMALS),
        "debt": format_atoms(debt, SYNTH_DECIMALS),
        "price": format_atoms(price, QUOTE_DECIMALS) if price else "none",
        "priceAgeSeconds": now - at if price else None,
        "priceIsStale": not price or now > at + max_age,
        "ratioPercent": collateral * 100 // value if value else None,
    }


@click.group()
def debt() -> None:
    """Mint synths against USDC, pay back, liquidate, redeem."""


@debt.command("open")
@click.argument("synth")
@click.option("--collateral", default="0", help="USDC to lock, from your Vault account.")
@click.option("--mint", "minted", default="0", help="Synth to mint to your Vault account.")
@forced
@common
def open_debt(synth: str, collateral: str, minted: str, forced: bool, as_json: bool, **venue: Any) -> None:
    """Lock collateral and mint SYNTH (its symbol, as hBTC).

    Either may be left out.
    """
    debtor = Debtor(synth, **venue)
    locked, owed = (
        parse_atoms(collateral, QUOTE_DECIMALS, "--collateral"),
        parse_atoms(minted, SYNTH_DECIMALS, "--mint"),
    )
    _require(locked or owed, "nothing to do", "Give --collateral, --mint, or both")
    authorization = debtor.authorization("lock", locked, forced)
    receipt = debtor.wallet.transact(debtor.issuer, SynthIssuer.open, debtor.synth, locked, owed, authorization)
    _answer(as_json, debtor, receipt)


@debt.command("close")
@click.argument("synth")
@click.option("--collateral", default="0", help="USDC to take out.")
@click.option("--burn", "burned", default="0", help="Synth to pay back, from your Vault account.")
@forced
@common
def close_debt(synth: str, collateral: str, burned: str, forced: bool, as_json: bool, **venue: Any) -> None:
    """Pay back SYNTH and take collateral out. Either may be left out."""
    debtor = Debtor(synth, **venue)
    freed, paid = parse_atoms(collateral, QUOTE_DECIMALS, "--collateral"), parse_atoms(burned, SYNTH_DECIMALS, "--burn")
    _require(freed or paid, "nothing to do", "Give --collateral, --burn, or both")
    authorization = debtor.authorization("burn", paid, forced)
    receipt = debtor.wallet.transact(debtor.issuer, SynthIssuer.close, debtor.synth, freed, paid, authorization)
    _answer(as_json, debtor, receipt)


@debt.command("show")
@click.argument("synth")
@click.option("--account", default="", help="Whose; the one of --key if not given.")
@by_anyone
def show_debt(
    synth: str,
    account: str,
    as_json: bool,
    key: Path | None,
    password_file: Path | None,
    rpc: str,
    api: str,
    registry: Path,
    chain_id: int,
) -> None:
    """Show a position in SYNTH: collateral, debt, price, ratio.

    Positions are public: with --account, no key is needed.
    """
    if account:
        owner = parse_address(account, "--account")
    elif key is not None:
        owner = open_key(key, password_file).address
    else:
        raise InvalidInput("whose position", field="--account", remedy="Give --account, or --key for your own")
    book, endpoint = load_registry(registry, chain_id), Endpoint(first_url(rpc))
    _print(as_json, describe(endpoint, book, synth, find_synth(endpoint, book, synth), owner))


@debt.command("liquidate")
@click.argument("synth")
@click.argument("account")
@click.option("--burn", "burned", default="", help="Most synth to pay for it; all that may be, if not given.")
@forced
@common
def liquidate_debt(synth: str, account: str, burned: str, forced: bool, as_json: bool, **venue: Any) -> None:
    """Liquidate ACCOUNT's weak position in SYNTH. Anyone may.

    You pay with your own synth, and get collateral with a bonus.
    """
    debtor = Debtor(synth, **venue)
    owner = parse_address(account, "ACCOUNT")
    (most,) = debtor.wallet.call(debtor.issuer, SynthIssuer.liquidatable_debt, owner, debtor.synth)
    (may,) = debtor.wallet.call(debtor.issuer, SynthIssuer.is_liquidatable, owner, debtor.synth)
    if not may:
        raise Negative(
            f"{owner} cannot be liquidated now", remedy=f"See its ratio: hooats debt show {synth} --account {owner}"
        )
    paid = min(most, parse_atoms(burned, SYNTH_DECIMALS, "--burn")) if burned else most
    authorization = debtor.authorization("burn", paid, forced)
    receipt = debtor.wallet.transact(debtor.issuer, SynthIssuer.liquidate, owner, debtor.synth, paid, 0, authorization)
    _print(as_json, {"transaction": receipt.transaction} | debtor.describe(owner))


@debt.command("absorb")
@click.argument("synth")
@click.argument("account")
@common
def absorb_debt(synth: str, account: str, as_json: bool, **venue: Any) -> None:
    """Hand ACCOUNT's insolvent position in SYNTH to the insurance. Anyone may.

    Insolvent: its collateral is worth less than its debt. The insurance account takes both over.
    """
    debtor = Debtor(synth, **venue)
    owner = parse_address(account, "ACCOUNT")
    receipt = debtor.wallet.transact(debtor.issuer, SynthIssuer.absorb, owner, debtor.synth)
    _print(as_json, {"transaction": receipt.transaction} | debtor.describe(owner))


@debt.command("shut-down")
@click.argument("synth")
@common
def shut_down(synth: str, as_json: bool, **venue: Any) -> None:
    """Shut SYNTH down for ever at its last price. Anyone may.

    Possible once no price has been accepted for 6 hours. For an hour more, a price that returns replaces the last one.
    """
    debtor = Debtor(synth, **venue)
    receipt = debtor.wallet.transact(debtor.issuer, SynthIssuer.shut_down, debtor.synth)
    _print(as_json, {"transaction": receipt.transaction, "synth": synth})


@debt.command("reprice")
@click.argument("synth")
@common
def reprice(synth: str, as_json: bool, **venue: Any) -> None:
    """Make a price that returned that of SYNTH's shut-down. Anyone may.

    Possible within an hour of the shut-down, with a price that was accepted after it.
    """
    debtor = Debtor(synth, **venue)
    receipt = debtor.wallet.transact(debtor.issuer, SynthIssuer.reprice, debtor.synth)
    _print(as_json, {"transaction": receipt.transaction, "synth": synth})


@debt.command("settle")
@click.argument("synth")
@common
def settle_debts(synth: str, as_json: bool, **venue: Any) -> None:
    """Settle every position of SYNTH an hour after its shut-down. Anyone may.

    Collateral beyond the debt returns to its owners, and redemption opens.
    """
    debtor = Debtor(synth, **venue)
    settled = 0
    while True:
        accounts, positions = debtor.wallet.call(
            debtor.issuer, SynthIssuer.positions_of, debtor.synth, 0, POSITIONS_PER_CALL
        )
        open_ones = [account for account, (_, owed) in zip(accounts, positions, strict=True) if owed]
        if not open_ones:
            break
        page = open_ones[:20]
        debtor.wallet.transact(debtor.issuer, SynthIssuer.settle_positions, debtor.synth, page)
        settled += len(page)
    _print(as_json, {"synth": synth, "settled": settled})


@debt.command("redeem")
@click.argument("synth")
@click.argument("amount")
@forced
@common
def redeem(synth: str, amount: str, forced: bool, as_json: bool, **venue: Any) -> None:
    """Burn AMOUNT of your SYNTH for its share of the collateral.

    Possible after a shut-down, once every position is settled.
    """
    debtor = Debtor(synth, **venue)
    atoms = parse_atoms(amount, SYNTH_DECIMALS, "AMOUNT")
    authorization = debtor.authorization("burn", atoms, forced)
    receipt = debtor.wallet.transact(debtor.issuer, SynthIssuer.redeem, debtor.synth, atoms, authorization)
    _print(as_json, {"transaction": receipt.transaction, "synth": synth, "amount": amount})


def _require(condition: object, what: str, remedy: str) -> None:
    if not condition:
        raise InvalidInput(what, remedy=remedy)


def _answer(as_json: bool, debtor: Debtor, receipt: Receipt) -> None:
    _print(as_json, {"transaction": receipt.transaction} | debtor.describe(debtor.wallet.address))


def _print(as_json: bool, answer: dict[str, object]) -> None:
    if as_json:
        click.echo(json.dumps(answer))
    else:
        echo_table(_in_words(answer) if "ratioPercent" in answer else answer)


def _in_words(answer: dict[str, object]) -> dict[str, object]:
    """A position as a person reads it."""
    price, age, ratio = answer["price"], answer["priceAgeSeconds"], answer["ratioPercent"]
    words = "none accepted yet"
    if age is not None:
        words = f"{price} USDC, {age} s old{', stale' if answer['priceIsStale'] else ''}"
    table = {"transaction": answer["transaction"]} if "transaction" in answer else {}
    return table | {
        "account": answer["account"],
        "collateral": f"{answer['collateral']} USDC",
        "debt": f"{answer['debt']} {answer['synth']}",
        "price": words,
        "ratio": "no debt, or no price" if ratio is None else f"{ratio} %",
    }
