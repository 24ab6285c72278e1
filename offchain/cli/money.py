"""`hooats deposit`, `withdraw`, `balances`: a trader's money, over the chain itself or with the operator's help."""

import asyncio
import json
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

import click
import msgspec

from offchain.chain.contracts import Token, Vault
from offchain.chain.pools import Coin, all_coins
from offchain.chain.registry import Registry, load_registry
from offchain.chain.synths import find_synth
from offchain.chain.wallet import Endpoint, Wallet
from offchain.cli import options
from offchain.cli.exchange import connect
from offchain.cli.failures import Negative
from offchain.cli.secrets import open_key
from offchain.cli.tables import echo_table
from offchain.client import Approval, Deposit, ExchangeUnreachable, Refused
from offchain.domain.errors import InvalidInput
from offchain.domain.limits import EXIT_DELAY_SECONDS
from offchain.domain.market import format_atoms, parse_atoms
from offchain.domain.text import plain
from offchain.domain.units import INDEX_ONE, QUOTE_DECIMALS, SYNTH_DECIMALS, Address, atoms_down

INDEX_DECIMALS = 18
"""Of INDEX_ONE."""


def first_url(rpc: str) -> str:
    return rpc.split(",")[0].strip()


def parse_address(text: str, field: str) -> Address:
    """A hex address in any case."""
    if len(text) != 42 or not text.startswith("0x"):
        raise InvalidInput(f"{field} is not an address: {text[:50]}", field=field, remedy="0x and 40 hex digits")
    try:
        bytes.fromhex(text[2:])
    except ValueError:
        raise InvalidInput(f"{field} is not hex: {text}", field=field, remedy="0x and 40 hex digits") from None
    return Address(text.lower())


def token_of(endpoint: Endpoint, registry: Registry, name: str) -> tuple[Address, int]:
    """(address, decimals) of USDC, of a synth by symbol, or of an address."""
    if name.upper() in ("USDC", ""):
        return registry.quote_token, QUOTE_DECIMALS
    if name.startswith("0x"):
        address = parse_address(name, "token")
        return address, QUOTE_DECIMALS if address == registry.quote_token else SYNTH_DECIMALS
    return find_synth(endpoint, registry, name), SYNTH_DECIMALS


def parse_amount(text: str, decimals: int) -> int:
    """Whole tokens to atoms, at least one atom."""
    if not text:
        raise InvalidInput("no AMOUNT is given", field="AMOUNT", remedy="Say how many tokens, like 12.5")
    atoms = parse_atoms(text, decimals, "amount")
    if not atoms:
        raise InvalidInput("amount is zero", field="AMOUNT", remedy="Above 0")
    return atoms


@click.command()
@click.argument("amount")
@options.key
@options.password_file
@options.rpc
@options.api
@options.registry
@options.chain_id
@options.flag("--token", "USDC, or a synth's symbol.", default="USDC")
@click.option("--relayed", is_flag=True, help="Sign a permit of USDC; the exchange at --api sends it.")
@options.as_json
def deposit(
    amount: str,
    key: Path,
    password_file: Path | None,
    rpc: str,
    api: str,
    registry: Path,
    chain_id: int,
    token: str,
    relayed: bool,
    as_json: bool,
) -> None:
    """Deposit AMOUNT whole tokens into your Vault account.

    After a declared loss USDC buys more units of the Vault than it has dollars: see `hooats balances`.

    They come from your wallet; the Vault is approved first where needed.
    """
    book = load_registry(registry, chain_id)
    secret = open_key(key, password_file).secret
    address, decimals = token_of(Endpoint(first_url(rpc)), book, token)
    atoms = parse_amount(amount, decimals)
    wallet, vault = Wallet(first_url(rpc), secret), book.address("Vault")
    if relayed:
        if address != book.quote_token:
            raise InvalidInput("only USDC is relayed", field="--relayed", remedy="Leave --relayed out")
        (nonce,) = wallet.call(address, Token.nonces, wallet.address)
        asked = asyncio.run(_relayed(api, secret, amount, nonce))
        _answer(as_json, {"id": asked.id, "account": asked.account, "amount": amount, "status": asked.status})
        return
    (allowance,) = wallet.call(address, Token.allowance, wallet.address, vault)
    if allowance < atoms:
        wallet.transact(address, Token.approve, vault, atoms)
    if address == book.quote_token:
        receipt = wallet.transact(vault, Vault.deposit, atoms)
    else:
        receipt = wallet.transact(vault, Vault.deposit_synth, address, atoms)
    _answer(as_json, {"transaction": receipt.transaction, "account": wallet.address, "amount": amount, "token": token})


