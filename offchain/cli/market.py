"""`hooats market` and `hooats quote`: which markets there are, what a trade costs, and the operator's word on both."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import msgspec

from offchain.cli import options
from offchain.cli.exchange import ask
from offchain.cli.tables import plain
from offchain.client import HooatsClient, Quote


@click.group()
def market() -> None:
    """List markets; as an operator create, open, pause and delist."""


@market.command("list")
@options.api
@options.as_json
def list_markets(api: str, as_json: bool) -> None:
    """List the markets: state, price and size steps, AMM price."""

    async def question(client: HooatsClient) -> list[dict[str, Any]]:
        markets, states, pools = await client.markets(), await client.market_states(), await client.pools()
        rows = []
        for symbol, state in states.items():
            row: dict[str, Any] = {"symbol": symbol, "state": state}
            if symbol in markets:
                row |= {"tickSize": markets[symbol].tick_size, "lotSize": markets[symbol].lot_size}
                row["pool"] = msgspec.to_builtins(pools.get(symbol))
            rows.append(row)
        return rows

    rows = ask(api, None, None, question)
    if as_json:
        click.echo(json.dumps(rows))
        return
    for row in rows:
        steps = f"  tick {row['tickSize']}  lot {row['lotSize']}" if "tickSize" in row else ""
        pool = f"  AMM {row['pool']['price'] or 'empty'}" if row.get("pool") else ""
        click.echo(f"{plain(row['symbol'])}  {row['state']}{steps}{pool}")
    if not rows:
        click.echo("no markets yet")


@market.command("create")
@click.option("--symbol", required=True, help="Of the market: BASE-QUOTE, e.g. ETH-USDC.")
@click.option("--synth", required=True, help="Symbol of the new synth token, e.g. hETH.")
@click.option("--name", required=True, help="Name of the synth token.")
@click.option("--lot", required=True, help="Lot size: the smallest step of a size, e.g. 0.001.")
@click.option("--tick", required=True, help="Tick size: the smallest step of a price, e.g. 0.01.")
@click.option("--ceiling", required=True, help="Most of the synth that may be in debt, in whole tokens.")
@click.option("--initial-ratio", type=int, default=150, show_default=True, help="Percent needed to open debt.")
@click.option(
    "--maintenance-ratio", type=int, default=130, show_default=True, help="Percent below which debt is liquidated."
)
@click.option("--bonus", type=int, default=10, show_default=True, help="Percent that a liquidator earns.")
@click.option("--quorum", type=int, default=1, show_default=True, help="Prices needed for a median.")
@click.option("--max-age", type=int, default=600, show_default=True, help="Seconds after which a price is stale.")
@click.option(
    "--max-move",
    type=int,
    default=100_000,
    show_default=True,
    help="Most that a price may move a minute, in millionths.",
)
@options.key
@options.password_file
@options.api
@options.as_json
def create(
    symbol: str,
    synth: str,
    name: str,
    lot: str,
    tick: str,
    ceiling: str,
    initial_ratio: int,
    maintenance_ratio: int,
    bonus: int,
    quorum: int,
    max_age: int,
    max_move: int,
    key: Path,
    password_file: Path | None,
    api: str,
    as_json: bool,
) -> None:
    """Ask for a new market over a new synth, with an operator's key.

    The list keeper brings it on chain; then it is PAUSED until `hooats market resume`.
    """
    terms = {
        "synth": synth,
        "name": name,
        "lotSize": lot,
        "tickSize": tick,
        "ceiling": ceiling,
        "initialPercent": initial_ratio,
        "maintenancePercent": maintenance_ratio,
        "bonusPercent": bonus,
        "quorum": quorum,
        "maxAgeSeconds": max_age,
        "maxMovePpmPerMinute": max_move,
    }
    requested = ask(api, key, password_file, lambda client: client.create_market(symbol, terms), sends=True)
    if quorum == 1:
        click.echo("hooats: warning: with --quorum 1 one posting key makes the price", err=True)
    words = f"{symbol} is asked for as market {requested['market']}; the list keeper brings it on chain"
    click.echo(json.dumps(requested) if as_json else words)


def _state_command(action: str, help: str, *decorations: Callable[[Any], Any]) -> None:
    """`hooats market <action> SYMBOL`."""

    def change(symbol: str, key: Path, password_file: Path | None, api: str, as_json: bool, **_: object) -> None:
        row = ask(api, key, password_file, lambda client: client.set_market_state(symbol, action), sends=True)
        click.echo(json.dumps(row) if as_json else f"{symbol} is {row['state']}")

    command: Any = change
    for decorate in (options.as_json, options.api, options.password_file, options.key, *decorations):
        command = decorate(command)
    market.command(action.replace("_", "-"), help=help)(click.argument("symbol")(command))


@market.command()
@click.argument("symbol")
@options.key
@options.password_file
@options.api
@options.as_json
def withdraw(symbol: str, key: Path, password_file: Path | None, api: str, as_json: bool) -> None:
    """Drop the request for the market SYMBOL, with an operator's key.

    As long as it is not listed. Steps that the list keeper has taken stay; its symbols are free again here.
    """
    ask(api, key, password_file, lambda client: client.withdraw_market(symbol), sends=True)
    click.echo(json.dumps({"withdrawn": symbol}) if as_json else f"{symbol} is not asked for any more")


@market.command("take-back")
@click.argument("fill", type=click.IntRange(min=1))
@click.option("--reason", required=True, help="One line; it is journaled, and told to both sides.")
@options.key
@options.password_file
@options.api
@options.as_json
def take_back(fill: int, reason: str, key: Path, password_file: Path | None, api: str, as_json: bool) -> None:
    """Take the matched fill number FILL back, with an operator's key.

    For a fill that makes its batch revert, as the settle keeper names it. Both sides are reversed, nobody is
    compensated, and the remainders of both orders are cancelled; the fills of a fill-or-kill order go together.
    """
    taken = ask(api, key, password_file, lambda client: client.take_back_fill(fill, reason), sends=True)
    words = f"taken back: {', '.join(taken)}; the next batch goes out without it"
    click.echo(json.dumps({"takenBack": taken}) if as_json else words)


_state_command("resume", "Open the market SYMBOL for all orders, with an operator's key.")
_state_command("pause", "Take no orders in SYMBOL, only cancels; with an operator's key.")
_state_command("post_only", "Take only post-only orders in SYMBOL, with an operator's key.")
_state_command("cancel_only", "Take only cancels in SYMBOL, with an operator's key.")
_state_command(
    "delist",
    "Cancel every order of SYMBOL and close it for good, with an operator's key.",
    click.confirmation_option(prompt="This cannot be undone. Delist?", help="Do not ask whether you are sure."),
)


@click.command()
@click.argument("symbol")
@click.option("--side", type=click.Choice(["buy", "sell"]), required=True, help="What you want to do.")
@click.option("--size", help="How much of the base token, e.g. 0.5.")
@click.option("--amount", help="Instead of --size: how much of the settlement token, with fees.")
@click.option("--limit", help="Worst price that you accept.")
@options.api
@options.as_json
def quote(
    symbol: str, side: str, size: str | None, amount: str | None, limit: str | None, api: str, as_json: bool
) -> None:
    """Show what a trade in SYMBOL would cost now.

    It is split between order book and AMM pair, and binds nobody.
    """
    if (size is None) == (amount is None):
        raise click.UsageError("give --size or --amount")
    found = ask(api, None, None, lambda client: client.quote(symbol, side, size, amount=amount, limit=limit))
    click.echo(json.dumps(msgspec.to_builtins(found)) if as_json else "\n".join(_quote_lines(found)))


def _quote_lines(found: Quote) -> list[str]:
    pays = "costs" if found.side == "buy" else "brings"
    if found.average is None:
        return [f"nothing to {found.side} in {found.symbol} within that price ({found.state})"]
    lines = [f"{found.side} {found.filled} {found.symbol} {pays} {found.total} with {found.fee} of fees"]
    lines[0] += f", {found.average} on average"
    for name, part in (("book", found.book), ("AMM pair", found.amm)):
        if part is not None:
            lines.append(f"{name}: {part.size} for {part.cost}, fee {part.fee}, limit {part.limit}")
    if found.amm_busy:
        lines.append("AMM pair: left out until its last trade is settled")
    if not found.complete:
        lines.append("that is all there is within the price")
    if found.state != "ACTIVE":
        lines.append(f"the market is {found.state}: it takes no such order now")
    return lines
