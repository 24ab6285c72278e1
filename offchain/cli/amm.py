"""`hooats amm`: the pools, from a wallet: see, quote, swap, add and remove liquidity, open a pool.

The exchange takes no part: all of it is between the wallet and the chain.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from offchain.chain.pools import (
    PPM,
    Coin,
    Pool,
    Pools,
    PoolTrader,
    Trade,
    at_least,
    at_most,
)
from offchain.chain.registry import load_registry
from offchain.chain.wallet import Endpoint, Wallet
from offchain.cli import options
from offchain.cli.money import first_url, parse_address
from offchain.cli.secrets import open_key
from offchain.cli.tables import echo_table, plain
from offchain.domain.errors import InvalidInput
from offchain.domain.market import format_atoms, parse_atoms
from offchain.domain.units import QUOTE_DECIMALS, SYNTH_DECIMALS

PERCENT_DECIMALS = 4
"""A ppm is the finest slippage."""

exact_in = click.option("--in", "amount_in", default="", help="Amount to sell, exactly.")
exact_out = click.option("--out", "amount_out", default="", help="Amount to buy, exactly.")
slippage = click.option(
    "--slippage", default="0.5", show_default=True, help="Percent by which the price may have moved when it is mined."
)
deadline = click.option(
    "--deadline",
    type=click.IntRange(1, 86_400),
    default=60,
    show_default=True,
    help="Seconds after which nothing happens any more.",
)


def on_chain(command: Callable[..., Any]) -> Callable[..., Any]:
    """The flags of every command of this group."""
    return options.rpc(options.registry(options.chain_id(options.as_json(command))))


def by_key(command: Callable[..., Any]) -> Callable[..., Any]:
    """The flags of every command that sends a transaction."""
    return options.key(options.password_file(on_chain(command)))


@click.group()
def amm() -> None:
    """Swap with the pools from your wallet, and provide their liquidity."""


@amm.command()
@on_chain
def pools(as_json: bool, **chain: Any) -> None:
    """List the pools: reserves, price, shares."""
    found = [_described(pool) for pool in _pools(**chain).all()]
    if as_json:
        click.echo(json.dumps(found))
        return
    for pool in found:
        click.echo("  ".join(f"{name}: {plain(value or '-')}" for name, value in pool.items()))
    if not found:
        click.echo("no pools yet: hooats amm create SYNTH opens one")


@amm.command()
@click.argument("sold")
@click.argument("bought")
@exact_in
@exact_out
@on_chain
def quote(sold: str, bought: str, amount_in: str, amount_out: str, as_json: bool, **chain: Any) -> None:
    """Show what SOLD buys of BOUGHT now (USDC, or a synth's symbol), fees included."""
    found = _pools(**chain)
    _print(as_json, _traded(found, _quoted(found, sold, bought, amount_in, amount_out)))


@amm.command()
@click.argument("sold")
@click.argument("bought")
@exact_in
@exact_out
@click.option("--min", "minimum", default="", help="With --in: least to take, instead of --slippage.")
@click.option("--max", "maximum", default="", help="With --out: most to pay, instead of --slippage.")
@slippage
@deadline
@click.option("--to", "destination", default="", help="Who gets it; you if not given.")
@by_key
def swap(
    sold: str,
    bought: str,
    amount_in: str,
    amount_out: str,
    minimum: str,
    maximum: str,
    slippage: str,
    deadline: int,
    destination: str,
    as_json: bool,
    **access: Any,
) -> None:
    """Swap SOLD for BOUGHT (USDC, or a synth's symbol) at a bounded price."""
    if (minimum and not amount_in) or (maximum and not amount_out):
        raise InvalidInput("--min goes with --in, --max with --out", field="--min")
    trader = _trader(**access)
    quoted = _quoted(trader.pools, sold, bought, amount_in, amount_out)
    to = parse_address(destination, "--to") if destination else trader.wallet.address
    ppm = _ppm(slippage)
    if amount_in:
        least = _atoms(minimum, quoted.coin_out, "--min") if minimum else at_least(quoted.amount_out, ppm)
        transaction, done = trader.swap_in(quoted, least, to, deadline)
    else:
        most = _atoms(maximum, quoted.coin_in, "--max") if maximum else at_most(quoted.amount_in, ppm)
        transaction, done = trader.swap_out(quoted, most, to, deadline)
    _print(as_json, {"transaction": transaction} | _traded(trader.pools, done))


@amm.command()
@click.argument("synth")
@click.option("--base", "base_amount", required=True, help="Most of the synth to add.")
@click.option("--quote", "quote_amount", required=True, help="Most USDC to add.")
@slippage
@deadline
@by_key
def add(
    synth: str, base_amount: str, quote_amount: str, slippage: str, deadline: int, as_json: bool, **access: Any
) -> None:
    """Add liquidity to the pool of SYNTH at its price.

    The first to add sets the price.
    """
    trader = _trader(**access)
    pool = trader.pools.pool(synth)
    wanted = _atoms(base_amount, pool.base, "--base"), _atoms(quote_amount, trader.pools.quote, "--quote")
    transaction, base, paid, shares = trader.add(pool, *wanted, _ppm(slippage), deadline)
    _print(as_json, {"transaction": transaction} | _amounts(trader, pool, base, paid, shares))


@amm.command()
@click.argument("synth")
@click.option("--shares", required=True, help="Shares to give back, or: all.")
@slippage
@deadline
@by_key
def remove(synth: str, shares: str, slippage: str, deadline: int, as_json: bool, **access: Any) -> None:
    """Take liquidity out of the pool of SYNTH."""
    trader = _trader(**access)
    pool = trader.pools.pool(synth)
    burned = trader.shares_of(pool) if shares == "all" else parse_atoms(shares, SYNTH_DECIMALS, "--shares")
    if burned == 0:
        raise InvalidInput(f"no shares of {synth} to give back", field="--shares")
    transaction, base, got = trader.remove(pool, burned, _ppm(slippage), deadline)
    _print(as_json, {"transaction": transaction} | _amounts(trader, pool, base, got, burned))


@amm.command()
@click.argument("synth")
@by_key
def create(synth: str, as_json: bool, **access: Any) -> None:
    """Open the pool of SYNTH. Anyone may, once."""
    trader = _trader(**access)
    base = trader.pools.coin(synth)
    if base == trader.pools.quote:
        raise InvalidInput("USDC is the other side of every pool", field="synth", remedy="Name a synth")
    transaction = trader.create(base)
    _print(as_json, {"transaction": transaction, "synth": synth, "pool": trader.pools.pool(synth).pair})


def _pools(rpc: str, registry: Path, chain_id: int) -> Pools:
    return Pools(Endpoint(first_url(rpc)), load_registry(registry, chain_id))


def _trader(key: Path, password_file: Path | None, rpc: str, registry: Path, chain_id: int) -> PoolTrader:
    book = load_registry(registry, chain_id)
    wallet = Wallet(first_url(rpc), open_key(key, password_file).secret)
    return PoolTrader(Pools(wallet.endpoint, book), wallet)


def _quoted(found: Pools, sold: str, bought: str, amount_in: str, amount_out: str) -> Trade:
    if bool(amount_in) == bool(amount_out):
        raise InvalidInput("one amount is needed", field="--in", remedy="Give --in or --out")
    if amount_in:
        return found.quoted(sold, bought, amount_in=_atoms(amount_in, found.coin(sold), "--in"))
    return found.quoted(sold, bought, amount_out=_atoms(amount_out, found.coin(bought), "--out"))


def _atoms(text: str, coin: Coin, field: str) -> int:
    """Whole tokens to atoms, at least one atom."""
    atoms = parse_atoms(text, coin.decimals, field)
    if atoms <= 0:
        raise InvalidInput(f"{field} is zero", field=field, remedy=f"Say how much {coin.symbol}")
    return atoms


def _ppm(percent: str) -> int:
    ppm = parse_atoms(percent, PERCENT_DECIMALS, "--slippage")
    if not 0 <= ppm < PPM:
        raise InvalidInput(f"--slippage {percent} is no percentage", field="--slippage", remedy="From 0 to below 100")
    return ppm


def _described(pool: Pool) -> dict[str, str]:
    return {
        "synth": pool.base.symbol,
        "pool": pool.pair,
        "base": pool.base.text(pool.base_reserve),
        "quote": format_atoms(pool.quote_reserve, QUOTE_DECIMALS),
        "price": pool.price,
        "shares": format_atoms(pool.supply, SYNTH_DECIMALS),
    }


def _traded(found: Pools, trade: Trade) -> dict[str, object]:
    coin_in, coin_out, paid, got = trade
    answer: dict[str, object] = {
        "sold": coin_in.symbol,
        "amountIn": coin_in.text(paid),
        "bought": coin_out.symbol,
        "amountOut": coin_out.text(got),
    }
    if found.quote in (coin_in, coin_out):
        base, usdc = (got, paid) if coin_in == found.quote else (paid, got)
        answer["price"] = format_atoms(usdc * 10**SYNTH_DECIMALS // base, QUOTE_DECIMALS) if base else ""
    return answer


def _amounts(trader: PoolTrader, pool: Pool, base: int, paid: int, shares: int) -> dict[str, object]:
    return {
        "synth": pool.base.symbol,
        "base": pool.base.text(base),
        "quote": trader.pools.quote.text(paid),
        "shares": format_atoms(shares, SYNTH_DECIMALS),
    }


def _print(as_json: bool, answer: dict[str, object]) -> None:
    if as_json:
        click.echo(json.dumps(answer))
        return
    echo_table(answer)