@click.command()
@click.argument("amount", required=False, default="")
@click.option(
    "--mode",
    type=click.Choice(["instant", "request", "complete", "cancel"]),
    default="instant",
    show_default=True,
    help="instant: countersigned by the operator and relayed. request: on chain, matures after 15 minutes. "
    "complete: pay out a matured request, yours or (--account) anyone's. cancel: drop your request.",
)
@click.option(
    "--as-cxpt",
    is_flag=True,
    help="Take CXPT, 1:1 by value, instead of USDC; not with a request, but when you complete it.",
)
@click.option("--to", "destination", default="", help="Destination address; your own if not given.")
@click.option("--account", default="", help="Whose matured request to complete; your own if not given.")
@options.key
@options.password_file
@options.rpc
@options.api
@options.registry
@options.chain_id
@options.flag("--token", "USDC, or a synth's symbol.", default="USDC")
@options.as_json
def withdraw(
    amount: str,
    mode: str,
    as_cxpt: bool,
    destination: str,
    account: str,
    key: Path,
    password_file: Path | None,
    rpc: str,
    api: str,
    registry: Path,
    chain_id: int,
    token: str,
    as_json: bool,
) -> None:
    """Withdraw AMOUNT whole tokens from your Vault account.

    `--mode request`, then after 15 minutes `--mode complete`, needs nobody but the chain.
    """
    _check_flags(mode, amount, as_cxpt, destination, account)
    book = load_registry(registry, chain_id)
    secret = open_key(key, password_file).secret
    address, decimals = token_of(Endpoint(first_url(rpc)), book, token)
    if as_cxpt and address != book.quote_token:
        raise InvalidInput(f"{token} cannot be taken as CXPT", field="--as-cxpt", remedy="Only USDC can: leave it out")
    vault = book.address("Vault")
    is_drawn = mode == "complete" and as_cxpt
    atoms = parse_amount(amount, decimals) if mode in ("instant", "request") or is_drawn else 0
    if mode == "instant":
        approval = asyncio.run(_instant(api, secret, address, amount, destination, as_cxpt))
        _answer_approval(
            as_json, approval, token, _after_loss(Endpoint(first_url(rpc)), book, address, approval.amount_atoms)
        )
        return
    wallet = Wallet(first_url(rpc), secret)
    target = parse_address(destination, "--to") if destination else wallet.address
    if mode == "request":
        (held,) = wallet.call(vault, Vault.balance_of, wallet.address, address)
        if atoms > held:
            words = f"the Vault holds {format_atoms(held, decimals)} {token} for you, not {amount}"
            raise Negative(words, remedy="Request at most that")
        receipt = wallet.transact(vault, Vault.request_withdrawal, address, atoms, target)
    elif mode == "cancel":
        receipt = wallet.transact(vault, Vault.cancel_withdrawal_request, address)
    elif is_drawn:
        receipt = wallet.transact(vault, Vault.withdraw, atoms, True)
    else:
        owner = parse_address(account, "--account") if account else wallet.address
        receipt = wallet.transact(vault, Vault.complete_withdrawal, owner, address)
    answer: dict[str, object] = {"transaction": receipt.transaction, "mode": mode, "token": token}
    if mode == "request":
        answer |= {"amount": amount, **_after_loss(wallet.endpoint, book, address, atoms)}
        answer["next"] = f"after {EXIT_DELAY_SECONDS // 60} minutes: --mode complete"
    _answer(as_json, answer)


def _check_flags(mode: str, amount: str, as_cxpt: bool, destination: str, account: str) -> None:
    """`InvalidInput` for a flag that the mode has no use for: what it asks for would not happen."""
    is_drawn = mode == "complete" and as_cxpt
    wrong = (
        (
            as_cxpt and mode in ("request", "cancel"),
            "--as-cxpt",
            f"a {mode} does not say in what it is paid",
            "Leave --as-cxpt out; when the request has matured: hooats withdraw AMOUNT --mode complete --as-cxpt",
        ),
        (
            bool(destination) and mode in ("complete", "cancel"),
            "--to",
            "a request goes where it was asked to go",
            "Leave --to out; to change it, cancel and request again",
        ),
        (
            bool(account) and (mode != "complete" or as_cxpt),
            "--account",
            "only a request that is completed in its own token can be somebody else's",
            "Leave --account out",
        ),
        (
            bool(amount) and mode in ("complete", "cancel") and not is_drawn,
            "AMOUNT",
            f"--mode {mode} takes the whole request",
            "Leave AMOUNT out",
        ),
    )
    for is_wrong, field, words, remedy in wrong:
        if is_wrong:
            raise InvalidInput(words, field=field, remedy=remedy)


def _after_loss(endpoint: Endpoint, book: Registry, token: Address, units: str | int) -> dict[str, object]:
    """What units of USDC pay, where a loss was declared; nothing to say of anything else."""
    if token != book.quote_token:
        return {}
    (index,) = endpoint.call(book.address("Vault"), Vault.index)
    if index == INDEX_ONE:
        return {}
    paid = format_atoms(atoms_down(int(units), index), QUOTE_DECIMALS)
    return {"pays": f"{paid} USDC: a unit of the Vault is {format_atoms(index, INDEX_DECIMALS)} USDC since a loss"}


def _answer_approval(as_json: bool, approval: Approval, token: str, after_loss: Mapping[str, object]) -> None:
    words = "countersigned; the venue's relay sends it within seconds, see `hooats balances`"
    if as_json:
        click.echo(json.dumps({**msgspec.to_builtins(approval), **after_loss, "next": words}))
        return
    kind = "CXPT for it" if approval.as_cxpt else token
    until = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(approval.deadline))
    rows: dict[str, object] = {"withdraw": f"{approval.amount} {token}", "as": kind, "from": approval.account}
    rows["to"] = approval.destination
    rows = {**rows, **after_loss, "approval": f"{approval.nonce}, until {until}", "next": words}
    echo_table(rows)


async def _relayed(api: str, secret: bytes, amount: str, nonce: int) -> Deposit:
    async with connect(api, secret) as client:
        try:
            return await client.deposit(amount, nonce=nonce)
        except Refused as refused:
            raise Negative(refused.message, remedy=refused.remedy) from None


async def _instant(api: str, secret: bytes, token: Address, amount: str, destination: str, as_cxpt: bool) -> Approval:
    async with connect(api, secret) as client:
        target = parse_address(destination, "--to") if destination else None
        try:
            return await client.withdraw(token, amount, destination=target, as_cxpt=as_cxpt)
        except Refused as refused:
            raise Negative(refused.message, remedy=refused.remedy) from None


@click.command()
@options.key
@options.password_file
@options.rpc
@options.api
@options.registry
@options.chain_id
@options.as_json
def balances(
    key: Path, password_file: Path | None, rpc: str, api: str, registry: Path, chain_id: int, as_json: bool
) -> None:
    """Show what the Vault holds for you, and what is available.

    What it holds is read from the chain. Available is what the exchange lets you trade with: with unsettled trades,
    without what open orders and withdrawals hold. Needs the exchange at --api; without it only the chain is shown.
    """
    book = load_registry(registry, chain_id)
    secret = open_key(key, password_file).secret
    wallet = Wallet(first_url(rpc), secret)
    vault = book.address("Vault")
    held: dict[str, object] = {"account": wallet.address}
    coins = labels(all_coins(wallet.endpoint, book))
    for label, coin in coins.items():
        (atoms,) = wallet.call(vault, Vault.balance_of, wallet.address, coin.address)
        held[label] = coin.text(atoms)
    free = asyncio.run(_available(api, secret))
    available = None if free is None else {label: free.get(coin.address, "0") for label, coin in coins.items()}
    held["available"] = available
    (index,) = wallet.call(vault, Vault.index)
    (units,) = wallet.call(vault, Vault.balance_of, wallet.address, book.quote_token)
    held |= {"index": str(index)} | _after_loss(wallet.endpoint, book, book.quote_token, units)
    if as_json:
        _answer(as_json, held)
        return
    click.echo(f"account: {wallet.address}")
    for label in coins:
        part = "" if available is None else f" ({available[label]} available)"
        click.echo(f"{plain(label)}: {held[label]}{part}")
    if "pays" in held:
        click.echo(f"pays: {held['pays']}")
    if available is None:
        click.echo(f"available: not known, the exchange at {api} does not answer")


def labels(coins: Iterable[Coin]) -> dict[str, Coin]:
    """One row per address: whoever has a name first keeps it, a later coin of that name in any case shows its
    address, so that a synth that was called USDC does not stand where the settlement token does."""
    found: dict[str, Coin] = {}
    used = {"account", "available", "index", "pays"}
    for coin in coins:
        name = coin.symbol.casefold()
        found[f"{coin.symbol} {coin.address}" if name in used else coin.symbol] = coin
        used.add(name)
    return found


async def _available(api: str, secret: bytes) -> dict[str, str] | None:
    """By token address; None if the exchange does not answer."""
    async with connect(api, secret) as client:
        try:
            return {balance.address: balance.free for balance in (await client.balances()).values()}
        except (ExchangeUnreachable, Refused):
            return None


def _answer(as_json: bool, answer: dict[str, object]) -> None:
    if as_json:
        click.echo(json.dumps(answer))
    else:
        echo_table(answer)
